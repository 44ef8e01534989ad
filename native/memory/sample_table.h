// Blocks whose whole stack is known: the sampled ones, or with full stacks all of them.
//
// A stack row gathers what one (stack, native stack, domain) allocated. Sampled: each live sampled block is an entry of
// its own, its row sums the weights. Full stacks: blocks refer to their row directly and the row counts exactly.
// Everything here happens under the slow lock.
#pragma once

#include <cstdint>

#include "memory/pages.h"
#include "memory/sampler.h"
#include "memory/site_table.h"
#include "memory/stack_table.h"

namespace flyweight::memory {

struct StackRow {
    StackId stack;
    uint32_t native_stack;
    Domain domain;
    SiteId site;
    uint32_t next;
    uint32_t first_tick;
    uint64_t total_samples;
    uint64_t live_samples;
    double total_count, total_bytes, total_variance;
    double live_count, live_bytes;
};

struct Sample {
    uintptr_t address;
    uint64_t size;
    uint32_t row;
    SiteId site;
    uint32_t tick;
    uint32_t next_free;  // while unused
};

class SampleTable {
  public:
    static constexpr size_t kCapacity = size_t{1} << 20;  // what a traced record can name

    bool reserve() noexcept;
    void clear() noexcept;

    uint32_t find_or_add_row(StackId stack, uint32_t native_stack, Domain domain, SiteId site, uint32_t tick) noexcept;
    StackRow& row(uint32_t number) noexcept { return rows_[number]; }
    size_t row_count() const noexcept { return rows_.size(); }

    uint32_t add(const Sample& sample, const Weight& weight) noexcept;  // its number, 0: no room
    void remove(uint32_t number, const Weight& weight) noexcept;
    const Sample& operator[](uint32_t number) const noexcept { return samples_[number]; }
    size_t size() const noexcept { return samples_.size(); }
    uint64_t dropped() const noexcept { return dropped_; }

    size_t own_bytes() const noexcept;

  private:
    static constexpr size_t kBuckets = size_t{1} << 12;

    StableArray<StackRow, kCapacity> rows_;
    StableArray<uint32_t, kBuckets> buckets_;
    StableArray<Sample, kCapacity> samples_;
    uint32_t first_free_ = 0;
    uint64_t dropped_ = 0;
};

}  // namespace flyweight::memory
