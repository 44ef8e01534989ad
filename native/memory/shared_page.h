// The shared page: counters, top sites, leak candidates, components, budgets and the last minute, for another process
// to read without a lock and without our help. A file in shared memory, written by the ticker, guarded by a sequence
// number that is odd while it changes: a reader copies the page and keeps the copy if the number is even and the same
// before and after.
//
// All numbers are little-endian (the machine's own). The layout only grows at the end; `version` changes otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::memory {

inline constexpr uint32_t kPageVersion = 2;
inline constexpr uint32_t kPageSites = 64;
inline constexpr uint32_t kPageLeaks = 16;
inline constexpr uint32_t kPageComponents = 33;  // the last may be "(other)"
inline constexpr uint32_t kPageBudgets = 32;
inline constexpr uint32_t kPageMoments = 256;  // ticks: the last minute, which a verdict on the steady state looks at

struct PageCounters {
    uint64_t current_bytes, peak_bytes, allocated_bytes, freed_bytes;
    uint64_t allocation_count, deallocation_count, live_count;
};

enum PageFlags : uint32_t {
    kPageRecording = 1,
    kPageSampled = 2,  // figures are estimates
    kPageNative = 4,
    kPageDegraded = 8,  // sampled because own memory reached its limit
};

struct PageHeader {
    char magic[8];             // "FLYWMEM\0"
    uint32_t version;          // kPageVersion
    uint32_t sequence;         // odd while the page is being written
    uint32_t pid;              //
    uint32_t flags;            // PageFlags
    uint64_t process_start;    // field 22 of /proc/<pid>/stat, tells a reused pid
    uint64_t started_unix_ms;  // of the recording
    uint64_t updated_unix_ms;  // of this page
    uint64_t elapsed_ms;       // since the start of the recording
    uint64_t own_bytes;        // the profiler's own data
    uint32_t site_rows;        // filled ones, largest live bytes first
    uint32_t leak_rows;        // filled ones, fastest growing first
    uint32_t site_offset;      // from the start of the page
    uint32_t leak_offset;      //
    uint32_t row_bytes;        // of both kinds
    uint32_t reserved;         //
    PageCounters counters[4];  // python, native, mapped, together
    uint64_t rss_bytes;        // of the process, at the last tick; 0 unknown
    uint64_t limit_bytes;      // Python allocations above it fail; 0 none
    uint32_t component_rows;   // filled ones, largest first
    uint32_t budget_rows;      //
    uint32_t moment_rows;      // filled ones, a ring
    uint32_t first_moment;     // the oldest
    uint32_t component_offset, budget_offset, moment_offset;
    uint32_t component_row_bytes, budget_row_bytes, moment_row_bytes;
};
static_assert(sizeof(PageHeader) == 144 + 4 * sizeof(PageCounters));

struct PageRow {
    uint64_t live_count, live_bytes, peak_bytes, total_count, total_bytes, largest_bytes;
    int64_t growth_bytes_per_s;  // leak candidates: of the troughs, since watched
    uint32_t line;
    uint32_t domain;    // 0 python, 1 native, 2 mapped
    char function[64];  // UTF-8, ends with a zero byte; longer names lose their beginning
    char file[128];     //
};
static_assert(sizeof(PageRow) == 256);

struct PageComponent {
    uint64_t live_bytes, live_count;
    uint64_t highest_bytes;  // at any tick
    char name[40];
};
static_assert(sizeof(PageComponent) == 64);

struct PageBudget {
    uint64_t limit_bytes, used_bytes, highest_bytes, times_exceeded;
    uint64_t over;       // 1: reported, and use has not been under 95 % since
    char component[40];  // empty: the whole process
};
static_assert(sizeof(PageBudget) == 80);

struct PageMoment {
    uint64_t elapsed_ms, lowest_bytes, highest_bytes, last_bytes, rss_bytes;  // tracked in all, and resident
};

inline constexpr size_t kPageSiteOffset = 4096;
inline constexpr size_t kPageLeakOffset = kPageSiteOffset + kPageSites * sizeof(PageRow);
inline constexpr size_t kPageComponentOffset = kPageLeakOffset + kPageLeaks * sizeof(PageRow);
inline constexpr size_t kPageBudgetOffset = kPageComponentOffset + kPageComponents * sizeof(PageComponent);
inline constexpr size_t kPageMomentOffset = kPageBudgetOffset + kPageBudgets * sizeof(PageBudget);
inline constexpr size_t kPageBytes = kPageMomentOffset + kPageMoments * sizeof(PageMoment);

// Creates `<prefix>.<pid>`, readable by this user only. False with errno set when that is impossible.
bool create_page(const char* prefix) noexcept;
bool create_page_again() noexcept;  // in a child: a page of its own, after forget_page_in_child
void publish_page() noexcept;
void remove_page() noexcept;
void forget_page_in_child() noexcept;

}  // namespace flyweight::memory
