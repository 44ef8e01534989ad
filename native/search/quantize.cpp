#include "search/quantize.h"

#include <algorithm>
#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace flyweight::search {

namespace {

float largest_magnitude(const float* vector, size_t dimensions) {
    float largest = 0.0F;
    for (size_t i = 0; i < dimensions; ++i) largest = std::max(largest, std::fabs(vector[i]));
    return largest;
}

int32_t dot_portable(const int16_t* query, const int8_t* row, size_t dimensions) {
    int32_t sum = 0;
    for (size_t i = 0; i < dimensions; ++i) sum += int32_t{query[i]} * int32_t{row[i]};
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) int32_t dot_avx2(const int16_t* query, const int8_t* row, size_t dimensions) {
    __m256i even = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= dimensions; i += 32) {
        const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i));
        const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i + 16));
        const __m256i q_low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + i));
        const __m256i q_high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + i + 16));
        even = _mm256_add_epi32(even, _mm256_madd_epi16(q_low, _mm256_cvtepi8_epi16(low)));
        odd = _mm256_add_epi32(odd, _mm256_madd_epi16(q_high, _mm256_cvtepi8_epi16(high)));
    }
    const __m256i sum = _mm256_add_epi32(even, odd);
    __m128i folded = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    folded = _mm_add_epi32(folded, _mm_shuffle_epi32(folded, 0b01'00'11'10));
    folded = _mm_add_epi32(folded, _mm_shuffle_epi32(folded, 0b10'11'00'01));
    return _mm_cvtsi128_si32(folded) + dot_portable(query + i, row + i, dimensions - i);
}

const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
#endif

}  // namespace

float quantize_int8(const float* vector, size_t dimensions, int8_t* out) {
    const float largest = largest_magnitude(vector, dimensions);
    if (!(largest > 0.0F)) {
        std::fill_n(out, dimensions, int8_t{0});
        return 0.0F;
    }
    const float factor = 127.0F / largest;
    for (size_t i = 0; i < dimensions; ++i) out[i] = static_cast<int8_t>(std::lrintf(vector[i] * factor));
    return largest / 127.0F;
}

float quantize_int16(const float* vector, size_t dimensions, int16_t* out) {
    const float largest = largest_magnitude(vector, dimensions);
    if (!(largest > 0.0F)) {
        std::fill_n(out, dimensions, int16_t{0});
        return 0.0F;
    }
    const float limit = std::min(32767.0F, 2147483647.0F / (127.0F * static_cast<float>(dimensions)) * 0.99F);
    const float factor = limit / largest;
    for (size_t i = 0; i < dimensions; ++i) out[i] = static_cast<int16_t>(std::lrintf(vector[i] * factor));
    return largest / limit;
}

int32_t dot_int16_int8(const int16_t* query, const int8_t* row, size_t dimensions) {
#if defined(__x86_64__)
    if (kHasAvx2) return dot_avx2(query, row, dimensions);
#endif
    return dot_portable(query, row, dimensions);
}

}  // namespace flyweight::search
