#include "memory/shadow_map.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <unordered_map>
#include <vector>

#include "check.h"

using namespace flyweight::memory;

namespace {

// Addresses need not be mapped: the map only calculates with them.
constexpr uintptr_t kSomewhere = uintptr_t{0x5555} << 32;
constexpr size_t kPageOfWords = kPageSize / sizeof(uint32_t) * kGranule;  // address space one page of words covers

bool same(const Record& a, const Record& b) {
    return a.number == b.number && a.tick == b.tick && a.size == b.size;
}

size_t count_records(const ShadowMap& map) {
    size_t count = 0;
    map.scan([&](uintptr_t, const Record&) { ++count; });
    return count;
}

}  // namespace

static ShadowMap map;  // as in the program: large, zero from the start

TEST(unknown_addresses_have_no_words) {
    REQUIRE(map.reserve());
    CHECK(map.find(kSomewhere) == nullptr);
    CHECK(map.find(16) == nullptr);
    CHECK(map.find((uintptr_t{1} << ShadowMap::kAddressBits) - 16) == nullptr);
    CHECK_EQUAL(count_records(map), 0u);
}

TEST(a_record_reads_back_whatever_its_size) {
    REQUIRE(map.reserve());
    const uint64_t sizes[] = {
        0, 1, 16, 17, 511, 32767, 32768, 65535, 65536, 65537, uint64_t{1} << 32, (uint64_t{1} << 47) + 5, INT64_MAX};
    const uint32_t numbers[] = {1, 2, kTraced - 1, kTraced, kTraced | 1, (uint32_t{1} << kNumberBits) - 1};
    for (const uint64_t size : sizes) {
        for (const uint32_t number : numbers) {
            for (const uint32_t tick : {uint32_t{0}, uint32_t{1}, kLastTick}) {
                ShadowMap::Word* words = map.find_or_reserve(kSomewhere + 0x1000);
                REQUIRE(words != nullptr);
                ShadowMap::write(words, number, size, tick);
                CHECK(ShadowMap::holds(words));
                CHECK(same(ShadowMap::read(words), {number, tick, size}));
                CHECK_EQUAL(ShadowMap::is_plain(ShadowMap::load_pair(words)),
                            size <= ShadowMap::kLargestShort && !(number & kTraced));
                ShadowMap::erase(words);
                for (int i = 0; i < 4; ++i) CHECK_EQUAL(words[i].load(), 0u);
            }
        }
    }
}

TEST(neighbours_two_granules_apart_do_not_touch) {
    REQUIRE(map.reserve());
    for (int i = 0; i < 1000; ++i) {
        ShadowMap::write(map.find_or_reserve(kSomewhere + uintptr_t(i) * 32), uint32_t(i + 1), uint64_t(i) % 33, 7);
    }
    for (int i = 0; i < 1000; i += 2) ShadowMap::erase(map.find(kSomewhere + uintptr_t(i) * 32));
    for (int i = 0; i < 1000; ++i) {
        const ShadowMap::Word* words = map.find(kSomewhere + uintptr_t(i) * 32);
        CHECK_EQUAL(ShadowMap::holds(words), i % 2 == 1);
        if (i % 2) CHECK(same(ShadowMap::read(words), {uint32_t(i + 1), 7, uint64_t(i) % 33}));
    }
    map.clear();
    CHECK_EQUAL(count_records(map), 0u);
}

TEST(a_record_in_the_last_granule_of_a_chunk_lies_in_one_piece) {
    REQUIRE(map.reserve());
    const uintptr_t next_chunk =
        (kSomewhere >> ShadowMap::kChunkBits << ShadowMap::kChunkBits) + ShadowMap::kChunkBytes;
    const uintptr_t last = next_chunk - kGranule;
    ShadowMap::write(map.find_or_reserve(last), 3, uint64_t{1} << 40, 9);
    ShadowMap::write(map.find_or_reserve(next_chunk + (uintptr_t{1} << 20)), 4, 64, 10);
    CHECK(same(ShadowMap::read(map.find(last)), {3, 9, uint64_t{1} << 40}));
    std::vector<uintptr_t> seen;
    map.scan([&](uintptr_t address, const Record&) { seen.push_back(address); });
    std::sort(seen.begin(), seen.end());
    CHECK_EQUAL(seen.size(), 2u);
    CHECK(seen.size() == 2 && seen[0] == last && seen[1] == next_chunk + (uintptr_t{1} << 20));
    map.clear();
}

TEST(a_scan_sees_every_record_once) {
    REQUIRE(map.reserve());
    check::Random random(11);
    std::unordered_map<uintptr_t, Record> reference;
    uintptr_t at = kSomewhere;
    for (int i = 0; i < 20000 * check::kScale; ++i) {
        const uint64_t size = random.one_in(50) ? random.below(300000) : random.below(600);
        const Record record{uint32_t(1 + random.below(kTraced * 2 - 1)), uint32_t(random.below(kLastTick)), size};
        ShadowMap::write(map.find_or_reserve(at), record.number, size, record.tick);
        reference[at] = record;
        at +=
            (std::max<uint64_t>(size, 17) + 15) / 16 * 16 + (random.one_in(100) ? random.below(1 << 20) / 16 * 16 : 0);
    }
    for (auto entry = reference.begin(); entry != reference.end();) {
        if (random.one_in(3)) {
            ShadowMap::erase(map.find(entry->first));
            entry = reference.erase(entry);
        } else {
            ++entry;
        }
    }
    size_t seen = 0;
    map.scan([&](uintptr_t address, const Record& record) {
        const auto found = reference.find(address);
        if (CHECK(found != reference.end())) CHECK(same(found->second, record));
        ++seen;
    });
    CHECK_EQUAL(seen, reference.size());
    map.clear();
    CHECK_EQUAL(count_records(map), 0u);
}

TEST(dropping_a_range_forgets_its_blocks_and_no_others) {
    REQUIRE(map.reserve());
    const uintptr_t start = kSomewhere + (uintptr_t{3} << ShadowMap::kChunkBits) - 4 * kPageOfWords;
    const uintptr_t inner = start + kPageOfWords, size = 6 * kPageOfWords;  // across a border of two chunks
    for (uintptr_t at = start; at < inner + size + kPageOfWords; at += 512) {
        ShadowMap::write(map.find_or_reserve(at), 5, 500, 1);
    }
    map.drop(inner, size);
    size_t left = 0;
    map.scan([&](uintptr_t address, const Record&) {
        CHECK(address < inner || address >= inner + size);
        ++left;
    });
    CHECK_EQUAL(left, 2 * kPageOfWords / 512);
    map.clear();
}

TEST(own_bytes_follow_what_is_written) {
    REQUIRE(map.reserve());
    map.clear();
    const size_t before = map.own_bytes();
    for (int page = 0; page < 100; ++page) {
        ShadowMap::write(map.find_or_reserve(kSomewhere + uintptr_t(page) * kPageOfWords), 1, 100, 1);
    }
    CHECK_EQUAL(map.own_bytes() - before, 100 * kPageSize);
    map.clear();
    CHECK_EQUAL(map.own_bytes(), before);
}

TEST(threads_that_meet_in_a_new_chunk_agree_on_its_words) {
    REQUIRE(map.reserve());
    constexpr int kThreads = 8, kChunksEach = 16, kBlocks = 64;
    std::atomic<int> waiting{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            waiting.fetch_add(1);
            while (waiting.load() < kThreads) std::this_thread::yield();
            for (int chunk = 0; chunk < kChunksEach; ++chunk) {
                const uintptr_t base = (uintptr_t{0x6000} << 32) + uintptr_t(chunk) * ShadowMap::kChunkBytes;
                for (int i = 0; i < kBlocks; ++i) {
                    const uintptr_t mine = base + uintptr_t(i * kThreads + t) * 32;
                    ShadowMap::write(map.find_or_reserve(mine), uint32_t(t + 1), uint64_t(i % 33), uint32_t(chunk));
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(count_records(map), size_t(kThreads) * kChunksEach * kBlocks);
    map.clear();
}

TEST(a_scan_beside_writers_reports_only_records_that_were_written) {
    REQUIRE(map.reserve());
    std::atomic<bool> done{false};
    constexpr uintptr_t kArea = uintptr_t{0x6800} << 32;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            check::Random random(uint64_t(t) + 1);
            while (!done.load(std::memory_order_relaxed)) {
                const uintptr_t at = kArea + (uintptr_t(t) * 4096 + random.below(4096)) * 4096;
                ShadowMap::Word* words = map.find_or_reserve(at);
                if (ShadowMap::holds(words)) {
                    ShadowMap::erase(words);
                } else {
                    ShadowMap::write(words, uint32_t(t + 1), 4000, uint32_t(t));
                }
            }
        });
    }
    for (int i = 0; i < 10; ++i) {
        map.scan([&](uintptr_t address, const Record& record) {
            const auto t = uint32_t((address - kArea) / 4096 / 4096);
            CHECK_EQUAL(record.number, t + 1);
        });
    }
    done.store(true);
    for (std::thread& thread : threads) thread.join();
    map.clear();
}
