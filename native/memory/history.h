// What sites and the whole process held over time, in bounded memory, and who held it when it was most.
//
// A site's history is the lowest count and bytes it had live in each of at most 16 windows: troughs, since what a leak
// leaves behind is what is still there when everything else is gone. When the windows are full, neighbours are merged
// and each is twice as long. Only sites that grew at several ticks get one.
//
// The picture of the peak is what sites and stacks held at the tick with the highest total of all ticks. Where there is
// much to copy, it is taken anew only when the total has risen by a hundredth: it may lack that much of the highest.
#pragma once

#include <cstdint>

#include "memory/clock.h"
#include "memory/components.h"
#include "memory/pages.h"
#include "memory/sample_table.h"
#include "memory/site_table.h"

namespace flyweight::memory {

inline constexpr uint32_t kHistoryWindows = 16;
inline constexpr uint32_t kSeriesRows = 512;
inline constexpr uint32_t kRecentRows = 512;

struct SiteHistory {
    SiteId site;
    uint32_t windows;       // full ones
    uint32_t window_ticks;  // length of each
    uint32_t first_start;   // tick at which the oldest began
    uint32_t window_start;  // tick of the one being filled
    uint64_t counts[kHistoryWindows];
    uint64_t bytes[kHistoryWindows];
    uint64_t lowest_count, lowest_bytes;  // of the one being filled

    // What a window took on average: a ticker that starves makes them longer.
    uint64_t window_ms() const noexcept {
        return windows > 0 ? uint64_t{window_start - first_start} * kTickMs / windows
                           : uint64_t{window_ticks} * kTickMs;
    }
};

struct SeriesRow {
    uint64_t end_ms, lowest_bytes, highest_bytes, last_bytes;
    uint64_t rss_bytes;  // at the end
};

class History {
  public:
    bool reserve() noexcept;
    void clear() noexcept;
    void note(uint32_t tick, uint64_t now_ms) noexcept;  // under the slow lock

    size_t site_count() const noexcept { return sites_.size(); }  // one more than there are; number 0 is nobody
    const SiteHistory& site(size_t number) const noexcept { return sites_[number]; }
    // Calls visit(row), oldest first: coarse rows for long ago, then one for each of the last ticks.
    template <class Visit>
    void series(Visit&& visit) const noexcept {
        const size_t recent = recent_count_ < kRecentRows ? recent_count_ : kRecentRows;
        const size_t first = recent_count_ - recent;
        const uint64_t from_ms = recent > 0 ? recent_[first % kRecentRows].end_ms : UINT64_MAX;
        for (size_t i = 0; i < rows_; ++i) {
            if (series_[i].end_ms < from_ms) visit(series_[i]);
        }
        for (size_t i = first; i < recent_count_; ++i) visit(recent_[i % kRecentRows]);
    }
    // The ticks noted so far, and each of the last kRecentRows of them.
    size_t ticks() const noexcept { return recent_count_; }
    const SeriesRow& at_tick(size_t number) const noexcept { return recent_[number % kRecentRows]; }

    uint64_t at_peak(SiteId site) const noexcept { return site_peaks_[site]; }
    uint64_t row_at_peak(uint32_t row) const noexcept { return row_peaks_[row]; }
    size_t own_bytes() const noexcept;

  private:
    struct Growth {
        uint64_t highest_bytes;
        uint32_t highest_count;
        uint32_t times;
    };
    void note_site(SiteHistory& site, uint64_t count, uint64_t bytes, uint32_t tick) noexcept;
    const SeriesRow& note_series(uint64_t now_ms) noexcept;
    bool peak_is_worth_a_copy(uint64_t total) noexcept;
    void copy_rows() noexcept;

    StableArray<SiteHistory, size_t{1} << 15> sites_;
    StableArray<Growth, SiteTable::kCapacity> growth_;
    StableArray<SeriesRow, kSeriesRows> series_;  // the whole session, each row twice as long when they are full
    StableArray<SeriesRow, kRecentRows> recent_;  // a ring of the last ticks
    StableArray<PackedBytes, SiteTable::kCapacity> site_peaks_;
    StableArray<PackedBytes, SampleTable::kCapacity> row_peaks_;
    uint64_t copied_total_ = 0;  // at the tick of the picture
    size_t sites_copied_ = 0, rows_copied_ = 0;
    bool rows_are_stacks_ = false;
    size_t rows_ = 0, recent_count_ = 0;
    uint32_t row_ticks_ = 1, ticks_in_row_ = 0;
    uint64_t last_peak_ = 0;
};

extern History history;

}  // namespace flyweight::memory
