// From the place that asks for memory to its site, in a handful of instructions and without a lock.
//
// The key is the address of the running bytecode instruction (or of the native caller) and the domain. An entry is one
// 64-bit word, so that every thread may read and write it. The slot is taken from the address's low bits, where the
// instructions of a program spread well enough; the other 38 bits of the key are the word's tag, its low 26 the site.
// Slot and tag together are the whole key: a hit is never wrong.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/site_table.h"

namespace flyweight::memory {

// 48 bits of address, 2 of domain, and one that tells native callers from bytecode.
using PlaceKey = uint64_t;
constexpr PlaceKey place_key(uintptr_t address, Domain domain) noexcept {
    return uint64_t{address} | static_cast<uint64_t>(domain) << 48;
}
constexpr PlaceKey kNativeCaller = PlaceKey{1} << 50;
constexpr PlaceKey caller_key(uintptr_t address, Domain domain) noexcept {
    return place_key(address, domain) | kNativeCaller;
}

class SiteCache {
  public:
    static constexpr int kSlotBits = 13;  // 8,192 words, 64 KiB: the working set of large programs' hot lines

    SiteId find(PlaceKey key) const noexcept {
        SiteId site;
        return knows(key, &site) ? site : kNoSite;
    }
    // The same as one comparison: `site` means something only when the answer is true.
    bool knows(PlaceKey key, SiteId* site) const noexcept { return matches(key, tag(key), site); }
    // For keys of bytecode.
    bool knows_bytecode(PlaceKey key, SiteId* site) const noexcept { return matches(key, even_tag(key), site); }
    void put(PlaceKey key, SiteId site) noexcept { slot(key).store(tag(key) | site, std::memory_order_relaxed); }
    void remove(PlaceKey key) noexcept {
        if (find(key) != kNoSite) slot(key).store(0, std::memory_order_relaxed);
    }
    void clear() noexcept {
        for (size_t i = 0; i < size_t{1} << kSlotBits; ++i) words_[i].store(0, std::memory_order_relaxed);
    }
    size_t own_bytes() const noexcept { return size_t{8} << kSlotBits; }

  private:
    static constexpr int kSiteBits = 26;
    static constexpr uint64_t kSites = uint64_t{1} << kSiteBits;
    static constexpr uint64_t kSlots = uint64_t{1} << kSlotBits;
    bool matches(PlaceKey key, uint64_t wanted, SiteId* site) const noexcept {
        const uint64_t difference = slot(key).load(std::memory_order_relaxed) ^ wanted;
        *site = static_cast<SiteId>(difference);
        return difference - 1 < kSites - 1;
    }
    // Bits 14 to 50 of the key, and bit 0, which is 0 for bytecode.
    static constexpr uint64_t even_tag(PlaceKey key) noexcept {
        return (key & ~(2 * kSlots - 1)) << (kSiteBits - kSlotBits);
    }
    static constexpr uint64_t tag(PlaceKey key) noexcept { return even_tag(key) | (key & 1) << kSiteBits; }
    std::atomic<uint64_t>& slot(PlaceKey key) const noexcept {
        return const_cast<std::atomic<uint64_t>&>(words_[key >> 1 & (kSlots - 1)]);
    }

    std::atomic<uint64_t> words_[size_t{1} << kSlotBits] = {};
};

}  // namespace flyweight::memory
