#include "memory/python_pools.h"

namespace flyweight::memory {
namespace {

constexpr uint32_t kSizeClasses = 32;      // up to 512 bytes
constexpr uint32_t kMostArenas = 1 << 24;  // of 1 MiB each: 16 TiB
constexpr uint32_t kNoSizeClass = 0xffff;  // DUMMY_SIZE_IDX
constexpr uint64_t kUserAddresses = uint64_t{1} << 56;

// Lists of pools run through the pools and through the heads of lists, which lie in the interpreter.
bool may_be_pool_link(uint64_t link) {
    return link % 8 == 0 && link < kUserAddresses;
}

}  // namespace

bool is_pool(uintptr_t address, const PoolHeader& header, Pool* pool) noexcept {
    if (address % kPoolSize != 0 || header.szidx >= kSizeClasses || header.upper_half != 0) return false;
    const uint32_t size = (header.szidx + 1) * 16;
    if (header.maxnextoffset != kPoolSize - size || header.arenaindex >= kMostArenas) return false;
    if (header.nextoffset < kPoolOverhead + size || header.nextoffset > kPoolSize) return false;
    const uint32_t carved_bytes = header.nextoffset - static_cast<uint32_t>(kPoolOverhead);
    if (carved_bytes % size != 0) return false;
    const uint32_t carved = carved_bytes / size;
    if (header.count > carved) return false;
    if (header.freeblock != 0) {
        const uint64_t offset = header.freeblock - address;
        if (offset < kPoolOverhead || offset >= header.nextoffset || (offset - kPoolOverhead) % size != 0) return false;
        if (header.count == carved) return false;  // all in use, and one free
    } else if (header.count < carved) {
        return false;
    }
    if (!may_be_pool_link(header.nextpool) || !may_be_pool_link(header.prevpool)) return false;
    pool->start = address;
    pool->block_size = size;
    pool->in_use = header.count;
    pool->carved = carved;
    pool->rest = (kPoolSize - kPoolOverhead) % size;
    return true;
}

bool is_blank(const PoolHeader& header) noexcept {
    return header.count == 0 && header.upper_half == 0 && header.freeblock == 0 && header.nextpool == 0 &&
           header.prevpool == 0 && header.nextoffset == 0 && header.maxnextoffset == 0 &&
           (header.szidx == 0 || header.szidx == kNoSizeClass) && header.arenaindex < kMostArenas;
}

}  // namespace flyweight::memory
