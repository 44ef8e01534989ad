#include "memory/stack_table.h"

#include <cstring>

namespace flyweight::memory {

bool StackTable::reserve() noexcept {
    if (!nodes_.reserve() || !buckets_.reserve() || !addresses_.reserve() || !native_stacks_.reserve() ||
        !native_buckets_.reserve()) {
        return false;
    }
    if (nodes_.size() == 0) nodes_.append();
    if (native_stacks_.size() == 0) native_stacks_.append();
    return true;
}

void StackTable::clear() noexcept {
    nodes_.clear();
    buckets_.clear();
    addresses_.clear();
    native_stacks_.clear();
    native_buckets_.clear();
    reserve();
}

StackId StackTable::push(StackId caller, SiteId place, bool entry) noexcept {
    uint64_t key = (uint64_t{caller} << 32 | place << 1 | (entry ? 1 : 0)) * 0x9e3779b97f4a7c15ULL;
    uint32_t& bucket = buckets_[key >> 40 & (kBuckets - 1)];
    for (uint32_t at = bucket; at != 0; at = nodes_[at].next) {
        const StackNode& node = nodes_[at];
        if (node.caller == caller && node.place == place && node.entry == (entry ? 1u : 0u)) return at;
    }
    const size_t number = nodes_.append();
    if (number == kCapacity) return caller;
    nodes_[number] = {caller, place, entry ? 1u : 0u, bucket};
    bucket = static_cast<uint32_t>(number);
    return bucket;
}

uint32_t StackTable::intern_native(const uintptr_t* addresses, size_t count) noexcept {
    if (count == 0) return 0;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < count; ++i) hash = (hash ^ static_cast<uint32_t>(addresses[i] * 0x9e3779b1u)) * 16777619u;
    uint32_t& bucket = native_buckets_[hash % kBuckets];
    for (uint32_t at = bucket; at != 0; at = native_stacks_[at].next) {
        const NativeStack& stack = native_stacks_[at];
        if (stack.hash == hash && stack.length == count &&
            std::memcmp(&addresses_[stack.offset], addresses, count * sizeof(uintptr_t)) == 0) {
            return at;
        }
    }
    const size_t offset = addresses_.append(count);
    if (offset == addresses_.capacity()) return 0;
    const size_t number = native_stacks_.append();
    if (number == native_stacks_.capacity()) return 0;
    std::memcpy(&addresses_[offset], addresses, count * sizeof(uintptr_t));
    native_stacks_[number] = {static_cast<uint32_t>(offset), static_cast<uint32_t>(count), hash, bucket};
    bucket = static_cast<uint32_t>(number);
    return bucket;
}

size_t StackTable::native(uint32_t number, const uintptr_t** addresses) const noexcept {
    if (number == 0 || number >= native_stacks_.size()) return 0;
    *addresses = &addresses_[native_stacks_[number].offset];
    return native_stacks_[number].length;
}

size_t StackTable::own_bytes() const noexcept {
    return nodes_.used_bytes() + addresses_.used_bytes() + native_stacks_.used_bytes() +
           (nodes_.size() > 1 ? kBuckets * sizeof(uint32_t) : 0) +
           (native_stacks_.size() > 1 ? kBuckets * sizeof(uint32_t) : 0);
}

}  // namespace flyweight::memory
