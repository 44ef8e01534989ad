// The one lock of the slow path: it guards tables that grow (sites, strings, stacks, chunks). Recording an allocation
// from a place already known never takes it. It may be taken again by the thread that holds it, and fork takes it so
// that the child's tables are whole.
#pragma once

namespace flyweight::memory {

class SlowLock {
  public:
    SlowLock() noexcept { acquire(); }
    ~SlowLock() { release(); }
    SlowLock(const SlowLock&) = delete;
    SlowLock& operator=(const SlowLock&) = delete;

    static void acquire() noexcept;
    static bool try_acquire() noexcept;
    static void release() noexcept;
    static void reset_in_child() noexcept;
    static unsigned long times_taken() noexcept;  // for the test that shows that the hot path does not
};

}  // namespace flyweight::memory
