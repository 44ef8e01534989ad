// Which library an address lies in, answered from a picture of the loader's list: asking the loader itself would mean
// taking its lock inside a hook.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/counters.h"
#include "memory/pages.h"

namespace flyweight::memory {

struct Library {
    const char* path = nullptr;  // valid for the life of the process; null: no library is there
    uintptr_t base = 0;          // load address: an address less this is an offset within the file's addresses
};

// The library whose executable segment holds the address. No lock, no allocation: for hooks and signal handlers.
Library library_at(const void* address) noexcept;
inline const char* library_of(const void* address) noexcept {
    return library_at(address).path;
}

// A library's number stays its own for the life of the process, wherever it is loaded and however often: numbers belong
// to paths. 0: no library is known there, or it came when all numbers were taken.
using LibraryNumber = uint32_t;
inline constexpr int kLibraryBits = 11;
const char* library_path(LibraryNumber library) noexcept;  // null for 0

// The same answer for every allocation: numbers by page, in a table of two levels. What refresh_library_map() found is
// in it, and nothing else.
class LibraryPages {
  public:
    LibraryNumber at(const void* address) const noexcept {
        const uintptr_t page = reinterpret_cast<uintptr_t>(address) / kPageSize;
        // What lies above the addresses of programs is no caller's.
        const size_t leaf = glance(leaf_of_[(page >> kLeafBits) % kChunks]);
        return glance(leaves_.load(std::memory_order_relaxed)[leaf << kLeafBits | (page & (kLeafPages - 1))]);
    }
    bool reserve() noexcept;
    // All pages of [start, end). One caller at a time.
    void set(uintptr_t start, uintptr_t end, LibraryNumber library) noexcept;
    size_t own_bytes() const noexcept;

  private:
    static constexpr int kLeafBits = 18;  // a leaf is for 1 GiB: a program's libraries lie in two or three
    static constexpr size_t kLeafPages = size_t{1} << kLeafBits;
    static constexpr size_t kChunks = (size_t{1} << 48) / kPageSize / kLeafPages;
    static constexpr size_t kMostLeaves = 64;

    static inline std::atomic<uint16_t> none_[kLeafPages];  // leaf 0 is for chunks without libraries, and stays empty
    std::atomic<std::atomic<uint16_t>*> leaves_{none_};
    size_t leaf_count_ = 1;
    static inline std::atomic<uint8_t> leaf_of_[kChunks];  // apart from what is not zero: costs what is touched of it
};
extern LibraryPages library_pages;

// Grows with every picture that differs from the one before: what was learned about an address in an older generation
// may be wrong after a dlclose.
uint32_t library_generation() noexcept;

// Takes a new picture. One caller at a time, which native_hooks.cpp sees to.
void refresh_library_map() noexcept;

size_t library_map_bytes() noexcept;

}  // namespace flyweight::memory
