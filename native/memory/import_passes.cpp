#include "memory/import_passes.h"

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cerrno>

#include "memory/clock.h"
#include "memory/library_map.h"
#include "memory/operator_new.h"

namespace flyweight::memory {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::atomic<bool> running{false};
std::atomic<uint32_t> requests{0};  // 0: nobody makes a pass
__thread bool passing __attribute__((tls_model("initial-exec"))) = false;
bool held_for_fork = false;

std::atomic<int> patched{0}, foreign{0};

// Of the thread that makes the pass:
struct Visited {
    int libraries = 0, patched = 0, foreign = 0;
    size_t slots = 0;
};
ImportedFunctions functions{};
LoaderCount seen{};
Visited settled{};  // the libraries, in order of loading, that need no further visit
PatchedSlots slots;
bool taken = false;       // another tool's functions stand where hooks of ours stood
int foreign_before = 0;   // slots with a third function before that
bool again = false;       // another pass is due, whatever the loader says
uint64_t changed_ms = 0;  // when libraries came or went
// A library that looks unfinished for so long is finished.
constexpr uint64_t kPatienceMs = 2000;
constexpr uint64_t kMomentMs = 200;

void pass() noexcept {
    if (!running.load(std::memory_order_acquire)) return;
    const LoaderCount now = count_loaded();  // before the visit: what is loaded during it counts as news
    const bool changed = !(now == seen);
    if (!changed && !again) return;
    const uint64_t now_ms = monotonic_ms();
    if (changed) changed_ms = now_ms;
    const bool insist = now_ms - changed_ms >= kPatienceMs;
    if (now.removed != seen.removed) settled = {};  // the order is another one
    if (changed) refresh_library_map();             // which tells a slot's function from one that is not relocated yet
    const size_t definitions = operator_new_definitions();
    slots.count = settled.slots;
    ImportTally tally = visit_imports(ImportPass::patch, functions, settled.libraries, insist, &slots);
    if (operator_new_definitions() != definitions) {  // in a library that may have been visited before that was known
        settled = {};
        slots.count = 0;
        tally = visit_imports(ImportPass::patch, functions, 0, insist, &slots);
    }
    const Visited all{tally.libraries, settled.patched + tally.patched, settled.foreign + tally.foreign, slots.count};
    // News are visited twice: a library seen for the first time may have been in the middle of its relocation.
    again = changed || (tally.again && !insist);
    if (!again) settled = all;
    if (taken && all.foreign <= foreign_before) taken = false;
    patched.store(all.patched, kRelaxed);
    foreign.store(all.foreign, kRelaxed);
    seen = now;
}

void look_at_all_again() noexcept {
    settled = {};
    again = true;
}

// Another thread makes a pass, and will make one more for us: the caller's library should be ready when it returns. No
// longer than a moment, for that thread may need what ours holds.
void wait_a_moment() noexcept {
    if (passing) return;  // a signal handler, in the middle of our own pass
    const int saved = errno;
    const uint64_t end_ms = monotonic_ms() + kMomentMs;
    for (int i = 0; requests.load(std::memory_order_acquire) != 0 && monotonic_ms() < end_ms; ++i) {
        const timespec rest{0, 50'000};
        i < 50 ? sched_yield() : nanosleep(&rest, nullptr);
    }
    errno = saved;
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
        settled = {};
        taken = false;
        running.store(true, std::memory_order_release);
        pass();
    }
    end();
}

void stop_import_passes() noexcept {
    begin();
    if (running.exchange(false, std::memory_order_acq_rel)) {
        // Where a hook stands the loader has finished its work, whatever the protection looks like.
        visit_imports(ImportPass::restore, functions, 0, true, nullptr);
        patched.store(0, kRelaxed);
        foreign.store(0, kRelaxed);
    }
    end();
}

void make_import_pass() noexcept {
    if (!running.load(kRelaxed)) return;
    if (requests.fetch_add(1, std::memory_order_acq_rel) > 0) return wait_a_moment();
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
    bool answer = false;
    if (running.load(kRelaxed)) {
        pass();  // a slot that the loader bound anew is not a stolen one
        if (!taken && lost_a_slot(slots, seen.removed)) {
            taken = true;
            foreign_before = settled.foreign;
        }
        answer = taken;
        if (taken) look_at_all_again();  // the other tool may be gone by then
    }
    end();
    return answer;
}

size_t import_passes_bytes() noexcept {
    return slots.count * sizeof(PatchedSlot);
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
