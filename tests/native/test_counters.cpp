#include "memory/counters.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

// What the tracker does for the exclusive writer.
void add_exclusively(Level& level, uint64_t bytes) {
    if (const uint64_t held = level.own.add(bytes); level.passes_mark(held)) level.note_peak(held);
}

}  // namespace

TEST(one_exclusive_writer_and_many_shared_ones_lose_nothing) {
    static Level level;
    static ExclusiveCounter count;
    static SharedCounter others;
    constexpr int kThreads = 6, kSteps = 100000;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([t] {
            for (int i = 0; i < kSteps; ++i) {
                if (t == 0) {
                    add_exclusively(level, 3), count.add(1);
                } else {
                    level.add_shared(5), others.add(1);
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(level.current(), uint64_t{3} * kSteps + uint64_t{5} * kSteps * (kThreads - 1));
    CHECK_EQUAL(level.peak(), level.current());
    CHECK_EQUAL(count.get(), uint64_t{kSteps});
    CHECK_EQUAL(others.get(), uint64_t{kSteps} * (kThreads - 1));
}

TEST(a_peak_stays_when_the_level_falls) {
    Level level;
    add_exclusively(level, 100);
    level.own.subtract(60);
    add_exclusively(level, 30);
    CHECK_EQUAL(level.current(), 70u);
    CHECK_EQUAL(level.peak(), 100u);
    level.add_shared(50);
    CHECK_EQUAL(level.peak(), 120u);
    level.reset();
    CHECK_EQUAL(level.current(), 0u);
    CHECK_EQUAL(level.peak(), 0u);
}

TEST(a_level_below_zero_is_no_peak) {
    // One kind of writer frees what the other allocated: its own part is negative.
    Level level;
    add_exclusively(level, 1000);
    level.subtract_shared(1000);
    CHECK_EQUAL(level.current(), 0u);
    level.add_shared(10);
    add_exclusively(level, 5);
    CHECK_EQUAL(level.current(), 15u);
    CHECK_EQUAL(level.peak(), 1000u);
}

TEST(a_mark_that_comes_late_does_not_lower_the_peak) {
    Level level;
    add_exclusively(level, 200);
    level.own.subtract(150);
    level.mark.set(100);  // a shared writer computed it before the 200 and was interrupted
    add_exclusively(level, 100);
    CHECK_EQUAL(level.peak(), 200u);
}

TEST(shared_peaks_are_the_highest_of_all_threads) {
    static SharedCounter peak;
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([t] {
            for (uint64_t i = 0; i < 20000; ++i) peak.raise_to(i * 4 + t);
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(peak.get(), 19999u * 4 + 3);
}
