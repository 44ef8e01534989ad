#include "memory/import_passes.h"

#include <sched.h>

#include <atomic>

#include "memory/library_map.h"

namespace flyweight::memory {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::atomic<bool> running{false};
std::atomic<uint32_t> requests{0};  // 0: nobody makes a pass
__thread bool passing __attribute__((tls_model("initial-exec"))) = false;
bool held_for_fork = false;

std::atomic<int> patched{0}, foreign{0};

// Of the thread that makes the pass:
ImportedFunctions functions{};
LoaderCount seen{};
int visited = 0;      // libraries, in order of loading, that need no further visit
int unpatchable = 0;  // slots that a pass could not rewrite
bool again = false;   // another pass is due, whatever the loader says
int attempts = 0;     // passes since libraries came or went
// At the ticker's pace two seconds. A library that looks unfinished for so long is finished.
constexpr int kPatience = 8;

void pass() noexcept {
    if (!running.load(std::memory_order_acquire)) return;
    const LoaderCount now = count_loaded();  // before the visit: what is loaded during it counts as news
    const bool changed = !(now == seen);
    if (!changed && !again) return;
    attempts = changed ? 0 : attempts + 1;
    const bool only_news = changed && now.removed == seen.removed && visited > 0;
    const ImportTally tally =
        visit_imports(ImportPass::patch, functions, only_news ? visited : 0, attempts >= kPatience);
    if (only_news) {
        patched.fetch_add(tally.patched, kRelaxed);
        foreign.fetch_add(tally.foreign, kRelaxed);
        unpatchable += tally.unhooked;
    } else {
        patched.store(tally.patched, kRelaxed);
        if (visited == 0) foreign.store(tally.foreign, kRelaxed);
        unpatchable = tally.unhooked;
    }
    // News are visited twice: a library seen for the first time may have been in the middle of its relocation.
    again = (changed || tally.again) && attempts <= kPatience;
    visited = tally.libraries;
    seen = now;
    if (changed) refresh_library_map();
}

void begin() noexcept {
    for (uint32_t none = 0; !requests.compare_exchange_weak(none, 1, std::memory_order_acq_rel); none = 0)
        sched_yield();
    passing = true;
}

void end() noexcept {
    while (requests.fetch_sub(1, std::memory_order_acq_rel) != 1) pass();
    passing = false;
}

}  // namespace

void start_import_passes(const ImportedFunctions& wanted) noexcept {
    begin();
    if (!running.load(kRelaxed)) {
        functions = wanted;
        seen = {};
        visited = 0;
        running.store(true, std::memory_order_release);
        pass();
    }
    end();
}

void stop_import_passes() noexcept {
    begin();
    if (running.exchange(false, std::memory_order_acq_rel)) {
        // Where a hook stands the loader has finished its work, whatever the protection looks like.
        visit_imports(ImportPass::restore, functions, 0, true);
        patched.store(0, kRelaxed);
        foreign.store(0, kRelaxed);
    }
    end();
}

void make_import_pass() noexcept {
    if (!running.load(kRelaxed)) return;
    if (requests.fetch_add(1, std::memory_order_acq_rel) > 0) return;
    passing = true;
    pass();
    end();
}

int patched_library_count() noexcept {
    return patched.load(kRelaxed);
}
int foreign_slot_count() noexcept {
    return foreign.load(kRelaxed);
}

bool import_slots_were_taken() noexcept {
    begin();
    bool taken = false;
    if (running.load(kRelaxed)) {
        pass();
        const ImportTally tally = visit_imports(ImportPass::inspect, functions, 0, false);
        taken = tally.foreign > foreign.load(kRelaxed) || tally.unhooked > unpatchable;
    }
    end();
    return taken;
}

void hold_import_passes_for_fork() noexcept {
    if (passing) return;  // a signal handler forks in the middle of our own pass
    begin();
    held_for_fork = true;
}

void release_import_passes_after_fork() noexcept {
    if (!held_for_fork) return;
    held_for_fork = false;
    end();
}

}  // namespace flyweight::memory
