#include "memory/history.h"

#include "memory/tracker.h"

namespace flyweight::memory {
namespace {

// Imports allocate at one or two ticks and never again; a site that grew at three is worth watching.
constexpr uint32_t kGrowthsWorthWatching = 3;

uint64_t lower(uint64_t a, uint64_t b) noexcept { return a < b ? a : b; }

}  // namespace

constinit History history;

bool History::reserve() noexcept {
    if (!sites_.reserve() || !growth_.reserve() || !series_.reserve()) return false;
    if (sites_.size() == 0) sites_.append();
    return true;
}

void History::clear() noexcept {
    sites_.clear();
    growth_.clear();
    series_.clear();
    rows_ = 0;
    open_ = false;
    row_ticks_ = 1;
    row_start_ = 0;
    reserve();
}

void History::note(uint32_t tick, uint64_t now_ms) noexcept {
    note_series(tick, now_ms);
    const size_t count = tracker.sites.size();
    for (size_t number = 1; number < count; ++number) {
        Site& site = tracker.sites[static_cast<SiteId>(number)];
        const uint64_t live = site.live_count();
        if (site.history != 0) {
            note_site(sites_[site.history], live, site.live_bytes(), tick);
            continue;
        }
        if (live == 0) continue;
        Growth& growth = growth_[number];
        if (live <= growth.last_live) continue;
        growth.last_live = static_cast<uint32_t>(lower(live, UINT32_MAX));
        if (++growth.times < kGrowthsWorthWatching) continue;
        const size_t slot = sites_.append();
        if (slot == sites_.capacity()) continue;
        SiteHistory& fresh = sites_[slot];
        fresh.site = static_cast<SiteId>(number);
        fresh.window_ticks = 1;
        fresh.window_start = tick;
        fresh.lowest_count = live;
        fresh.lowest_bytes = site.live_bytes();
        site.history = static_cast<uint32_t>(slot);
    }
}

void History::note_site(SiteHistory& site, uint64_t count, uint64_t bytes, uint32_t tick) noexcept {
    site.lowest_count = lower(site.lowest_count, count);
    site.lowest_bytes = lower(site.lowest_bytes, bytes);
    if (tick - site.window_start < site.window_ticks) return;
    site.counts[site.windows] = site.lowest_count;
    site.bytes[site.windows] = site.lowest_bytes;
    site.window_start = tick;
    site.lowest_count = count;
    site.lowest_bytes = bytes;
    if (++site.windows < kHistoryWindows) return;
    for (uint32_t i = 0; i < kHistoryWindows / 2; ++i) {
        site.counts[i] = lower(site.counts[2 * i], site.counts[2 * i + 1]);
        site.bytes[i] = lower(site.bytes[2 * i], site.bytes[2 * i + 1]);
    }
    site.windows = kHistoryWindows / 2;
    site.window_ticks *= 2;
}

void History::note_series(uint32_t tick, uint64_t now_ms) noexcept {
    const uint64_t now = tracker.total.current();
    if (!open_) {
        series_[rows_] = {now_ms, now, now, now};
        row_start_ = tick;
        open_ = true;
    }
    SeriesRow& row = series_[rows_];
    row.end_ms = now_ms;
    row.last_bytes = now;
    row.lowest_bytes = lower(row.lowest_bytes, now);
    if (now > row.highest_bytes) row.highest_bytes = now;
    if (tick - row_start_ < row_ticks_) return;
    open_ = false;
    if (++rows_ < kSeriesRows) return;
    for (size_t i = 0; i < kSeriesRows / 2; ++i) {
        const SeriesRow &a = series_[2 * i], &b = series_[2 * i + 1];
        const uint64_t highest = a.highest_bytes > b.highest_bytes ? a.highest_bytes : b.highest_bytes;
        series_[i] = {b.end_ms, lower(a.lowest_bytes, b.lowest_bytes), highest, b.last_bytes};
    }
    rows_ = kSeriesRows / 2;
    row_ticks_ *= 2;
}

size_t History::own_bytes() const noexcept {
    return sites_.used_bytes() + tracker.sites.size() * sizeof(Growth) + series_size() * sizeof(SeriesRow);
}

}  // namespace flyweight::memory
