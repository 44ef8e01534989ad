#include "search/sketch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace flyweight::search {

namespace {

constexpr size_t kLanes = 64;
constexpr int kRounds = 3;  // of signs and Hadamard; two leave visible structure, four change nothing

uint64_t splitmix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

void flip_signs(float* values, size_t n, int round) {
    for (size_t i = 0; i < n; ++i) {
        if (splitmix64(static_cast<uint64_t>(round) * 65536 + i) & 1) values[i] = -values[i];
    }
}

void hadamard(float* values, size_t n) {
    for (size_t half = 1; half < n; half *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * half) {
            for (size_t i = begin; i < begin + half; ++i) {
                const float a = values[i];
                const float b = values[i + half];
                values[i] = a + b;
                values[i + half] = a - b;
            }
        }
    }
    const float norm = 1.0F / std::sqrt(static_cast<float>(n));
    for (size_t i = 0; i < n; ++i) values[i] *= norm;
}

void scan_portable(const uint8_t* tables, size_t rows, const uint8_t* block, uint16_t* sums) {
    std::fill_n(sums, kLanes, uint16_t{0});
    for (size_t row = 0; row < rows; ++row) {
        const uint8_t* table = tables + row * 16;
        const uint8_t* codes = block + row * 32;
        for (size_t j = 0; j < 32; ++j) {
            sums[j] = static_cast<uint16_t>(sums[j] + table[codes[j] & 15]);
            sums[j + 32] = static_cast<uint16_t>(sums[j + 32] + table[codes[j] >> 4]);
        }
    }
}

#if defined(__x86_64__)
// Two rows are added as bytes (a step is at most 127), then summed as 16-bit pairs: `pairs` gathers even + 256 * odd
// modulo 2^16 and `odds` the odd bytes alone, so the even sums come out by subtraction at the end.
__attribute__((target("avx2"))) inline void store_sums(__m256i pairs, __m256i odds, uint16_t* out) {
    const __m256i evens = _mm256_sub_epi16(pairs, _mm256_slli_epi16(odds, 8));
    const __m256i first = _mm256_unpacklo_epi16(evens, odds);
    const __m256i second = _mm256_unpackhi_epi16(evens, odds);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute2x128_si256(first, second, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), _mm256_permute2x128_si256(first, second, 0x31));
}

__attribute__((target("avx2"))) void scan_avx2(const uint8_t* tables, size_t rows, const uint8_t* block,
                                               uint16_t* sums) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low_pairs = _mm256_setzero_si256();
    __m256i low_odds = _mm256_setzero_si256();
    __m256i high_pairs = _mm256_setzero_si256();
    __m256i high_odds = _mm256_setzero_si256();
    for (size_t row = 0; row < rows; row += 2) {
        const auto* codes = reinterpret_cast<const __m256i*>(block + row * 32);
        const auto* table = reinterpret_cast<const __m128i*>(tables + row * 16);
        const __m256i codes_a = _mm256_loadu_si256(codes);
        const __m256i codes_b = _mm256_loadu_si256(codes + 1);
        const __m256i table_a = _mm256_broadcastsi128_si256(_mm_loadu_si128(table));
        const __m256i table_b = _mm256_broadcastsi128_si256(_mm_loadu_si128(table + 1));
        const __m256i low = _mm256_add_epi8(_mm256_shuffle_epi8(table_a, _mm256_and_si256(codes_a, nibble)),
                                            _mm256_shuffle_epi8(table_b, _mm256_and_si256(codes_b, nibble)));
        const __m256i high =
            _mm256_add_epi8(_mm256_shuffle_epi8(table_a, _mm256_and_si256(_mm256_srli_epi16(codes_a, 4), nibble)),
                            _mm256_shuffle_epi8(table_b, _mm256_and_si256(_mm256_srli_epi16(codes_b, 4), nibble)));
        low_pairs = _mm256_add_epi16(low_pairs, low);
        low_odds = _mm256_add_epi16(low_odds, _mm256_srli_epi16(low, 8));
        high_pairs = _mm256_add_epi16(high_pairs, high);
        high_odds = _mm256_add_epi16(high_odds, _mm256_srli_epi16(high, 8));
    }
    store_sums(low_pairs, low_odds, sums);
    store_sums(high_pairs, high_odds, sums + 32);
}

__attribute__((target("avx512f,avx512bw"))) inline __m256i folded(__m512i sum) {
    return _mm256_add_epi16(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
}

// As above with two rows to a register; their halves are added at the end. Wants rows in fours.
__attribute__((target("avx512f,avx512bw"))) void scan_avx512(const uint8_t* tables, size_t rows, const uint8_t* block,
                                                             uint16_t* sums) {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i spread = _mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0);  // tables a b to a a b b
    __m512i low_pairs = _mm512_setzero_si512();
    __m512i low_odds = _mm512_setzero_si512();
    __m512i high_pairs = _mm512_setzero_si512();
    __m512i high_odds = _mm512_setzero_si512();
    for (size_t row = 0; row < rows; row += 4) {
        const __m512i codes_a = _mm512_loadu_si512(block + row * 32);
        const __m512i codes_b = _mm512_loadu_si512(block + row * 32 + 64);
        const __m512i four = _mm512_loadu_si512(tables + row * 16);
        const __m512i table_a = _mm512_permutexvar_epi64(spread, four);
        const __m512i table_b = _mm512_permutexvar_epi64(_mm512_add_epi64(spread, _mm512_set1_epi64(4)), four);
        const __m512i low = _mm512_add_epi8(_mm512_shuffle_epi8(table_a, _mm512_and_si512(codes_a, nibble)),
                                            _mm512_shuffle_epi8(table_b, _mm512_and_si512(codes_b, nibble)));
        const __m512i high =
            _mm512_add_epi8(_mm512_shuffle_epi8(table_a, _mm512_and_si512(_mm512_srli_epi16(codes_a, 4), nibble)),
                            _mm512_shuffle_epi8(table_b, _mm512_and_si512(_mm512_srli_epi16(codes_b, 4), nibble)));
        low_pairs = _mm512_add_epi16(low_pairs, low);
        low_odds = _mm512_add_epi16(low_odds, _mm512_srli_epi16(low, 8));
        high_pairs = _mm512_add_epi16(high_pairs, high);
        high_odds = _mm512_add_epi16(high_odds, _mm512_srli_epi16(high, 8));
    }
    store_sums(folded(low_pairs), folded(low_odds), sums);
    store_sums(folded(high_pairs), folded(high_odds), sums + 32);
}

__attribute__((target("avx2"))) uint64_t estimate_avx2(const uint16_t* sums, const float* factors, float step,
                                                       float offset, float threshold, float* estimates) {
    uint64_t above = 0;
    for (size_t lane = 0; lane < kLanes; lane += 8) {
        const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sums + lane));
        const __m256 sum = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(narrow));
        const __m256 dot = _mm256_add_ps(_mm256_mul_ps(sum, _mm256_set1_ps(step)), _mm256_set1_ps(offset));
        const __m256 estimate = _mm256_mul_ps(dot, _mm256_loadu_ps(factors + lane));
        _mm256_storeu_ps(estimates + lane, estimate);
        const __m256 greater = _mm256_cmp_ps(estimate, _mm256_set1_ps(threshold), _CMP_GT_OQ);
        above |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_ps(greater))) << lane;
    }
    return above;
}

const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
const bool kHasAvx512 = __builtin_cpu_supports("avx512bw") != 0;
#endif

}  // namespace

void rotate(const float* vector, size_t dimensions, float* out) {
    std::copy_n(vector, dimensions, out);
    // Hadamard works on powers of two; other sizes are covered by two overlapping transforms.
    const size_t power = std::bit_floor(dimensions);
    for (int round = 0; round < kRounds; ++round) {
        flip_signs(out, dimensions, round);
        hadamard(out, power);
        if (power != dimensions) hadamard(out + (dimensions - power), power);
    }
}

void rotate_back(const float* rotated, size_t dimensions, float* out) {
    std::copy_n(rotated, dimensions, out);
    const size_t power = std::bit_floor(dimensions);
    // Signs and Hadamard transforms undo themselves: the same steps, last one first.
    for (int round = kRounds - 1; round >= 0; --round) {
        if (power != dimensions) hadamard(out + (dimensions - power), power);
        hadamard(out, power);
        flip_signs(out, dimensions, round);
    }
}

float encode_sketch(const float* rotated, size_t dimensions, size_t lane, uint8_t* block) {
    const size_t column = lane % 32;
    const size_t shift = lane < 32 ? 0 : 4;
    double magnitude = 0.0;
    double squared = 0.0;
    for (size_t i = 0; i < dimensions; ++i) {
        magnitude += std::fabs(rotated[i]);
        squared += double{rotated[i]} * rotated[i];
        if (rotated[i] <= 0.0F) continue;
        uint8_t& code = block[i / 4 * 32 + column];
        code = static_cast<uint8_t>(code | 1U << (i % 4 + shift));
    }
    return magnitude > 0.0 ? static_cast<float>(squared / magnitude) : 0.0F;
}

SketchQuery::SketchQuery(const float* rotated, size_t dimensions) : rows_(dimensions / 4), tables_(rows_ * 16) {
    float widest = 0.0F;
    for (size_t row = 0; row < rows_; ++row) {
        float range = 0.0F;
        for (size_t i = 0; i < 4; ++i) range += 2.0F * std::fabs(rotated[row * 4 + i]);
        widest = std::max(widest, range);
    }
    // Two steps must fit a byte and all of them 16 bits. Their rounding is a fiftieth of the sketch's own error.
    const float largest_step = static_cast<float>(std::min<size_t>(127, 65535 / std::max<size_t>(rows_, 1)));
    step_ = widest > 0.0F ? widest / largest_step : 1.0F;
    for (size_t row = 0; row < rows_; ++row) {
        const float* part = rotated + row * 4;
        float lowest = 0.0F;
        for (size_t i = 0; i < 4; ++i) lowest -= std::fabs(part[i]);
        offset_ += lowest;
        for (uint32_t code = 0; code < 16; ++code) {
            float value = 0.0F;
            for (uint32_t i = 0; i < 4; ++i) value += (code >> i & 1U) != 0 ? part[i] : -part[i];
            tables_[row * 16 + code] = static_cast<uint8_t>(std::lrintf((value - lowest) / step_));
        }
    }
}

uint64_t SketchQuery::scan_block(const uint8_t* block, const float* factors, float threshold, float* estimates) const {
    uint16_t sums[kLanes];
#if defined(__x86_64__)
    if (kHasAvx2) {
        (kHasAvx512 && rows_ % 4 == 0 ? scan_avx512 : scan_avx2)(tables_.data(), rows_, block, sums);
        return estimate_avx2(sums, factors, step_, offset_, threshold, estimates);
    }
#endif
    scan_portable(tables_.data(), rows_, block, sums);
    uint64_t above = 0;
    for (size_t lane = 0; lane < kLanes; ++lane) {
        estimates[lane] = (step_ * sums[lane] + offset_) * factors[lane];
        above |= uint64_t{estimates[lane] > threshold} << lane;
    }
    return above;
}

}  // namespace flyweight::search
