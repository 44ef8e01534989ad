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

// A relaxed look at a word that other threads write. As a plain read, which on the machines we run on is the same one
// instruction, but which the compiler may make part of another.
template <class T>
[[gnu::always_inline]] inline T glance(const std::atomic<T>& word) noexcept {
#if defined(__SANITIZE_THREAD__)
    return word.load(std::memory_order_relaxed);
#else
    static_assert(sizeof word == sizeof(T));
    return reinterpret_cast<const T&>(word);
#endif
}

// What the exclusive writer advances. Readers on other threads see each value whole, not all values at one instant.
class ExclusiveCounter {
  public:
    uint64_t get() const noexcept { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
    void set(uint64_t value) noexcept { __atomic_store_n(&value_, value, __ATOMIC_RELAXED); }
    // For the exclusive writer: plain, so that the compiler may make one instruction of it. On the machines we run on
    // an aligned word is written whole.
#if defined(__SANITIZE_THREAD__)
    uint64_t mine() const noexcept { return get(); }
    uint64_t add(uint64_t amount) noexcept {
        set(get() + amount);
        return get();
    }
#else
    uint64_t mine() const noexcept { return value_; }
    uint64_t add(uint64_t amount) noexcept { return value_ += amount; }
#endif
    void subtract(uint64_t amount) noexcept { add(uint64_t{0} - amount); }

  private:
    uint64_t value_ = 0;
};

class SharedCounter {
  public:
    uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
    uint64_t at_a_glance() const noexcept { return glance(value_); }
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

// Signed, since the two kinds of writers may pass each other: for a moment one sees the other's free before its own
// allocation.
constexpr bool above(uint64_t value, uint64_t mark) noexcept {
    return static_cast<int64_t>(value) > static_cast<int64_t>(mark);
}

constexpr uint64_t lower(uint64_t a, uint64_t b) noexcept {
    return a < b ? a : b;
}
constexpr uint64_t higher(uint64_t a, uint64_t b) noexcept {
    return a > b ? a : b;
}

// Bytes in use and the most there ever were.
//
// The exclusive writer compares what it holds with `mark`, the peak less what the others hold: one comparison, and no
// look at the others until it is passed. When the others hold more, they lower the mark. When they hold less it stays:
// a mark that is too low costs the exclusive writer a second look, which raises it again. Two writers that race for the
// same nanoseconds may each miss the other's last step; the next shared step or tick sets that right.
struct Level {
    ExclusiveCounter own;
    SharedCounter mark;
    ExclusiveCounter own_peak;  // the highest the exclusive writer saw, of both together
    SharedCounter others;
    SharedCounter others_peak;  // the highest the others saw
    uint64_t cap = INT64_MAX;   // a limit at which the exclusive writer wants to stop, however high the peak

    uint64_t current() const noexcept { return own.get() + others.get(); }
    // The highest that any writer saw. Two that raced may each have missed the other's last step: what is there now
    // counts too.
    uint64_t peak() const noexcept {
        const uint64_t seen = own_peak.get() > others_peak.get() ? own_peak.get() : others_peak.get();
        return above(current(), seen) ? current() : seen;
    }
    // True when `held`, what the exclusive writer holds now, is a new peak.
    bool passes_mark(uint64_t held) const noexcept { return above(held, mark.at_a_glance()); }
    void note_peak(uint64_t held) noexcept {
        // The mark may be an old, lower one: a peak never falls.
        const uint64_t now = held + others.get();
        if (above(now, own_peak.get())) own_peak.set(now);
        mark.set(lower(own_peak.get(), cap) - others.get());
    }
    void add_shared(uint64_t bytes) noexcept {
        const uint64_t held = others.add(bytes), now = held + own.get();
        if (above(now, 0)) others_peak.raise_to(now);
        if (above(mark.get() + held, lower(others_peak.get(), cap))) refresh_mark();
    }
    void subtract_shared(uint64_t bytes) noexcept { others.subtract(bytes); }
    void refresh_mark() noexcept {
        uint64_t held;
        do {
            held = others.get();
            mark.set(lower(peak(), cap) - held);
        } while (others.get() != held);
    }
    void reset() noexcept { own.set(0), others.set(0), own_peak.set(0), others_peak.set(0), mark.set(0); }
};

}  // namespace flyweight::memory
