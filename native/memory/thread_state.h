// What the profiler keeps per thread: plain data in static thread-local storage. It starts as zeros, needs no
// constructor and no destructor, and may be used while a thread is starting or ending.
#pragma once

#include <cstdint>

namespace flyweight::memory {

struct Phase;

struct ThreadState {
    static inline char nothing = 0;
    static constexpr void* kNothing = &nothing;

    int64_t until_sample;  // bytes this thread may still allocate before the sampler is asked
    int64_t gap_left;      // bytes beyond those until the next sampled one
    uint64_t random;       // xorshift state; 0: not seeded yet
    uint32_t session;      // the session the two above belong to
    uint32_t busy;         // > 0: the profiler itself is at work on this thread, nothing is recorded
    uint32_t nested;       // > 0: below one of our hooks, whose block this is
    uint32_t probed;       // hooks passed while this thread probed
    bool arena_mapped;     // Python has mapped an arena, and nothing else been asked of the raw domain since
    void* reallocating;    // the block that a realloc below one of our hooks was given; kNothing for null
    void* raw_block;       // the last block that the raw domain's hook recorded on this thread
    Phase* phase;          // the innermost open phase of this thread and context
    void* phase_context;   // the context `phase` was found for
    uint32_t phase_version;
};

// Initial-exec: one instruction, no call. The few bytes come out of the reserve that the C library keeps for this.
extern __thread ThreadState this_thread __attribute__((tls_model("initial-exec")));

// While it lives, hooks on this thread pass through.
struct ProfilerScope {
    ProfilerScope() noexcept { ++this_thread.busy; }
    ~ProfilerScope() { --this_thread.busy; }
    ProfilerScope(const ProfilerScope&) = delete;
    ProfilerScope& operator=(const ProfilerScope&) = delete;
};
inline bool in_profiler() noexcept {
    return this_thread.busy != 0;
}

}  // namespace flyweight::memory
