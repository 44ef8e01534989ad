#include "memory/history.h"

#include <algorithm>
#include <vector>

#include "check.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

void begin() {
    Settings settings;
    settings.native = true;
    tracker.begin(settings);
    SlowLock lock;
    history.clear();
}

SiteId site(uint32_t line) {
    SlowLock lock;
    return tracker.sites.find_or_add({1, 1, line, Domain::mapped}, 0);
}

void note(uint32_t tick) {
    SlowLock lock;
    history.note(tick, uint64_t{tick} * 250);
}

const SiteHistory* history_of(SiteId site) {
    for (size_t i = 1; i < history.site_count(); ++i) {
        if (history.site(i).site == site) return &history.site(i);
    }
    return nullptr;
}

}  // namespace

TEST(a_site_that_grows_at_three_ticks_is_watched_and_others_are_not) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    const SiteId growing = site(1), still = site(2), byte_growing = site(3);
    tracker.charge(still, 1, 1000);
    for (uint32_t tick = 1; tick <= 10; ++tick) {
        tracker.charge(growing, 1, 10);
        if (tick > 1) tracker.discharge(byte_growing, 1, (tick - 1) * 1000);
        tracker.charge(byte_growing, 1, tick * 1000);
        note(tick);
    }
    CHECK(history_of(growing) != nullptr);
    CHECK(history_of(byte_growing) != nullptr);
    CHECK(history_of(still) == nullptr);
    tracker.end();
}

TEST(windows_keep_troughs_and_double_in_length_when_full) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    const SiteId watched = site(1);
    std::vector<uint64_t> level;  // after each tick
    uint64_t live = 0;
    uint32_t watched_from = 0;
    for (uint32_t tick = 1; tick <= 1000; ++tick) {
        // Rises by two a tick and falls back every seventh.
        tracker.charge(watched, 3, 300), live += 3;
        if (tick % 7 == 0) tracker.discharge(watched, 7, 700), live -= 7;
        note(tick);
        level.push_back(live);
        const SiteHistory* found = history_of(watched);
        if (found == nullptr) continue;
        if (watched_from == 0) watched_from = tick;
        CHECK(found->windows < kHistoryWindows);
        CHECK((found->window_ticks & (found->window_ticks - 1)) == 0);
        for (uint32_t i = 0; i < found->windows; ++i) {
            CHECK_EQUAL(found->bytes[i], found->counts[i] * 100);
            if (i > 0) CHECK(found->counts[i] + 7 >= found->counts[i - 1]);
        }
    }
    const SiteHistory* found = history_of(watched);
    REQUIRE(found != nullptr && found->windows >= kHistoryWindows / 2);
    // Each window's trough is the lowest of the levels it covered.
    uint32_t end = found->window_start;
    for (uint32_t i = found->windows; i-- > 0; end -= found->window_ticks) {
        uint64_t lowest = UINT64_MAX;
        for (uint32_t tick = end - found->window_ticks; tick <= end; ++tick) {
            if (tick >= watched_from) lowest = std::min(lowest, level[tick - 1]);
        }
        CHECK_EQUAL(found->counts[i], lowest);
    }
    tracker.end();
}

TEST(the_series_covers_the_whole_session_in_order_and_keeps_extremes) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    const SiteId one = site(1);
    uint64_t live = 0, highest = 0;
    check::Random random(3);
    constexpr uint32_t kTicks = 5000;
    for (uint32_t tick = 1; tick <= kTicks; ++tick) {
        const uint64_t bytes = 1 + random.below(1000);
        tracker.charge(one, 1, bytes), live += bytes;
        if (random.one_in(10)) tracker.discharge(one, 1, live / 2), live -= live / 2;
        note(tick);
        highest = std::max(highest, live);
    }
    size_t rows = 0;
    uint64_t last_end = 0, seen_highest = 0, last = 0;
    history.series([&](const SeriesRow& row) {
        CHECK(row.end_ms > last_end);
        CHECK(row.lowest_bytes <= row.last_bytes && row.last_bytes <= row.highest_bytes);
        last_end = row.end_ms, last = row.last_bytes, ++rows;
        seen_highest = std::max(seen_highest, row.highest_bytes);
    });
    CHECK(rows > kRecentRows && rows <= kRecentRows + kSeriesRows);
    CHECK_EQUAL(last_end, kTicks * 250u);
    CHECK_EQUAL(last, live);
    CHECK(seen_highest >= highest);
    tracker.end();
}

TEST(a_cleared_history_is_empty) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    size_t rows = 0;
    history.series([&](const SeriesRow&) { ++rows; });
    CHECK_EQUAL(rows, 0u);
    CHECK_EQUAL(history.site_count(), 1u);
    tracker.end();
}

TEST(more_growing_sites_than_slots_are_survived) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    for (uint32_t i = 1; i <= 40000; ++i) site(i);
    for (uint32_t tick = 1; tick <= 5; ++tick) {
        for (SiteId number = 1; number <= 40000; ++number) tracker.charge(number, 1, 10);
        note(tick);
    }
    CHECK_EQUAL(history.site_count(), size_t{1} << 15);
    tracker.end();
}

TEST(the_picture_of_the_peak_is_that_of_the_highest_tick) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    const SiteId steady = site(1), burst = site(2), late = site(3);
    tracker.charge(steady, 1, 1000), tracker.charge(burst, 1, 5000);
    note(1);
    CHECK(history.at_peak(steady) == 1000 && history.at_peak(burst) == 5000);
    tracker.charge(burst, 1, 1);
    note(2);
    CHECK_EQUAL(history.at_peak(burst), 5001u);
    tracker.discharge(burst, 2, 5001);
    tracker.charge(late, 1, 4000);
    note(3);
    CHECK(history.at_peak(steady) == 1000 && history.at_peak(burst) == 5001 && history.at_peak(late) == 0);
    tracker.charge(late, 1, 9000);
    note(4);
    CHECK(history.at_peak(steady) == 1000 && history.at_peak(burst) == 0 && history.at_peak(late) == 13000);
    begin();
    CHECK_EQUAL(history.at_peak(late), 0u);
    tracker.end();
}

TEST(where_there_is_much_to_copy_the_picture_of_the_peak_lacks_less_than_a_hundredth) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    for (uint32_t i = 1; i <= 20000; ++i) site(i);
    uint64_t total = 0, highest = 0;
    check::Random random(21);
    for (uint32_t tick = 1; tick <= 300; ++tick) {
        const auto number = static_cast<SiteId>(1 + random.below(20000));
        const uint64_t bytes = 1 + random.below(100000);
        tracker.charge(number, 1, bytes), total += bytes;
        if (tick % 90 == 0) tracker.discharge(number, 1, bytes), total -= bytes;
        note(tick);
        highest = std::max(highest, total);
        uint64_t copied = 0;
        for (SiteId i = 1; i <= 20000; ++i) copied += history.at_peak(i);
        CHECK(copied <= highest && copied * 101 >= highest * 100);
    }
    tracker.end();
}

TEST(stacks_are_in_the_picture_of_the_peak) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    const SiteId one = site(1);
    uint32_t row = 0;
    {
        SlowLock lock;
        row = tracker.samples.find_or_add_row(0, 0, Domain::mapped, one, 0);
    }
    tracker.charge(one, 1, 800);
    tracker.samples.row(row).live_bytes = 812.6;
    note(1);
    tracker.samples.row(row).live_bytes = -0.2;
    note(2);
    CHECK_EQUAL(history.row_at_peak(row), 813u);
    tracker.charge(one, 1, 800);
    note(3);
    CHECK_EQUAL(history.row_at_peak(row), 0u);
    tracker.end();
}
