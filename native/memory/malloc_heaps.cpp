#include "memory/malloc_heaps.h"

#include "memory/pages.h"

namespace flyweight::memory {
namespace {

constexpr uint64_t kPreviousInUse = 1, kMapped = 2, kFlags = 7;
constexpr size_t kFence = 16;
constexpr int kSoundChunks = 8;                    // in a row: then it is a heap again
constexpr size_t kMostSearched = size_t{8} << 20;  // bytes, for all gaps of a heap together
// tcache_perthread_struct, 2.30 and later: 64 counts of 16 bits, 64 heads of lists.
constexpr size_t kCacheBins = 64;
constexpr uint64_t kCacheChunk = 0x290;

}  // namespace

bool HeapWords::load(uintptr_t address, uint64_t* value) noexcept {
    const Run* const run = runs_.behind(address);
    if (run == nullptr || run->start > address || address % sizeof *value != 0) return false;
    if (reader_.direct() || address + sizeof *value <= trusted_end_) {
        // As much of the run as there is, where it lies.
        const uintptr_t end = reader_.direct() || run->end < trusted_end_ ? run->end : trusted_end_;
        window_start_ = run->start;
        window_size_ = (end - run->start) & ~(sizeof *value - 1);
        shown_ = reinterpret_cast<const char*>(run->start);
    } else {
        // A walk through small chunks wants the next pages too, a jump over a large one may want no more than this.
        const uintptr_t start = address & ~(kPageSize - 1);
        const bool goes_on = start == window_start_ + window_size_;
        reach_ = !goes_on ? kPageSize : reach_ < kWindow ? reach_ * 2 : kWindow;
        const size_t size = run->end - start < reach_ ? run->end - start : reach_;
        window_size_ = 0;
        if (!reader_.read(start, window_, size)) return false;
        window_start_ = start;
        window_size_ = size;
        shown_ = window_;
    }
    __builtin_memcpy(value, shown_ + (address - window_start_), sizeof *value);
    return true;
}

// A chunk's size, when there is one that stays within the heap.
bool HeapWalk::chunk_at(uintptr_t address, uint64_t* size) noexcept {
    uint64_t word;
    if (end_ - address < kFence || !words_.word(address + 8, &word)) return false;
    const uint64_t bytes = word & ~kFlags;
    if ((word & kMapped) || bytes % 16 != 0 || bytes > end_ - address) return false;
    if (bytes < kFence && !(bytes == 0 && end_ - address == kFence)) return false;
    *size = bytes == 0 ? kFence : bytes;
    return true;
}

bool HeapWalk::sound_from(uintptr_t address) noexcept {
    for (int i = 0; i < kSoundChunks; ++i) {
        uint64_t size;
        if (!chunk_at(address, &size)) return false;
        if (size < kSmallestChunk && i == 0) return false;
        address += size;
        if (address == end_) return i > 0;
    }
    return true;
}

uintptr_t HeapWalk::search(uintptr_t from) noexcept {
    for (uintptr_t at = from; at < end_; at += 16) {
        if ((searched_ += 16) > kMostSearched) break;
        if (sound_from(at)) return at;
        uint64_t word;
        if (!words_.word(at + 8, &word)) at = (at & ~(kPageSize - 1)) + kPageSize - 16;  // on to the next page
    }
    return end_;
}

bool HeapWalk::next(Chunk* chunk) noexcept {
    if (at_ >= end_) return false;
    uint64_t size;
    if (!in_step_ || !chunk_at(at_, &size)) {
        const uintptr_t found = !in_step_ && sound_from(at_) ? at_ : search(in_step_ ? at_ + 16 : at_);
        in_step_ = true;
        if (found > at_) {
            *chunk = {at_, found - at_, ChunkState::unknown};
            at_ = found;
            return true;
        }
        if (!chunk_at(at_, &size)) {  // changed under our eyes
            *chunk = {at_, end_ - at_, ChunkState::unknown};
            at_ = end_;
            return true;
        }
    }
    const uintptr_t start = at_;
    at_ += size;
    *chunk = {start, size, ChunkState::used};
    if (size < kSmallestChunk) {
        chunk->state = ChunkState::fence;
    } else if (at_ == end_) {
        chunk->state = ChunkState::top;
    } else {
        uint64_t word;
        if (key_ != 0 && words_.word(start + 24, &word) && word == key_) chunk->state = ChunkState::cached;
        if (words_.word(at_ + 8, &word) && !(word & kPreviousInUse)) chunk->state = ChunkState::free;
    }
    return true;
}

uint64_t find_cache_key(uintptr_t heap_start, HeapWords& words) noexcept {
    uint64_t size;
    if (!words.word(heap_start + 8, &size) || (size & ~kFlags) != kCacheChunk) return 0;
    const uintptr_t table = heap_start + 16;
    for (size_t bin = 0; bin < kCacheBins; ++bin) {
        uint64_t counts, head, key;
        if (!words.word(table + bin / 4 * 8, &counts) || (counts >> (bin % 4 * 16) & 0xffff) == 0) continue;
        if (!words.word(table + kCacheBins * 2 + bin * 8, &head) || head == 0 || head % 16 != 0) continue;
        if (words.word(head + 8, &key) && key != 0) return key;
    }
    return 0;
}

bool is_arena_heap(uintptr_t address, HeapWords& words, uint64_t* size) noexcept {
    uint64_t info[4];
    if (address % kArenaAlignment != 0) return false;
    for (size_t i = 0; i < 4; ++i) {
        if (!words.word(address + i * 8, &info[i])) return false;
    }
    const uint64_t arena = info[0], previous = info[1], used = info[2], accessible = info[3];
    // The arena follows the heap_info of its first heap.
    const uint64_t within = arena % kArenaAlignment;
    if (arena == 0 || within < 32 || within > 128 || arena % 16 != 0) return false;
    if (previous % kArenaAlignment != 0 || (previous == 0 && arena - within != address)) return false;
    if (used == 0 || used % kPageSize != 0 || used > kArenaAlignment) return false;
    if (accessible < used || accessible % kPageSize != 0 || accessible > kArenaAlignment) return false;
    *size = used;
    return true;
}

bool is_mapped_chunk(uint64_t before, uint64_t size_word, uint64_t* size) noexcept {
    if ((size_word & kFlags) != kMapped) return false;
    const uint64_t bytes = size_word & ~kFlags;
    // An aligned block has a chunk of its own further on; the header at the start stays.
    if (before != 0 || bytes == 0 || bytes % kPageSize != 0 || bytes >= uint64_t{1} << 46) return false;
    *size = bytes;
    return true;
}

}  // namespace flyweight::memory
