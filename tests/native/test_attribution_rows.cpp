// The arithmetic of the account: no byte is lost and none counts twice.
#include "memory/attribution_rows.h"

#include <string>
#include <vector>

#include "check.h"
#include "memory/address_claims.h"
#include "memory/data_pointers.h"

using namespace flyweight::memory;

namespace {

struct Rows {
    Rows() : memory(AttributedRows::kBytes / 8 + 1), rows(memory.data()) {}
    std::vector<uint64_t> memory;
    AttributedRows rows;
};

}  // namespace

TEST(a_row_is_found_by_kind_and_name) {
    Rows room;
    AttributedRow& first = room.rows.find_or_add(RowKind::library, "/usr/lib/libz.so.1");
    const std::string same = "/usr/lib/libz.so.1";
    CHECK(&room.rows.find_or_add(RowKind::library, same.data(), same.size()) == &first);
    CHECK(&room.rows.find_or_add(RowKind::mapped_file, same.c_str()) != &first);
    CHECK(&room.rows.find_or_add(RowKind::library, same.data(), same.size() - 1) != &first);
    CHECK_EQUAL(room.rows.size(), 3u);
}

TEST(names_beyond_the_capacity_share_the_last_row) {
    Rows room;
    std::vector<std::string> names;
    for (size_t i = 0; i < AttributedRows::kCapacity + 100; ++i) names.push_back("name " + std::to_string(i));
    for (const std::string& name : names) room.rows.find_or_add(RowKind::library, name.c_str()).parts.priv += 1;
    CHECK_EQUAL(room.rows.size(), AttributedRows::kCapacity);
    CHECK_EQUAL(room.rows[AttributedRows::kCapacity - 1].parts.priv, 101u);
}

TEST(giving_takes_from_private_and_shared_alike_and_loses_nothing) {
    check::Random random(2);
    for (int i = 0; i < 20000; ++i) {
        Resident left{random.below(5000), random.one_in(2) ? 0 : random.below(5000)}, to{};
        const Resident before = left;
        const uint64_t bytes = random.below(12000);
        give(left, bytes, to);
        CHECK_EQUAL(left.priv + to.priv, before.priv);
        CHECK_EQUAL(left.shared + to.shared, before.shared);
        CHECK_EQUAL(to.total(), std::min(bytes, before.total()));
    }
}

TEST(rows_sum_to_the_kernel_s_figures_whatever_was_claimed) {
    check::Random random(9);
    for (int round = 0; round < 500 * check::kScale; ++round) {
        Rows room;
        std::vector<std::string> names;
        for (uint64_t i = 0; i < 2 + random.below(40); ++i) names.push_back(std::to_string(i));
        Figures divided;
        for (const std::string& name : names) {
            AttributedRow& row = room.rows.find_or_add(RowKind::library, name.c_str());
            row.parts = {random.below(1 << 20), random.one_in(2) ? random.below(1 << 20) : 0};
            divided.priv += row.parts.priv;
            divided.shared += row.parts.shared;
        }
        // Pages came and went, and changed hands, between the two readings.
        if (random.one_in(2)) divided.priv = random.below(divided.priv * 2 + 1);
        if (random.one_in(2)) divided.shared = random.below(divided.shared * 2 + 1);
        divided.rss = divided.priv + divided.shared;
        divided.private_dirty = divided.priv != 0 ? random.below(divided.priv) : 0;
        divided.shared_dirty = divided.shared != 0 ? random.below(divided.shared) : 0;
        divided.pss = divided.priv + (divided.shared != 0 ? random.below(divided.shared) : 0);
        divided.swap = random.below(1 << 20);
        AttributedRow& missing = room.rows.find_or_add(RowKind::unnamed, "");
        room.rows.settle(divided, missing);
        Figures found = room.rows.sum();
        CHECK_EQUAL(found.rss, divided.rss);
        CHECK_EQUAL(found.priv, divided.priv);
        CHECK_EQUAL(found.shared, divided.shared);
        CHECK_EQUAL(found.private_dirty, divided.private_dirty);
        CHECK_EQUAL(found.shared_dirty, divided.shared_dirty);
        CHECK_EQUAL(found.pss, divided.pss);
        CHECK_EQUAL(found.swap, divided.swap);
        for (size_t i = 0; i < room.rows.size(); ++i) {
            const Figures& row = room.rows[i].figures;
            CHECK_EQUAL(row.rss, row.priv + row.shared);
            CHECK(row.private_dirty <= row.priv && row.shared_dirty <= row.shared);
            CHECK(row.pss >= row.priv && row.pss <= row.rss);
        }
        // The process as a whole did not stand still either.
        Figures wanted = divided;
        if (random.one_in(2)) wanted.priv = random.below(wanted.priv * 2 + 1);
        if (random.one_in(2)) wanted.shared = random.below(wanted.shared * 2 + 1);
        wanted.rss = wanted.priv + wanted.shared;
        wanted.private_dirty = random.below(wanted.priv + 1);
        wanted.shared_dirty = random.below(wanted.shared + 1);
        wanted.pss = wanted.priv + random.below(wanted.shared + 1);
        wanted.swap = random.below(1 << 20);
        room.rows.reconcile(wanted, missing);
        CHECK(room.rows.sum() == wanted);
        for (size_t i = 0; i < room.rows.size(); ++i) {
            const Figures& row = room.rows[i].figures;
            CHECK_EQUAL(row.rss, row.priv + row.shared);
            CHECK(row.private_dirty <= row.priv && row.shared_dirty <= row.shared);
            CHECK(row.pss >= row.priv && row.pss <= row.rss);
        }
    }
}

TEST(whole_mappings_keep_their_figures) {
    Rows room;
    Figures whole{
        .rss = 8192, .priv = 4096, .shared = 4096, .private_dirty = 4096, .shared_dirty = 0, .pss = 5000, .swap = 7};
    room.rows.find_or_add(RowKind::library, "a").figures += whole;
    AttributedRow& missing = room.rows.find_or_add(RowKind::unnamed, "");
    room.rows.settle({}, missing);
    CHECK(room.rows.sum() == whole);
}

TEST(the_earlier_source_wins_and_every_address_belongs_to_one) {
    check::Random random(21);
    constexpr uintptr_t kUnits = 400;
    for (int round = 0; round < 200 * check::kScale; ++round) {
        std::vector<std::vector<Claim>> claims(AddressClaims::kSources);
        std::vector<int> owner(kUnits, int(AddressClaims::kNobody));
        AddressClaims all;
        for (size_t source = AddressClaims::kSources; source-- > 0;) {
            for (uint64_t i = random.below(12); i-- > 0;) {
                const uintptr_t start = random.below(kUnits), end = std::min(kUnits, start + random.below(60));
                claims[source].push_back({start, end, uint32_t(i)});
                for (uintptr_t at = start; at < end; ++at) owner[at] = int(source);
            }
            all.set(source, claims[source].data(), claims[source].size());
        }
        for (uintptr_t at = 0; at < kUnits;) {
            const AddressClaims::Stretch stretch = all.at(at, kUnits);
            CHECK_EQUAL(stretch.start, at);
            REQUIRE(stretch.end > at && stretch.end <= kUnits);
            for (uintptr_t unit = at; unit < stretch.end; ++unit) CHECK_EQUAL(int(stretch.source), owner[unit]);
            at = stretch.end;
        }
        for (int i = 0; i < 100; ++i) {
            const uintptr_t at = random.below(kUnits);
            CHECK_EQUAL(int(all.at(at, kUnits).source), owner[at]);
        }
    }
}

TEST(within_a_source_the_claim_that_came_first_keeps_what_it_has) {
    check::Random random(33);
    constexpr uintptr_t kUnits = 300;
    for (int round = 0; round < 300 * check::kScale; ++round) {
        std::vector<Claim> claims(64);
        std::vector<int> owner(kUnits, -1);
        size_t count = 0;
        for (uint32_t number = 0; number < 15; ++number) {
            const uintptr_t start = random.below(kUnits), end = std::min(kUnits, start + random.below(80));
            count = add_uncovered(claims.data(), count, claims.size(), {start, end, number});
            for (uintptr_t at = start; at < end; ++at) owner[at] = owner[at] < 0 ? int(number) : owner[at];
        }
        std::vector<int> found(kUnits, -1);
        for (size_t i = 0; i < count; ++i) {
            CHECK(claims[i].start < claims[i].end && (i == 0 || claims[i - 1].end <= claims[i].start));
            for (uintptr_t at = claims[i].start; at < claims[i].end; ++at) found[at] = int(claims[i].number);
        }
        CHECK(found == owner);
    }
    Claim one[1];
    CHECK_EQUAL(add_uncovered(one, 0, 1, {1, 5, 0}), 1u);
    CHECK_EQUAL(add_uncovered(one, 1, 1, {0, 9, 1}), 1u);
}

TEST(memory_belongs_to_the_library_with_the_most_pointers_into_it) {
    std::vector<OwnedStretch> room(DataPointers::kCapacity);
    static char window[DataPointers::kWindow];
    DataPointers pointers(room.data(), window);
    CHECK(pointers.add(0x10000, 0x20000, {100, 0}, false));
    CHECK(pointers.add(0x20000, 0x28000, {10, 5}, true));  // the same mapping, further on
    CHECK(pointers.add(0x50000, 0x60000, {7, 0}, false));
    CHECK(pointers.add(0x90000, 0x91000, {1, 0}, false));
    CHECK_EQUAL(pointers.size(), 3u);
    CHECK_EQUAL(pointers.total(), 123u);
    const SafeReader reader(true);
    const auto read = [&](std::vector<uint64_t> data, uint32_t library) {
        const auto start = reinterpret_cast<uintptr_t>(data.data());
        const Run run{start, start + data.size() * sizeof(uint64_t), false};
        pointers.read(reader, ResidentRuns(&run, 1));
        pointers.finish_library(library);
    };
    read({0x10000, 0x4ffff, 0x8ffff, 0x91000, 0}, 1);
    read({0x27fff, 0x15000, 0x5ffff}, 2);
    read({0x28000, 0x9fff, 0x5ffff}, 3);
    CHECK_EQUAL(pointers[0].owner, 2u);
    CHECK_EQUAL(pointers[0].votes, 2u);
    CHECK_EQUAL(pointers[1].owner, 2u);
    CHECK_EQUAL(pointers[2].votes, 0u);
}
