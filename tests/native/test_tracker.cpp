// The accountant against a reference dictionary, to the byte and the count.
#include "memory/tracker.h"

#include <cmath>
#include <map>
#include <thread>
#include <vector>

#include "check.h"
#include "memory/slow_lock.h"
#include "memory/totals.h"

using namespace flyweight::memory;

namespace {

constexpr Domain kDomainOf[] = {Domain::python, Domain::native, Domain::mapped};

Settings exact(uint64_t interval = 0) {
    Settings settings;
    settings.native = true;
    settings.sample_interval_bytes = interval;
    settings.seed = 5;
    return settings;
}

Settings only_sampled(uint64_t interval) {
    Settings settings = exact(interval);
    settings.sampled = true;
    return settings;
}

SiteId site(uint32_t line, Domain domain = Domain::python) {
    SlowLock lock;
    return tracker.sites.find_or_add({1, 1, line, domain}, 0);
}

bool allocate(Domain domain, bool exclusive, uintptr_t block, uint64_t size, SiteId site) {
    void* const p = reinterpret_cast<void*>(block);
    if (tracker.sampled()) {
        this_thread.until_sample -= static_cast<int64_t>(size);
        return this_thread.until_sample >= 0 || !tracker.sampler.fire(size) ||
               tracker.note_sampled(p, size, site, domain);
    }
    if (domain == Domain::python) {
        return exclusive ? tracker.allocated<Domain::python, Access::exclusive>(p, size, site)
                         : tracker.allocated<Domain::python, Access::shared>(p, size, site);
    }
    return exclusive ? tracker.allocated<Domain::native, Access::exclusive>(p, size, site)
                     : tracker.allocated<Domain::native, Access::shared>(p, size, site);
}

uint64_t release(bool exclusive, uintptr_t block) {
    void* const p = reinterpret_cast<void*>(block);
    return exclusive ? tracker.released<Access::exclusive>(p) : tracker.released<Access::shared>(p);
}

Taken take(bool exclusive, uintptr_t block) {
    void* const p = reinterpret_cast<void*>(block);
    return exclusive ? tracker.take_quickly<Access::exclusive>(p) : tracker.take_quickly<Access::shared>(p);
}

void put_back(bool exclusive, uintptr_t block, const Taken& taken) {
    void* const p = reinterpret_cast<void*>(block);
    exclusive ? tracker.put_back<Access::exclusive>(p, taken) : tracker.put_back<Access::shared>(p, taken);
}

// An allocator of addresses alone: blocks come back, as they do from a real one.
class Addresses {
  public:
    uintptr_t get(check::Random& random) {
        if (!free_.empty() && !random.one_in(8)) {
            const size_t at = random.below(free_.size());
            const uintptr_t address = free_[at];
            free_[at] = free_.back(), free_.pop_back();
            return address;
        }
        const uintptr_t address = next_;
        next_ += kSlot * (random.one_in(1000) ? 1 + random.below(4000) : 1);
        return address;
    }
    void put(uintptr_t address) { free_.push_back(address); }

  private:
    static constexpr uintptr_t kSlot = uintptr_t{1} << 13;  // larger blocks overlap: the records do not
    uintptr_t next_ = uintptr_t{0x7000} << 32;
    std::vector<uintptr_t> free_;
};

uint64_t random_size(check::Random& random) {
    switch (random.below(20)) {
        case 0:
            return 0;
        case 1:
            return ShadowMap::kLargestShort + random.below(3) - 1;
        case 2:
            return uint64_t{1} << (20 + random.below(20));
        default:
            return random.below(700);
    }
}

struct Expected {
    uint64_t count = 0, bytes = 0, freed_count = 0, freed_bytes = 0, peak = 0, largest = 0;
    uint64_t live() const { return bytes - freed_bytes; }
};

// `exclusive_in`: one allocation in so many is the shared writers'. 0: none.
void model(const Settings& settings, uint64_t seed, uint64_t shared_one_in, int steps) {
    REQUIRE(tracker.reserve());
    tracker.begin(settings);
    check::Random random(seed);
    Addresses addresses;
    struct Block {
        uintptr_t address;
        uint64_t size;
        SiteId site;
        bool exclusive;
    };
    std::vector<Block> live;
    std::map<SiteId, Expected> expected;
    uint64_t current = 0, peak = 0, untracked = 0;
    const auto count_in = [&](const Block& block) {
        Expected& site = expected[block.site];
        ++site.count, site.bytes += block.size;
        site.peak = std::max(site.peak, site.live());
        site.largest = std::max(site.largest, block.size);
        current += block.size, peak = std::max(peak, current);
    };
    const auto count_out = [&](const Block& block) {
        Expected& site = expected[block.site];
        ++site.freed_count, site.freed_bytes += block.size;
        current -= block.size;
    };
    for (int step = 0; step < steps; ++step) {
        const bool exclusive = shared_one_in == 0 || !random.one_in(shared_one_in);
        const uint64_t what = random.below(100);
        if (step % 50 == 0) tracker.set_tick(uint32_t(step / 50));
        if (what < 48 || live.empty()) {
            const Domain domain = kDomainOf[random.below(2)];
            const Block block{addresses.get(random), random_size(random), site(1 + uint32_t(random.below(40)), domain),
                              exclusive};
            CHECK(allocate(domain, exclusive, block.address, block.size, block.site));
            count_in(block);
            live.push_back(block);
        } else if (what < 80) {
            const size_t at = random.below(live.size());
            const uint64_t size = release(exclusive, live[at].address);
            CHECK_EQUAL(size, live[at].size);
            count_out(live[at]);
            addresses.put(live[at].address);
            live[at] = live.back(), live.pop_back();
        } else if (what < 97) {  // realloc, which may fail
            Block& block = live[random.below(live.size())];
            CHECK_EQUAL(tracker.recorded_size(reinterpret_cast<void*>(block.address)), block.size);
            const Taken taken = take(exclusive, block.address);
            CHECK(taken.words[0] != 0);
            if (random.one_in(4)) {
                put_back(exclusive, block.address, taken);
                continue;
            }
            count_out(block);
            const uintptr_t old = block.address;
            if (random.one_in(2)) block.address = addresses.get(random);
            if (block.address != old) addresses.put(old);
            const Domain domain = tracker.sites[block.site].domain;
            block.size = random_size(random), block.exclusive = exclusive;
            block.site = site(1 + uint32_t(random.below(40)), domain);
            CHECK(allocate(domain, exclusive, block.address, block.size, block.site));
            count_in(block);
        } else {  // a block from before
            CHECK_EQUAL(release(exclusive, addresses.get(random) + 4096), UINT64_MAX);
            ++untracked;
        }
    }
    Totals totals[kDomains + 1];
    add_up(totals);
    Expected sums[kDomains + 1];
    for (const auto& [number, wanted] : expected) {
        const Site& found = tracker.sites[number];
        CHECK_EQUAL(found.total_count(), wanted.count);
        CHECK_EQUAL(found.total_bytes(), wanted.bytes);
        CHECK_EQUAL(found.live_count(), wanted.count - wanted.freed_count);
        CHECK_EQUAL(found.live_bytes(), wanted.live());
        CHECK_EQUAL(found.peak(), wanted.peak);
        CHECK_EQUAL(found.largest(), wanted.largest);
        for (const size_t domain : {static_cast<size_t>(found.domain), kDomains}) {
            sums[domain].count += wanted.count, sums[domain].bytes += wanted.bytes;
            sums[domain].freed_count += wanted.freed_count, sums[domain].freed_bytes += wanted.freed_bytes;
        }
    }
    for (size_t i = 0; i <= kDomains; ++i) {
        CHECK_EQUAL(totals[i].allocation_count, sums[i].count);
        CHECK_EQUAL(totals[i].allocated_bytes, sums[i].bytes);
        CHECK_EQUAL(totals[i].deallocation_count, sums[i].freed_count);
        CHECK_EQUAL(totals[i].freed_bytes, sums[i].freed_bytes);
        CHECK_EQUAL(totals[i].current_bytes, sums[i].live());
        CHECK_EQUAL(totals[i].live_count, sums[i].count - sums[i].freed_count);
    }
    CHECK_EQUAL(totals[kDomains].current_bytes, current);
    CHECK_EQUAL(totals[kDomains].peak_bytes, peak);
    CHECK_EQUAL(tracker.untracked_frees.get(), untracked);
    CHECK_EQUAL(tracker.lost_frees.get(), 0u);
    std::map<uintptr_t, uint64_t> by_address;
    for (const Block& block : live) by_address[block.address] = block.size;
    for (const Block& block : live) {
        CHECK_EQUAL(tracker.recorded_size(reinterpret_cast<void*>(block.address)), block.size);
    }
    if (settings.sample_interval_bytes != 0) {
        uint64_t live_samples = 0;
        for (uint32_t row = 1; row < tracker.samples.row_count(); ++row)
            live_samples += tracker.samples.row(row).live_samples;
        uint64_t traced = 0;
        for (const Block& block : live) {
            const Record record = ShadowMap::read(tracker.shadow.find(block.address));
            if (!(record.number & kTraced)) continue;
            ++traced;
            const Sample& sample = tracker.samples[record.number & ~kTraced];
            CHECK(sample.address == block.address && sample.size == block.size && sample.site == block.site);
        }
        CHECK_EQUAL(live_samples, traced);
        CHECK(traced > 0);
    }
    for (const Block& block : live) release(block.exclusive, block.address);
    add_up(totals);
    CHECK_EQUAL(totals[kDomains].current_bytes, 0u);
    CHECK_EQUAL(totals[kDomains].live_count, 0u);
    tracker.end();
}

uint64_t live_bytes_of_samples() {
    uint64_t bytes = 0;
    for (uint32_t number = 1; number < tracker.samples.size(); ++number) {
        if (tracker.samples[number].address != 0) bytes += tracker.weight_bytes(tracker.samples[number].size);
    }
    return bytes;
}

}  // namespace

TEST(exact_counters_equal_the_reference_with_one_writer) {
    for (uint64_t seed = 1; seed <= 4; ++seed) model(exact(), seed, 0, 100000 * check::kScale);
}

TEST(exact_counters_equal_the_reference_with_both_kinds_of_writers) {
    for (uint64_t seed = 11; seed <= 14; ++seed) model(exact(), seed, 3, 100000 * check::kScale);
}

TEST(exact_counters_do_not_care_that_some_blocks_are_sampled) {
    for (uint64_t seed = 21; seed <= 24; ++seed) model(exact(uint64_t{1} << 28), seed, 3, 50000 * check::kScale);
}

TEST(a_place_may_be_taken_by_a_block_whose_predecessor_was_returned_unseen) {
    REQUIRE(tracker.reserve());
    tracker.begin(exact());
    const uintptr_t block = uintptr_t{0x7100} << 32;
    for (const uint64_t size : {uint64_t{100}, uint64_t{100000}, uint64_t{50}})
        allocate(Domain::python, true, block, size, site(1));
    Totals totals[kDomains + 1];
    add_up(totals);
    CHECK_EQUAL(tracker.lost_frees.get(), 2u);
    CHECK_EQUAL(totals[kDomains].live_count, 1u);
    CHECK_EQUAL(totals[kDomains].current_bytes, 50u);
    CHECK_EQUAL(totals[kDomains].allocation_count, 3u);
    tracker.end();
}

TEST(a_limit_refuses_what_would_exceed_it) {
    REQUIRE(tracker.reserve());
    Settings settings = exact();
    settings.limit_bytes = 10000;
    tracker.begin(settings);
    const uintptr_t block = uintptr_t{0x7200} << 32;
    for (uintptr_t i = 0; i < 10; ++i) CHECK(allocate(Domain::python, true, block + i * 8192, 1000, site(1)));
    CHECK(!allocate(Domain::python, true, block + 11 * 8192, 1, site(1)));
    CHECK_EQUAL(tracker.total.current(), 10000u);
    CHECK_EQUAL(tracker.sites[site(1)].total_count(), 10u);
    CHECK_EQUAL(tracker.total.peak(), 10000u);
    release(true, block);
    CHECK(allocate(Domain::python, true, block, 1000, site(1)));
    // Nobody can refuse a library what it has got: it counts.
    CHECK(allocate(Domain::native, true, block + 12 * 8192, 5000, site(2)));
    CHECK_EQUAL(tracker.total.current(), 15000u);
    CHECK(!allocate(Domain::python, true, block + 11 * 8192, 1, site(1)));
    tracker.end();
}

TEST(sampled_mode_ends_at_zero_when_everything_is_returned) {
    REQUIRE(tracker.reserve());
    tracker.begin(only_sampled(4096));
    check::Random random(7);
    std::map<uintptr_t, uint64_t> live;
    Addresses addresses;
    uint64_t allocated = 0;
    for (int step = 0; step < 100000 * check::kScale; ++step) {
        if (live.size() < 100 || random.one_in(2)) {
            const uintptr_t block = addresses.get(random);
            const uint64_t size = random.below(1000);
            allocate(Domain::python, true, block, size, site(1 + uint32_t(random.below(9))));
            live[block] = size, allocated += size;
        } else {
            auto at = live.lower_bound((uintptr_t{0x7000} << 32) + random.below(uintptr_t{1} << 27));
            if (at == live.end()) at = live.begin();
            void* const p = reinterpret_cast<void*>(at->first);
            if (tracker.may_be_sampled(p)) {
                const Taken taken = tracker.take<Access::exclusive>(p);
                if (taken.words[0] != 0 && random.one_in(3)) {  // a realloc that fails
                    tracker.put_back<Access::exclusive>(p, taken);
                    tracker.take<Access::exclusive>(p);
                }
            }
            addresses.put(at->first);
            live.erase(at);
        }
        if (step % 1000 == 0) {
            Totals totals[kDomains + 1];
            add_up(totals);
            CHECK_EQUAL(totals[kDomains].current_bytes, live_bytes_of_samples());
            CHECK_EQUAL(tracker.total.current(), live_bytes_of_samples());
        }
    }
    Totals totals[kDomains + 1];
    add_up(totals);
    const double estimate = double(totals[kDomains].allocated_bytes);
    CHECK(std::abs(estimate - double(allocated)) < 0.05 * double(allocated));
    for (const auto& [block, size] : live) {
        void* const p = reinterpret_cast<void*>(block);
        if (tracker.may_be_sampled(p)) tracker.take<Access::shared>(p);
    }
    add_up(totals);
    CHECK_EQUAL(totals[kDomains].current_bytes, 0u);
    CHECK_EQUAL(totals[kDomains].live_count, 0u);
    tracker.end();
}

TEST(turning_to_sampling_keeps_totals_and_estimates_what_is_live) {
    REQUIRE(tracker.reserve());
    tracker.begin(exact(16384));
    std::vector<uintptr_t> blocks;
    uint64_t live = 0;
    for (uintptr_t i = 0; i < 200000; ++i) {
        const uintptr_t block = (uintptr_t{0x7300} << 32) + i * 512;
        allocate(Domain::python, i % 3 != 0, block, i % 500, site(1 + uint32_t(i % 7)));
        if (i % 2 != 0) {
            release(i % 3 != 0, block);
            continue;
        }
        blocks.push_back(block);
        live += i % 500;
    }
    Totals before[kDomains + 1], after[kDomains + 1];
    add_up(before);
    tracker.turn_to_sampling(1);
    add_up(after);
    CHECK(tracker.sampled());
    CHECK_EQUAL(before[kDomains].current_bytes, live);
    CHECK_EQUAL(after[kDomains].allocated_bytes, before[kDomains].allocated_bytes);
    CHECK_EQUAL(after[kDomains].allocation_count, before[kDomains].allocation_count);
    CHECK_EQUAL(after[kDomains].current_bytes, live_bytes_of_samples());
    CHECK(std::abs(double(after[kDomains].current_bytes) - double(live)) < 0.2 * double(live));
    for (const uintptr_t block : blocks) {
        void* const p = reinterpret_cast<void*>(block);
        if (tracker.may_be_sampled(p)) tracker.take<Access::exclusive>(p);
    }
    add_up(after);
    CHECK_EQUAL(after[kDomains].current_bytes, 0u);
    CHECK_EQUAL(after[kDomains].live_count, 0u);
    CHECK_EQUAL(tracker.total.current(), 0u);
    tracker.end();
}

TEST(a_sample_that_stands_for_more_than_its_site_allocated_makes_no_negative_frees) {
    REQUIRE(tracker.reserve());
    tracker.begin(exact(uint64_t{512} << 10));
    // Sites of some 170 KB, and one sample for each 512 KiB.
    for (uintptr_t i = 0; i < 60000; ++i) {
        allocate(Domain::python, i % 3 != 0, (uintptr_t{0x7380} << 32) + i * 512, 250, site(1 + uint32_t(i / 700)));
    }
    tracker.turn_to_sampling(1);
    size_t sites_with_samples = 0;
    for (size_t number = 1; number < tracker.sites.size(); ++number) {
        const Site& each = tracker.sites[static_cast<SiteId>(number)];
        CHECK(each.live_bytes() <= each.total_bytes());
        CHECK(each.live_count() <= each.total_count());
        sites_with_samples += each.live_bytes() != 0;
    }
    CHECK(sites_with_samples > 5);
    Totals totals[kDomains + 1];
    add_up(totals);
    CHECK_EQUAL(totals[kDomains].current_bytes, live_bytes_of_samples());
    CHECK(totals[kDomains].current_bytes <= totals[kDomains].allocated_bytes);
    CHECK(totals[kDomains].live_count <= totals[kDomains].allocation_count);
    tracker.end();
}

TEST(charges_without_records_count_like_blocks) {
    REQUIRE(tracker.reserve());
    tracker.begin(exact());
    const SiteId mapped = site(3, Domain::mapped);
    tracker.charge(mapped, 1, 1 << 20);
    tracker.charge(mapped, 1, 1 << 21);
    tracker.discharge(mapped, 1, 1 << 20);
    CHECK_EQUAL(tracker.sites[mapped].live_bytes(), uint64_t{1} << 21);
    CHECK_EQUAL(tracker.sites[mapped].peak(), uint64_t{3} << 20);
    CHECK_EQUAL(tracker.levels[2].current(), uint64_t{1} << 21);
    tracker.charge(kNoSite, 1, 5);
    tracker.discharge(kNoSite, 1, 5);
    CHECK_EQUAL(tracker.total.current(), uint64_t{1} << 21);
    tracker.end();
}

TEST(a_new_session_remembers_nothing_of_the_last) {
    REQUIRE(tracker.reserve());
    tracker.begin(exact(1024));
    for (uintptr_t i = 0; i < 1000; ++i)
        allocate(Domain::python, true, (uintptr_t{0x7400} << 32) + i * 512, 400, site(1));
    tracker.end();
    tracker.begin(exact(1024));
    Totals totals[kDomains + 1];
    add_up(totals);
    CHECK_EQUAL(totals[kDomains].allocation_count, 0u);
    CHECK_EQUAL(totals[kDomains].peak_bytes, 0u);
    CHECK_EQUAL(tracker.samples.row_count(), 1u);
    CHECK_EQUAL(release(true, uintptr_t{0x7400} << 32), UINT64_MAX);
    tracker.end();
}

TEST(every_thread_samples_in_a_session_whatever_it_did_in_the_last) {
    REQUIRE(tracker.reserve());
    std::atomic<int> turn{0};
    uint64_t estimated = 0;
    std::thread worker([&] {
        while (turn.load() != 1) std::this_thread::yield();
        for (uintptr_t i = 0; i < 100; ++i)
            allocate(Domain::python, false, (uintptr_t{0x7500} << 32) + i * 512, 400, 1);
        turn.store(2);
        while (turn.load() != 3) std::this_thread::yield();
        for (uintptr_t i = 0; i < 20000; ++i)
            allocate(Domain::python, false, (uintptr_t{0x7500} << 32) + i * 512, 400, 1);
        turn.store(4);
    });
    tracker.begin(exact(0));  // nothing is sampled
    site(1);
    turn.store(1);
    while (turn.load() != 2) std::this_thread::yield();
    tracker.end();
    tracker.begin(only_sampled(4096));
    site(1);
    turn.store(3);
    while (turn.load() != 4) std::this_thread::yield();
    worker.join();
    estimated = tracker.sites[1].total_bytes();
    // Up to a mebibyte of a countdown may be left.
    CHECK(estimated > 6'500'000 && estimated < 9'000'000);
    tracker.end();
}

TEST(recording_from_a_known_place_takes_no_lock) {
    REQUIRE(tracker.reserve());
    tracker.begin(exact());
    const SiteId known = site(1);
    const uintptr_t block = uintptr_t{0x7600} << 32;
    for (uintptr_t i = 0; i < 64; ++i) {
        allocate(Domain::python, true, block + i * 4096, 100, known);
        release(true, block + i * 4096);
    }
    const unsigned long before = SlowLock::times_taken();
    for (uintptr_t i = 0; i < 100000; ++i) {
        allocate(Domain::python, i % 2 == 0, block + i % 64 * 4096, 100, known);
        release(i % 2 == 0, block + i % 64 * 4096);
    }
    CHECK_EQUAL(SlowLock::times_taken(), before);
    tracker.end();
}
