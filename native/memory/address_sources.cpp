#include "memory/address_sources.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "memory/pages.h"
#include "memory/thread_stacks.h"

namespace flyweight::memory {
namespace {

constexpr uint32_t kMostAttempts = 4;

std::atomic<size_t> last_count{128}, last_text_size{8192};

}  // namespace

AddressSources::AddressSources(Workspace& work, const SafeReader& reader, const PageStates& states) noexcept
    : work_(work), reader_(reader), states_(states) {
    map_.mappings = work.mappings;
    map_.capacity = kMostMappings;
    map_.text = work.text;
    map_.text_capacity = kMostText;
}

// Pages that the map is read into count in the map: they are there before it is read, as many as the last one took.
void AddressSources::touch_room() noexcept {
    const auto touch = [](void* start, size_t bytes) {
        auto* const at = static_cast<volatile char*>(start);
        for (size_t offset = 0; offset < bytes; offset += kPageSize) at[offset] = 0;
    };
    touch(work_.mappings, (last_count.load(std::memory_order_relaxed) + 64) * sizeof(Mapping));
    touch(work_.text, last_text_size.load(std::memory_order_relaxed) + 2 * kPageSize);
}

bool AddressSources::read_map(AttributionOutcome& outcome) noexcept {
    touch_room();
    ProcessMap sum;
    Mapping total[2];
    char text[64];
    sum.mappings = total;
    sum.capacity = 2;
    sum.text = text;
    sum.text_capacity = sizeof text;
    const auto fail = [&outcome](const char* file, int error) {
        outcome.missing = file;
        outcome.error = error;
        return false;
    };
    for (uint32_t attempt = 1; attempt <= kMostAttempts; ++attempt) {
        outcome.attempts = attempt;
        if (!read_process_map("/proc/self/smaps", map_)) return fail("/proc/self/smaps", errno);
        if (!read_process_map("/proc/self/smaps_rollup", sum)) return fail("/proc/self/smaps_rollup", errno);
        if (map_.overflow || sum.count == 0 || map_.count == 0) return fail("/proc/self/smaps", EOVERFLOW);
        outcome.rollup = total[0].figures;
        Figures found = map_.sum();
        found.pss = outcome.rollup.pss;  // rounded for each mapping
        outcome.agreed = found == outcome.rollup;
        if (outcome.agreed) break;
    }
    last_count.store(map_.count, std::memory_order_relaxed);
    last_text_size.store(map_.text_size, std::memory_order_relaxed);
    return true;
}

bool AddressSources::is_anonymous(const Mapping& mapping) const noexcept {
    const char* name = map_.name(mapping);
    // Shared anonymous memory is a file of the kernel's to smaps.
    return name[0] == '\0' || starts_with(name, "[anon") || starts_with(name, "/dev/zero");
}

const Mapping* AddressSources::mapping_at(uintptr_t address) const noexcept {
    const Mapping* const end = map_.mappings + map_.count;
    const Mapping* found = std::partition_point(map_.mappings, const_cast<Mapping*>(end),
                                                [address](const Mapping& mapping) { return mapping.end <= address; });
    return found != end && found->start <= address ? found : nullptr;
}

int AddressSources::add_library(dl_phdr_info* info, size_t, void* sources) noexcept {
    AddressSources& self = *static_cast<AddressSources*>(sources);
    if (self.library_count_ == kMostLibraries) return 1;
    const auto number = static_cast<uint32_t>(self.library_count_);
    LoadedLibrary& library = self.work_.libraries[number];
    const char* name = info->dlpi_name != nullptr ? info->dlpi_name : "";
    library.name = self.map_.keep(name, std::strlen(name));
    library.holds_interpreter = false;
    library.fixed_start = library.fixed_end = 0;
    ++self.library_count_;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + header.p_vaddr, end = start + header.p_memsz;
        if (header.p_type == PT_GNU_RELRO) {
            library.fixed_start = start & ~(kPageSize - 1);
            library.fixed_end = end & ~(kPageSize - 1);
        }
        if (header.p_type != PT_LOAD || self.segment_count_ == kMostSegments) continue;
        if ((header.p_flags & PF_W) && self.writable_count_ < kMostLibraries) {
            self.work_.writable[self.writable_count_++] = {start & ~(kPageSize - 1),
                                                           (end + kPageSize - 1) & ~(kPageSize - 1), number};
        }
        if (start <= self.interpreter_ && self.interpreter_ < end) library.holds_interpreter = true;
        self.work_.segments[self.segment_count_++] = {start & ~(kPageSize - 1),
                                                      (end + kPageSize - 1) & ~(kPageSize - 1), number};
    }
    return 0;
}

// The loader's names may go through links, or be empty; what smaps calls a library's file is the same for all its
// parts.
void AddressSources::name_libraries() noexcept {
    for (size_t i = 0; i < segment_count_; ++i) {
        const Claim& segment = work_.segments[i];
        const Mapping* const mapping = mapping_at(segment.start);
        if (mapping != nullptr && map_.name(*mapping)[0] == '/') work_.libraries[segment.number].name = mapping->name;
    }
    for (size_t i = 0; i < library_count_; ++i) {
        LoadedLibrary& library = work_.libraries[i];
        // The program that starts Python, when the interpreter is in a library of its own.
        if (i == 0 && starts_with(last_part(map_.text + library.name), "python")) library.holds_interpreter = true;
    }
}

void AddressSources::find_libraries() noexcept {
    dl_iterate_phdr(add_library, this);
    name_libraries();
    claims_.set(kLibraries, work_.segments, segment_count_);
}

void AddressSources::claim_profiler() noexcept {
    size_t count = 0;
    for (size_t i = 0; i < reserved_count(); ++i) {
        const ReservedPages pages = reserved_pages(i);
        if (pages.bytes != 0) work_.profiler[count++] = {pages.start, pages.start + pages.bytes, 0};
    }
    const auto own = reinterpret_cast<uintptr_t>(&work_);
    work_.profiler[count++] = {own, own + sizeof(Workspace), 0};
    claims_.set(kProfiler, work_.profiler, count);
}

void AddressSources::claim_given() noexcept {
    const GivenRanges& given = work_.given;
    size_t count = 0;
    for (size_t i = 0; i < given.count; ++i) {
        const Claim claim{given.ranges[i].start, given.ranges[i].end, static_cast<uint32_t>(i)};
        count = add_uncovered(work_.given_claims, count, std::size(work_.given_claims), claim);
    }
    claims_.set(kGiven, work_.given_claims, count);
}

void AddressSources::claim_intervals(bool recorded) noexcept {
    size_t count = 0;
    if (recorded) {
        count = std::min(anonymous_intervals(work_.anonymous, kMostIntervals), kMostIntervals);
        for (size_t i = 0; i < count; ++i) {
            const AnonymousInterval& interval = work_.anonymous[i];
            work_.intervals[i] = {interval.start, interval.end, interval.site};
        }
    }
    claims_.set(kIntervals, work_.intervals, count);
}

// Where a heap that begins in the mapping ends, `limit` at most. What a forked process adds to a heap it inherited is a
// mapping of its own to the kernel, and the chunk that was "top" lies in both.
uintptr_t AddressSources::heap_end(const Mapping& first, uintptr_t limit) const noexcept {
    const Mapping* const end = map_.mappings + map_.count;
    const Mapping* last = &first;
    for (const Mapping* next = last + 1; last->end < limit && next < end && next->start == last->end; ++next) {
        if (!next->readable || !next->writable || std::strcmp(map_.name(*next), map_.name(first)) != 0) break;
        last = next;
    }
    return std::min(last->end, limit);
}

void AddressSources::claim_heaps() noexcept {
    for (size_t i = 0; i < map_.count; ++i) {
        const Mapping& mapping = map_.mappings[i];
        if (mapping.figures.rss == 0) continue;
        if (is_main_heap(mapping)) {
            if (heap_count_ < kMostHeaps) {
                work_.heaps[heap_count_++] = {mapping.start, heap_end(mapping, UINTPTR_MAX), 0};
            }
            continue;
        }
        if (!is_anonymous(mapping) || !mapping.writable || !mapping.readable) continue;
        for (uintptr_t at = (mapping.start + kArenaAlignment - 1) & ~(kArenaAlignment - 1); at < mapping.end;
             at += kArenaAlignment) {
            const size_t found = states_.resident(at, at + kPageSize, PageStates::Sharing::all, work_.more_runs, 1);
            ResidentRuns runs(work_.more_runs, found);
            HeapWords words(reader_, runs, work_.window);
            uint64_t size;
            if (is_arena_heap(at, words, &size) && heap_count_ < kMostHeaps) {
                work_.heaps[heap_count_++] = {at, heap_end(mapping, at + size), 1};
            }
        }
    }
    claims_.set(kHeaps, work_.heaps, heap_count_);
}

void AddressSources::add_stack(const Mapping& mapping, uintptr_t from) noexcept {
    if (stack_count_ == kMostStacks) return;
    const size_t found = states_.resident(from & ~(kPageSize - 1), mapping.end, PageStates::Sharing::all,
                                          work_.more_runs, std::size(work_.more_runs));
    ResidentRuns runs(work_.more_runs, found);
    Stack stack;
    if (find_stack(mapping, from, runs, reader_, &stack)) {
        work_.stacks[stack_count_++] = {stack.start, stack.end, kAnyThread};
    } else if (stack.descriptor != 0 && mapping.end - mapping.start <= kSmallMapping) {
        // The loader made the main thread's descriptor, together with what else it needed before there was a malloc.
        work_.stacks[stack_count_++] = {mapping.start, mapping.end, kMainThread};
    }
}

void AddressSources::claim_stacks() noexcept {
    const size_t count = read_stack_pointers(work_.pointers, kMostStacks);
    for (size_t i = 0; i < count; ++i) {
        const uintptr_t pointer = work_.pointers[i];
        const Mapping* const mapping = mapping_at(pointer);
        if (mapping == nullptr || mapping->figures.rss == 0 || !mapping->readable || !is_anonymous(*mapping)) continue;
        add_stack(*mapping, pointer);
#if !defined(__x86_64__)
        if (stack_count_ < kMostStacks) work_.stacks[stack_count_++] = {mapping->start, mapping->end, kAnyThread};
#endif
    }
    stack_count_ = claims_.set(kStacks, work_.stacks, stack_count_);
    for (size_t i = 0; i < map_.count; ++i) {
        const Mapping& mapping = map_.mappings[i];
        if (mapping.figures.rss == 0 || !is_anonymous(mapping) || !mapping.writable || !mapping.readable) continue;
        const bool small = mapping.end - mapping.start <= kSmallMapping;
        const Mapping* const below = i > 0 ? &map_.mappings[i - 1] : nullptr;
        const bool guarded = below != nullptr && below->end == mapping.start && !below->readable && !below->writable;
        if (!small && !guarded) continue;
        if (claims_.at(mapping.start, mapping.end).source != AddressClaims::kNobody) continue;
        add_stack(mapping, mapping.start);
    }
    stack_count_ = claims_.set(kStacks, work_.stacks, stack_count_);
}

void AddressSources::find(const void* interpreter, bool recorded_mappings) noexcept {
    interpreter_ = reinterpret_cast<uintptr_t>(interpreter);
    claim_profiler();
    claim_given();
    find_libraries();
    claim_heaps();
    claim_intervals(recorded_mappings);
    claim_stacks();  // last: it looks where nobody else has a claim
}

}  // namespace flyweight::memory
