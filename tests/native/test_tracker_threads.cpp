// One exclusive writer, many shared ones, and a thread that reads: blocks change hands, nothing is lost.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "memory/clock.h"
#include "memory/history.h"
#include "memory/slow_lock.h"
#include "memory/totals.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

constexpr size_t kSlots = 4096;
constexpr size_t kPlaces = 64;

// A mailbox: whoever takes a block out of it owns the block. Real memory, so that addresses come back as they do.
std::atomic<void*> mailbox[kSlots];

struct Sums {
    std::atomic<uint64_t> count{0}, bytes{0}, freed_count{0}, freed_bytes{0};
};
Sums expected[kPlaces];

PlaceKey key_of_place(size_t place) {
    return place_key(0x10000 + place * 2, Domain::python);
}

// As the hooks do: the cache first, then the slow path.
SiteId find_site(size_t place) {
    if (const SiteId known = tracker.cache.find(key_of_place(place)); known != kNoSite) return known;
    SlowLock lock;
    const SiteId site =
        tracker.sites.find_or_add({tracker.strings.intern("place.py"), 0, uint32_t(place + 1), Domain::python},
                                  tracker.tick.load(std::memory_order_relaxed));
    tracker.cache.put(key_of_place(place), site);
    return site;
}

template <Access kAccess>
void allocate(size_t place, check::Random& random) {
    const uint64_t size = 24 + (random.one_in(64) ? random.below(200000) : random.below(500));
    auto* block = static_cast<uint64_t*>(std::malloc(size));
    block[0] = place, block[1] = size;
    tracker.allocated<Domain::python, kAccess>(block, size, find_site(place));
    expected[place].count += 1, expected[place].bytes += size;
    block = static_cast<uint64_t*>(mailbox[random.below(kSlots)].exchange(block, std::memory_order_acq_rel));
    if (block == nullptr) return;
    expected[block[0]].freed_count += 1, expected[block[0]].freed_bytes += block[1];
    CHECK_EQUAL(tracker.released<kAccess>(block), block[1]);
    std::free(block);
}

template <Access kAccess>
void reallocate(size_t place, check::Random& random) {
    auto* block = static_cast<uint64_t*>(mailbox[random.below(kSlots)].exchange(nullptr, std::memory_order_acq_rel));
    if (block == nullptr) return;
    const Taken taken = tracker.take_quickly<kAccess>(block);
    CHECK(taken.words[0] != 0);
    if (random.one_in(4)) {
        tracker.put_back<kAccess>(block, taken);
    } else {
        expected[block[0]].freed_count += 1, expected[block[0]].freed_bytes += block[1];
        const uint64_t size = 24 + random.below(3000);
        block = static_cast<uint64_t*>(std::realloc(block, size));
        block[0] = place, block[1] = size;
        tracker.allocated<Domain::python, kAccess>(block, size, find_site(place));
        expected[place].count += 1, expected[place].bytes += size;
    }
    block = static_cast<uint64_t*>(mailbox[random.below(kSlots)].exchange(block, std::memory_order_acq_rel));
    if (block == nullptr) return;
    expected[block[0]].freed_count += 1, expected[block[0]].freed_bytes += block[1];
    tracker.released<kAccess>(block);
    std::free(block);
}

template <Access kAccess>
void work(uint64_t seed, int steps) {
    check::Random random(seed);
    for (int i = 0; i < steps; ++i) {
        const size_t place = random.below(kPlaces);
        random.one_in(4) ? reallocate<kAccess>(place, random) : allocate<kAccess>(place, random);
    }
}

void check_sums() {
    for (size_t place = 0; place < kPlaces; ++place) {
        const Site& site = tracker.sites[find_site(place)];
        CHECK_EQUAL(site.total_count(), expected[place].count.load());
        CHECK_EQUAL(site.total_bytes(), expected[place].bytes.load());
        CHECK_EQUAL(site.live_count(), expected[place].count.load() - expected[place].freed_count.load());
        CHECK_EQUAL(site.live_bytes(), expected[place].bytes.load() - expected[place].freed_bytes.load());
    }
    Totals totals[kDomains + 1];
    add_up(totals);
    CHECK_EQUAL(totals[kDomains].current_bytes, tracker.total.current());
    CHECK_EQUAL(totals[0].current_bytes, tracker.levels[0].current());
    CHECK_EQUAL(tracker.untracked_frees.get(), 0u);
    CHECK_EQUAL(tracker.lost_frees.get(), 0u);
}

void begin(uint64_t interval) {
    Settings settings;
    settings.native = true;
    settings.sample_interval_bytes = interval;
    settings.seed = 3;
    tracker.begin(settings);
    history.clear();
    for (Sums& sums : expected) sums.count = 0, sums.bytes = 0, sums.freed_count = 0, sums.freed_bytes = 0;
}

void empty_mailbox() {
    for (std::atomic<void*>& slot : mailbox) {
        void* block = slot.exchange(nullptr);
        if (block == nullptr) continue;
        tracker.released<Access::shared>(block);
        std::free(block);
    }
    CHECK_EQUAL(tracker.total.current(), 0u);
}

void tick_and_read() {
    tracker.set_tick(current_tick());
    SlowLock lock;
    history.note(current_tick(), elapsed_ms());
    uint64_t records = 0;
    tracker.shadow.scan([&](uintptr_t, const Record& record) { records += record.number != 0; });
    tracker.own_bytes.set(tracker.measure_own_bytes() + records * 0);
}

}  // namespace

TEST(a_hundred_threads_return_each_others_blocks) {
    REQUIRE(tracker.reserve() && history.reserve());
    for (const uint64_t interval : {uint64_t{0}, uint64_t{1} << 16}) {
        start_clock();
        begin(interval);
        std::vector<std::thread> threads;
        threads.emplace_back([] { work<Access::exclusive>(1000, 40000 * check::kScale); });
        for (uint64_t t = 1; t < 100; ++t) {
            threads.emplace_back([t] { work<Access::shared>(t, 1000 * check::kScale); });
        }
        for (std::thread& thread : threads) thread.join();
        check_sums();
        empty_mailbox();
        tracker.end();
    }
}

TEST(the_ticker_reads_while_threads_write) {
    REQUIRE(tracker.reserve() && history.reserve());
    start_clock();
    begin(1 << 16);
    REQUIRE(start_ticker(tick_and_read));
    std::atomic<bool> done{false};
    std::thread reader([&] {
        // With pauses: who never lets go of the slow lock leaves the writers little of it.
        while (!done.load()) tick_and_read(), ::usleep(200);
    });
    std::vector<std::thread> threads;
    threads.emplace_back([] { work<Access::exclusive>(2000, 60000 * check::kScale); });
    for (uint64_t t = 1; t < 8; ++t) threads.emplace_back([t] { work<Access::shared>(t, 20000 * check::kScale); });
    for (std::thread& thread : threads) thread.join();
    done.store(true);
    reader.join();
    stop_ticker();
    check_sums();
    empty_mailbox();
    tracker.end();
}

#if !defined(__SANITIZE_THREAD__)  // which does not follow threads into a child
TEST(a_child_of_a_busy_process_goes_on_with_a_correct_picture) {
    REQUIRE(tracker.reserve() && history.reserve());
    start_clock();
    begin(1 << 16);
    work<Access::exclusive>(1, 20000);
    std::atomic<bool> done{false};
    // Another thread keeps the slow lock busy; what fork does around it is what session.cpp does.
    std::thread other([&] {
        while (!done.load()) {
            SlowLock lock;
            tracker.strings.intern("busy");
        }
    });
    for (int i = 0; i < 20; ++i) {
        SlowLock::acquire();
        const pid_t child = fork();
        if (child == 0) {
            SlowLock::reset_in_child();
            work<Access::exclusive>(uint64_t(i) + 100, 2000);
            check_sums();
            _exit(check::Test::failures.load() == 0 ? 0 : 1);
        }
        SlowLock::release();
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    done.store(true);
    other.join();
    work<Access::exclusive>(2, 20000);
    check_sums();
    empty_mailbox();
    tracker.end();
}
#endif
