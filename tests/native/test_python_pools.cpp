// Pools are known by their headers, and by nothing that only looks like one.
#include "memory/python_pools.h"

#include "check.h"

using namespace flyweight::memory;

namespace {

constexpr uintptr_t kAddress = uintptr_t{0x7f0000004000};

PoolHeader header_of(uint32_t size, uint32_t carved, uint32_t count) {
    PoolHeader header{};
    header.count = count;
    header.szidx = size / 16 - 1;
    header.maxnextoffset = kPoolSize - size;
    header.nextoffset = static_cast<uint32_t>(kPoolOverhead) + carved * size;
    header.freeblock = count < carved ? kAddress + kPoolOverhead + (carved - 1) * size : 0;
    header.nextpool = header.prevpool = 0x7f0000008000;
    header.arenaindex = 3;
    return header;
}

}  // namespace

TEST(pools_of_all_sizes_are_known_empty_partly_filled_and_full) {
    for (uint32_t size = 16; size <= 512; size += 16) {
        const uint32_t most = (kPoolSize - kPoolOverhead) / size;
        for (uint32_t carved = 2; carved <= most; ++carved) {
            for (const uint32_t count : {0u, 1u, carved - 1, carved}) {
                Pool pool;
                REQUIRE(is_pool(kAddress, header_of(size, carved, count), &pool));
                CHECK_EQUAL(pool.block_size, size);
                CHECK_EQUAL(pool.in_use, count);
                CHECK_EQUAL(pool.carved, carved);
                CHECK_EQUAL(pool.rest + most * size + kPoolOverhead, kPoolSize);
            }
        }
    }
}

TEST(each_field_must_fit_the_others) {
    Pool pool;
    const PoolHeader sound = header_of(64, 10, 4);
    REQUIRE(is_pool(kAddress, sound, &pool));
    CHECK(!is_pool(kAddress + 4096, sound, &pool));
    const auto damaged = [&](auto change) {
        PoolHeader header = sound;
        change(header);
        return !is_pool(kAddress, header, &pool);
    };
    CHECK(damaged([](PoolHeader& h) { h.count = 11; }));
    CHECK(damaged([](PoolHeader& h) { h.count = 10; }));  // all in use, and one free
    CHECK(damaged([](PoolHeader& h) { h.freeblock = 0; }));
    CHECK(damaged([](PoolHeader& h) { h.freeblock += 8; }));
    CHECK(damaged([](PoolHeader& h) { h.freeblock = kAddress; }));
    CHECK(damaged([](PoolHeader& h) { h.freeblock = kAddress + h.nextoffset; }));
    CHECK(damaged([](PoolHeader& h) { h.freeblock += kPoolSize; }));
    CHECK(damaged([](PoolHeader& h) { h.upper_half = 1; }));
    CHECK(damaged([](PoolHeader& h) { h.szidx = 32; }));
    CHECK(damaged([](PoolHeader& h) { h.szidx = 4; }));
    CHECK(damaged([](PoolHeader& h) { h.maxnextoffset -= 16; }));
    CHECK(damaged([](PoolHeader& h) { h.nextoffset += 16; }));
    CHECK(damaged([](PoolHeader& h) { h.nextoffset = kPoolSize + 64; }));
    CHECK(damaged([](PoolHeader& h) { h.nextoffset = 48; }));
    CHECK(damaged([](PoolHeader& h) { h.arenaindex = 1u << 24; }));
    CHECK(damaged([](PoolHeader& h) { h.nextpool = 0x7f0000008001; }));
    CHECK(damaged([](PoolHeader& h) { h.prevpool = ~uint64_t{7}; }));
}

TEST(random_memory_is_no_pool) {
    check::Random random(3);
    for (int i = 0; i < 200000 * check::kScale; ++i) {
        PoolHeader header;
        auto* const words = reinterpret_cast<uint64_t*>(&header);
        for (size_t word = 0; word < 6; ++word) {
            // Small numbers, addresses and noise, as memory has them.
            words[word] = random.one_in(3)   ? random.below(20000)
                          : random.one_in(2) ? kAddress + random.below(kPoolSize)
                                             : random.next();
        }
        Pool pool;
        if (is_pool(kAddress, header, &pool)) {
            CHECK(pool.in_use <= pool.carved && pool.carved * pool.block_size <= kPoolSize);
            CHECK(false);
        }
    }
}

TEST(untouched_memory_of_an_arena_is_blank) {
    PoolHeader header{};
    CHECK(is_blank(header));
    header.szidx = 0xffff;
    header.arenaindex = 12;
    CHECK(is_blank(header));
    CHECK(!is_blank(header_of(64, 10, 0)));
    Pool pool;
    CHECK(!is_pool(kAddress, header, &pool));
}
