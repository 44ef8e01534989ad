// Import slots of loaded libraries: the words through which one library calls a function of another.
//
// What is taken for granted of a loaded ELF object, since the loader itself depends on it: the tables named by its
// dynamic section are mapped as long as the object is listed, relocations are RELA with 64-bit slots, and they lie in
// segments that can be written (no text relocations; a slot in a read-only segment is left alone). Section headers
// and hash tables are not used and may be missing. A symbol's version is not looked at: none of the functions we
// replace has two versions that differ.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/pages.h"

namespace flyweight::memory {

// A function that libraries import by name, what the name is bound to, and what stands in for it.
struct ImportedFunction {
    const char* name;
    void* real;     // null: this system lacks the function
    void* address;  // what a pointer to the function holds. Mostly `real`, but a program that is not
                    // position-independent makes a stub of its own the function's address for everybody
    void* hook;
    bool of_the_heap;      // malloc's family: left alone in the library that holds Python's own allocators
    void* hook_below_new;  // what stands in for it in libraries that define operator new; null: `hook` there too
};

struct ImportedFunctions {
    const ImportedFunction* first;
    size_t count;
    const void* ourselves;    // an address in the library that holds the hooks: never rewritten
    const void* python_home;  // an address in the library that holds Python's allocators, or null
};

enum class ImportPass { patch, restore };

struct ImportTally {
    int libraries = 0;   // listed by the loader, whether visited or not
    int patched = 0;     // libraries with a hook in a slot after the pass
    int foreign = 0;     // slots that hold a third function; they are never touched
    bool again = false;  // a library was being relocated, or a stub was replaced: make another pass soon
};

// Slots that a pass left with a hook in them, to be looked at while their libraries are loaded.
struct PatchedSlot {
    const std::atomic<uintptr_t>* slot;
    uintptr_t hook;
};
struct PatchedSlots {
    StableArray<PatchedSlot, size_t{1} << 18> slots;
    size_t count = 0;
};

// How many libraries the loader has added and removed in the life of the process.
struct LoaderCount {
    uint64_t added = 0;
    uint64_t removed = 0;
    bool operator==(const LoaderCount&) const = default;
};
LoaderCount count_loaded() noexcept;

// Visits the import slots of every library but the first `skip` in the order of loading. Allocates nothing and takes
// no lock but the loader's. With `insist`, a library that looks as if it were still being relocated is taken for one
// whose relocated data just never becomes read-only. Slots with a hook, variables aside, are appended to `patched`.
ImportTally visit_imports(ImportPass pass, const ImportedFunctions& functions, int skip, bool insist,
                          PatchedSlots* patched) noexcept;

// Whether one of the slots no longer holds its hook; false when libraries were removed since.
bool lost_a_slot(const PatchedSlots& patched, uint64_t removed) noexcept;

}  // namespace flyweight::memory
