#include "memory/site_table.h"

#include <vector>

#include "check.h"

using namespace flyweight::memory;

static SiteTable table;

TEST(a_location_has_one_site_and_keeps_it) {
    REQUIRE(table.reserve());
    std::vector<SiteId> sites;
    for (uint32_t file = 1; file < 40; ++file) {
        for (uint32_t line = 1; line < 200; ++line) {
            for (const Domain domain : {Domain::python, Domain::native, Domain::mapped}) {
                const SiteId site = table.find_or_add({file, file % 7, line, domain}, line);
                CHECK(site != kNoSite);
                sites.push_back(site);
            }
        }
    }
    CHECK_EQUAL(table.size(), sites.size() + 1);
    size_t at = 0;
    for (uint32_t file = 1; file < 40; ++file) {
        for (uint32_t line = 1; line < 200; ++line) {
            for (const Domain domain : {Domain::python, Domain::native, Domain::mapped}) {
                CHECK_EQUAL(table.find_or_add({file, file % 7, line, domain}, 999), sites[at]);
                const Site& site = table[sites[at++]];
                CHECK(site.file == file && site.line == line && site.domain == domain && site.first_tick == line);
            }
        }
    }
    table.clear();
    CHECK_EQUAL(table.size(), 1u);
}

TEST(locations_that_differ_in_one_thing_are_different_sites) {
    REQUIRE(table.reserve());
    const SiteId site = table.find_or_add({1, 2, 3, Domain::python}, 0);
    CHECK(site != table.find_or_add({2, 2, 3, Domain::python}, 0));
    CHECK(site != table.find_or_add({1, 3, 3, Domain::python}, 0));
    CHECK(site != table.find_or_add({1, 2, 4, Domain::python}, 0));
    CHECK(site != table.find_or_add({1, 2, 3, Domain::mapped}, 0));
    CHECK(site != table.find_or_add({1, 2, 3, Domain::python, 4}, 0));
    CHECK_EQUAL(site, table.find_or_add({1, 2, 3, Domain::python}, 0));
    table.clear();
}

TEST(a_site_keeps_its_library_however_large_the_table_grows) {
    REQUIRE(table.reserve());
    for (uint32_t i = 1; i < 20000; ++i) REQUIRE(table.find_or_add({i / 5, 1, 1, Domain::native, i % 5}, 0) == i);
    for (uint32_t i = 1; i < 20000; ++i) {
        CHECK_EQUAL(table.location(i).library, i % 5);
        CHECK_EQUAL(table.find_or_add({i / 5, 1, 1, Domain::native, i % 5}, 0), i);
    }
    table.clear();
    CHECK_EQUAL(table.location(table.find_or_add({1, 1, 1, Domain::native}, 0)).library, 0u);
    table.clear();
}

TEST(cleared_sites_start_from_zero) {
    REQUIRE(table.reserve());
    const SiteId site = table.find_or_add({1, 2, 3, Domain::python}, 5);
    table[site].allocated_bytes.add(10), table[site].others_allocated_bytes.add(3);
    table.clear();
    const SiteId again = table.find_or_add({1, 2, 3, Domain::python}, 0);
    CHECK_EQUAL(table[again].total_bytes(), 0u);
    CHECK_EQUAL(table[again].live_bytes(), 0u);
    table.clear();
}

TEST(a_full_table_says_so_and_still_knows_its_sites) {
    REQUIRE(table.reserve());
    for (uint32_t i = 1; i < SiteTable::kCapacity; ++i) {
        REQUIRE(table.find_or_add({i % 1000 + 1, 1, i, Domain::python}, 0) == i);
    }
    CHECK(!table.full());
    CHECK_EQUAL(table.find_or_add({1, 1, 1 << 30, Domain::python}, 0), kNoSite);
    CHECK(table.full());
    CHECK_EQUAL(table.find_or_add({778, 1, 777, Domain::python}, 0), 777u);
    CHECK_EQUAL(table.find_or_add({1, 1, 1 << 30, Domain::python}, 0), kNoSite);
    table.clear();
    CHECK(!table.full());
}
