// From the place that asks for memory to its site, in a handful of instructions and without a lock.
//
// The key is the address of the running bytecode instruction (or of the native caller) and the domain. An entry is one
// 64-bit word, so that every thread may read and write it: the key's tag in the high 38 bits, the site in the low 26.
// Multiplication by an odd constant is a bijection, so slot and tag together are the whole key: a hit is never wrong.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/site_table.h"

namespace flyweight::memory {

// 48 bits of address and 2 of domain; the last bit tells native callers from bytecode, which lies at even addresses.
using PlaceKey = uint64_t;
constexpr PlaceKey place_key(uintptr_t address, Domain domain) noexcept {
    return uint64_t{address} << 3 | static_cast<uint64_t>(domain);
}
constexpr PlaceKey caller_key(uintptr_t address, Domain domain) noexcept {
    return place_key(address, domain) | 4;
}

class SiteCache {
  public:
    static constexpr int kSlotBits = 13;  // 8,192 words, 64 KiB: the working set of large programs' hot lines

    SiteId find(PlaceKey key) const noexcept {
        const uint64_t mixed = mix(key);
        const uint64_t difference = slot(mixed).load(std::memory_order_relaxed) ^ mixed << kSlotBits;
        return difference < kSites ? static_cast<SiteId>(difference) : kNoSite;
    }
    // The same as one comparison: `site` is set only when it is known.
    bool knows(PlaceKey key, SiteId* site) const noexcept {
        const uint64_t mixed = mix(key);
        const uint64_t difference = slot(mixed).load(std::memory_order_relaxed) ^ mixed << kSlotBits;
        *site = static_cast<SiteId>(difference);
        return difference - 1 < kSites - 1;
    }
    void put(PlaceKey key, SiteId site) noexcept {
        const uint64_t mixed = mix(key);
        slot(mixed).store(mixed << kSlotBits | site, std::memory_order_relaxed);
    }
    void remove(PlaceKey key) noexcept {
        if (find(key) != kNoSite) slot(mix(key)).store(0, std::memory_order_relaxed);
    }
    void clear() noexcept {
        for (size_t i = 0; i < size_t{1} << kSlotBits; ++i) words_[i].store(0, std::memory_order_relaxed);
    }
    size_t own_bytes() const noexcept { return size_t{8} << kSlotBits; }

  private:
    static constexpr int kKeyBits = 51;
    static constexpr uint64_t kSites = uint64_t{1} << (64 - kKeyBits + kSlotBits);
    static constexpr uint64_t mix(PlaceKey key) noexcept {
        return (key << (64 - kKeyBits)) * 0x9e3779b97f4a7c15ULL;
    }
    std::atomic<uint64_t>& slot(uint64_t mixed) const noexcept {
        return const_cast<std::atomic<uint64_t>&>(words_[mixed >> (64 - kSlotBits)]);
    }

    std::atomic<uint64_t> words_[size_t{1} << kSlotBits] = {};
};

}  // namespace flyweight::memory
