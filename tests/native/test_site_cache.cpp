#include "memory/site_cache.h"

#include <thread>
#include <unordered_map>
#include <vector>

#include "check.h"

using namespace flyweight::memory;

static SiteCache cache;

TEST(a_hit_is_never_wrong) {
    check::Random random(3);
    std::unordered_map<PlaceKey, SiteId> put;
    std::vector<PlaceKey> keys;
    for (int i = 0; i < 200000; ++i) {
        // Addresses as they come: close together, far apart, and the same address in several domains.
        const uintptr_t address = (random.one_in(2) ? 0x7f0000000000 + random.below(1 << 16) * 2
                                                    : random.next() & ((uintptr_t{1} << 48) - 2));
        const auto domain = static_cast<Domain>(random.below(3));
        const PlaceKey key = random.one_in(4) ? caller_key(address | 1, domain) : place_key(address, domain);
        const auto site = static_cast<SiteId>(1 + random.below(SiteTable::kCapacity - 1));
        cache.put(key, site);
        put[key] = site;
        keys.push_back(key);
        CHECK_EQUAL(cache.find(key), site);
        const PlaceKey other = keys[random.below(keys.size())];
        const SiteId found = cache.find(other);
        CHECK(found == kNoSite || found == put[other]);
        SiteId known = 0;
        CHECK_EQUAL(cache.knows(other, &known), found != kNoSite);
        if (found != kNoSite) CHECK_EQUAL(known, found);
    }
}

TEST(an_empty_cache_knows_nothing) {
    cache.clear();
    check::Random random(4);
    SiteId site;
    for (int i = 0; i < 100000; ++i) {
        const PlaceKey key = place_key(random.next() & ((uintptr_t{1} << 48) - 1), Domain::python);
        CHECK_EQUAL(cache.find(key), kNoSite);
        CHECK(!cache.knows(key, &site));
    }
    CHECK_EQUAL(cache.find(place_key(0, Domain::python)), kNoSite);
    CHECK(!cache.knows(place_key(0, Domain::python), &site));
}

TEST(removing_forgets_that_key_only) {
    cache.clear();
    const PlaceKey a = place_key(0x1000, Domain::python), b = place_key(0x2000, Domain::native);
    cache.put(a, 5), cache.put(b, 6);
    cache.remove(place_key(0x1000, Domain::native));
    CHECK_EQUAL(cache.find(a), 5u);
    cache.remove(a);
    CHECK_EQUAL(cache.find(a), kNoSite);
    CHECK_EQUAL(cache.find(b), 6u);
}

TEST(bytecode_and_native_callers_at_one_address_differ) {
    cache.clear();
    cache.put(place_key(0x3000, Domain::native), 7);
    CHECK_EQUAL(cache.find(caller_key(0x3000, Domain::native)), kNoSite);
}

static NativeSiteCache native;

TEST(a_hit_of_the_native_cache_is_never_wrong) {
    check::Random random(5);
    std::unordered_map<PlaceKey, SiteId> put;
    std::vector<PlaceKey> keys;
    for (int i = 0; i < 300000; ++i) {
        // Instructions close together and far apart, none at all, and few or many libraries.
        const uintptr_t address = random.one_in(20)  ? 0
                                  : random.one_in(2) ? 0x7f0000000000 + random.below(1 << 14) * 2
                                                     : random.next() & ((uintptr_t{1} << 48) - 2) & ~uintptr_t{14};
        const auto library = static_cast<uint32_t>(1 + random.below(random.one_in(2) ? 5 : 2047));
        const PlaceKey key = library_key(address, Domain::native, library);
        CHECK_EQUAL(address_in(key), address);
        CHECK_EQUAL(library_in(key), library);
        CHECK(domain_in(key) == Domain::native);
        const auto site = static_cast<SiteId>(1 + random.below(SiteTable::kCapacity - 1));
        native.put(address, library, site);
        put[key] = site;
        keys.push_back(key);
        SiteId found = 0;
        CHECK(native.knows(address, library, &found));
        CHECK_EQUAL(found, site);
        const PlaceKey other = keys[random.below(keys.size())];
        if (native.knows(address_in(other), library_in(other), &found)) CHECK_EQUAL(found, put[other]);
        // The same instruction through a library that was not seen, and the other way round.
        const PlaceKey mixed = library_key(address_in(other), Domain::native, library);
        if (native.knows(address_in(mixed), library, &found)) CHECK_EQUAL(found, put[mixed]);
        CHECK(!native.knows(address, 0, &found));
    }
}

TEST(an_instruction_that_calls_several_libraries_keeps_a_word_for_each) {
    native.clear();
    for (uint32_t library = 1; library < 2048; ++library) native.put(0x7f1234567890, library, library);
    SiteId found = 0;
    for (uint32_t library = 1; library < 2048; ++library) {
        CHECK(native.knows(0x7f1234567890, library, &found) && found == library);
    }
    native.remove(0x7f1234567890, 7);
    CHECK(!native.knows(0x7f1234567890, 7, &found));
    CHECK(native.knows(0x7f1234567890, 8, &found));
    native.clear();
    CHECK(!native.knows(0x7f1234567890, 8, &found));
    CHECK(!native.knows(0, 1, &found));
}

TEST(threads_may_share_the_native_cache) {
    native.clear();
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([t] {
            check::Random random(t + 1);
            for (int i = 0; i < 100000; ++i) {
                const uintptr_t instruction = 0x10000 + random.below(1 << 16) * 2;
                const auto library = static_cast<uint32_t>(1 + random.below(8));
                const auto site = static_cast<SiteId>((instruction - 0x10000) / 2 * 8 + library);
                SiteId found;
                if (random.one_in(10)) {
                    native.remove(instruction, library);
                } else if (random.one_in(2)) {
                    native.put(instruction, library, site);
                } else if (native.knows(instruction, library, &found)) {
                    CHECK_EQUAL(found, site);
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

TEST(threads_may_share_it) {
    cache.clear();
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([t] {
            check::Random random(t + 1);
            for (int i = 0; i < 100000; ++i) {
                const uintptr_t number = 1 + random.below(100000);
                const PlaceKey key = place_key(number * 2, Domain::python);
                if (random.one_in(10)) {
                    cache.remove(key);
                } else if (random.one_in(2)) {
                    cache.put(key, static_cast<SiteId>(number));
                } else {
                    const SiteId found = cache.find(key);
                    CHECK(found == kNoSite || found == number);
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}
