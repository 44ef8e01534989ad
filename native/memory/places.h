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

// The site of the thread's current Python location, under `key`. Without a Python frame: "<no Python frame>". `caller`
// is the native one; its library is part of the site in all domains but Python's. A key without a library's number is
// not remembered there, since the number may be any.
//
// Writing a note into a code object allocates through PyMem. Only the hooks of the mem and object domains may have that
// done: they run when the allocator below has finished. The raw domain's hook runs in the middle of it as well (the
// small-object allocator asks the raw domain for its tables while it makes an arena), and a second arena made in the
// middle of the first would corrupt both. A thread without the GIL may not even read notes. Where none can be written,
// a new place is resolved again each time, until its code object has one.
enum class Notes { none, read, write };
SiteId resolve_frame(PyThreadState* thread, Notes notes, const void* caller, Domain domain, PlaceKey key) noexcept;
// The site of native code at `caller`, named by its library.
SiteId resolve_caller(const void* caller, Domain domain, PlaceKey key) noexcept;

// The calling thread's stack, innermost last pushed; 0 without Python. Under the slow lock.
StackId capture_python_stack(Notes notes) noexcept;
StackId capture_stack(uint32_t* native_stack) noexcept;  // with the native one where that is wanted; writes no notes
void forget_native_places() noexcept;                    // libraries came or went

}  // namespace flyweight::memory
