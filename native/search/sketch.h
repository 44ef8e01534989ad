#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace flyweight::search {

// One bit per dimension of a randomly rotated vector, after RaBitQ (Gao and Long, SIGMOD 2024): the rotation
// spreads the vector evenly over all dimensions, the signs keep its direction, and one float per vector makes
// the estimate of the dot product unbiased. Sketches are an eighth of the int8 vectors; a scan reads them
// all and only the best few hundred chunks are scored exactly.
//
// Layout: blocks of 64 chunks; a block is dimensions/4 rows of 32 bytes; byte j of row r holds the four bits
// of dimensions 4r..4r+3 for chunk j (low nibble) and chunk j+32 (high nibble), so that one byte shuffle looks up
// 32 chunks at a time (Andre et al., "Cache locality is not enough", VLDB 2015).

// Vectors may have any multiple of 8 up to this: beyond it the sums of a scan would no longer fit 16 bits at a useful
// step.
constexpr size_t kMaxDimensions = 4096;

constexpr bool has_sketches(size_t dimensions) {
    return dimensions > 0 && dimensions <= kMaxDimensions && dimensions % 8 == 0;
}

// Rotates by random signs and Hadamard transforms; the same for every index of these dimensions.
// `dimensions` is a multiple of 8; in and out must not overlap.
void rotate(const float* vector, size_t dimensions, float* out);
// The vector that `rotate` makes this of, to within the rounding of floats.
void rotate_back(const float* rotated, size_t dimensions, float* out);

constexpr size_t sketch_block_bytes(size_t dimensions) {
    return dimensions / 4 * 32;
}

// Writes the bits of a rotated vector as chunk `lane` (0..63) of `block`, which must have been zeroed.
// Returns the factor of the estimate.
float encode_sketch(const float* rotated, size_t dimensions, size_t lane, uint8_t* block);

// A query prepared for scanning: dot(query, chunk) ~ (step * sum of looked-up steps + offset) * factor of the chunk.
class SketchQuery {
  public:
    SketchQuery(const float* rotated, size_t dimensions);

    // Estimates for the 64 chunks of a block, given their factors; returns a bit for each above `threshold`.
    uint64_t scan_block(const uint8_t* block, const float* factors, float threshold, float* estimates) const;

  private:
    size_t rows_;
    float step_ = 0.0F;
    float offset_ = 0.0F;
    std::vector<uint8_t> tables_;  // rows_ x 16
};

}  // namespace flyweight::search
