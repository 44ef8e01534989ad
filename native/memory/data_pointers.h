// Whose memory an anonymous mapping is that nobody saw being made: the library whose own data points into it.
//
// Allocators that libraries bring with them (mimalloc, jemalloc, arenas of their own) keep the roots of their heaps in
// static variables. Of each stretch of memory in question, the library with the most words that point there has it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/page_states.h"
#include "memory/safe_read.h"

namespace flyweight::memory {

struct OwnedStretch {
    uintptr_t start, end;
    Resident resident;
    uint32_t owner;    // a library's number; meaningful where votes > 0
    uint32_t votes;    // words that point there
    uint32_t current;  // of the library that is being read
};

class DataPointers {
  public:
    static constexpr size_t kCapacity = 1 << 13;
    static constexpr size_t kWindow = size_t{64} << 10;

    // `stretches`: room for kCapacity, `window`: for copies.
    DataPointers(OwnedStretch* stretches, char* window) noexcept : stretches_(stretches), window_(window) {}

    // In order of address. Neighbours and parts of one mapping are one stretch. False: no room.
    bool add(uintptr_t start, uintptr_t end, const Resident& resident, bool joined) noexcept;
    // Reads the resident runs of a library's writable data.
    void read(const SafeReader& reader, const ResidentRuns& runs) noexcept;
    void finish_library(uint32_t library) noexcept;

    size_t size() const noexcept { return count_; }
    const OwnedStretch& operator[](size_t number) const noexcept { return stretches_[number]; }
    uint64_t total() const noexcept { return total_; }

  private:
    void note(uint64_t word) noexcept;

    OwnedStretch* stretches_;
    char* window_;
    size_t count_ = 0;
    uint64_t total_ = 0;
};

}  // namespace flyweight::memory
