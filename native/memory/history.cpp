#include "memory/history.h"

#include "memory/component_series.h"
#include "memory/resident_set.h"
#include "memory/tracker.h"

namespace flyweight::memory {
namespace {

// Imports allocate at one or two ticks and never again; a site that grew at three is worth watching. Growth is a new
// high in blocks, or in bytes: a list that grows is one block.
constexpr uint32_t kGrowthsWorthWatching = 3;
constexpr uint64_t kSmallestGrowth = 256;  // bytes, when no block was added

// Copying this many sites and stacks takes some 50 us: no more is spent on each of a row of new peaks.
constexpr size_t kQuicklyCopied = 16384;

}  // namespace

constinit History history;

bool History::reserve() noexcept {
    if (!sites_.reserve() || !growth_.reserve() || !series_.reserve() || !recent_.reserve() || !site_peaks_.reserve() ||
        !row_peaks_.reserve() || !components.reserve() || !component_series.reserve()) {
        return false;
    }
    if (sites_.size() == 0) sites_.append();
    return true;
}

void History::clear() noexcept {
    sites_.clear();
    growth_.clear();
    series_.clear();
    recent_.clear();
    site_peaks_.clear();
    row_peaks_.clear();
    components.forget_sites();
    component_series.clear();
    copied_total_ = 0;
    sites_copied_ = rows_copied_ = 0;
    rows_ = recent_count_ = 0;
    row_ticks_ = 1;
    ticks_in_row_ = 0;
    last_peak_ = 0;
    reserve();
}

void History::note(uint32_t tick, uint64_t now_ms) noexcept {
    const SeriesRow& row = note_series(now_ms);
    if (rows_are_stacks_ != tracker.settings.full_stacks) {  // turned to sampling: stacks were numbered anew
        rows_are_stacks_ = tracker.settings.full_stacks;
        row_peaks_.clear();
    }
    const bool copies = peak_is_worth_a_copy(row.last_bytes);
    components.assign_new_sites();
    components.clear_sums();
    uint64_t sum = 0;
    const size_t count = components.assigned();
    for (size_t number = 1; number < count; ++number) {
        Site& site = tracker.sites[static_cast<SiteId>(number)];
        const uint64_t live = site.live_count(), bytes = site.live_bytes();
        if (above(bytes, 0)) {
            components.add(static_cast<SiteId>(number), bytes, live);
            sum += bytes;
        }
        if (copies) site_peaks_[number] = above(bytes, 0) ? bytes : 0;
        if (site.history != 0) {
            note_site(sites_[site.history], live, bytes, tick);
            continue;
        }
        if (live == 0) continue;
        Growth& growth = growth_[number];
        if (live <= growth.highest_count && bytes < growth.highest_bytes + kSmallestGrowth) continue;
        if (live > growth.highest_count) growth.highest_count = static_cast<uint32_t>(lower(live, UINT32_MAX));
        if (bytes > growth.highest_bytes) growth.highest_bytes = bytes;
        if (++growth.times < kGrowthsWorthWatching) continue;
        const size_t slot = sites_.append();
        if (slot == sites_.capacity()) continue;
        SiteHistory& fresh = sites_[slot];
        fresh.site = static_cast<SiteId>(number);
        fresh.window_ticks = 1;
        fresh.first_start = fresh.window_start = tick;
        fresh.lowest_count = live;
        fresh.lowest_bytes = bytes;
        site.history = static_cast<uint32_t>(slot);
    }
    if (copies) {
        sites_copied_ = count;
        copy_rows();
    }
    components.note_highest();
    // Other threads have gone on meanwhile: what is shown together shall add up.
    component_series.note(
        {row.end_ms, lower(row.lowest_bytes, sum), higher(row.highest_bytes, sum), sum, row.rss_bytes}, components);
}

bool History::peak_is_worth_a_copy(uint64_t total) noexcept {
    const size_t much = tracker.sites.size() + tracker.samples.row_count();
    if (total <= copied_total_ || (much > kQuicklyCopied && total - copied_total_ < copied_total_ / 100)) return false;
    copied_total_ = total;
    return true;
}

void History::copy_rows() noexcept {
    SampleTable& samples = tracker.samples;
    rows_copied_ = samples.row_count();
    for (uint32_t number = 1; number < rows_copied_; ++number) {
        const double bytes = samples.row(number).live_bytes;
        row_peaks_[number] = bytes > 0.5 ? static_cast<uint64_t>(bytes + 0.5) : 0;
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

const SeriesRow& History::note_series(uint64_t now_ms) noexcept {
    const uint64_t now = tracker.total.current(), peak = tracker.total.peak();
    // A new peak since the last tick is this tick's highest, even if it is over by now.
    const uint64_t highest = peak > last_peak_ && recent_count_ > 0 ? peak : now;
    last_peak_ = peak;
    const uint64_t rss = resident_set_bytes();
    SeriesRow& recent = recent_[recent_count_++ % kRecentRows];
    recent = {now_ms, now, highest, now, rss};

    SeriesRow& row = series_[rows_];
    if (ticks_in_row_ == 0) row = recent;
    row.end_ms = now_ms;
    row.last_bytes = now;
    row.rss_bytes = rss;
    row.lowest_bytes = lower(row.lowest_bytes, now);
    if (highest > row.highest_bytes) row.highest_bytes = highest;
    if (++ticks_in_row_ < row_ticks_) return recent;
    ticks_in_row_ = 0;
    if (++rows_ < kSeriesRows) return recent;
    for (size_t i = 0; i < kSeriesRows / 2; ++i) {
        const SeriesRow &a = series_[2 * i], &b = series_[2 * i + 1];
        series_[i] = {b.end_ms, lower(a.lowest_bytes, b.lowest_bytes), higher(a.highest_bytes, b.highest_bytes),
                      b.last_bytes, b.rss_bytes};
    }
    rows_ = kSeriesRows / 2;
    row_ticks_ *= 2;
    return recent;
}

size_t History::own_bytes() const noexcept {
    return sites_.used_bytes() + tracker.sites.size() * sizeof(Growth) +
           (rows_ + lower(recent_count_, kRecentRows)) * sizeof(SeriesRow) +
           (sites_copied_ + rows_copied_) * sizeof(PackedBytes) + components.own_bytes() + component_series.own_bytes();
}

}  // namespace flyweight::memory
