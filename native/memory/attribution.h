// Every resident byte of this process, with a name.
//
// Data flows one way: what the kernel lists (process_map) -> who owns which addresses, by intervals within mappings ->
// which pages of them are resident (page_states) -> what lies in those pages: pools (python_pools), chunks
// (malloc_heaps), recorded blocks (the shadow) -> rows (attribution_rows) that sum to the kernel's own figures.
//
// Within a mapping the first of these that claims an address has it: the profiler's own pages, ranges named by the
// caller, stacks of threads, segments of libraries, heaps of malloc, mappings that were recorded, pools of Python's
// small blocks, chunks that malloc mapped by themselves. Neighbouring anonymous mappings may be one mapping to the
// kernel, hence intervals. Within heaps every live block that is recorded has its bytes charged to its site.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/attribution_rows.h"

namespace flyweight::memory {

struct GivenRange {
    uintptr_t start, end;
    RowKind kind;
    const char* name;  // outlives the account
};

// Where the caller puts its ranges, so that they need no memory of the program's.
struct GivenRanges {
    static constexpr size_t kCapacity = size_t{1} << 13;
    GivenRange ranges[kCapacity];
    char names[kCapacity][12];
    size_t count;
    bool add(const GivenRange& range) noexcept {
        if (count == kCapacity) return false;
        ranges[count++] = range;
        return true;
    }
};

struct AttributionRequest {
    const void* interpreter = nullptr;  // an address in the library, or program, that holds the interpreter
    // Whether all recorded blocks of Python belong to interpreters whose GIL the caller holds: then their pools stay
    // where they are, and can be read without precaution.
    bool python_stands_still = false;
    // The highest address within [start, end) of a block that nobody returns while the caller holds the GIL; 0: none is
    // known. The main heap shrinks from its end only, so what is below stays mapped.
    uintptr_t (*highest_held)(uintptr_t start, uintptr_t end) = nullptr;
};

struct AttributionOutcome {
    Figures rollup;                 // what smaps_rollup said at the instant of the account
    uint32_t attempts = 0;          // how often the map was read until it agreed with its sum
    bool agreed = false;            // whether it did
    bool tracked = false;           // live blocks are behind the rows, not only heaps
    bool estimated = false;         // shares of heaps come from samples
    int error = 0;                  // errno: the map cannot be read
    const char* missing = nullptr;  // what could not be read
    uint64_t elapsed_us = 0;
};

// The account and the memory it is made in, which goes back to the system with it.
class Attribution {
  public:
    Attribution() noexcept;
    ~Attribution();
    Attribution(const Attribution&) = delete;
    Attribution& operator=(const Attribution&) = delete;

    explicit operator bool() const noexcept { return memory_ != nullptr; }  // false: no address space
    GivenRanges& given() noexcept;
    // Under the GIL. False: see `error` of the outcome.
    bool make(const AttributionRequest& request) noexcept;
    const AttributionOutcome& outcome() const noexcept { return outcome_; }
    AttributedRows& rows() noexcept { return rows_; }

  private:
    void* memory_;  // null: the kernel refused
    AttributedRows rows_;
    AttributionOutcome outcome_;
};

}  // namespace flyweight::memory
