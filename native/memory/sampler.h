// Poisson sampling of bytes: every byte allocated is equally likely to be the sampled one, one in `interval` on
// average. A block of s bytes is sampled with probability p = 1 - exp(-s / interval), and stands for s / p bytes and
// 1 / p blocks, which makes the estimated sums unbiased (Horvitz and Thompson, 1952).
#pragma once

#include <cstdint>

#include "memory/thread_state.h"

namespace flyweight::memory {

struct Weight {
    double count;
    double bytes;
    double variance;  // of the estimated bytes, as this one sample contributes to it
};

class Sampler {
  public:
    // Seeds repeat: the same seed and the same allocations on the same threads sample the same blocks.
    void start(uint64_t interval_bytes, uint64_t seed, uint32_t session) noexcept;
    uint64_t interval() const noexcept { return interval_; }

    // Called when the thread's countdown ran out with a block of `size` bytes. Draws the next gap, which is
    // memoryless, so what the block overshot is forgotten. False when the thread had no countdown of this session yet
    // and the block did not reach its first gap.
    bool fire(uint64_t size) noexcept;
    Weight weigh(uint64_t size) const noexcept;

  private:
    double draw() noexcept;

    uint64_t interval_ = 0;
    uint64_t seed_ = 0;
    uint32_t session_ = 0;
};

}  // namespace flyweight::memory
