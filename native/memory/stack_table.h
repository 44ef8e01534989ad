// Call stacks, each kept once: a tree whose nodes are (caller's node, place), so that stacks share their beginnings.
// Native stacks, which have no names until somebody asks, are kept as lists of return addresses.
// Everything here happens under the slow lock.
#pragma once

#include <cstdint>

#include "memory/pages.h"
#include "memory/site_table.h"

namespace flyweight::memory {

using StackId = uint32_t;  // 0: the empty stack

struct StackNode {
    StackId caller;
    SiteId place;    // a site of the python domain names file, line and function; it may never have allocated
    uint32_t entry;  // 1: C code called this frame, so native frames lie between it and its caller
    uint32_t next;   // in the bucket
};

class StackTable {
  public:
    static constexpr size_t kCapacity = size_t{1} << 20;
    static constexpr size_t kDeepest = 512;  // frames of one stack; deeper ones keep the innermost

    bool reserve() noexcept;
    void clear() noexcept;
    StackId push(StackId caller, SiteId place, bool entry) noexcept;  // `caller` itself when the table is full
    const StackNode& operator[](StackId stack) const noexcept { return nodes_[stack]; }
    size_t size() const noexcept { return nodes_.size(); }

    uint32_t intern_native(const uintptr_t* addresses, size_t count) noexcept;  // 0: empty or no room
    // Points `addresses` at the list and returns its length.
    size_t native(uint32_t number, const uintptr_t** addresses) const noexcept;
    size_t own_bytes() const noexcept;

  private:
    struct NativeStack {
        uint32_t offset, length, hash, next;
    };
    static constexpr size_t kBuckets = size_t{1} << 14;

    StableArray<StackNode, kCapacity> nodes_;
    StableArray<uint32_t, kBuckets> buckets_;
    StableArray<uintptr_t, size_t{1} << 22> addresses_;
    StableArray<NativeStack, size_t{1} << 18> native_stacks_;
    StableArray<uint32_t, kBuckets> native_buckets_;
};

}  // namespace flyweight::memory
