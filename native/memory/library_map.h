// Which library an address lies in, answered from a picture of the loader's list: asking the loader itself would mean
// taking its lock inside a hook.
#pragma once

#include <cstddef>
#include <cstdint>

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

// Grows with every picture that differs from the one before: what was learned about an address in an older generation
// may be wrong after a dlclose.
uint32_t library_generation() noexcept;

// Takes a new picture. One caller at a time, which native_hooks.cpp sees to.
void refresh_library_map() noexcept;

size_t library_map_bytes() noexcept;

}  // namespace flyweight::memory
