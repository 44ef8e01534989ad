// The process's resident set, as the kernel keeps count of it.
#pragma once

#include <cstdint>

namespace flyweight::memory {

// Bytes, from /proc/self/statm; 0 when that cannot be read. Some 10 us. The kernel adds up what its CPUs have counted
// apart now and then only, so a figure may be off by a few dozen pages; /proc/self/smaps_rollup is exact, and slow.
uint64_t resident_set_bytes() noexcept;

}  // namespace flyweight::memory
