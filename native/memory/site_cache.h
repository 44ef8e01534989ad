// From the place that asks for memory to its site, in a handful of instructions and without a lock.
//
// For Python's domain the key is the address of the running bytecode instruction (or of the native caller) and the
// domain. An entry is one 64-bit word, so that every thread may read and write it. The slot is taken from the address's
// low bits, where the instructions of a program spread well enough; the word is the site, exclusive-or the whole key
// shifted to the top. The key's bits that name the slot overlap the site's, and are the same for all keys of the slot:
// they cancel out. Slot and word together are the whole key: a hit is never wrong.
//
// For the native domain the key is that address and the number of the library whose code called malloc. There the word
// has no room for the library: it is the site, exclusive-or the address shifted up by 16, and the slot is 14 bits of
// the address, exclusive-or the library. The word knows the address, and slot and address together know the library.
// (The address's lowest three bits in use overlap the site's; the library leaves them alone in the slot, which so knows
// them.)
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/counters.h"
#include "memory/site_table.h"

namespace flyweight::memory {

// 48 bits of address, 2 of domain, one that tells native callers from bytecode, and 11 of the number of a library.
using PlaceKey = uint64_t;
constexpr PlaceKey place_key(uintptr_t address, Domain domain) noexcept {
    return uint64_t{address} | static_cast<uint64_t>(domain) << 48;
}
constexpr PlaceKey kNativeCaller = PlaceKey{1} << 50;
constexpr PlaceKey caller_key(uintptr_t address, Domain domain) noexcept {
    return place_key(address, domain) | kNativeCaller;
}

constexpr int kLibraryShift = 51;
constexpr PlaceKey library_key(uintptr_t instruction, Domain domain, uint32_t library) noexcept {
    return place_key(instruction, domain) | PlaceKey{library} << kLibraryShift;
}
constexpr uintptr_t address_in(PlaceKey key) noexcept {
    return key & ((PlaceKey{1} << 48) - 1);
}
constexpr Domain domain_in(PlaceKey key) noexcept {
    return static_cast<Domain>(key >> 48 & 3);
}
constexpr uint32_t library_in(PlaceKey key) noexcept {
    return static_cast<uint32_t>(key >> kLibraryShift);
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
    void put(PlaceKey key, SiteId site) noexcept { slot(key).store(tag(key) ^ site, std::memory_order_relaxed); }
    void remove(PlaceKey key) noexcept {
        if (find(key) != kNoSite) slot(key).store(kEmpty, std::memory_order_relaxed);
    }
    void clear() noexcept {
        for (size_t i = 0; i < size_t{1} << kSlotBits; ++i) words_[i].store(kEmpty, std::memory_order_relaxed);
    }
    size_t own_bytes() const noexcept { return size_t{8} << kSlotBits; }

  private:
    static constexpr int kSiteBits = 26;
    static constexpr uint64_t kEmpty = ~uint64_t{0};  // would be a key of a domain that is none
    static constexpr uint64_t kSites = uint64_t{1} << kSiteBits;
    static constexpr uint64_t kSlots = uint64_t{1} << kSlotBits;
    bool matches(PlaceKey key, uint64_t wanted, SiteId* site) const noexcept {
        uint64_t word = glance(slot(key));
        asm("" : "+r"(word));  // read once, since another thread may replace it
        const uint64_t difference = word ^ wanted;
        *site = static_cast<SiteId>(difference);
        return difference - 1 < kSites - 1;
    }
    // Of keys whose bit 0 is 0, as bytecode's is. The other bit 0 goes where a bit of the slot's was.
    static constexpr uint64_t even_tag(PlaceKey key) noexcept { return key << (kSiteBits - kSlotBits); }
    static constexpr uint64_t tag(PlaceKey key) noexcept {
        return even_tag(key & ~PlaceKey{1}) ^ (key & 1) << kSiteBits;
    }
    // Bits 1 to 13 of the key, which as they stand count pairs of bytes; a word has eight.
    std::atomic<uint64_t>& slot(PlaceKey key) const noexcept {
        const uintptr_t offset = (key & (2 * kSlots - 2)) * (sizeof(uint64_t) / 2);
        return *reinterpret_cast<std::atomic<uint64_t>*>(reinterpret_cast<uintptr_t>(words_) + offset);
    }

    std::atomic<uint64_t> words_[size_t{1} << kSlotBits] = {};
};

class NativeSiteCache {
  public:
    static constexpr int kSlotBits = 14;

    // `instruction`: of bytecode, or 0 on threads without Python. `site` means something only when the answer is true.
    bool knows(uintptr_t instruction, uint32_t library, SiteId* site) const noexcept {
        uint64_t word = glance(slot(instruction, library));
        asm("" : "+r"(word));  // read once, since another thread may replace it
        const uint64_t difference = word ^ tag(instruction);
        *site = static_cast<SiteId>(difference);
        return difference - 1 < SiteTable::kCapacity - 1;
    }
    void put(uintptr_t instruction, uint32_t library, SiteId site) noexcept {
        slot(instruction, library).store(tag(instruction) ^ site, std::memory_order_relaxed);
    }
    void remove(uintptr_t instruction, uint32_t library) noexcept {
        SiteId site;
        if (knows(instruction, library, &site)) slot(instruction, library).store(0, std::memory_order_relaxed);
    }
    void clear() noexcept {
        for (std::atomic<uint64_t>& word : words_) {
            if (word.load(std::memory_order_relaxed) != 0) word.store(0, std::memory_order_relaxed);
        }
    }
    size_t own_bytes() const noexcept { return sizeof words_; }

  private:
    static constexpr uintptr_t kSlotMask = (uintptr_t{1} << kSlotBits) - 1;
    static uint64_t tag(uintptr_t instruction) noexcept { return uint64_t{instruction} << 16; }
    std::atomic<uint64_t>& slot(uintptr_t instruction, uint32_t library) const noexcept {
        const uintptr_t number = (instruction >> 1 ^ uintptr_t{library} << 3) & kSlotMask;
        return const_cast<std::atomic<uint64_t>&>(words_[number]);
    }

    std::atomic<uint64_t> words_[size_t{1} << kSlotBits] = {};  // 0: empty; no instruction lies at addresses 2 to 15
};

}  // namespace flyweight::memory
