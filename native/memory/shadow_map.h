// The shadow map: one 4-byte word for each 16-byte granule of address space, found by address arithmetic.
//
// Both CPython's small-object allocator and malloc hand out 16-byte aligned blocks, so a block's first granule
// belongs to it alone, and its record lies where its address says. No hash, no search, no lock: whoever owns the
// block owns the record. Words inside a block, behind the record, are never written and stay zero.
//
//   words 0 and 1, as one little-endian number from its lowest bit:
//     [ number : 21 ][ large : 1 ][ tick : 26 ][ size : 16 ]
//   words 2 and 3, of large blocks only:  [ size : 64 ]
//
// A record needs two granules. The hooks ask the allocators below for at least 17 bytes, so every block has them; a
// block too large for 16 bits has 4,096. A record that is not there has number 0.
//
// The address space is covered in chunks of 64 MiB; a flat directory leads to a chunk's words, which are reserved when
// the first block of the chunk is recorded and never given up, since a thread may be between finding and writing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "memory/counters.h"
#include "memory/pages.h"

// The owner of a block writes its record in one store. The two words may straddle a cache line, so a scan on another
// thread could see half of it; it checks what it reads. The sanitizers want to see the two words.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define FLYWEIGHT_WHOLE_PAIRS 1
#else
#define FLYWEIGHT_WHOLE_PAIRS 0
#endif

namespace flyweight::memory {

inline constexpr size_t kGranule = 16;
inline constexpr size_t kSmallestRequest = kGranule + 1;  // bytes to ask for, so that a record fits

struct Record {
    uint32_t number;  // a site, or a traced entry when kTraced is set; 0: no record
    uint32_t tick;
    uint64_t size;
};

inline constexpr int kNumberBits = 21;
inline constexpr uint32_t kTraced = uint32_t{1} << (kNumberBits - 1);
inline constexpr uint32_t kLastTick = (uint32_t{1} << 26) - 1;

class ShadowMap {
  public:
    static constexpr int kTickShift = kNumberBits + 1;
    static constexpr int kSizeShift = kTickShift + 26;
    static constexpr uint64_t kLargestShort = (1 << 16) - 1;
    static constexpr uint64_t kNumberMask = (uint64_t{1} << kNumberBits) - 1;
    static constexpr uint64_t kLarge = uint64_t{1} << kNumberBits;

    static constexpr int kChunkBits = 26;
    static constexpr size_t kChunkBytes = size_t{1} << kChunkBits;
    static constexpr int kAddressBits = 48;
    static constexpr size_t kChunks = size_t{1} << (kAddressBits - kChunkBits);
    static constexpr size_t kWordsBytes = kChunkBytes / kGranule * sizeof(uint32_t);
    // A record that starts in a chunk's last granule still lies in one piece.
    static constexpr size_t kReservedBytes = kWordsBytes + kPageSize;

    using Word = std::atomic<uint32_t>;

    bool reserve() noexcept;
    void clear() noexcept;  // every record is gone and the memory given back

    // The words of the block at `address`, or nullptr when nothing in its chunk was ever recorded.
    Word* find(uintptr_t address) const noexcept {
        const uintptr_t base = directory_[address >> kChunkBits].load(std::memory_order_acquire);
        if (base == 0) [[unlikely]]
            return nullptr;
        Word* const words = words_of(base, address);
        if (words == nullptr) __builtin_unreachable();
        return words;
    }
    // The same, reserving the chunk's words if need be; nullptr only when the kernel has no memory.
    Word* find_or_reserve(uintptr_t address) noexcept {
        Word* words = find(address);
        return words != nullptr ? words : reserve_chunk(address);
    }

    static bool holds(const Word* words) noexcept { return glance(words[0]) != 0; }

    static void write(Word* words, uint32_t number, uint64_t size, uint32_t tick) noexcept {
        if (size > kLargestShort) [[unlikely]]
            return write_large(words, number, size, tick);
        write_short(words, number, size, uint64_t{tick} << kTickShift);
    }
    static void write_short(Word* words, uint32_t number, uint64_t size, uint64_t tick_bits) noexcept {
        store_pair(words, number | size << kSizeShift | tick_bits);
    }
    static Record read(const Word* words) noexcept {
        const uint64_t pair = load_pair(words);
        Record record{static_cast<uint32_t>(pair & kNumberMask), static_cast<uint32_t>(pair >> kTickShift) & kLastTick,
                      pair >> kSizeShift};
        if (pair & kLarge) [[unlikely]]
            record.size = load_pair(words + 2);
        return record;
    }
    // True when there is a record and nothing about it is out of the ordinary: neither large nor traced. One
    // comparison.
    static bool is_plain(uint64_t pair) noexcept { return plain_site(pair) - 1 < kTraced - 1; }
    static uint32_t plain_site(uint64_t pair) noexcept { return static_cast<uint32_t>(pair & (kNumberMask | kLarge)); }
    static uint64_t load_pair(const Word* words) noexcept {
#if FLYWEIGHT_WHOLE_PAIRS
        uint64_t pair;
        std::memcpy(&pair, words, sizeof pair);
        return pair;
#else
        return words[0].load(std::memory_order_relaxed) | uint64_t{words[1].load(std::memory_order_relaxed)} << 32;
#endif
    }
    static void erase(Word* words) noexcept {
        const bool large = load_pair(words) & kLarge;
        store_pair(words, 0);
        if (large) [[unlikely]]
            store_pair(words + 2, 0);
    }
    static void erase_plain(Word* words) noexcept { store_pair(words, 0); }

    // Calls visit(address, record) for every record. Blocks that other threads take or return meanwhile may be missed
    // or seen; the caller holds the GIL, so the blocks of Python are still.
    template <class Visit>
    void scan(Visit&& visit) const noexcept;

    size_t own_bytes() const noexcept;
    // Forgets the records of an address range whose memory went back to the system.
    void drop(uintptr_t start, size_t bytes) noexcept;

  private:
    static void store_pair(Word* words, uint64_t pair) noexcept {
#if FLYWEIGHT_WHOLE_PAIRS
        std::memcpy(static_cast<void*>(words), &pair, sizeof pair);
#else
        words[1].store(static_cast<uint32_t>(pair >> 32), std::memory_order_relaxed);
        words[0].store(static_cast<uint32_t>(pair), std::memory_order_relaxed);
#endif
    }
    [[gnu::noinline]] static void write_large(Word* words, uint32_t number, uint64_t size, uint32_t tick) noexcept {
        store_pair(words + 2, size);
        store_pair(words, number | kLarge | uint64_t{tick} << kTickShift);
    }

    static Word* words_of(uintptr_t base, uintptr_t address) noexcept {
        return reinterpret_cast<Word*>(base + (address >> 2));  // blocks are 16-byte aligned
    }
    Word* reserve_chunk(uintptr_t address) noexcept;
    // Which pages of the chunk's words were ever written: present or swapped out. One bit each.
    static void find_written(uintptr_t start, uint64_t (&bits)[kReservedBytes / kPageSize / 64 + 1]) noexcept;

    // Entries are biased by the chunk's own address, so that finding a word is one load and one addition.
    std::atomic<uintptr_t>* directory_ = nullptr;
    static constexpr size_t kMostChunks = 4096;  // 256 GiB of heap
    std::atomic<uint32_t> chunk_count_{0};
    std::atomic<uint32_t> chunks_[kMostChunks] = {};  // in order of reservation
};

template <class Visit>
void ShadowMap::scan(Visit&& visit) const noexcept {
    constexpr size_t kWordsPerPage = kPageSize / sizeof(Word);
    const uint32_t count = chunk_count_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < count; ++i) {
        const uintptr_t chunk = uintptr_t{chunks_[i].load(std::memory_order_relaxed)} << kChunkBits;
        const uintptr_t base = directory_[chunk >> kChunkBits].load(std::memory_order_acquire);
        Word* const words = words_of(base, chunk);
        uint64_t written[kReservedBytes / kPageSize / 64 + 1];
        find_written(reinterpret_cast<uintptr_t>(words), written);
        bool came_from_empty = false;
        for (size_t at = 0; at < kChunkBytes / kGranule;) {
            const size_t page = at / kWordsPerPage;
            if (!(written[page / 64] >> (page % 64) & 1)) {
                at = (page + 1) * kWordsPerPage;
                came_from_empty = false;
                continue;
            }
            if (!holds(words + at)) {
                ++at;
                came_from_empty = true;
                continue;
            }
            // Between our looks at the word before and at this one a record may have come: then this is its second
            // word.
            if (came_from_empty && holds(words + at - 1)) --at;
            came_from_empty = false;
            const Record record = read(words + at);
            if (record.number != 0) visit(chunk + at * kGranule, record);
            const size_t granules = (record.size + kGranule - 1) / kGranule;
            at += granules < 2 ? 2 : granules;
        }
    }
}

}  // namespace flyweight::memory
