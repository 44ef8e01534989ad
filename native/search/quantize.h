#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::search {

// Scales `vector` so that its largest component becomes +-127 and rounds. Returns the scale that undoes it
// (component = value * scale); 0 for the zero vector.
float quantize_int8(const float* vector, size_t dimensions, int8_t* out);

// The query keeps 16 bits a component: only the stored side loses precision, at no cost in the scan.
// Values are kept small enough for sums of products with int8 to fit 32 bits.
float quantize_int16(const float* vector, size_t dimensions, int16_t* out);

// Sum of products; AVX2 where the processor has it.
int32_t dot_int16_int8(const int16_t* query, const int8_t* row, size_t dimensions);

}  // namespace flyweight::search
