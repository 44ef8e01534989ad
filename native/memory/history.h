// What sites and the whole process held over time, in bounded memory.
//
// A site's history is the lowest count and bytes it had live in each of at most 16 windows: troughs, since what a leak
// leaves behind is what is still there when everything else is gone. When the windows are full, neighbours are merged
// and each is twice as long. Only sites that grew at several ticks get one.
#pragma once

#include <cstdint>

#include "memory/pages.h"
#include "memory/site_table.h"

namespace flyweight::memory {

inline constexpr uint32_t kHistoryWindows = 16;
inline constexpr uint32_t kSeriesRows = 512;

struct SiteHistory {
    SiteId site;
    uint32_t windows;       // full ones
    uint32_t window_ticks;  // length of each
    uint32_t window_start;  // tick of the one being filled
    uint64_t counts[kHistoryWindows];
    uint64_t bytes[kHistoryWindows];
    uint64_t lowest_count, lowest_bytes;  // of the one being filled
};

struct SeriesRow {
    uint64_t end_ms, lowest_bytes, highest_bytes, last_bytes;
};

class History {
  public:
    bool reserve() noexcept;
    void clear() noexcept;
    void note(uint32_t tick, uint64_t now_ms) noexcept;  // under the slow lock

    size_t site_count() const noexcept { return sites_.size(); }  // one more than there are; number 0 is nobody
    const SiteHistory& site(size_t number) const noexcept { return sites_[number]; }
    size_t series_size() const noexcept { return rows_ + (open_ ? 1 : 0); }
    const SeriesRow& series(size_t number) const noexcept { return series_[number]; }
    size_t own_bytes() const noexcept;

  private:
    struct Growth {
        uint32_t last_live;
        uint32_t times;
    };
    void note_site(SiteHistory& site, uint64_t count, uint64_t bytes, uint32_t tick) noexcept;
    void note_series(uint32_t tick, uint64_t now_ms) noexcept;

    StableArray<SiteHistory, size_t{1} << 15> sites_;
    StableArray<Growth, SiteTable::kCapacity> growth_;
    StableArray<SeriesRow, kSeriesRows> series_;
    size_t rows_ = 0;
    bool open_ = false;
    uint32_t row_ticks_ = 1, row_start_ = 0;
};

extern History history;

}  // namespace flyweight::memory
