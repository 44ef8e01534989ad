// One recording, from start to stop: the order in which things are switched on and off, and what fork does to them.
#pragma once

#include <cstdint>

#include "memory/tracker.h"

namespace flyweight::memory {

enum class StartError { none, already_recording, no_memory, no_page };

// Under the GIL of the main interpreter.
StartError start_session(const Settings& settings, const char* page_prefix) noexcept;
void stop_session() noexcept;
bool recording() noexcept;

// What the ticker does four times a second.
void tick() noexcept;

// While the ticker is away (around a fork): sets the clock, and brings the ticker back once that is safe. Only callers
// that may start a thread pass true.
void look_at_the_clock(bool may_start_thread) noexcept;

struct Displaced {
    uint32_t python;  // domains whose hooks another tool had taken out; they are in again
    bool native;      // import slots of ours were overwritten
};
Displaced displaced() noexcept;
void probe() noexcept;                   // looks, under the GIL
uint64_t stopped_elapsed_ms() noexcept;  // length of the last recording; of this one while it goes on

}  // namespace flyweight::memory
