// Strings, stacks and samples: the tables of the slow path.
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "memory/sample_table.h"
#include "memory/slow_lock.h"
#include "memory/stack_table.h"
#include "memory/string_table.h"

using namespace flyweight::memory;

static StringTable strings;
static StackTable stacks;
static SampleTable samples;

TEST(equal_strings_have_one_number) {
    REQUIRE(strings.reserve());
    std::vector<uint32_t> numbers;
    for (int i = 0; i < 50000; ++i) numbers.push_back(strings.intern("/lib/module_" + std::to_string(i) + ".py"));
    for (int i = 0; i < 50000; ++i) {
        const std::string text = "/lib/module_" + std::to_string(i) + ".py";
        CHECK_EQUAL(strings.intern(text), numbers[size_t(i)]);
        CHECK(strings[numbers[size_t(i)]] == text);
    }
    CHECK_EQUAL(strings.intern(""), 0u);
    CHECK(strings[0].empty());
    CHECK(strings[1 << 30].empty());
}

TEST(strings_may_hold_zero_bytes_and_long_ones_keep_their_end) {
    REQUIRE(strings.reserve());
    const std::string with_zero("a\0b", 3);
    CHECK(strings[strings.intern(with_zero)] == with_zero);
    CHECK(strings.intern(std::string("a\0c", 3)) != strings.intern(with_zero));
    const std::string text = std::string(5000, 'x') + "/end.py";
    const std::string_view kept = strings[strings.intern(text)];
    CHECK_EQUAL(kept.size(), StringTable::kLongestName);
    CHECK(kept.ends_with("/end.py"));
}

TEST(equal_stacks_have_one_number_and_share_their_beginnings) {
    REQUIRE(stacks.reserve());
    stacks.clear();
    const StackId a = stacks.push(stacks.push(0, 1, true), 2, false);
    const size_t nodes = stacks.size();
    CHECK_EQUAL(stacks.push(stacks.push(0, 1, true), 2, false), a);
    CHECK_EQUAL(stacks.size(), nodes);
    CHECK(stacks.push(stacks.push(0, 1, false), 2, false) != a);  // entered from C or not
    CHECK(stacks.push(a, 2, false) != a);                         // recursion
    CHECK_EQUAL(stacks[a].place, 2u);
    CHECK_EQUAL(stacks[stacks[a].caller].place, 1u);
}

TEST(a_full_stack_table_gives_the_callers_node) {
    REQUIRE(stacks.reserve());
    stacks.clear();
    StackId at = 0;
    for (size_t i = 1; i < StackTable::kCapacity; ++i)
        at = stacks.push(at % 1000, static_cast<SiteId>(i & 0xfffff), false);
    for (uint32_t i = 0; i < 10; ++i) CHECK_EQUAL(stacks.push(7, 0x80000 + i, true), 7u);
    stacks.clear();
    CHECK_EQUAL(stacks.size(), 1u);
}

TEST(native_stacks_are_kept_once) {
    REQUIRE(stacks.reserve());
    stacks.clear();
    check::Random random(5);
    std::map<std::vector<uintptr_t>, uint32_t> reference;
    for (int i = 0; i < 20000; ++i) {
        std::vector<uintptr_t> addresses(1 + random.below(40));
        for (uintptr_t& address : addresses) address = random.below(4);
        const uint32_t number = stacks.intern_native(addresses.data(), addresses.size());
        CHECK(number != 0);
        const auto [at, fresh] = reference.emplace(addresses, number);
        CHECK_EQUAL(at->second, number);
        const uintptr_t* kept = nullptr;
        REQUIRE(stacks.native(number, &kept) == addresses.size());
        CHECK(std::vector<uintptr_t>(kept, kept + addresses.size()) == addresses);
    }
    const uintptr_t* kept = nullptr;
    CHECK_EQUAL(stacks.intern_native(nullptr, 0), 0u);
    CHECK_EQUAL(stacks.native(0, &kept), 0u);
    CHECK_EQUAL(stacks.native(1 << 30, &kept), 0u);
}

TEST(samples_sum_up_in_their_rows) {
    REQUIRE(samples.reserve());
    samples.clear();
    check::Random random(6);
    struct Sum {
        uint64_t total = 0, live = 0;
        double total_bytes = 0, live_bytes = 0;
    };
    std::map<uint32_t, Sum> reference;
    std::vector<uint32_t> live;
    for (int i = 0; i < 100000; ++i) {
        if (!live.empty() && random.one_in(2)) {
            const size_t at = random.below(live.size());
            const Sample sample = samples[live[at]];
            samples.remove(live[at], {1.0, double(sample.size), 0});
            --reference[sample.row].live, reference[sample.row].live_bytes -= double(sample.size);
            live[at] = live.back(), live.pop_back();
            continue;
        }
        const uint32_t stack = uint32_t(random.below(50)), native = uint32_t(random.below(3));
        const auto domain = static_cast<Domain>(random.below(2));
        const uint32_t row = samples.find_or_add_row(stack, native, domain, 1, 0);
        CHECK_EQUAL(samples.find_or_add_row(stack, native, domain, 1, 9), row);
        const uint64_t size = 1 + random.below(10000);
        const uint32_t number = samples.add({16 * (uintptr_t(i) + 1), size, row, 1, 0, 0}, {1.0, double(size), 0});
        CHECK(number != 0);
        live.push_back(number);
        Sum& sum = reference[row];
        ++sum.total, ++sum.live, sum.total_bytes += double(size), sum.live_bytes += double(size);
    }
    CHECK_EQUAL(samples.row_count() - 1, reference.size());
    for (const auto& [number, sum] : reference) {
        const StackRow& row = samples.row(number);
        CHECK_EQUAL(row.total_samples, sum.total);
        CHECK_EQUAL(row.live_samples, sum.live);
        CHECK(row.total_bytes == sum.total_bytes && row.live_bytes == sum.live_bytes);
    }
    samples.clear();
}

TEST(a_full_sample_table_drops_and_takes_again_what_is_given_back) {
    REQUIRE(samples.reserve());
    samples.clear();
    const uint32_t row = samples.find_or_add_row(1, 0, Domain::python, 1, 0);
    uint32_t last = 0;
    for (size_t i = 1; i < SampleTable::kCapacity; ++i) last = samples.add({i * 16, 1, row, 1, 0, 0}, {1, 1, 0});
    CHECK(last != 0);
    CHECK_EQUAL(samples.add({32, 1, row, 1, 0, 0}, {1, 1, 0}), 0u);
    CHECK_EQUAL(samples.dropped(), 1u);
    samples.remove(last, {1, 1, 0});
    CHECK_EQUAL(samples.add({32, 1, row, 1, 0, 0}, {1, 1, 0}), last);
    samples.clear();
}

TEST(the_slow_lock_may_be_taken_again_by_its_holder_and_keeps_others_out) {
    const unsigned long before = SlowLock::times_taken();
    int guarded = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 10000; ++i) {
                SlowLock outer;
                SlowLock inner;
                ++guarded;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(guarded, 40000);
    CHECK_EQUAL(SlowLock::times_taken() - before, 80000u);
}
