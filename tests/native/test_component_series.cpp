#include "memory/component_series.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "memory/history.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

void begin() {
    REQUIRE(tracker.reserve() && history.reserve());
    Settings settings;
    settings.native = true;
    tracker.begin(settings);
    SlowLock lock;
    history.clear();
    components.clear_rules();
    components.add_rule("*/packages/", "*");
}

SiteId site(uint32_t package) {
    SlowLock lock;
    const std::string file = "/packages/p" + std::to_string(package) + "/x.py";
    return tracker.sites.find_or_add({tracker.strings.intern(file), 1, 1, Domain::mapped}, 0);
}

void note(uint32_t tick) {
    SlowLock lock;
    history.note(tick, uint64_t{tick} * 250);
}

using Bytes = std::map<std::string, uint64_t>;
struct Step {
    ComponentSeries::Row row;
    Bytes bytes;
};

std::vector<Step> steps() {
    std::vector<Step> found;
    component_series.rows([&](const ComponentSeries::Row& row, size_t cell) {
        Bytes bytes;
        for (size_t column = 0; column < component_series.columns(); ++column) {
            const auto name = tracker.strings[components.name(component_series.component(column))];
            bytes[std::string(name)] = component_series.bytes(column, cell);
        }
        found.push_back({row, bytes});
    });
    return found;
}

}  // namespace

TEST(each_step_has_what_every_component_held_at_its_end) {
    begin();
    constexpr uint32_t kPackages = 5, kTicks = 3000;
    std::vector<Bytes> at_tick(kTicks + 1);
    uint64_t live[kPackages] = {};
    check::Random random(5);
    for (uint32_t tick = 1; tick <= kTicks; ++tick) {
        const auto package = static_cast<uint32_t>(random.below(kPackages));
        const uint64_t bytes = 1 + random.below(100000);
        tracker.charge(site(package), 1, bytes), live[package] += bytes;
        if (random.one_in(5))
            tracker.discharge(site(package), 1, live[package] / 2), live[package] -= live[package] / 2;
        note(tick);
        for (uint32_t i = 0; i < kPackages; ++i) at_tick[tick]["p" + std::to_string(i)] = live[i];
    }
    const std::vector<Step> found = steps();
    CHECK(found.size() > ComponentSeries::kFineRows);
    CHECK(found.size() <= ComponentSeries::kFineRows + ComponentSeries::kCoarseRows);
    uint64_t last_end = 0;
    for (const Step& step : found) {
        CHECK(step.row.end_ms > last_end);
        last_end = step.row.end_ms;
        uint64_t sum = 0;
        for (const auto& [name, bytes] : step.bytes) {
            CHECK_EQUAL(bytes, at_tick[step.row.end_ms / 250][name]);
            sum += bytes;
        }
        CHECK_EQUAL(step.row.last_bytes, sum);
        CHECK(step.row.lowest_bytes <= sum && sum <= step.row.highest_bytes);
        CHECK(step.row.rss_bytes > 0);
    }
    CHECK_EQUAL(last_end, kTicks * 250u);
    tracker.end();
}

TEST(merged_steps_keep_the_extremes_of_their_parts) {
    begin();
    const SiteId one = site(1);
    uint64_t live = 0;
    std::vector<uint64_t> level{0};
    check::Random random(9);
    for (uint32_t tick = 1; tick <= 2000; ++tick) {
        tracker.charge(one, 1, 1000), live += 1000;
        if (random.one_in(20)) tracker.discharge(one, 1, live - 500), live = 500;
        note(tick);
        level.push_back(live);
    }
    const std::vector<Step> found = steps();
    REQUIRE(found.size() > ComponentSeries::kFineRows);
    size_t begin = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        const size_t end = found[i].row.end_ms / 250;
        if (i + ComponentSeries::kFineRows >= found.size()) begin = end - 1;  // a fine step is one tick
        const auto first = level.begin() + static_cast<long>(begin) + 1,
                   last = level.begin() + static_cast<long>(end) + 1;
        CHECK_EQUAL(found[i].row.lowest_bytes, *std::min_element(first, last));
        CHECK(found[i].row.highest_bytes >= *std::max_element(first, last));
        CHECK_EQUAL(found[i].row.last_bytes, level[end]);
        begin = end;
    }
    tracker.end();
}

TEST(a_large_newcomer_takes_the_column_of_the_smallest) {
    begin();
    for (uint32_t i = 0; i < ComponentSeries::kColumns; ++i) tracker.charge(site(i), 1, 1000 + i);
    note(1);
    tracker.charge(site(100), 1, 1500);  // not twice the smallest: stays with the others
    note(2);
    CHECK_EQUAL(component_series.columns(), size_t{ComponentSeries::kColumns});
    CHECK_EQUAL(steps().back().bytes.count("p100"), 0u);
    tracker.charge(site(100), 1, 5000);
    note(3);
    const std::vector<Step> found = steps();
    CHECK_EQUAL(found.back().bytes.count("p0"), 0u);
    REQUIRE(found.back().bytes.count("p100") == 1);
    CHECK_EQUAL(found.back().bytes.at("p100"), 6500u);
    CHECK_EQUAL(found.front().bytes.at("p100"), 0u);
    uint64_t named = 0;
    for (const auto& [name, bytes] : found.front().bytes) named += bytes;
    CHECK_EQUAL(found.front().row.last_bytes - named, 1000u);  // p0 has become one of the others
    tracker.end();
}

TEST(a_new_session_has_no_steps) {
    begin();
    tracker.charge(site(1), 1, 10);
    note(1);
    begin();
    CHECK(steps().empty());
    CHECK_EQUAL(component_series.columns(), 0u);
    tracker.end();
}
