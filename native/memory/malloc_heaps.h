// The C library's heaps, walked chunk by chunk: what is handed out, what is kept for later, what the allocator itself
// takes.
//
// glibc publishes sums (mallinfo2) and no places. The places are in its chunks, whose layout has not changed since
// glibc 2.3 and is relied on by its own debugging tools. Assumed, from malloc/malloc.c and malloc/arena.c (2.26
// to 2.41):
//
//   chunk      8 bytes of the previous chunk's (its size, when it is free), 8 bytes of size and flags, then the block.
//              Sizes are multiples of 16. Flags: 1 the previous chunk is in use, 2 mapped by itself, 4 not of the main
//              arena. A chunk is in use when the next one says so.
//   main heap  the mapping [heap], or several neighbours after a fork, from its start; the last chunk, "top", reaches
//              to its end.
//   other      begin at multiples of HEAP_MAX_SIZE, 64 MiB, with heap_info: arena, previous heap, size, size that is
//              accessible (four words; since 2.35 a fifth, the page size). The first heap of an arena holds its
//              malloc_state next, whose size depends on the version: the first chunk is searched for.
//   fences     a heap that cannot grow in place ends with a chunk of 16 bytes and one of size 0, or two of 16.
//   mapped     a chunk that is a mapping of its own: at the start of a page a 0, then the size, a multiple of the page,
//              with flag 2 and no other.
//   tcache     freed chunks kept by threads look as if in use. Since 2.29 their second word is a key, since 2.34 the
//              same random one in all threads; the first chunk of the main heap is the main thread's table of them.
//
// Other threads use the heap while we walk: whatever is read is checked before it is followed, every step goes forward,
// and what makes no sense ends the walk until the next place where several chunks in a row do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/page_states.h"
#include "memory/safe_read.h"

namespace flyweight::memory {

inline constexpr size_t kArenaAlignment = size_t{64} << 20;
inline constexpr size_t kSmallestChunk = 32;
inline constexpr size_t kChunkHeader = 8;  // what a chunk in use costs: its last 8 bytes are in the next one

enum class ChunkState { used, cached, free, top, fence, unknown };  // unknown: a stretch that makes no sense

struct Chunk {
    uintptr_t start;
    uint64_t size;
    ChunkState state;
};

// Words of one heap, through a window where they cannot be read directly. Pages that are not resident are not read.
class HeapWords {
  public:
    static constexpr size_t kWindow = size_t{64} << 10;
    // `window`: kWindow bytes for copies.
    HeapWords(const SafeReader& reader, ResidentRuns& runs, char* window) noexcept
        : reader_(reader), runs_(runs), window_(window) {}
    // What is below the address is known to stay mapped, and read where it lies.
    void trust_below(uintptr_t address) noexcept { trusted_end_ = address; }
    // The word at an address that is a multiple of 8; false where there is nothing to read.
    bool word(uintptr_t address, uint64_t* value) noexcept {
        if (address - window_start_ < window_size_) {
            __builtin_memcpy(value, shown_ + (address - window_start_), sizeof *value);
            return true;
        }
        return load(address, value);
    }

  private:
    bool load(uintptr_t address, uint64_t* value) noexcept;

    const SafeReader& reader_;
    ResidentRuns& runs_;
    char* const window_;
    const char* shown_ = nullptr;
    uintptr_t window_start_ = 0;
    size_t window_size_ = 0;
    size_t reach_ = 0;
    uintptr_t trusted_end_ = 0;
};

class HeapWalk {
  public:
    // [start, end): where chunks may lie. `key`: of the cached ones, 0 unknown.
    HeapWalk(uintptr_t start, uintptr_t end, HeapWords& words, uint64_t key) noexcept
        : at_(start), end_(end), words_(words), key_(key) {}
    // The next chunk; together they cover the range without gaps. False at the end.
    bool next(Chunk* chunk) noexcept;
    // Goes on at a chunk that the caller knows to begin there, further on.
    void go_on_at(uintptr_t address) noexcept { at_ = address; }

  private:
    bool chunk_at(uintptr_t address, uint64_t* size) noexcept;
    bool sound_from(uintptr_t address) noexcept;
    uintptr_t search(uintptr_t from) noexcept;

    uintptr_t at_;
    const uintptr_t end_;
    HeapWords& words_;
    const uint64_t key_;
    bool in_step_ = false;
    size_t searched_ = 0;
};

// The key that marks chunks in the thread caches, from the main heap's first chunk; 0 when none can be found.
uint64_t find_cache_key(uintptr_t heap_start, HeapWords& words) noexcept;

// Whether a heap of a non-main arena begins here; `size`: bytes of it in use.
bool is_arena_heap(uintptr_t address, HeapWords& words, uint64_t* size) noexcept;

// Whether the two words at the start of a page are the header of a chunk mapped by itself, and its size.
bool is_mapped_chunk(uint64_t before, uint64_t size_word, uint64_t* size) noexcept;

}  // namespace flyweight::memory
