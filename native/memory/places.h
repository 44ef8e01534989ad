// From a place (a bytecode instruction, or a native caller) to its site, when the cache does not know it.
//
// The name of a place is read once, when it first allocates. A place is an address inside a code object, so it must be
// forgotten when the code object dies, or the next one at that address would inherit its name: each code object that
// has places carries a pointer to our note about it as "code extra" (PEP 523), whose free function CPython calls first
// thing when it deallocates the code.
#pragma once

#include "memory/python_frame.h"
#include "memory/site_cache.h"
#include "memory/tracker.h"

namespace flyweight::memory {

bool reserve_places() noexcept;
void clear_places() noexcept;  // sites are renumbered by a new session
size_t places_own_bytes() noexcept;

// The site of the thread's current Python location, under `key`. Without a Python frame: "<no Python frame>". A thread
// that is not attached may read its code objects but not write their extra: new places are then not remembered, unless
// their code already has a note.
SiteId resolve_frame(PyThreadState* thread, bool attached, Domain domain, PlaceKey key) noexcept;
// The site of native code at `caller`, named by its library.
SiteId resolve_caller(void* caller, Domain domain, PlaceKey key) noexcept;

// The calling thread's stack, innermost last pushed; 0 without Python.
StackId capture_stack(uint32_t* native_stack) noexcept;
void forget_native_places() noexcept;  // libraries came or went

}  // namespace flyweight::memory
