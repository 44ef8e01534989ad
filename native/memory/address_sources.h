// What there is in this process's memory, and who says that which addresses are his: reads the map, and collects the
// claims of libraries, threads, heaps, recorded mappings, the caller and the profiler itself.
#pragma once

#include <link.h>

#include <cstring>

#include "memory/account_workspace.h"
#include "memory/page_states.h"
#include "memory/safe_read.h"

namespace flyweight::memory {

// Sources of claims, the first of which wins.
enum Source : size_t { kProfiler, kGiven, kStacks, kLibraries, kHeaps, kIntervals };
static_assert(kIntervals + 1 == AddressClaims::kSources);
// What the number of a stack's claim means; elsewhere it is that of the library, the given range or the site.
enum StackOwner : uint32_t { kAnyThread, kMainThread };

inline const char* last_part(const char* path) noexcept {
    const char* slash = std::strrchr(path, '/');
    return slash != nullptr ? slash + 1 : path;
}
inline bool starts_with(const char* text, const char* start) noexcept {
    return std::strncmp(text, start, std::strlen(start)) == 0;
}

class AddressSources {
  public:
    AddressSources(Workspace& work, const SafeReader& reader, const PageStates& states) noexcept;

    // Reads the map until it agrees with its sum, a few times at most. False: see the outcome.
    bool read_map(AttributionOutcome& outcome) noexcept;
    // Collects the claims. `interpreter`: an address in the library that holds it.
    void find(const void* interpreter, bool recorded_mappings) noexcept;

    ProcessMap& map() noexcept { return map_; }
    AddressClaims& claims() noexcept { return claims_; }
    const LoadedLibrary& library(uint32_t number) const noexcept { return work_.libraries[number]; }
    const char* library_name(uint32_t number) const noexcept { return map_.text + work_.libraries[number].name; }
    size_t writable_count() const noexcept { return writable_count_; }

    const Mapping* mapping_at(uintptr_t address) const noexcept;  // null: nothing is mapped there
    bool is_anonymous(const Mapping& mapping) const noexcept;
    bool is_main_heap(const Mapping& mapping) const noexcept { return std::strcmp(map_.name(mapping), "[heap]") == 0; }

  private:
    void touch_room() noexcept;
    void find_libraries() noexcept;
    static int add_library(dl_phdr_info* info, size_t, void* sources) noexcept;
    void name_libraries() noexcept;
    void claim_profiler() noexcept;
    void claim_given() noexcept;
    void claim_intervals(bool recorded) noexcept;
    uintptr_t heap_end(const Mapping& first, uintptr_t limit) const noexcept;
    void claim_heaps() noexcept;
    void claim_stacks() noexcept;
    void add_stack(const Mapping& mapping, uintptr_t from) noexcept;

    Workspace& work_;
    const SafeReader& reader_;
    const PageStates& states_;
    ProcessMap map_;
    AddressClaims claims_;
    uintptr_t interpreter_ = 0;
    size_t library_count_ = 0, segment_count_ = 0, writable_count_ = 0, stack_count_ = 0, heap_count_ = 0;
};

}  // namespace flyweight::memory
