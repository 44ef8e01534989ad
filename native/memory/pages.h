// Memory for the profiler's own data, straight from the kernel: keeping a record never allocates, and so never
// changes what it counts. Reserved pages cost nothing until they are touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

inline constexpr size_t kPageSize = 4096;  // x86-64; larger pages elsewhere only make the figures of own memory coarser

// Zeroed pages, private to this process and copied by fork. Returns nullptr when the kernel refuses.
void* reserve_pages(size_t bytes) noexcept;

// Everything that was reserved, in order of time: nothing of it is ever given up, only dropped.
struct ReservedPages {
    uintptr_t start;
    size_t bytes;
};
size_t reserved_count() noexcept;
ReservedPages reserved_pages(size_t number) noexcept;

// Gives the pages back; they read as zero from now on. The range stays reserved.
void drop_pages(void* start, size_t bytes) noexcept;

// Bytes of [start, start + bytes) that are in memory now.
size_t resident_bytes(const void* start, size_t bytes) noexcept;

// An array that never moves: its whole capacity is reserved at first use, its elements start as zeros.
template <class T, size_t kCapacity>
class StableArray {
  public:
    bool reserve() noexcept {
        if (data_ == nullptr) data_ = static_cast<T*>(reserve_pages(kCapacity * sizeof(T)));
        return data_ != nullptr;
    }
    T& operator[](size_t index) noexcept { return data_[index]; }
    const T& operator[](size_t index) const noexcept { return data_[index]; }
    T* data() noexcept { return data_; }
    size_t size() const noexcept { return size_; }
    static constexpr size_t capacity() noexcept { return kCapacity; }

    // Makes room for `count` more elements and returns the index of the first, or kCapacity when full.
    size_t append(size_t count = 1) noexcept {
        if (kCapacity - size_ < count) return kCapacity;
        const size_t first = size_;
        size_ += count;
        return first;
    }
    void clear() noexcept {
        if (data_ != nullptr) drop_pages(data_, kCapacity * sizeof(T));
        size_ = 0;
    }
    size_t used_bytes() const noexcept { return size_ * sizeof(T); }

  private:
    T* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace flyweight::memory
