// Sampled estimates against the truth, over a thousand seeds.
#include "memory/sampler.h"

#include <cmath>
#include <thread>
#include <vector>

#include "check.h"

using namespace flyweight::memory;

namespace {

constexpr int kRuns = 1000;

// What the hooks do for each block.
bool sampled(Sampler& sampler, uint64_t size) {
    this_thread.until_sample -= static_cast<int64_t>(size);
    return this_thread.until_sample < 0 && sampler.fire(size);
}

struct Estimate {
    double count = 0, bytes = 0, variance = 0;
};

Estimate run(const std::vector<uint32_t>& sizes, uint64_t interval, uint64_t seed) {
    static uint32_t session = 0;
    static Sampler sampler;
    sampler.start(interval, seed, ++session);
    this_thread.until_sample = 0;
    Estimate estimate;
    for (const uint32_t size : sizes) {
        if (!sampled(sampler, size)) continue;
        const Weight weight = sampler.weigh(size);
        estimate.count += weight.count, estimate.bytes += weight.bytes, estimate.variance += weight.variance;
    }
    return estimate;
}

struct Outcome {
    double covered;          // share of the runs whose 95 % interval holds the truth
    double bytes_deviation;  // of the mean estimate, in its standard errors
    double count_deviation;
};

Outcome thousand_runs(const std::vector<uint32_t>& sizes, uint64_t interval) {
    double truth = 0;
    for (const uint32_t size : sizes) truth += size;
    int covered = 0;
    double bytes = 0, bytes_squared = 0, count = 0, count_squared = 0;
    for (uint64_t seed = 1; seed <= kRuns; ++seed) {
        const Estimate estimate = run(sizes, interval, seed);
        covered += std::abs(estimate.bytes - truth) <= 1.96 * std::sqrt(estimate.variance);
        bytes += estimate.bytes, bytes_squared += estimate.bytes * estimate.bytes;
        count += estimate.count, count_squared += estimate.count * estimate.count;
    }
    const auto deviation = [](double sum, double squared, double expected) {
        const double mean = sum / kRuns, variance = squared / kRuns - mean * mean;
        return (mean - expected) / std::sqrt(variance / kRuns);
    };
    const Outcome outcome{double(covered) / kRuns, deviation(bytes, bytes_squared, truth),
                          deviation(count, count_squared, double(sizes.size()))};
    std::printf(
        "       %zu blocks, interval %llu: %.1f %% covered, mean off by %+.2f (bytes) and %+.2f (count) standard "
        "errors\n",
        sizes.size(), static_cast<unsigned long long>(interval), 100 * outcome.covered, outcome.bytes_deviation,
        outcome.count_deviation);
    return outcome;
}

void check_outcome(const std::vector<uint32_t>& sizes, uint64_t interval) {
    const Outcome outcome = thousand_runs(sizes, interval);
    CHECK(outcome.covered >= 0.93 && outcome.covered <= 0.97);
    CHECK(std::abs(outcome.bytes_deviation) < 3);
    CHECK(std::abs(outcome.count_deviation) < 3);
}

}  // namespace

TEST(estimates_of_equal_small_blocks_hold_what_they_promise) {
    check_outcome(std::vector<uint32_t>(40000, 64), 8192);
}

TEST(estimates_of_mixed_sizes_hold_what_they_promise) {
    check::Random random(1);
    std::vector<uint32_t> sizes;
    for (int i = 0; i < 20000; ++i) {
        sizes.push_back(uint32_t(random.one_in(100)  ? 20000 + random.below(400000)
                                 : random.one_in(10) ? 512 + random.below(8192)
                                                     : 1 + random.below(512)));
    }
    check_outcome(sizes, 65536);
}

TEST(estimates_of_blocks_as_large_as_the_interval_hold_what_they_promise) {
    check_outcome(std::vector<uint32_t>(4000, 524288), 524288);
}

TEST(a_block_much_larger_than_the_interval_is_always_sampled_and_weighs_itself) {
    static Sampler sampler;
    sampler.start(1024, 7, 1 << 20);
    this_thread.until_sample = 0;
    for (int i = 0; i < 1000; ++i) CHECK(sampled(sampler, 1 << 20));
    const Weight weight = sampler.weigh(1 << 20);
    CHECK(weight.bytes == double(1 << 20) && weight.count == 1 && weight.variance == 0);
}

TEST(a_seed_repeats_its_samples_and_another_gives_others) {
    const std::vector<uint32_t> sizes(10000, 100);
    const Estimate a = run(sizes, 4096, 42), b = run(sizes, 4096, 42), c = run(sizes, 4096, 43);
    CHECK(a.bytes == b.bytes && a.count == b.count);
    CHECK(a.bytes != c.bytes);
}

TEST(threads_draw_different_samples) {
    static Sampler sampler;
    sampler.start(4096, 99, 1 << 21);
    std::vector<int> first(4, -1);
    for (size_t t = 0; t < first.size(); ++t) {
        std::thread([&, t] {
            for (int i = 0; first[t] < 0; ++i) {
                if (sampled(sampler, 16)) first[t] = i;
            }
        }).join();
    }
    CHECK(first[0] != first[1] || first[1] != first[2] || first[2] != first[3]);
}

TEST(without_an_interval_nothing_is_sampled) {
    static Sampler sampler;
    sampler.start(0, 1, 1 << 22);
    this_thread.until_sample = 0;
    for (int i = 0; i < 10000; ++i) CHECK(!sampled(sampler, 1 << 20));
}

TEST(empty_blocks_are_weighed_without_a_division_by_zero) {
    static Sampler sampler;
    sampler.start(1024, 1, 1 << 23);
    const Weight weight = sampler.weigh(0);
    CHECK(std::isfinite(weight.count) && weight.bytes == 0 && std::isfinite(weight.variance));
}
