#include "memory/pages.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>

namespace flyweight::memory {
namespace {

// Two tables for each chunk of the shadow, and some dozens besides. Zeros, and resident where used.
constexpr size_t kMostReserved = 2 * 4096 + 256;
struct {
    std::atomic<uintptr_t> start;
    std::atomic<size_t> bytes;
} reserved[kMostReserved];
std::atomic<size_t> reservations{0};

}  // namespace

void* reserve_pages(size_t bytes) noexcept {
    const int saved = errno;
    void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        errno = saved;
        return nullptr;
    }
    // A huge page behind a sparse map would cost 2 MB where 4 KB are used.
    madvise(pages, bytes, MADV_NOHUGEPAGE);
    errno = saved;
    if (const size_t number = reservations.fetch_add(1, std::memory_order_relaxed); number < kMostReserved) {
        reserved[number].start.store(reinterpret_cast<uintptr_t>(pages), std::memory_order_relaxed);
        reserved[number].bytes.store(bytes, std::memory_order_release);
    }
    return pages;
}

size_t reserved_count() noexcept {
    const size_t count = reservations.load(std::memory_order_relaxed);
    return count < kMostReserved ? count : kMostReserved;
}

ReservedPages reserved_pages(size_t number) noexcept {
    const size_t bytes = reserved[number].bytes.load(std::memory_order_acquire);  // 0: being reserved just now
    return {reserved[number].start.load(std::memory_order_relaxed), bytes};
}

void drop_pages(void* start, size_t bytes) noexcept {
    const int saved = errno;
    madvise(start, bytes, MADV_DONTNEED);
    errno = saved;
}

size_t resident_bytes(const void* start, size_t bytes) noexcept {
    constexpr size_t kStep = 1024;
    unsigned char present[kStep];
    const int saved = errno;
    size_t total = 0;
    auto* at = static_cast<const char*>(start);
    for (size_t pages = (bytes + kPageSize - 1) / kPageSize; pages > 0;) {
        const size_t count = pages < kStep ? pages : kStep;
        if (mincore(const_cast<char*>(at), count * kPageSize, present) == 0) {
            for (size_t i = 0; i < count; ++i) total += (present[i] & 1) * kPageSize;
        }
        at += count * kPageSize;
        pages -= count;
    }
    errno = saved;
    return total;
}

}  // namespace flyweight::memory
