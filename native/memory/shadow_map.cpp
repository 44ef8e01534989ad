#include "memory/shadow_map.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "memory/slow_lock.h"

namespace flyweight::memory {

bool ShadowMap::reserve() noexcept {
    if (directory_ == nullptr) {
        directory_ = static_cast<std::atomic<uintptr_t>*>(reserve_pages(kChunks * sizeof(uintptr_t)));
    }
    return directory_ != nullptr;
}

void ShadowMap::clear() noexcept {
    const uint32_t count = chunk_count_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < count; ++i) {
        const uintptr_t chunk = uintptr_t{chunks_[i].load(std::memory_order_relaxed)} << kChunkBits;
        drop_pages(words_of(directory_[chunk >> kChunkBits].load(std::memory_order_relaxed), chunk), kReservedBytes);
    }
}

ShadowMap::Word* ShadowMap::reserve_chunk(uintptr_t address) noexcept {
    SlowLock lock;
    if (Word* words = find(address); words != nullptr) return words;
    const uint32_t count = chunk_count_.load(std::memory_order_relaxed);
    if (count == kMostChunks) return nullptr;
    void* words = reserve_pages(kReservedBytes);
    if (words == nullptr) return nullptr;
    const uintptr_t index = address >> kChunkBits;
    if (index >= kChunks) return nullptr;
    chunks_[count].store(static_cast<uint32_t>(index), std::memory_order_relaxed);
    directory_[index].store(reinterpret_cast<uintptr_t>(words) - (index << kChunkBits >> 2), std::memory_order_release);
    chunk_count_.store(count + 1, std::memory_order_release);
    return find(address);
}

void ShadowMap::find_written(uintptr_t start, uint64_t (&bits)[kReservedBytes / kPageSize / 64 + 1]) noexcept {
    constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
    constexpr size_t kPages = kReservedBytes / kPageSize;
    const int saved = errno;
    const int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    for (uint64_t& word : bits) word = file < 0 ? ~uint64_t{0} : 0;  // no page map: look at every page
    uint64_t entries[512];
    for (size_t first = 0; file >= 0 && first < kPages; first += 512) {
        const size_t wanted = kPages - first < 512 ? kPages - first : 512;
        const ssize_t got = pread(file, entries, wanted * sizeof(uint64_t),
                                  static_cast<off_t>((start / kPageSize + first) * sizeof(uint64_t)));
        for (size_t i = 0; i < wanted; ++i) {
            const bool known = got >= static_cast<ssize_t>((i + 1) * sizeof(uint64_t));
            if (!known || (entries[i] & kPresentOrSwapped)) bits[(first + i) / 64] |= uint64_t{1} << ((first + i) % 64);
        }
    }
    if (file >= 0) close(file);
    errno = saved;
}

size_t ShadowMap::own_bytes() const noexcept {
    size_t total = resident_bytes(directory_, kChunks * sizeof(uintptr_t));
    const uint32_t count = chunk_count_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < count; ++i) {
        const uintptr_t chunk = uintptr_t{chunks_[i].load(std::memory_order_relaxed)} << kChunkBits;
        const uintptr_t base = directory_[chunk >> kChunkBits].load(std::memory_order_relaxed);
        total += resident_bytes(words_of(base, chunk), kReservedBytes);
    }
    return total;
}

void ShadowMap::drop(uintptr_t start, size_t bytes) noexcept {
    for (uintptr_t at = start; at < start + bytes;) {
        const uintptr_t chunk_end = (at >> kChunkBits << kChunkBits) + kChunkBytes;
        const uintptr_t end = chunk_end < start + bytes ? chunk_end : start + bytes;
        if (Word* words = find(at); words != nullptr) {
            // Only whole pages of words: the rest may belong to a neighbour.
            auto first = reinterpret_cast<uintptr_t>(words);
            auto last = first + (end - at) / kGranule * sizeof(Word);
            first = (first + kPageSize - 1) / kPageSize * kPageSize;
            last = last / kPageSize * kPageSize;
            if (first < last) drop_pages(reinterpret_cast<void*>(first), last - first);
        }
        at = end;
    }
}

}  // namespace flyweight::memory
