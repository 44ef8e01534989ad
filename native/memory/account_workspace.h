// The memory that an account of resident memory is made in: one reservation, touched as it fills, given back
// afterwards.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/address_claims.h"
#include "memory/attribution.h"
#include "memory/attribution_rows.h"
#include "memory/data_pointers.h"
#include "memory/malloc_heaps.h"
#include "memory/mapping_table.h"
#include "memory/process_map.h"
#include "memory/python_pools.h"
#include "memory/site_table.h"

namespace flyweight::memory {

inline constexpr size_t kMostMappings = 1 << 17;  // vm.max_map_count is 65,530 unless somebody raised it
inline constexpr size_t kMostText = size_t{8} << 20;
inline constexpr size_t kMostRuns = size_t{1} << 19;
inline constexpr size_t kMostLibraries = 1 << 13;
inline constexpr size_t kMostSegments = 1 << 15;
inline constexpr size_t kMostStacks = 1 << 14;
inline constexpr size_t kMostHeaps = 1 << 12;
inline constexpr size_t kMostIntervals = size_t{1} << 20;  // as the mapping table
inline constexpr size_t kBatch = 512;                      // addresses looked at in one go
inline constexpr size_t kSmallMapping = size_t{256} << 10;
inline constexpr size_t kArenaSize = size_t{1} << 20;  // ARENA_SIZE of Objects/obmalloc.c, 3.10 and later

struct LoadedLibrary {
    uint32_t name;  // offset of its path in the map's text
    bool holds_interpreter;
    uintptr_t fixed_start, fixed_end;  // read-only after relocation (PT_GNU_RELRO)
};

struct WritableSegment {
    uintptr_t start, end;
    uint32_t library;
};

struct SiteParts {
    Resident parts;
};

// All that an account needs, in one reservation that is touched as it fills.
struct Workspace {
    Mapping mappings[kMostMappings];
    char text[kMostText];
    Run runs[kMostRuns];
    Run more_runs[4096];
    LoadedLibrary libraries[kMostLibraries];
    Claim profiler[2 * 4096 + 512];
    GivenRanges given;
    Claim given_claims[2 * GivenRanges::kCapacity];
    Claim stacks[kMostStacks];
    Claim segments[kMostSegments];
    WritableSegment writable[kMostLibraries];
    OwnedStretch unowned[DataPointers::kCapacity];
    Claim heaps[kMostHeaps];
    Claim intervals[kMostIntervals];
    AnonymousInterval anonymous[kMostIntervals];
    uintptr_t pointers[kMostStacks];
    uintptr_t addresses[kBatch];
    PoolHeader headers[kBatch];
    char window[HeapWords::kWindow];
    char rows[AttributedRows::kBytes];
    SiteParts sites[SiteTable::kCapacity];
};

}  // namespace flyweight::memory
