// Keeps the import slots of all libraries rewritten while libraries come and go.
//
// One thread at a time makes a pass. A thread that finds another at it leaves a request behind and goes on: it may be
// inside the loader, holding what the other waits for.
#pragma once

#include "memory/import_table.h"

namespace flyweight::memory {

void start_import_passes(const ImportedFunctions& functions) noexcept;  // until stopped; the first pass is made now
void stop_import_passes() noexcept;                                     // and puts every real function back

// Visits what was loaded since the last pass, and refreshes the library map. Asks the loader for two counts when
// nothing changed.
void make_import_pass() noexcept;

int patched_library_count() noexcept;
int foreign_slot_count() noexcept;
bool import_slots_were_taken() noexcept;  // by another tool
size_t import_passes_bytes() noexcept;

void hold_import_passes_for_fork() noexcept;
void release_import_passes_after_fork() noexcept;

}  // namespace flyweight::memory
