// File, function and library names, each kept once and for the life of the process.
#pragma once

#include <cstdint>
#include <string_view>

#include "memory/pages.h"

namespace flyweight::memory {

class StringTable {
  public:
    static constexpr size_t kLongestName =
        1024;  // bytes; longer names keep their end, which tells more than their start
    static constexpr size_t kMostStrings = size_t{1} << 19;

    bool reserve() noexcept;
    // The number of the string; 0 is the empty string, also returned when the table is full. Under the slow lock.
    uint32_t intern(std::string_view text) noexcept;
    std::string_view operator[](uint32_t number) const noexcept;
    size_t own_bytes() const noexcept;

  private:
    struct Entry {
        uint32_t offset, length, hash, next;
    };
    static constexpr size_t kBuckets = size_t{1} << 14;

    StableArray<char, size_t{1} << 26> text_;
    StableArray<Entry, kMostStrings> entries_;
    StableArray<uint32_t, kBuckets> buckets_;
};

}  // namespace flyweight::memory
