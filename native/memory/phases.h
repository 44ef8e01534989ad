// Phases: what one thread, in one contextvars context (so also: one asyncio task), allocates and frees between two
// calls.
//
// While no phase is open this costs nothing. While one is, hooks take their careful path and look up the phase by the
// thread's current context, which they find in the thread state.
#pragma once

#include <cstdint>

#include "memory/python_frame.h"

namespace flyweight::memory {

struct Phase {
    uint32_t number;    // 0: not open
    Phase* outer;       // the phase it lies in
    Phase* next;        // in the bucket of its context
    PyObject* context;  // held, so that its address means this context as long as the phase is open
    uint64_t started_ms;
    uint64_t allocated_bytes, freed_bytes, allocation_count, deallocation_count;
    int64_t peak_net_bytes;
};

// Under the GIL. 0: too many are open, or Python has no memory (with an exception set).
uint32_t begin_phase() noexcept;
// A copy of the phase's figures; false when no phase of that number is open.
bool read_phase(uint32_t number, Phase* copy) noexcept;
bool end_phase(uint32_t number, Phase* copy) noexcept;
void end_all_phases() noexcept;

// From the hooks, on the allocating thread.
void phase_allocated(uint64_t bytes) noexcept;
void phase_released(uint64_t blocks, uint64_t bytes) noexcept;

}  // namespace flyweight::memory
