// Hooks in CPython's three allocator domains: raw, mem and object.
#pragma once

namespace flyweight::memory {

// Under the GIL. Installing twice is fine. Removing puts the former allocators back where ours are the outermost; where
// another tool has wrapped ours since, ours stay and let everything pass.
// `alone`: nothing but Python's allocations is tracked.
void install_python_hooks(bool sampled, bool alone) noexcept;
void remove_python_hooks() noexcept;

// Calls each domain's allocator once to see whether our hook is still reached. Hooks that another tool took out are
// put in again; returns how many domains that happened to.
int probe_python_hooks() noexcept;

}  // namespace flyweight::memory
