// The native heap's hooks: malloc and its family, mmap and its family, and the loader's own entry points, put into the
// import slots of every loaded library (import_table.h).
//
// A thread may still be inside a hook, or reach one through a pointer it was given, when remove_native_hooks() has
// returned. Hooks then pass through to the real functions, so this code must stay loaded for the life of the process.
//
// What the hooks rely on (events.h): native_*, charge() and discharge() keep errno, never call a hooked library while
// they hold a lock, and do nothing while nothing is recorded. Releases are reported inside a ProfilerScope too, or a
// tracked block that is freed there would leave its record behind; allocations are not.
#pragma once

namespace flyweight::memory {

void install_native_hooks() noexcept;
void remove_native_hooks() noexcept;

// Patches libraries that were loaded behind our back (name service, character sets, a dlopen through a kept pointer)
// and refreshes the library map. When nothing changed it only asks the loader for two counts.
void look_for_new_libraries() noexcept;

int patched_libraries() noexcept;     // with a hook in one of their import slots
int foreign_import_slots() noexcept;  // slots that were found with a third tool's function in them, and left alone
// Whether another tool took slots away from us. Walks every library: for now and then.
bool native_hooks_displaced() noexcept;

// Around fork, so that no thread is inside the loader's list on our behalf: a child could never release the lock that
// guards it. Unlock in parent and child.
void lock_native_hooks_for_fork() noexcept;
void unlock_native_hooks_after_fork() noexcept;

}  // namespace flyweight::memory
