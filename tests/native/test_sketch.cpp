// The rotation and its inverse, and the sums of a scan at their limits.

#include "search/sketch.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"

using flyweight::search::encode_sketch;
using flyweight::search::has_sketches;
using flyweight::search::kMaxDimensions;
using flyweight::search::rotate;
using flyweight::search::rotate_back;
using flyweight::search::sketch_block_bytes;
using flyweight::search::SketchQuery;

namespace {

constexpr size_t kLanes = 64;
// Powers of two are rotated by one transform, all others by two that overlap.
constexpr size_t kDimensions[] = {8, 24, 64, 256, 384, 1000, 1024, 1536, 2048, 2064, 2072, 3072, 4088, 4096};

std::vector<float> random_unit(check::Random& random, size_t dimensions) {
    std::vector<float> vector(dimensions);
    double squared = 0.0;
    for (float& component : vector) {
        component = static_cast<float>(static_cast<double>(random.below(2'000'001)) / 1'000'000.0 - 1.0);
        squared += double{component} * component;
    }
    for (float& component : vector) component /= static_cast<float>(std::sqrt(squared));
    return vector;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
    return sum;
}

std::vector<float> rotated(const std::vector<float>& vector) {
    std::vector<float> out(vector.size());
    rotate(vector.data(), vector.size(), out.data());
    return out;
}

// What the bits of a block say of a lane, added up in doubles.
double looked_up(const std::vector<uint8_t>& block, size_t lane, const std::vector<float>& query) {
    double sum = 0.0;
    for (size_t i = 0; i < query.size(); ++i) {
        const unsigned code = block[i / 4 * 32 + lane % 32] >> (lane < 32 ? 0 : 4);
        sum += (code >> (i % 4) & 1U) != 0 ? query[i] : -query[i];
    }
    return sum;
}

// Every lane's estimate against that, for a rotated query.
void check_scan(const std::vector<float>& query, const std::vector<std::vector<float>>& chunks) {
    const size_t dimensions = query.size();
    std::vector<uint8_t> block(sketch_block_bytes(dimensions));
    for (size_t lane = 0; lane < kLanes; ++lane) {
        encode_sketch(chunks[lane % chunks.size()].data(), dimensions, lane, block.data());
    }
    const std::vector<float> factors(kLanes, 1.0F);
    float estimates[kLanes];
    const SketchQuery scan(query.data(), dimensions);
    const uint64_t above = scan.scan_block(block.data(), factors.data(), 0.0F, estimates);
    double widest = 0.0;
    for (size_t i = 0; i < dimensions; i += 4) {
        double range = 0.0;
        for (size_t j = 0; j < 4; ++j) range += 2.0 * std::fabs(query[i + j]);
        widest = std::max(widest, range);
    }
    // Each of dimensions / 4 look-ups is off by half a step at most, and a step is a 63rd of the widest.
    const double tolerance = static_cast<double>(dimensions) / 4 * widest / 63 / 2 + 1e-4;
    for (size_t lane = 0; lane < kLanes; ++lane) {
        const double expected = looked_up(block, lane, query);
        CHECK(std::fabs(estimates[lane] - expected) <= tolerance);
        CHECK_EQUAL(above >> lane & 1U, static_cast<uint64_t>(estimates[lane] > 0.0F));
    }
}

}  // namespace

TEST(rotating_back_undoes_rotating) {
    check::Random random(1);
    for (const size_t dimensions : kDimensions) {
        const std::vector<float> vector = random_unit(random, dimensions);
        std::vector<float> back(dimensions);
        rotate_back(rotated(vector).data(), dimensions, back.data());
        for (size_t i = 0; i < dimensions; ++i) CHECK(std::fabs(back[i] - vector[i]) < 1e-6F);
    }
}

TEST(rotating_undoes_rotating_back) {
    check::Random random(2);
    for (const size_t dimensions : kDimensions) {
        const std::vector<float> vector = random_unit(random, dimensions);
        std::vector<float> back(dimensions);
        rotate_back(vector.data(), dimensions, back.data());
        const std::vector<float> again = rotated(back);
        for (size_t i = 0; i < dimensions; ++i) CHECK(std::fabs(again[i] - vector[i]) < 1e-6F);
    }
}

TEST(rotation_keeps_scalar_products) {
    check::Random random(3);
    for (const size_t dimensions : kDimensions) {
        const std::vector<float> a = random_unit(random, dimensions);
        const std::vector<float> b = random_unit(random, dimensions);
        CHECK(std::fabs(dot(rotated(a), rotated(b)) - dot(a, b)) < 1e-5);
    }
}

TEST(a_scan_adds_up_right_in_any_dimensions) {
    check::Random random(4);
    for (const size_t dimensions : kDimensions) {
        std::vector<std::vector<float>> chunks;
        for (size_t i = 0; i < kLanes; ++i) chunks.push_back(rotated(random_unit(random, dimensions)));
        check_scan(rotated(random_unit(random, dimensions)), chunks);
    }
}

// Components that are all alike make every row as wide as the widest: the sums reach what 16 bits hold.
TEST(a_scan_adds_up_right_where_the_sums_are_greatest) {
    for (const size_t dimensions : kDimensions) {
        const float size = 1.0F / std::sqrt(static_cast<float>(dimensions));
        const std::vector<float> same(dimensions, size);
        const std::vector<float> opposite(dimensions, -size);
        check_scan(same, {same, opposite});
        check_scan(opposite, {same, opposite});
    }
}

TEST(dimensions_are_a_multiple_of_8_up_to_the_most) {
    CHECK(has_sketches(8));
    CHECK(has_sketches(kMaxDimensions));
    for (const size_t dimensions : {size_t{0}, size_t{4}, size_t{100}, kMaxDimensions + 8}) {
        CHECK(!has_sketches(dimensions));
    }
}
