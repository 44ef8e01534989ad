// Counters that two kinds of writers advance without locks.
//
// Exclusive: the thread that holds the main interpreter's GIL. There is one at a time, so a plain addition is exact.
// Shared: everybody else (native threads, interpreters with a GIL of their own). They use atomic additions, on fields
// of their own, so that they never lose an exclusive addition. A reader adds the two.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

enum class Access { exclusive, shared };

// What the exclusive writer advances. Readers on other threads see each value whole, not all values at one instant.
class ExclusiveCounter {
  public:
    uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
    void set(uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    void add(uint64_t amount) noexcept {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
        // One instruction; compilers make three of a relaxed load and store.
        asm("addq %1, %0" : "+m"(value_) : "er"(amount) : "cc");
#else
        set(get() + amount);
#endif
    }
    void subtract(uint64_t amount) noexcept { add(uint64_t{0} - amount); }

  private:
    std::atomic<uint64_t> value_{0};
};

class SharedCounter {
  public:
    uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
    uint64_t add(uint64_t amount) noexcept { return value_.fetch_add(amount, std::memory_order_relaxed) + amount; }
    void subtract(uint64_t amount) noexcept { value_.fetch_sub(amount, std::memory_order_relaxed); }
    void set(uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    void raise_to(uint64_t value) noexcept {
        uint64_t seen = get();
        while (seen < value && !value_.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
        }
    }

  private:
    std::atomic<uint64_t> value_{0};
};

// Bytes in use and the most there ever were. The two kinds of writers keep a peak each; the larger one is the peak.
struct Level {
    ExclusiveCounter own;
    SharedCounter others;
    ExclusiveCounter own_peak;
    SharedCounter others_peak;

    uint64_t current() const noexcept { return own.get() + others.get(); }
    uint64_t peak() const noexcept {
        const uint64_t a = own_peak.get(), b = others_peak.get();
        return a > b ? a : b;
    }
    void add_exclusively(uint64_t bytes) noexcept;
    void add_shared(uint64_t bytes) noexcept;
    void reset() noexcept {
        own.set(0), others.set(0), own_peak.set(0), others_peak.set(0);
    }
};

}  // namespace flyweight::memory
