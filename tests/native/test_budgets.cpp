#include "memory/budgets.h"

#include "check.h"
#include "memory/history.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

constexpr ComponentId kProcess = Components::kOther;

// Budgets of their own: those of the process are the module's.
Budgets fresh() {
    CHECK(tracker.reserve() && history.reserve());
    return {};
}

}  // namespace

TEST(a_crossing_is_told_once_and_again_only_after_use_was_under_95_percent) {
    Budgets some = fresh();
    const size_t number = some.add(kProcess, 1000, 0);
    CHECK(!some.compare(1000, 1000, components));
    CHECK(some.compare(1001, 1001, components));
    CHECK(some.take_crossing(number));
    CHECK(!some.take_crossing(number));
    CHECK(!some.compare(1500, 1500, components));
    CHECK(!some.compare(950, 1500, components));
    CHECK(!some.compare(1100, 1500, components));
    CHECK(some[number].over);
    CHECK(!some.compare(949, 1500, components));
    CHECK(!some[number].over);
    CHECK(some.compare(1100, 1500, components));
    CHECK_EQUAL(some[number].times_exceeded, 2u);
    CHECK_EQUAL(some[number].crossing_bytes, 1100u);
    CHECK_EQUAL(some[number].highest_bytes, 1500u);
}

TEST(a_new_peak_between_two_comparisons_counts_even_if_it_is_over) {
    Budgets some = fresh();
    const size_t number = some.add(kProcess, 1000, 700);
    CHECK(!some.compare(500, 700, components));
    CHECK(some.compare(500, 1200, components));
    CHECK_EQUAL(some[number].crossing_bytes, 1200u);
    CHECK_EQUAL(some[number].used_bytes, 500u);
    CHECK(some.take_crossing(number));
    CHECK(!some.compare(500, 1200, components));
    CHECK(some.compare(500, 1201, components));
}

TEST(a_peak_from_before_the_budget_does_not_count) {
    Budgets some = fresh();
    some.add(kProcess, 1000, 5000);
    CHECK(!some.compare(500, 5000, components));
}

TEST(a_crossing_that_nobody_took_waits) {
    Budgets some = fresh();
    const size_t number = some.add(kProcess, 10, 0);
    CHECK(some.compare(20, 20, components));
    CHECK(some.compare(5, 20, components));
    CHECK(some.take_crossing(number));
    CHECK(!some.compare(5, 20, components));
}

TEST(budgets_are_removed_and_their_numbers_given_out_again) {
    Budgets some = fresh();
    CHECK(!some.any());
    size_t numbers[Budgets::kMost];
    for (size_t& number : numbers) number = some.add(kProcess, 10, 0);
    CHECK_EQUAL(some.add(kProcess, 10, 0), Budgets::kMost);
    CHECK(some.compare(20, 20, components));
    some.remove(numbers[7]);
    some.remove(numbers[7]);
    CHECK(!some.take_crossing(numbers[7]));
    CHECK_EQUAL(some.add(kProcess, 30, 20), numbers[7]);
    CHECK_EQUAL(some[numbers[7]].times_exceeded, 0u);
    for (const size_t number : numbers) some.remove(number);
    CHECK(!some.any());
    some.remove(Budgets::kMost + 5);
}

TEST(a_component_is_compared_with_its_own_sum) {
    Budgets some = fresh();
    Settings settings;
    settings.native = true;
    tracker.begin(settings);
    SlowLock lock;
    history.clear();
    components.clear_rules();
    components.add_rule("/shop/", "shop");
    const ComponentId shop = components.number_of("shop");
    const size_t number = some.add(shop, 100, 0);
    const SiteId in = tracker.sites.find_or_add({tracker.strings.intern("/shop/a.py"), 1, 1, Domain::native}, 0);
    const SiteId out = tracker.sites.find_or_add({tracker.strings.intern("/bank/a.py"), 1, 1, Domain::native}, 0);
    tracker.charge(in, 1, 60), tracker.charge(out, 1, 6000);
    components.sum_up();
    CHECK(!some.compare(6060, 6060, components));
    CHECK_EQUAL(some[number].used_bytes, 60u);
    tracker.charge(in, 1, 60);
    components.sum_up();
    CHECK(some.compare(6120, 6120, components));
    CHECK_EQUAL(some[number].crossing_bytes, 120u);
    tracker.end();
}

TEST(a_budget_that_is_not_armed_is_not_looked_at) {
    Budgets some = fresh();
    const size_t number = some.add(kProcess, 10, 0, false);
    CHECK(!some.compare(20, 20, components));
    some.arm();
    CHECK(some.compare(20, 20, components));
    CHECK(some.take_crossing(number));
}

TEST(after_a_fork_nobody_waits_and_nothing_is_over) {
    Budgets some = fresh();
    const size_t number = some.add(kProcess, 10, 0);
    CHECK(some.compare(20, 20, components));
    some.forget_crossings();
    CHECK(!some.take_crossing(number));
    CHECK(some.compare(20, 20, components));
    CHECK_EQUAL(some[number].times_exceeded, 2u);
}

TEST(after_a_fork_the_peak_of_the_parent_is_no_news) {
    Budgets some = fresh();
    const size_t number = some.add(kProcess, 10, 500);
    some.forget_crossings();
    CHECK(!some.compare(5, 500, components));
    CHECK(some.compare(5, 501, components));
    CHECK_EQUAL(some[number].times_exceeded, 1u);
}

TEST(a_new_session_has_a_peak_of_its_own) {
    Budgets some = fresh();
    some.add(kProcess, 10, 500);
    some.start_again();
    CHECK(some.compare(5, 20, components));
}
