#include "memory/components.h"

#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "memory/history.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

using Rules = std::vector<std::pair<std::string, std::string>>;

void set_rules(const Rules& rules) {
    SlowLock lock;
    components.clear_rules();
    for (const auto& [pattern, name] : rules) CHECK(components.add_rule(pattern, name));
}

std::string component_at(const char* path) {
    SlowLock lock;
    return std::string(tracker.strings[components.name(components.number_of_path(path))]);
}

SiteId site(const char* file, uint32_t line, Domain domain = Domain::python, const char* library = "") {
    SlowLock lock;
    return tracker.sites.find_or_add({tracker.strings.intern(file), tracker.strings.intern("f"), line, domain,
                                      library[0] != 0 ? tracker.strings.intern(library) : 0},
                                     0);
}

std::string component_of(SiteId site) {
    SlowLock lock;
    components.assign_new_sites();
    return std::string(tracker.strings[components.name(components.of(site))]);
}

void begin() {
    REQUIRE(tracker.reserve() && history.reserve());
    Settings settings;
    settings.native = true;
    tracker.begin(settings);
    SlowLock lock;
    history.clear();
}

}  // namespace

TEST(a_pattern_matches_whole_names) {
    CHECK_EQUAL(reach("/srv/shop", "/srv/shop"), 9u);
    CHECK_EQUAL(reach("/srv/shop", "/srv/shop/cart.py"), 9u);
    CHECK_EQUAL(reach("/srv/shop", "/srv/shop.py"), 9u);
    CHECK_EQUAL(reach("/srv/shop", "/srv/shopping.py"), 0u);
    CHECK_EQUAL(reach("/srv/shop/", "/srv/shop/cart.py"), 10u);
    CHECK_EQUAL(reach("/srv/shop/", "/srv/shop"), 0u);
    CHECK_EQUAL(reach("<frozen os", "<frozen os>"), 10u);
    CHECK_EQUAL(reach("", "/srv"), 0u);
}

TEST(a_star_at_the_end_is_any_rest_and_one_at_the_beginning_any_place) {
    CHECK_EQUAL(reach("/lib/lib*", "/lib/libssl.so"), 8u);
    CHECK_EQUAL(reach("*/site-packages/", "/a/site-packages/numpy/x.py"), 17u);
    // The last of several: a package may bring packages of its own.
    CHECK_EQUAL(reach("*/site-packages/", "/site-packages/a/site-packages/b.py"), 31u);
    CHECK_EQUAL(reach("*/site-packages/aws*", "/v/site-packages/awscrt/io.py"), 20u);
    CHECK_EQUAL(reach("*/site-packages/lance", "/v/site-packages/lancedb/x.py"), 0u);
    CHECK_EQUAL(reach("*", "anything"), 0u);
}

TEST(the_rule_that_reaches_furthest_wins_and_among_equals_the_later) {
    begin();
    set_rules(
        {{"/srv/", "program"}, {"/srv/shop/", "shop"}, {"/srv/shop/db", "database"}, {"/opt/", "a"}, {"/opt/", "b"}});
    CHECK(component_at("/srv/x.py") == "program");
    CHECK(component_at("/srv/shop/cart.py") == "shop");
    CHECK(component_at("/srv/shop/db/model.py") == "database");
    CHECK(component_at("/opt/x.py") == "b");
    tracker.end();
}

TEST(a_path_without_a_rule_belongs_to_the_program) {
    begin();
    set_rules({{"/srv/", "shop"}});
    CHECK(component_at("/home/x.py") == "program");
    CHECK(component_at("") == "program");
    tracker.end();
}

TEST(the_name_star_is_the_next_name_of_the_path) {
    begin();
    set_rules({{"*/site-packages/", "*"}, {"*/site-packages/boto3", "aws"}});
    CHECK(component_at("/v/site-packages/numpy/core/x.py") == "numpy");
    CHECK(component_at("/v/site-packages/numpy.libs/libblas.so") == "numpy");
    CHECK(component_at("/v/site-packages/six.py") == "six");
    CHECK(component_at("/v/site-packages/_cffi.cpython-311-x86_64-linux-gnu.so") == "_cffi");
    CHECK(component_at("/v/site-packages/.hidden/x.py") == ".hidden");
    CHECK(component_at("/v/site-packages/boto3/session.py") == "aws");
    CHECK(component_at("/v/site-packages/") == "program");
    tracker.end();
}

TEST(sites_are_assigned_anew_when_rules_change) {
    begin();
    set_rules({{"/srv/", "shop"}});
    const SiteId cart = site("/srv/cart.py", 1), tool = site("/bin/tool.py", 1);
    CHECK(component_of(cart) == "shop" && component_of(tool) == "program");
    set_rules({{"/srv/", "shop"}, {"/srv/cart", "cart"}, {"/bin/", "tools"}});
    CHECK(component_of(cart) == "cart" && component_of(tool) == "tools");
    CHECK(component_of(site("/srv/cart.py", 2)) == "cart");
    tracker.end();
}

TEST(the_library_that_called_decides_before_the_file) {
    begin();
    set_rules({{"/srv/", "shop"}, {"*/site-packages/", "*"}});
    CHECK(component_of(site("/srv/a.py", 1, Domain::native, "/v/site-packages/numpy/core.so")) == "numpy");
    CHECK(component_of(site("/srv/a.py", 1, Domain::python)) == "shop");
    tracker.end();
}

TEST(sums_are_those_of_the_sites) {
    begin();
    set_rules({{"/a/", "a"}, {"/b/", "b"}});
    tracker.charge(site("/a/x.py", 1), 2, 100);
    tracker.charge(site("/a/x.py", 2), 1, 50);
    tracker.charge(site("/b/x.py", 1), 1, 7);
    SlowLock lock;
    components.sum_up();
    const auto& a = components.sum(components.number_of("a"));
    const auto& b = components.sum(components.number_of("b"));
    CHECK(a.live_bytes == 150 && a.live_count == 3 && b.live_bytes == 7 && b.live_count == 1);
    components.sum_up();
    CHECK_EQUAL(components.sum(components.number_of("a")).live_bytes, 150u);
    tracker.end();
}

TEST(what_has_no_number_any_more_is_other) {
    begin();
    set_rules({{"*/packages/", "*"}});
    for (uint32_t i = 0; i < 2 * Components::kMostComponents; ++i) {
        component_at(("/packages/p" + std::to_string(i) + "/x.py").c_str());
    }
    CHECK(component_at("/packages/p1/x.py") == "p1");
    CHECK(component_at(("/packages/p" + std::to_string(2 * Components::kMostComponents - 1) + "/x.py").c_str()) ==
          "(other)");
    CHECK_EQUAL(components.count(), Components::kMostComponents);
    tracker.end();
}

TEST(more_rules_than_there_is_room_for_are_refused) {
    begin();
    SlowLock lock;
    components.clear_rules();
    for (size_t i = 0; i < Components::kMostRules; ++i) CHECK(components.add_rule("/r" + std::to_string(i), "r"));
    CHECK(!components.add_rule("/more", "r"));
    tracker.end();
}

TEST(packed_bytes_are_exact_up_to_two_gigabytes_and_whole_pages_beyond) {
    check::Random random(11);
    for (int i = 0; i < 1000; ++i) {
        const uint64_t small = random.below(uint64_t{1} << 31);
        CHECK_EQUAL(uint64_t{PackedBytes(small)}, small);
        const uint64_t large = (uint64_t{1} << 31) + random.below(uint64_t{1} << 42);
        const uint64_t kept = PackedBytes(large);
        CHECK(kept <= large && large - kept < kPageSize);
    }
    CHECK_EQUAL(uint64_t{PackedBytes((uint64_t{1} << 31) - 1)}, (uint64_t{1} << 31) - 1);
    CHECK_EQUAL(uint64_t{PackedBytes(uint64_t{1} << 31)}, uint64_t{1} << 31);
    CHECK(uint64_t{PackedBytes(UINT64_MAX)} > uint64_t{1} << 42);
}
