// The accountant: every block that is allocated or returned passes through here once.
//
// Data flows one way: hook -> place -> site -> counters and shadow record. What happens for each allocation is inline
// and short: no lock, no call, no allocation. Anything rarer is behind one test of `attention`.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/counters.h"
#include "memory/sample_table.h"
#include "memory/sampler.h"
#include "memory/shadow_map.h"
#include "memory/site_cache.h"
#include "memory/site_table.h"
#include "memory/stack_table.h"
#include "memory/string_table.h"
#include "memory/thread_state.h"

namespace flyweight::memory {

// Reasons for a hook to leave its short path.
enum Attention : uint32_t {
    kStopped = 1,        // not recording: pass through
    kPhasesOpen = 2,     // somebody wants to know what a stretch of code allocates
    kClockLate = 4,      // the ticker is not running: look at the clock ourselves
    kFullStacks = 8,     // every block's whole stack
    kSampledOnly = 16,   // only sampled blocks are recorded
    kTooMuchMemory = 32,  // the profiler's own data reached its limit: turn to sampling
    kProbing = 64         // somebody checks whether the hooks are still reached
};

// A record that was taken out, so that a failed realloc can put it back.
struct Taken {
    uint32_t words[4];  // words[0] == 0: the block was not tracked
    Sample sample;      // of a sampled block
};

struct Settings {
    bool sampled = false;
    bool native = false;
    bool full_stacks = false;
    bool native_stacks = false;
    uint64_t sample_interval_bytes = 0;
    uint64_t own_limit_bytes = 0;
    uint64_t limit_bytes = 0;
    uint64_t seed = 0;
};

class Tracker {
  public:
    // Read on every allocation, written rarely.
    alignas(64) std::atomic<uint32_t> attention{kStopped};
    std::atomic<uint32_t> tick{0};
    uint64_t limit_bytes = UINT64_MAX;
    ShadowMap shadow;
    SiteCache cache;
    SiteTable sites;

    // Written on every allocation.
    alignas(64) Level levels[kDomains];
    Level total;

    // Slow path.
    alignas(64) Sampler sampler;
    StringTable strings;
    StackTable stacks;
    SampleTable samples;
    Settings settings;
    uint32_t session = 0;
    std::atomic<uint32_t> degraded_tick{UINT32_MAX};
    std::atomic<uint32_t> degraded_reason{0};
    SharedCounter untracked_frees, lost_frees, limit_hits;
    SharedCounter own_bytes;  // as last measured by the ticker

    bool reserve() noexcept;
    void begin(const Settings& wanted) noexcept;
    void end() noexcept;

    // A block was allocated by `site`. False: the total went over the limit, and the caller may refuse the block.
    template <Domain kDomain, Access kAccess>
    bool allocated(void* block, uint64_t size, SiteId site) noexcept;

    // A block is about to be returned. Taken for realloc, which may fail.
    template <Access kAccess>
    uint64_t released(void* block) noexcept;  // its size; UINT64_MAX when it was not tracked
    template <Access kAccess>
    Taken take(void* block) noexcept;
    template <Access kAccess>
    Taken take_quickly(void* block) noexcept;  // the same, when nothing needs attention
    template <Access kAccess>
    void put_back(void* block, const Taken& taken) noexcept;

    uint64_t recorded_size(const void* block) const noexcept {
        const ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
        return words != nullptr && ShadowMap::holds(words) ? ShadowMap::read(words).size : 0;
    }

    // Counts without a record, for what keeps its own (mappings).
    void charge(SiteId site, uint64_t count, uint64_t bytes) noexcept;
    void discharge(SiteId site, uint64_t count, uint64_t bytes) noexcept;

    template <Access kAccess>
    void discount(SiteId site, uint64_t count, uint64_t bytes) noexcept;
    template <Access kAccess>
    bool count(Domain domain, SiteId site, uint64_t count, uint64_t bytes, uint64_t largest) noexcept;

    // Sampling. `trace` asks whether a block is to be sampled and returns the number for its record; `note_sampled` is
    // the whole of an allocation in sampled mode once the sampler has chosen the block.
    uint32_t trace(void* block, uint64_t size, SiteId site, Domain domain) noexcept {
        return sampler.fire(size) ? keep_sample(block, size, site, domain) : site;
    }
    uint32_t keep_sample(void* block, uint64_t size, SiteId site, Domain domain) noexcept;
    bool note_sampled(void* block, uint64_t size, SiteId site, Domain domain) noexcept;
    bool may_be_sampled(const void* block) const noexcept {
        const auto address = reinterpret_cast<uintptr_t>(block);
        const uintptr_t base =
            sampled_pages_[address >> ShadowMap::kChunkBits & (ShadowMap::kChunks - 1)].load(std::memory_order_relaxed);
        return base != 0 && reinterpret_cast<const std::atomic<uint8_t>*>(base)[page_in_chunk(address)].load(
                                std::memory_order_relaxed) != 0;
    }
    void turn_to_sampling(uint32_t reason) noexcept;
    bool sampled() const noexcept { return settings.sampled; }

    uint64_t weight_count(uint64_t size) const noexcept;
    uint64_t weight_bytes(uint64_t size) const noexcept;
    size_t measure_own_bytes() noexcept;

  private:
    template <Access kAccess>
    Taken take_record(ShadowMap::Word* words) noexcept;
    static size_t page_in_chunk(uintptr_t address) noexcept {
        return (address & (ShadowMap::kChunkBytes - 1)) / kPageSize;
    }
    uint32_t site_of(uint32_t number) const noexcept {
        if (!(number & kTraced)) return number;
        return settings.full_stacks ? const_cast<SampleTable&>(samples).row(number & ~kTraced).site
                                    : samples[number & ~kTraced].site;
    }
    void lose(ShadowMap::Word* words) noexcept;
    void forget_traced(const Record& record, Sample* copy) noexcept;
    void mark_sampled_page(uintptr_t address, int change) noexcept;

    std::atomic<uintptr_t>* sampled_pages_ = nullptr;
};

extern Tracker tracker;

// What the Python side of the profiler lends to this one: where the running thread is.
struct Surroundings {
    // The stack of the calling thread, and its native part when asked for. Called under the slow lock.
    StackId (*stack)(uint32_t* native_stack) = nullptr;
    // Told of what the calling thread allocates and frees while a phase is open.
    void (*phase_allocated)(uint64_t bytes) = nullptr;
    void (*phase_released)(uint64_t bytes) = nullptr;
};
extern Surroundings surroundings;

template <Access kAccess>
bool Tracker::count(Domain domain, SiteId number, uint64_t blocks, uint64_t bytes, uint64_t largest) noexcept {
    Site& site = sites[number];
    Level& level = levels[static_cast<size_t>(domain)];
    if constexpr (kAccess == Access::exclusive) {
        site.allocated_count.add(blocks);
        const uint64_t allocated = site.allocated_bytes.get() + bytes;
        site.allocated_bytes.set(allocated);
        const uint64_t live = allocated - site.freed_bytes.get() + site.others_live_bytes.get();
        if (static_cast<int64_t>(live - site.peak_bytes.get()) > 0) site.peak_bytes.set(live);
        if (largest > site.largest_bytes.get()) site.largest_bytes.set(largest);
        const uint64_t level_own = level.own.get() + bytes;
        level.own.set(level_own);
        const uint64_t level_now = level_own + level.others.get();
        if (static_cast<int64_t>(level_now - level.own_peak.get()) > 0) level.own_peak.set(level_now);
        const uint64_t total_own = total.own.get() + bytes;
        total.own.set(total_own);
        const uint64_t now = total_own + total.others.get();
        if (static_cast<int64_t>(now - total.own_peak.get()) > 0) {
            if (now > limit_bytes) [[unlikely]]
                return false;
            total.own_peak.set(now);
        }
        return true;
    } else {
        site.others_allocated_count.add(blocks);
        site.others_allocated_bytes.add(bytes);
        const uint64_t live =
            site.others_live_bytes.add(bytes) + site.allocated_bytes.get() - site.freed_bytes.get();
        if (static_cast<int64_t>(live) > 0) site.others_peak_bytes.raise_to(live);
        site.others_largest_bytes.raise_to(largest);
        const uint64_t level_now = level.others.add(bytes) + level.own.get();
        if (static_cast<int64_t>(level_now) > 0) level.others_peak.raise_to(level_now);
        const uint64_t now = total.others.add(bytes) + total.own.get();
        if (static_cast<int64_t>(now) > 0) total.others_peak.raise_to(now);
        return true;
    }
}

template <Access kAccess>
void Tracker::discount(SiteId number, uint64_t blocks, uint64_t bytes) noexcept {
    Site& site = sites[number];
    Level& level = levels[static_cast<size_t>(site.domain)];
    if constexpr (kAccess == Access::exclusive) {
        site.freed_count.add(blocks);
        site.freed_bytes.add(bytes);
        level.own.subtract(bytes);
        total.own.subtract(bytes);
    } else {
        site.others_freed_count.add(blocks);
        site.others_freed_bytes.add(bytes);
        site.others_live_bytes.subtract(bytes);
        level.others.subtract(bytes);
        total.others.subtract(bytes);
    }
}

template <Domain kDomain, Access kAccess>
bool Tracker::allocated(void* block, uint64_t size, SiteId site) noexcept {
    if (site == kNoSite) [[unlikely]]
        return true;
    const auto address = reinterpret_cast<uintptr_t>(block);
    ShadowMap::Word* words = shadow.find_or_reserve(address);
    if (words == nullptr) [[unlikely]]
        return true;
    const bool within_limit = count<kAccess>(kDomain, site, 1, size, size);
    uint32_t number = site;
    this_thread.until_sample -= static_cast<int64_t>(size);
    if (this_thread.until_sample < 0) [[unlikely]]
        number = trace(block, size, site, kDomain);
    if (ShadowMap::holds(words)) [[unlikely]]
        lose(words);
    ShadowMap::write(words, number, size, tick.load(std::memory_order_relaxed));
    return within_limit;
}

template <Access kAccess>
inline Taken Tracker::take_record(ShadowMap::Word* words) noexcept {
    Taken taken{};
    taken.words[0] = words[0].load(std::memory_order_relaxed);
    taken.words[1] = words[1].load(std::memory_order_relaxed);
    const Record record = ShadowMap::read(words);
    if (taken.words[1] & 1) {
        taken.words[2] = static_cast<uint32_t>(record.size);
        taken.words[3] = static_cast<uint32_t>(record.size >> 32);
    }
    ShadowMap::erase(words);
    discount<kAccess>(record.number, 1, record.size);
    return taken;
}

template <Access kAccess>
inline Taken Tracker::take_quickly(void* block) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr || !ShadowMap::holds(words)) [[unlikely]] {
        untracked_frees.add(1);
        return {};
    }
    if (words[0].load(std::memory_order_relaxed) >> 11 & kTraced) [[unlikely]]
        return take<kAccess>(block);
    return take_record<kAccess>(words);
}

template <Access kAccess>
inline uint64_t Tracker::released(void* block) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr || !ShadowMap::holds(words)) [[unlikely]] {
        untracked_frees.add(1);
        return UINT64_MAX;
    }
    const Record record = ShadowMap::read(words);
    ShadowMap::erase(words);
    SiteId site = record.number;
    if (site & kTraced) [[unlikely]] {
        site = site_of(site);
        forget_traced(record, nullptr);
    }
    discount<kAccess>(site, 1, record.size);
    return record.size;
}

}  // namespace flyweight::memory
