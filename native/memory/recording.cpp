#include "memory/recording.h"

#include "memory/clock.h"
#include "memory/session.h"
#include "memory/slow_lock.h"

namespace flyweight::memory {

PyInterpreterState* main_interpreter = nullptr;
std::atomic<bool> others_allocate{false};

namespace {

// Every block's stack: the record names the row of its stack, which counts exactly.
template <Access kAccess>
bool record_with_stack(void* block, size_t size, Domain domain, SiteId site, Notes notes) noexcept {
    if (site == kNoSite || in_profiler()) return true;
    ShadowMap::Word* words = tracker.shadow.find_or_reserve(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr) return true;
    ProfilerScope scope;
    SlowLock lock;
    const uint32_t now = tracker.tick.load(std::memory_order_relaxed);
    const StackId stack = capture_python_stack(notes);
    const uint32_t row_number = tracker.samples.find_or_add_row(stack, 0, domain, site, now);
    if (row_number == 0) tracker.attention.fetch_or(kTooMuchMemory, std::memory_order_relaxed);
    if (ShadowMap::holds(words)) tracker.take<Access::shared>(block), tracker.lost_frees.add(1);
    if (!tracker.count<kAccess>(domain, site, 1, size, size)) return false;
    if (row_number != 0) {
        StackRow& row = tracker.samples.row(row_number);
        ++row.total_samples;
        row.total_count += 1, row.live_count += 1;
        row.total_bytes += static_cast<double>(size), row.live_bytes += static_cast<double>(size);
    }
    ShadowMap::write(words, row_number != 0 ? row_number | kTraced : site, size, now);
    return true;
}

template <Access kAccess>
bool allocated_in(Domain domain, void* block, size_t size, SiteId site) noexcept {
    switch (domain) {
        case Domain::python:
            return tracker.allocated<Domain::python, kAccess>(block, size, site);
        case Domain::native:
            return tracker.allocated<Domain::native, kAccess>(block, size, site);
        case Domain::mapped:
            break;
    }
    return tracker.allocated<Domain::mapped, kAccess>(block, size, site);
}

// What needs doing before the block itself is looked at.
uint32_t attend(bool may_start_thread, bool exclusive) noexcept {
    uint32_t wants = tracker.attention.load(std::memory_order_acquire);
    if (wants & kStopped) return wants;
    if (wants & kClockLate) look_at_the_clock(may_start_thread);
    // Only the exclusive writer may set its own counters anew.
    if ((wants & kTooMuchMemory) && exclusive) {
        tracker.turn_to_sampling(tracker.sites.full() ? 2 : 1);
        wants = tracker.attention.load(std::memory_order_acquire);
    }
    return wants;
}

bool sample_allocation(void* block, size_t size, Domain domain, const Where& where) noexcept {
    this_thread.until_sample -= static_cast<int64_t>(size);
    if (this_thread.until_sample >= 0 || !tracker.sampler.fire(size)) return true;
    return tracker.note_sampled(block, size, site_of(where, domain), domain);
}

bool count_allocation(void* block, size_t size, Domain domain, const Where& where, uint32_t wants) noexcept {
    const SiteId site = site_of(where, domain);
    if (site == kNoSite) return true;
    if (wants & kFullStacks) {
        return where.exclusive() ? record_with_stack<Access::exclusive>(block, size, domain, site, where.notes)
                                 : record_with_stack<Access::shared>(block, size, domain, site, where.notes);
    }
    return where.exclusive() ? allocated_in<Access::exclusive>(domain, block, size, site)
                             : allocated_in<Access::shared>(domain, block, size, site);
}

bool answer_probe() noexcept {
    if (!(tracker.attention.load(std::memory_order_relaxed) & kProbing) || !in_profiler()) return false;
    ++this_thread.probed;
    return true;
}

}  // namespace

SiteId resolve(Where where, Domain domain) noexcept {
    const PlaceKey key = where.key(domain);
    if (where.thread == nullptr) return resolve_caller(where.caller, domain, key);
    SiteId site;
    if (where.exclusive() && last_import.knows(where.thread, key, &site)) return site;
    return resolve_frame(where.thread, where.notes, where.caller, domain, key);
}

bool careful_allocation(void* block, size_t size, Domain domain, Where where) noexcept {
    if (answer_probe() || in_profiler()) return true;
    if (where.attached && where.thread != nullptr && !where.exclusive()) {
        others_allocate.store(true, std::memory_order_seq_cst);
    }
    const uint32_t wants = attend(where.notes == Notes::write, where.exclusive());
    if (wants & kStopped) return true;
    const bool within_limit = wants & kSampledOnly ? sample_allocation(block, size, domain, where)
                                                   : count_allocation(block, size, domain, where, wants);
    if (within_limit && (wants & kPhasesOpen) && surroundings.phase_allocated != nullptr) {
        surroundings.phase_allocated(size);
    }
    return within_limit;
}

Taken careful_take(void* block, bool exclusive) noexcept {
    if (answer_probe()) return {};
    const uint32_t wants = attend(false, exclusive);
    if (wants & kStopped) return {};
    if ((wants & kSampledOnly) && !tracker.may_be_sampled(block)) return {};
    const Taken taken = exclusive ? tracker.take<Access::exclusive>(block) : tracker.take<Access::shared>(block);
    if (taken.words[0] == 0 && !(wants & kSampledOnly)) tracker.untracked_frees.add(1);
    if ((wants & kPhasesOpen) && surroundings.phase_released != nullptr && taken.words[0] != 0) {
        ShadowMap::Word words[4];
        for (size_t i = 0; i < 4; ++i) words[i].store(taken.words[i], std::memory_order_relaxed);
        const uint64_t size = ShadowMap::read(words).size;
        // Sampled: each block that is seen to go stands for others that are not.
        const bool sampled = wants & kSampledOnly;
        surroundings.phase_released(sampled ? tracker.weight_count(size) : 1,
                                    sampled ? tracker.weight_bytes(size) : size);
    }
    return taken;
}

uint64_t careful_release(void* block, bool exclusive) noexcept {
    careful_take(block, exclusive);
    return kUnknownSize;
}

}  // namespace flyweight::memory
