// Ticks of a quarter of a second since the session began: what a record knows of time.
//
// A thread of our own, the ticker, advances the clock, so that an allocation only reads a number. It holds no lock of
// Python's, never allocates, and is not there while the process forks: a child would otherwise be born of a process
// with two threads, which Python 3.12 and later warn about. While it is away, allocations look at the time themselves.
#pragma once

#include <cstdint>

namespace flyweight::memory {

inline constexpr uint32_t kTicksPerSecond = 4;
inline constexpr uint32_t kTickMs = 1000 / kTicksPerSecond;

uint64_t monotonic_ms() noexcept;  // coarse: a few milliseconds, a few nanoseconds to read
void start_clock() noexcept;       // ticks count from now
uint64_t elapsed_ms() noexcept;    // since the clock was started
uint64_t started_unix_ms() noexcept;
uint32_t current_tick() noexcept;

// Runs `work` now and then four times a second, on a thread of its own, until stopped.
bool start_ticker(void (*work)()) noexcept;
void stop_ticker() noexcept;  // returns when the thread is gone
bool ticker_running() noexcept;
void forget_ticker_in_child() noexcept;

}  // namespace flyweight::memory
