// Sites: the places that allocate, and what each has allocated.
//
// A site is (file, line, function, domain, library). Its counters are all there is: totals are sums over the sites, so
// the two cannot disagree. Sites are never moved or removed within a session; their number fits a record.
#pragma once

#include <cstdint>

#include "memory/counters.h"
#include "memory/pages.h"

namespace flyweight::memory {

using SiteId = uint32_t;
inline constexpr SiteId kNoSite = 0;

enum class Domain : uint32_t { python, native, mapped };
inline constexpr size_t kDomains = 3;

struct Location {
    uint32_t file = 0;  // string numbers
    uint32_t function = 0;
    uint32_t line = 0;
    Domain domain = Domain::python;
    uint32_t library = 0;  // whose code called malloc or mmap; 0 for Python's domain, and where nothing is known
    bool operator==(const Location&) const = default;
};

struct alignas(64) Site {
    // What the exclusive writer touches lies in one cache line.
    ExclusiveCounter allocated_count, allocated_bytes, freed_count;
    ExclusiveCounter live;      // bytes
    SharedCounter mark;         // see Level
    ExclusiveCounter own_peak;  //
    ExclusiveCounter largest_bytes;
    Domain domain;
    uint32_t history;  // its slot in the history table, 0: none

    SharedCounter others_allocated_count, others_allocated_bytes, others_freed_count;
    SharedCounter others_live, others_peak, others_largest_bytes;
    uint32_t file, function, line;
    uint32_t first_tick;

    uint64_t live_bytes() const noexcept { return live.get() + others_live.get(); }
    uint64_t live_count() const noexcept {
        return allocated_count.get() + others_allocated_count.get() - freed_count.get() - others_freed_count.get();
    }
    uint64_t total_count() const noexcept { return allocated_count.get() + others_allocated_count.get(); }
    uint64_t total_bytes() const noexcept { return allocated_bytes.get() + others_allocated_bytes.get(); }
    uint64_t peak() const noexcept {
        const uint64_t seen = own_peak.get() > others_peak.get() ? own_peak.get() : others_peak.get();
        return above(live_bytes(), seen) ? live_bytes() : seen;
    }
    void note_peak(uint64_t held) noexcept {  // see Level
        const uint64_t now = held + others_live.get();
        if (above(now, own_peak.get())) own_peak.set(now);
        mark.set(own_peak.get() - others_live.get());
    }
    void lower_mark(uint64_t others) noexcept {
        if (above(mark.get() + others, others_peak.get())) refresh_mark();
    }
    uint64_t largest() const noexcept {
        const uint64_t a = largest_bytes.get(), b = others_largest_bytes.get();
        return a > b ? a : b;
    }
    void refresh_mark() noexcept {
        uint64_t held;
        do {
            held = others_live.get();
            mark.set(peak() - held);
        } while (others_live.get() != held);
    }
};
static_assert(sizeof(Site) == 128);

class SiteTable {
  public:
    static constexpr size_t kCapacity = size_t{1} << 20;  // what a record's number can hold; see kTraced

    bool reserve() noexcept;
    void clear() noexcept;
    // The site of a location, made if new. kNoSite when the table is full. Under the slow lock.
    SiteId find_or_add(const Location& location, uint32_t tick) noexcept;
    bool full() const noexcept { return full_; }

    Site& operator[](SiteId site) noexcept { return sites_[site]; }
    const Site& operator[](SiteId site) const noexcept { return sites_[site]; }
    size_t size() const noexcept { return count_.load(std::memory_order_acquire); }  // one more than the last number
    Location location(SiteId number) const noexcept {
        const Site& site = sites_[number];
        return {site.file, site.function, site.line, site.domain, libraries_[number]};
    }
    size_t own_bytes() const noexcept;

  private:
    bool grow_index() noexcept;
    static uint64_t hash(const Location& location) noexcept;

    StableArray<Site, kCapacity> sites_;
    StableArray<uint32_t, kCapacity> libraries_;  // of each site, where it has one: nothing that counting touches
    StableArray<uint32_t, kCapacity * 2> index_;  // open addressing over the first index_size_ slots
    size_t libraries_end_ = 0;                    // behind the last site that has one
    size_t index_size_ = 0;
    std::atomic<size_t> count_{0};
    bool full_ = false;
};

}  // namespace flyweight::memory
