// Mapped intervals against a dictionary of pages.
#include "memory/mapping_table.h"

#include <map>
#include <thread>
#include <vector>

#include "check.h"
#include "memory/totals.h"

using namespace flyweight::memory;

namespace {

constexpr uintptr_t kArea = uintptr_t{0x100000000};
constexpr uintptr_t kPage = 4096;
constexpr uintptr_t kPages = 256;

void begin() {
    Settings settings;
    settings.native = true;
    tracker.begin(settings);
    clear_mapping_table();
}

SiteId site(uint32_t line) {
    SlowLock lock;
    return tracker.sites.find_or_add({1, 1, line, Domain::mapped}, 0);
}

// Per page: the number of the mapping it belongs to.
struct Model {
    struct Mapping {
        SiteId site;
        bool anonymous;
    };
    std::map<uintptr_t, Mapping> pages;  // by page number

    void unmap(uintptr_t first, uintptr_t count) {
        pages.erase(pages.lower_bound(first), pages.lower_bound(first + count));
    }
    void map(uintptr_t first, uintptr_t count, Mapping mapping) {
        unmap(first, count);
        for (uintptr_t i = 0; i < count; ++i) pages[first + i] = mapping;
    }
};

}  // namespace

TEST(a_mapping_is_charged_in_whole_pages_to_its_site) {
    REQUIRE(tracker.reserve());
    begin();
    {
        MappingChange change;
        change.map(kArea, 5000, MappingKind::anonymous, site(1));
        change.map(kArea + 16 * kPage, 100, MappingKind::file, site(1));
    }
    CHECK_EQUAL(tracker.sites[site(1)].live_bytes(), 2 * kPage);
    CHECK_EQUAL(file_mappings().count, 1u);
    CHECK_EQUAL(file_mappings().bytes, kPage);
    {
        MappingChange change;
        change.unmap(kArea, 32 * kPage);
    }
    CHECK_EQUAL(tracker.sites[site(1)].live_bytes(), 0u);
    CHECK_EQUAL(file_mappings().count, 0u);
    tracker.end();
}

TEST(a_hole_gives_one_mapping_back_and_charges_what_is_left) {
    REQUIRE(tracker.reserve());
    begin();
    {
        MappingChange change;
        change.map(kArea, 10 * kPage, MappingKind::anonymous, site(1));
        change.unmap(kArea + 4 * kPage, kPage);
    }
    const Site& found = tracker.sites[site(1)];
    CHECK_EQUAL(found.live_bytes(), 9 * kPage);
    CHECK_EQUAL(found.live_count(), 2u);
    CHECK_EQUAL(found.total_count(), 3u);
    CHECK_EQUAL(found.total_bytes(), 19 * kPage);
    tracker.end();
}

TEST(a_signal_handler_in_the_middle_of_a_change_is_told_that_it_holds_nothing) {
    REQUIRE(tracker.reserve());
    begin();
    MappingChange outer;
    CHECK(bool(outer));
    {
        MappingChange inner;
        CHECK(!inner);
    }
    CHECK(bool(outer));
    tracker.end();
}

TEST(random_maps_unmaps_and_remaps_leave_what_the_reference_has) {
    REQUIRE(tracker.reserve());
    for (uint64_t seed = 1; seed <= 5; ++seed) {
        begin();
        check::Random random(seed);
        Model model;
        std::map<SiteId, bool> sites;
        for (int step = 0; step < 4000 * check::kScale; ++step) {
            const uintptr_t first = random.below(kPages), count = 1 + random.below(40);
            const SiteId here = site(1 + uint32_t(random.below(10)));
            sites[here] = true;
            const bool anonymous = !random.one_in(4);
            MappingChange change;
            switch (random.below(3)) {
                case 0:
                    change.map(kArea + first * kPage, count * kPage - random.below(kPage),
                               anonymous ? MappingKind::anonymous : MappingKind::file, here);
                    model.map(first, count, {here, anonymous});
                    break;
                case 1:
                    change.unmap(kArea + first * kPage, count * kPage - random.below(kPage));
                    model.unmap(first, count);
                    break;
                default: {
                    // The kernel moves one mapping: the old range is of one kind or unknown.
                    const auto old = model.pages.find(first);
                    uintptr_t length = 0;
                    while (old != model.pages.end() && length < count && model.pages.contains(first + length) &&
                           model.pages[first + length].anonymous == old->second.anonymous) {
                        ++length;
                    }
                    if (length == 0) break;
                    const bool kind = old->second.anonymous;
                    const uintptr_t to = first + kPages + random.below(kPages), grown = 1 + random.below(40);
                    change.remap(kArea + first * kPage, length * kPage, kArea + to * kPage, grown * kPage, false, here);
                    model.unmap(first, length);
                    model.map(to, grown, {here, kind});
                }
            }
        }
        std::map<SiteId, uint64_t> bytes;
        uint64_t file_bytes = 0;
        for (const auto& [page, mapping] : model.pages) (mapping.anonymous ? bytes[mapping.site] : file_bytes) += kPage;
        for (const auto& [number, used] : sites) CHECK_EQUAL(tracker.sites[number].live_bytes(), bytes[number]);
        CHECK_EQUAL(file_mappings().bytes, file_bytes);
        CHECK_EQUAL(lost_mappings(), 0u);
        Totals totals[kDomains + 1];
        add_up(totals);
        CHECK_EQUAL(totals[2].current_bytes, tracker.levels[2].current());
        {
            MappingChange change;
            change.unmap(0, uintptr_t{1} << 47);
        }
        CHECK_EQUAL(tracker.total.current(), 0u);
        CHECK_EQUAL(file_mappings().count, 0u);
        CHECK_EQUAL(mapping_table_bytes(), 0u);
        tracker.end();
    }
}

TEST(threads_map_and_unmap_areas_of_their_own) {
    REQUIRE(tracker.reserve());
    begin();
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 6; ++t) {
        threads.emplace_back([t] {
            check::Random random(t + 1);
            const SiteId mine = site(t + 1);
            const uintptr_t area = kArea + (uintptr_t{t} << 40);
            for (int i = 0; i < 2000; ++i) {
                MappingChange change;
                const uintptr_t start = area + random.below(64) * kPage;
                random.one_in(2) ? change.map(start, kPage * 2, MappingKind::anonymous, mine)
                                 : change.unmap(start, kPage);
            }
            MappingChange change;
            change.unmap(area, uintptr_t{1} << 40);
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (uint32_t t = 0; t < 6; ++t) CHECK_EQUAL(tracker.sites[site(t + 1)].live_bytes(), 0u);
    CHECK_EQUAL(tracker.total.current(), 0u);
    tracker.end();
}
