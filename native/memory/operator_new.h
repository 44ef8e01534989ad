// C++ libraries ask for memory through `operator new`, which another library defines: by what that one then asks of
// malloc, all C++ would be the C++ library. So calls of operator new from one library to another pass a hook that notes
// who called, and the library that defines it gets hooks of malloc that ask for the note.
//
// The slots of different libraries may hold different definitions of operator new (two C++ libraries, an allocator that
// brings its own), and what one allocates only its own operator delete may take. So a hook belongs to one definition,
// and calls the one that the loader had put into the slot.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

// Which of the forms of operator new has this name in import tables; -1: none.
int operator_new_form(const char* name) noexcept;

// The hook of a form for one definition; null when there is no room for one more. One caller at a time, as all passes
// over import slots.
void* operator_new_hook(int form, uintptr_t definition) noexcept;
// What a hook of ours stands for; 0: it is none.
uintptr_t operator_new_behind(int form, uintptr_t hook) noexcept;

size_t operator_new_definitions() noexcept;  // known so far, of all forms
// Whether one of them is for which `holds(address)` is true.
template <class Holds>
bool defines_operator_new(Holds&& holds) noexcept;
uintptr_t operator_new_definition(size_t number) noexcept;

// For malloc's hooks in a library that defines operator new: who called that, when `caller` is its own call of malloc
// on this thread's behalf; else `caller`.
void* caller_of_operator_new(void* caller) noexcept;

template <class Holds>
bool defines_operator_new(Holds&& holds) noexcept {
    for (size_t i = 0; i < operator_new_definitions(); ++i) {
        if (holds(operator_new_definition(i))) return true;
    }
    return false;
}

}  // namespace flyweight::memory
