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
    kStopped = 1,         // not recording: pass through
    kPhasesOpen = 2,      // somebody wants to know what a stretch of code allocates
    kClockLate = 4,       // the ticker is not running: look at the clock ourselves
    kFullStacks = 8,      // every block's whole stack
    kSampledOnly = 16,    // only sampled blocks are recorded
    kTooMuchMemory = 32,  // the profiler's own data reached its limit: turn to sampling
    kApart = 128,         // hooks that take Python to be alone are stuck in a chain, and it is not
    kOurOwn = 256,        // the profiler calls something of Python's that allocates
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
    std::atomic<uint64_t> tick_bits{0};  // the tick where a record has it
    uint64_t limit_bytes = kNoLimit;
    static constexpr uint64_t kNoLimit = INT64_MAX;
    ShadowMap shadow;
    SiteTable sites;

    // Written on every allocation.
    alignas(64) Level levels[kDomains];
    Level total;

    alignas(64) SiteCache cache;
    alignas(64) static inline constinit NativeSiteCache native_cache;  // all zero: costs what is touched of it

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
    std::atomic<int64_t> limit_site{-1};  // the first that was refused
    SharedCounter own_bytes;              // as last measured by the ticker

    void set_tick(uint32_t now) noexcept {
        tick.store(now, std::memory_order_relaxed);
        tick_bits.store(uint64_t{now} << ShadowMap::kTickShift, std::memory_order_relaxed);
    }

    bool reserve() noexcept;
    void begin(const Settings& wanted) noexcept;  // empty books; recording begins when kStopped is taken away
    void end() noexcept;

    // A block was allocated by `site`, which is one. False: Python's, and the total went over the limit, so that the
    // caller is to refuse the block. kAlone: only Python's domain is tracked, whose level then is the total.
    template <Domain kDomain, Access kAccess, bool kAlone = false>
    bool allocated(void* block, uint64_t size, SiteId site) noexcept;
    // The same for the exclusive writer and a block of no more than kLargestShort bytes, as long as nothing is out of
    // the ordinary. False: nothing was counted but the thread's countdown; see `uncounted`.
    template <Domain kDomain, bool kAlone>
    bool allocated_plainly(void* block, uint64_t size, SiteId site) noexcept;
    static void uncounted(uint64_t size) noexcept { this_thread.until_sample += static_cast<int64_t>(size); }
    template <Access kAccess>
    bool allocated_specially(Domain domain, void* block, uint64_t size, SiteId site) noexcept;

    // A block is about to be returned. Taken for realloc, which may fail.
    template <Access kAccess, bool kAlone = false>
    uint64_t released(void* block) noexcept;  // its size; UINT64_MAX when it was not tracked
    // False when something is out of the ordinary: nothing was counted, and `released` is to be asked. Null always is.
    template <bool kAlone>
    bool released_plainly(void* block, uint64_t* size) noexcept;
    template <Access kAccess>
    Taken take(void* block) noexcept;
    template <Access kAccess>
    Taken take_quickly(void* block) noexcept;  // the same, when nothing needs attention
    template <Access kAccess>
    void put_back(void* block, const Taken& taken) noexcept;

    bool is_recorded(const void* block) const noexcept {
        const ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
        return words != nullptr && ShadowMap::holds(words);
    }
    uint64_t recorded_size(const void* block) const noexcept {
        const ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
        return words != nullptr && ShadowMap::holds(words) ? ShadowMap::read(words).size : 0;
    }

    // Counts without a record, for what keeps its own (mappings).
    void charge(SiteId site, uint64_t count, uint64_t bytes) noexcept;
    void discharge(SiteId site, uint64_t count, uint64_t bytes) noexcept;

    template <Access kAccess, bool kAlone = false>
    void discount(SiteId site, uint64_t count, uint64_t bytes) noexcept;
    template <Access kAccess, bool kAlone = false>
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
        const uintptr_t base = glance(sampled_pages_[address >> ShadowMap::kChunkBits]);
        return base != 0 && glance(*sampled_page(base, address)) != 0;
    }
    void turn_to_sampling(uint32_t reason) noexcept;
    bool sampled() const noexcept { return settings.sampled; }

    uint64_t weight_count(uint64_t size) const noexcept;
    uint64_t weight_bytes(uint64_t size) const noexcept;
    size_t measure_own_bytes() noexcept;

  private:
    template <Access kAccess>
    uint64_t released_specially(void* block) noexcept;  // large or traced
    // A chunk's counts of sampled blocks, one byte a page; its entry is biased by its own address, as the shadow's are.
    static std::atomic<uint8_t>* sampled_page(uintptr_t base, uintptr_t address) noexcept {
        return reinterpret_cast<std::atomic<uint8_t>*>(base + address / kPageSize);
    }
    static constexpr uintptr_t sampled_bias(uintptr_t chunk) noexcept {
        return (chunk << ShadowMap::kChunkBits) / kPageSize;
    }
    uint32_t site_of(uint32_t number) const noexcept {
        if (!(number & kTraced)) return number;
        return settings.full_stacks ? const_cast<SampleTable&>(samples).row(number & ~kTraced).site
                                    : samples[number & ~kTraced].site;
    }
    void lose(ShadowMap::Word* words) noexcept;
    void uncount(ShadowMap::Word* words) noexcept;
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
    void (*phase_released)(uint64_t blocks, uint64_t bytes) = nullptr;
};
extern Surroundings surroundings;

template <Access kAccess, bool kAlone>
[[gnu::always_inline]] inline bool Tracker::count(Domain domain, SiteId number, uint64_t blocks, uint64_t bytes,
                                                  uint64_t largest) noexcept {
    Site& site = sites[number];
    Level& level = levels[static_cast<size_t>(domain)];
    if constexpr (kAccess == Access::exclusive) {
        // First, since a refused block counts nowhere.
        if (const uint64_t held = total.own.add(bytes); total.passes_mark(held)) {
            // Only Python's allocations are refused; what others got above the limit is there and counts.
            if (domain == Domain::python && above(held + total.others.get(), limit_bytes)) [[unlikely]] {
                total.own.subtract(bytes);
                return false;
            }
            total.note_peak(held);
        }
        site.allocated_count.add(blocks);
        site.allocated_bytes.add(bytes);
        if (const uint64_t live = site.live.add(bytes); above(live, site.mark.at_a_glance())) site.note_peak(live);
        if (largest > site.largest_bytes.mine()) [[unlikely]]
            site.largest_bytes.set(largest);
        if constexpr (!kAlone) {
            if (const uint64_t held = level.own.add(bytes); level.passes_mark(held)) level.note_peak(held);
        }
        return true;
    } else {
        site.others_allocated_count.add(blocks);
        site.others_allocated_bytes.add(bytes);
        const uint64_t others = site.others_live.add(bytes), live = others + site.live.get();
        if (above(live, 0)) site.others_peak.raise_to(live);
        site.others_largest_bytes.raise_to(largest);
        site.lower_mark(others);
        level.add_shared(bytes);
        total.add_shared(bytes);
        return true;
    }
}

template <Access kAccess, bool kAlone>
[[gnu::always_inline]] inline void Tracker::discount(SiteId number, uint64_t blocks, uint64_t bytes) noexcept {
    Site& site = sites[number];
    if constexpr (kAccess == Access::exclusive) {
        site.freed_count.add(blocks);
        site.live.subtract(bytes);
        if constexpr (!kAlone) levels[static_cast<size_t>(site.domain)].own.subtract(bytes);
        total.own.subtract(bytes);
    } else {
        site.others_freed_count.add(blocks);
        site.others_live.subtract(bytes);
        levels[static_cast<size_t>(site.domain)].subtract_shared(bytes);
        total.subtract_shared(bytes);
    }
}

// Everything out of the ordinary leaves by a tail call, so that the ordinary keeps its values in registers.
template <Domain kDomain, Access kAccess, bool kAlone>
[[gnu::always_inline]] inline bool Tracker::allocated(void* block, uint64_t size, SiteId number) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if ((this_thread.until_sample -= static_cast<int64_t>(size)) < 0 || words == nullptr || ShadowMap::holds(words) ||
        size > ShadowMap::kLargestShort) [[unlikely]] {
        return allocated_specially<kAccess>(kDomain, block, size, number);
    }
    if (!count<kAccess, kAlone>(kDomain, number, 1, size, size)) [[unlikely]]
        return false;
    ShadowMap::write_short(words, number, size, glance(tick_bits));
    return true;
}

template <Domain kDomain, bool kAlone>
[[gnu::always_inline]] inline bool Tracker::allocated_plainly(void* block, uint64_t size, SiteId number) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if ((this_thread.until_sample -= static_cast<int64_t>(size)) < 0 || words == nullptr || ShadowMap::holds(words) ||
        !count<Access::exclusive, kAlone>(kDomain, number, 1, size, size)) [[unlikely]] {
        return false;
    }
    ShadowMap::write_short(words, number, size, glance(tick_bits));
    return true;
}

template <bool kAlone>
[[gnu::always_inline]] inline bool Tracker::released_plainly(void* block, uint64_t* size) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr) [[unlikely]]
        return false;
    const uint64_t pair = ShadowMap::load_pair(words);
    if (!ShadowMap::is_plain(pair)) [[unlikely]]
        return false;
    ShadowMap::erase_plain(words);
    *size = pair >> ShadowMap::kSizeShift;
    discount<Access::exclusive, kAlone>(ShadowMap::plain_site(pair), 1, *size);
    return true;
}

template <Access kAccess>
inline Taken Tracker::take_quickly(void* block) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr || !ShadowMap::holds(words)) [[unlikely]] {
        untracked_frees.add(1);
        return {};
    }
    const uint64_t pair = ShadowMap::load_pair(words);
    if (!ShadowMap::is_plain(pair)) [[unlikely]]
        return take<kAccess>(block);
    Taken taken;
    taken.words[0] = static_cast<uint32_t>(pair);
    taken.words[1] = static_cast<uint32_t>(pair >> 32);
    ShadowMap::erase_plain(words);
    discount<kAccess>(ShadowMap::plain_site(pair), 1, pair >> ShadowMap::kSizeShift);
    return taken;
}

template <Access kAccess, bool kAlone>
[[gnu::always_inline]] inline uint64_t Tracker::released(void* block) noexcept {
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr || !ShadowMap::holds(words)) [[unlikely]] {
        untracked_frees.add(1);
        return UINT64_MAX;
    }
    const uint64_t pair = ShadowMap::load_pair(words);
    if (!ShadowMap::is_plain(pair)) [[unlikely]]
        return released_specially<kAccess>(block);
    ShadowMap::erase_plain(words);
    const uint64_t size = pair >> ShadowMap::kSizeShift;
    discount<kAccess, kAlone>(ShadowMap::plain_site(pair), 1, size);
    return size;
}

}  // namespace flyweight::memory
