#include "memory/attribution.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "memory/account_workspace.h"
#include "memory/address_sources.h"
#include "memory/clock.h"
#include "memory/heap_account.h"
#include "memory/slow_lock.h"

namespace flyweight::memory {
namespace {

uint64_t now_us() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_nsec) / 1000;
}

class Account {
  public:
    Account(Workspace& work, AttributedRows& rows, AttributionOutcome& outcome) noexcept
        : work_(work),
          rows_(rows),
          outcome_(outcome),
          recording_(!(tracker.attention.load(std::memory_order_acquire) & kStopped)),
          exact_(recording_ && !tracker.settings.sampled),
          reader_(thread_count() == 1 + size_t{ticker_running()}),
          sources_(work, reader_, states_),
          heap_rows_(rows),
          heap_(work, reader_, states_, heap_rows_, exact_),
          profiler_(&rows.find_or_add(RowKind::profiler, "records")),
          threads_(&rows.find_or_add(RowKind::thread_stack, "threads")),
          main_thread_(&rows.find_or_add(RowKind::thread_stack, "main thread")) {}

    bool make(const AttributionRequest& request) noexcept;

  private:
    void take_mappings() noexcept;
    void divide(const Mapping* first, const Mapping* last) noexcept;
    void take_stretch(const AddressClaims::Stretch& stretch, const Mapping& mapping) noexcept;
    AttributedRow* row_of_whole(const Mapping& mapping) noexcept;
    AttributedRow* row_of_claim(const AddressClaims::Stretch& stretch) noexcept;
    AttributedRow* row_of_file(const Mapping& mapping) noexcept;
    AttributedRow& row_of_library(uint32_t number) noexcept;
    AttributedRow& leftover_row(const Mapping& mapping) noexcept;
    void find_owners() noexcept;

    AttributedRow& row_of_site(SiteId site) noexcept;
    void add_sites() noexcept;
    void divide_by_estimates() noexcept;

    Workspace& work_;
    AttributedRows& rows_;
    AttributionOutcome& outcome_;
    const bool recording_, exact_;
    const SafeReader reader_;
    const PageStates states_;
    AddressSources sources_;
    HeapRows heap_rows_;
    HeapAccount heap_;
    AttributedRow *profiler_, *threads_, *main_thread_;
    Figures divided_;
};

// ---------------------------------------- whose a mapping is ----------------------------------------

AttributedRow* Account::row_of_file(const Mapping& mapping) noexcept {
    const char* const name = sources_.map().name(mapping);
    if (std::strcmp(name, "[stack]") == 0) return main_thread_;
    if (starts_with(name, "[v") || starts_with(name, "[uprobes]")) return &rows_.find_or_add(RowKind::kernel, name);
    if (name[0] != '/') return nullptr;
    if (starts_with(last_part(name), "flyweight-memory.")) return profiler_;
    const AddressClaims::Stretch stretch = sources_.claims().at(mapping.start, mapping.end);
    if (stretch.source == kLibraries) {
        return &row_of_library(stretch.number);
    }
    return &rows_.find_or_add(RowKind::mapped_file, name);
}

AttributedRow& Account::leftover_row(const Mapping& mapping) noexcept {
    const char* const name = sources_.map().name(mapping);
    if (starts_with(name, "[anon:") || starts_with(name, "[anon_shmem:")) {
        // Named by its maker, with prctl(PR_SET_VMA).
        const char* const start = std::strchr(name, ':') + 1;
        const size_t length = std::strlen(start);
        return rows_.find_or_add(RowKind::mapped_memory, start, length > 0 ? length - 1 : 0);
    }
    if (name[0] != '\0' && !sources_.is_main_heap(mapping)) return rows_.find_or_add(RowKind::mapped_file, name);
    return *heap_rows_.unnamed;
}

AttributedRow& Account::row_of_library(uint32_t number) noexcept {
    const RowKind kind = sources_.library(number).holds_interpreter ? RowKind::interpreter : RowKind::library;
    return rows_.find_or_add(kind, sources_.library_name(number));
}

// The row that everything within such a claim goes to; null: it depends on what lies there.
AttributedRow* Account::row_of_claim(const AddressClaims::Stretch& stretch) noexcept {
    switch (stretch.source) {
        case kProfiler:
            return profiler_;
        case kGiven: {
            const GivenRange& given = work_.given.ranges[stretch.number];
            return &rows_.find_or_add(given.kind, given.name);
        }
        case kStacks:
            return stretch.number == kMainThread ? main_thread_ : threads_;
        case kLibraries:
            return &row_of_library(stretch.number);
        default:
            return nullptr;
    }
}

// The row of a mapping that belongs to one as it is, which needs no look at its pages; null: it is to be divided.
AttributedRow* Account::row_of_whole(const Mapping& mapping) noexcept {
    const AddressClaims::Stretch first = sources_.claims().at(mapping.start, mapping.end);
    AttributedRow* row = nullptr;
    if (!sources_.is_anonymous(mapping) && !sources_.is_main_heap(mapping)) {
        // A part of it may have a name of its own.
        for (uintptr_t at = mapping.start; at < mapping.end;) {
            const AddressClaims::Stretch stretch = sources_.claims().at(at, mapping.end);
            if (stretch.source <= kGiven) return nullptr;
            at = stretch.end;
        }
        row = row_of_file(mapping);
    } else if (first.end == mapping.end) {
        row = row_of_claim(first);
    }
    return row;
}

void Account::take_mappings() noexcept {
    const ProcessMap& map = sources_.map();
    const Mapping* const end = map.mappings + map.count;
    for (const Mapping* first = map.mappings; first < end;) {
        AttributedRow* const row = first->figures == Figures{} ? heap_rows_.unnamed : row_of_whole(*first);
        if (row != nullptr) {
            row->figures += first->figures;
            ++first;
            continue;
        }
        // A block may reach over several mappings: madvise on a part of it makes the rest one of its own.
        const Mapping* last = first + 1;
        while (last < end && last->start == last[-1].end && !(last->figures == Figures{}) &&
               last->readable == first->readable &&
               std::strcmp(sources_.map().name(*last), sources_.map().name(*first)) == 0 &&
               row_of_whole(*last) == nullptr) {
            ++last;
        }
        divide(first, last);
        first = last;
    }
}

// Neighbours of one name.
void Account::divide(const Mapping* first, const Mapping* last) noexcept {
    size_t count = 0;
    uint64_t listed = 0;
    for (const Mapping* mapping = first; mapping < last; ++mapping) {
        divided_ += mapping->figures;
        listed += mapping->figures.priv + mapping->figures.shared;
        const auto sharing = mapping->figures.shared == 0 ? PageStates::Sharing::none
                             : mapping->figures.priv == 0 ? PageStates::Sharing::all
                                                          : PageStates::Sharing::mixed;
        count += states_.resident(mapping->start, mapping->end, sharing, work_.runs + count, kMostRuns - count);
    }
    heap_.begin(ResidentRuns(work_.runs, count), leftover_row(*first));
    const uintptr_t end = last[-1].end;
    // What a heap gave back since the map was read was free.
    const uint64_t seen = heap_.within(first->start, end).total();
    if (sources_.claims().at(first->start, end).source == kHeaps && seen < listed) {
        heap_rows_.free_native->parts.priv += listed - seen;
    }
    for (uintptr_t at = first->start; at < end;) {
        const AddressClaims::Stretch stretch = sources_.claims().at(at, end);
        take_stretch(stretch, *first);
        at = stretch.end;
    }
    // The kernel merges the workspace with its neighbours, and pages of it were touched since the map was read: these
    // the sum of the map does not have, and no other row shall make up for them.
    const auto own = reinterpret_cast<uintptr_t>(&work_);
    if (first->start <= own && own < end && seen > listed) {
        Resident since;
        give(profiler_->parts, seen - listed, since);
    }
}

void Account::take_stretch(const AddressClaims::Stretch& stretch, const Mapping& mapping) noexcept {
    const auto [start, end, source, number] = stretch;
    AttributedRow* row = row_of_claim(stretch);
    if (row == nullptr && !mapping.readable) return heap_.take_leftover(start, end);
    if (row == nullptr && source == kHeaps) return heap_.take_heap(start, end, sources_.is_main_heap(mapping));
    if (row == nullptr && source == kIntervals) return heap_.take_interval(start, end, number);
    if (row == nullptr && sources_.is_anonymous(mapping)) return heap_.take_unclaimed(start, end);
    if (row == nullptr) row = row_of_file(mapping);
    if (row == nullptr) return heap_.take_leftover(start, end);
    row->parts += heap_.within(start, end);
}

void Account::find_owners() noexcept {
    DataPointers& unowned = heap_.unowned();
    // Small remains are not worth reading the data of all libraries.
    const size_t segments = unowned.total() * 200 > outcome_.rollup.rss ? sources_.writable_count() : 0;
    for (size_t i = 0; i < segments; ++i) {
        const WritableSegment& segment = work_.writable[i];
        const LoadedLibrary& library = sources_.library(segment.library);
        const char* const file = last_part(sources_.library_name(segment.library));
        // These know of everybody's memory.
        const bool knows_all = starts_with(file, "libc.so") || starts_with(file, "libc-") || starts_with(file, "ld-");
        // What is fixed after relocation points to nothing that was made later.
        const bool begins_fixed = library.fixed_start <= segment.start && segment.start < library.fixed_end;
        const uintptr_t start = begins_fixed ? library.fixed_end : segment.start;
        for (uintptr_t at = start; !knows_all && at < segment.end;) {
            const Mapping* const mapping = sources_.mapping_at(at);
            if (mapping == nullptr) break;
            const uintptr_t end = std::min(mapping->end, segment.end);
            if (mapping->readable) {
                const size_t count = states_.resident(at, end, PageStates::Sharing::all, work_.runs, kMostRuns);
                unowned.read(reader_, ResidentRuns(work_.runs, count));
            }
            at = end;
        }
        if (i + 1 == segments || work_.writable[i + 1].library != segment.library) {
            unowned.finish_library(segment.library);
        }
    }
    for (size_t i = 0; i < unowned.size(); ++i) {
        const OwnedStretch& stretch = unowned[i];
        AttributedRow& row = stretch.votes > 0
                                 ? rows_.find_or_add(RowKind::mapped_memory, sources_.library_name(stretch.owner))
                                 : *heap_rows_.unnamed;
        row.parts += stretch.resident;
    }
}

// ---------------------------------------- what live blocks come to ----------------------------------------

AttributedRow& Account::row_of_site(SiteId number) noexcept {
    const Site& site = tracker.sites[number];
    const uint32_t library = tracker.sites.location(number).library;
    const bool python = site.domain == Domain::python;
    const std::string_view name = tracker.strings[!python && library != 0 ? library : site.file];
    const RowKind kind = python                          ? RowKind::python_heap
                         : site.domain == Domain::native ? RowKind::native_heap
                                                         : RowKind::mapped_memory;
    return rows_.find_or_add(kind, name.data() != nullptr ? name.data() : "", name.size());
}

void Account::add_sites() noexcept {
    if (!recording_) return;
    for (size_t number = 1; number < tracker.sites.size(); ++number) {
        const auto site = static_cast<SiteId>(number);
        const Resident parts = work_.sites[number].parts;
        const uint64_t live = tracker.sites[site].live_bytes(), count = tracker.sites[site].live_count();
        if (parts.total() == 0 && (live == 0 || above(1, live))) continue;
        AttributedRow& row = row_of_site(site);
        row.parts += parts;
        row.live_bytes += live;
        row.live_count += count;
    }
}

// Samples say what share of the live blocks a site has; how much is in use the heaps themselves tell.
void Account::divide_by_estimates() noexcept {
    double live[kDomains] = {};
    for (size_t number = 1; number < tracker.sites.size(); ++number) {
        const Site& site = tracker.sites[static_cast<SiteId>(number)];
        if (!above(site.live_bytes(), 0)) continue;
        live[static_cast<size_t>(site.domain)] += static_cast<double>(site.live_bytes());
    }
    const double all = live[0] + live[1];
    Resident in_use = heap_rows_.used_python->parts;
    in_use += heap_rows_.used_native->parts;
    const auto there = static_cast<double>(in_use.total());
    if (all > 0 && there > 0) {
        const double scale = all > there ? there / all : 1;
        // What is in use and in no estimate was there before; of which heap, the pools tell.
        const double pools = static_cast<double>(heap_rows_.used_python->parts.total());
        const double before = all < there ? there - all : 0;
        const double before_python = std::min(before, pools > live[0] ? pools - live[0] : 0);
        give(in_use, static_cast<uint64_t>(before_python), heap_rows_.before_python->parts);
        give(in_use, static_cast<uint64_t>(before - before_python), heap_rows_.before_native->parts);
        heap_rows_.used_python->parts = heap_rows_.used_native->parts = {};
        for (size_t number = 1; number < tracker.sites.size(); ++number) {
            const Site& site = tracker.sites[static_cast<SiteId>(number)];
            if (site.domain == Domain::mapped || !above(site.live_bytes(), 0)) continue;
            give(in_use, static_cast<uint64_t>(static_cast<double>(site.live_bytes()) * scale),
                 work_.sites[number].parts);
            row_of_site(static_cast<SiteId>(number)).estimated = true;
        }
        heap_rows_.before_native->parts += in_use;  // fractions of bytes
    } else {
        heap_rows_.before_python->parts += heap_rows_.used_python->parts;
        heap_rows_.before_native->parts += heap_rows_.used_native->parts;
        heap_rows_.used_python->parts = heap_rows_.used_native->parts = {};
    }
}

// ---------------------------------------- the account ----------------------------------------

bool Account::make(const AttributionRequest& request) noexcept {
    outcome_.tracked = recording_;
    outcome_.estimated = recording_ && !exact_;
    if (!states_.works()) {
        outcome_.missing = "/proc/self/pagemap";
        outcome_.error = errno;
        return false;
    }
    if (!sources_.read_map(outcome_)) return false;
    heap_.trust(request);
    sources_.find(request.interpreter, recording_ && tracker.settings.native);
    {
        SlowLock lock;  // after the mapping table's own, as fork takes them
        take_mappings();
        find_owners();
        if (outcome_.estimated) divide_by_estimates();
        add_sites();
    }
    rows_.settle(divided_, *heap_rows_.unnamed);
    rows_.reconcile(outcome_.rollup, *heap_rows_.unnamed);
    return true;
}

// Not by reserve_pages: this goes back.
void* reserve_workspace() {
    void* memory =
        mmap(nullptr, sizeof(Workspace), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    madvise(memory, sizeof(Workspace), MADV_NOHUGEPAGE);
    return memory;
}

}  // namespace

Attribution::Attribution() noexcept : memory_(reserve_workspace()), rows_(memory_) {
    if (memory_ != nullptr) rows_ = AttributedRows(static_cast<Workspace*>(memory_)->rows);
}

Attribution::~Attribution() {
    if (memory_ != nullptr) munmap(memory_, sizeof(Workspace));
}

GivenRanges& Attribution::given() noexcept {
    return static_cast<Workspace*>(memory_)->given;
}

bool Attribution::make(const AttributionRequest& request) noexcept {
    outcome_ = {};
    const uint64_t started = now_us();
    ProfilerScope scope;
    Account account(*static_cast<Workspace*>(memory_), rows_, outcome_);
    const bool made = account.make(request);
    outcome_.elapsed_us = now_us() - started;
    return made;
}

}  // namespace flyweight::memory
