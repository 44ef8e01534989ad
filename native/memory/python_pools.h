// Pools of CPython's small-object allocator, recognised by what is in memory.
//
// The allocator's own list of arenas is private to the interpreter (static in 3.11, within PyInterpreterState from 3.12
// on). Its pools are not: each begins, at an address that is a multiple of 16 KiB, with a header of 48 bytes whose
// fields determine one another. Assumed, from Objects/obmalloc.c (3.11) and Include/internal/pycore_obmalloc.h (3.12,
// 3.13), 64 bit with WITH_PYMALLOC_RADIX_TREE (the default):
//
//   offset  0  ref.count       blocks in use; above it unused upper half of the union
//           8  freeblock       head of the list of freed blocks, null when there is none and all were carved
//          16  nextpool        \ within a list of pools; stale in a full pool
//          24  prevpool        /
//          32  arenaindex
//          36  szidx           size of blocks is (szidx + 1) * 16
//          40  nextoffset      of the next block never handed out yet
//          44  maxnextoffset   POOL_SIZE - size
//          48  the first block
//
// Chance hits would need seven fields to agree. A pool that was emptied keeps its header, with a count of 0.
// Read under the GIL, the pools of the main interpreter stand still. Those of an interpreter with a GIL of its own may
// change while they are read; each header is checked after it was copied, so that no sum can leave its bounds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

struct PoolHeader {
    uint32_t count, upper_half;
    uint64_t freeblock, nextpool, prevpool;
    uint32_t arenaindex, szidx, nextoffset, maxnextoffset;
};
static_assert(sizeof(PoolHeader) == 48);

inline constexpr size_t kPoolSize = 16384;
inline constexpr size_t kPoolOverhead = sizeof(PoolHeader);

struct Pool {
    uintptr_t start;
    uint32_t block_size;
    uint32_t in_use;  // blocks
    uint32_t carved;  // blocks that were ever handed out since the pool was last given to this size
    uint32_t rest;    // bytes at the end that no block fits in
    uint32_t used_bytes() const noexcept { return in_use * block_size; }
};

// Whether a header found at `address` is that of a pool.
bool is_pool(uintptr_t address, const PoolHeader& header, Pool* pool) noexcept;
// Memory of an arena that no pool was cut from yet, or whose pool has no size: nothing but zeros and an arena's number.
bool is_blank(const PoolHeader& header) noexcept;

}  // namespace flyweight::memory
