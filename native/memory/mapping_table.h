// What the process has mapped through the hooks: disjoint intervals in order of address.
//
// Anonymous intervals are charged to their site in whole pages. A partial unmap gives an interval back and charges
// what is left of it, as a realloc would. File mappings are counted and never charged.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/events.h"

namespace flyweight::memory {

enum class MappingKind : uint32_t { anonymous, file };

struct FileMappings {
    uint64_t count;
    uint64_t bytes;
};

// Holds the table still for one system call and its bookkeeping. Every call that can end a known interval is made
// under it, so that the table sees such changes in the order in which the kernel made them; a new mapping at an
// address of the kernel's choice may be made before. False, and not holding anything, when this thread already does:
// then a signal handler interrupted it, and its mappings go unrecorded.
class MappingChange {
  public:
    MappingChange() noexcept;
    ~MappingChange();
    MappingChange(const MappingChange&) = delete;
    MappingChange& operator=(const MappingChange&) = delete;
    explicit operator bool() const noexcept { return holds_; }

    // [start, start + size) is one mapping now, whatever was known there before. An anonymous one without a site is
    // nobody's: nothing is known of the range afterwards.
    void map(uintptr_t start, size_t size, MappingKind kind, SiteId site) noexcept;
    void unmap(uintptr_t start, size_t size) noexcept;
    // What was known of the old range is one mapping at the new place; of nothing comes nothing.
    void remap(uintptr_t old_start, size_t old_size, uintptr_t new_start, size_t new_size, bool keeps_old,
               SiteId site) noexcept;

  private:
    bool holds_;
};

FileMappings file_mappings() noexcept;

struct AnonymousInterval {
    uintptr_t start, end;
    SiteId site;
};
// Copies the anonymous intervals, in order of address. Returns how many there are; those beyond `capacity` are left
// out.
size_t anonymous_intervals(AnonymousInterval* into, size_t capacity) noexcept;
uint64_t lost_mappings() noexcept;  // found no room in the table, which has room for a million
size_t mapping_table_bytes() noexcept;

// Forgets everything and discharges nothing: for the start and the end of a session.
void clear_mapping_table() noexcept;

void lock_mapping_table_for_fork() noexcept;
void unlock_mapping_table_after_fork() noexcept;

}  // namespace flyweight::memory
