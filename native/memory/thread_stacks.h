// Where threads have their stacks.
//
// The kernel calls only the main thread's by its name. The others are anonymous mappings, made by the C library, where
// a thread's own descriptor (struct pthread) lies on top. On x86-64 its first and third word are its own address
// (sysdeps/x86_64/nptl/tls.h: tcbhead_t.tcb and .self), and further on it says where the stack's mapping begins and how
// large it is (nptl/descr.h: stackblock, stackblock_size, guardsize, in this order in glibc 2.4 to 2.41), which is
// checked against the mapping. Where to look: above the stack pointers of threads that wait (/proc/self/task/*/syscall,
// proc(5)), above a mapping that nobody may touch (the guard below each stack), and in small mappings (the main
// thread's descriptor, and stacks that are kept for the next thread). Elsewhere a stack is the mapping that a stack
// pointer points into.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/page_states.h"
#include "memory/process_map.h"
#include "memory/safe_read.h"

namespace flyweight::memory {

struct Stack {
    uintptr_t start = 0, end = 0;
    uintptr_t descriptor = 0;  // the main thread's says nothing of its stack: then start and end are 0
};

// The stack pointers of threads that are not running at this moment. Returns how many, at most `capacity`.
size_t read_stack_pointers(uintptr_t* pointers, size_t capacity) noexcept;

// The stack whose thread's descriptor lies within [from, mapping.end), looked for upwards in resident pages. False: no
// descriptor there says where its stack is.
bool find_stack(const Mapping& mapping, uintptr_t from, ResidentRuns& runs, const SafeReader& reader,
                Stack* stack) noexcept;

}  // namespace flyweight::memory
