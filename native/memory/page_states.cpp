#include "memory/page_states.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "memory/pages.h"

namespace flyweight::memory {
namespace {

// linux/fs.h of 6.7; ours to declare, for the headers a build sees may be older than the kernel it runs on.
struct ScanArguments {
    uint64_t size, flags, start, end, walk_end, regions, region_capacity, most_pages;
    uint64_t inverted, all_of, any_of, returned;
};
struct ScannedRegion {
    uint64_t start, end, categories;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArguments);
static_assert(sizeof(ScanArguments) == 96 && sizeof(ScannedRegion) == 24);
constexpr uint64_t kPresent = 1 << 3, kZeroPage = 1 << 5;

constexpr uint64_t kEntryPresent = uint64_t{1} << 63, kEntrySwapped = uint64_t{1} << 62;
constexpr uint64_t kEntryExclusive = uint64_t{1} << 56;
constexpr size_t kEntries = 512;

void add(Run* runs, size_t* count, size_t capacity, Run run) {
    if (*count > 0 && runs[*count - 1].end == run.start && runs[*count - 1].shared == run.shared) {
        runs[*count - 1].end = run.end;
    } else if (*count < capacity) {
        runs[(*count)++] = run;
    }
}

}  // namespace

PageStates::PageStates(bool may_scan) noexcept {
    file_ = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (file_ < 0 || !may_scan) return;
    Run run;
    const auto here = reinterpret_cast<uintptr_t>(&run) & ~(kPageSize - 1);
    scans_ = true;
    scans_ = scan(here, here + kPageSize, false, &run, 1) == 1;
}

PageStates::~PageStates() {
    if (file_ >= 0) close(file_);
}

size_t PageStates::scan(uintptr_t start, uintptr_t end, bool shared, Run* runs, size_t capacity) const noexcept {
    ScannedRegion regions[128];
    size_t count = 0;
    while (start < end && count < capacity) {
        ScanArguments arguments{};
        arguments.size = sizeof arguments;
        arguments.start = start;
        arguments.end = end;
        arguments.regions = reinterpret_cast<uint64_t>(regions);
        arguments.region_capacity = sizeof regions / sizeof regions[0];
        arguments.inverted = kZeroPage;
        arguments.all_of = kPresent | kZeroPage;
        arguments.returned = kPresent;
        const int found = ioctl(file_, kPagemapScan, &arguments);
        if (found < 0) break;
        for (int i = 0; i < found; ++i) {
            add(runs, &count, capacity, {regions[i].start, regions[i].end, shared});
        }
        if (arguments.walk_end <= start) break;
        start = arguments.walk_end;
    }
    return count;
}

size_t PageStates::page_by_page(uintptr_t start, uintptr_t end, Sharing sharing, Run* runs,
                                size_t capacity) const noexcept {
    uint64_t entries[kEntries];
    size_t count = 0;
    while (start < end) {
        const size_t pages = (end - start) / kPageSize, wanted = pages < kEntries ? pages : kEntries;
        const ssize_t got =
            pread(file_, entries, wanted * sizeof(uint64_t), static_cast<off_t>(start / kPageSize * sizeof(uint64_t)));
        if (got <= 0) break;
        const size_t known = static_cast<size_t>(got) / sizeof(uint64_t);
        for (size_t i = 0; i < known; ++i) {
            if (!(entries[i] & kEntryPresent)) continue;
            const bool shared =
                sharing == Sharing::all || (sharing == Sharing::mixed && !(entries[i] & kEntryExclusive));
            // Where all pages are private, one that is not mapped here alone is the page of zeros.
            if (sharing == Sharing::none && !(entries[i] & kEntryExclusive)) continue;
            const uintptr_t page = start + i * kPageSize;
            add(runs, &count, capacity, {page, page + kPageSize, shared});
        }
        start += known * kPageSize;
    }
    return count;
}

size_t PageStates::resident(uintptr_t start, uintptr_t end, Sharing sharing, Run* runs,
                            size_t capacity) const noexcept {
    if (file_ < 0 || start >= end) return 0;
    if (scans_ && sharing != Sharing::mixed) return scan(start, end, sharing == Sharing::all, runs, capacity);
    if (!scans_) return page_by_page(start, end, sharing, runs, capacity);
    // Both: which pages count, from the one, and who maps them, from the other.
    constexpr size_t kPiece = 64;
    size_t count = 0;
    while (start < end) {
        Run counted[kPiece];
        const size_t found = scan(start, end, false, counted, kPiece);
        for (size_t i = 0; i < found; ++i) {
            Run split[kEntries];
            for (uintptr_t at = counted[i].start; at < counted[i].end;) {
                const uintptr_t until =
                    counted[i].end - at < kEntries * kPageSize ? counted[i].end : at + kEntries * kPageSize;
                const size_t parts = page_by_page(at, until, Sharing::mixed, split, kEntries);
                for (size_t part = 0; part < parts; ++part) add(runs, &count, capacity, split[part]);
                at = until;
            }
        }
        if (found < kPiece) break;
        start = counted[found - 1].end;
    }
    return count;
}

void PageStates::written(uintptr_t start, size_t pages, uint64_t* bits) const noexcept {
    std::memset(bits, file_ < 0 ? 0xff : 0, (pages + 63) / 64 * sizeof(uint64_t));
    uint64_t entries[kEntries];
    for (size_t first = 0; file_ >= 0 && first < pages; first += kEntries) {
        const size_t wanted = pages - first < kEntries ? pages - first : kEntries;
        const ssize_t got = pread(file_, entries, wanted * sizeof(uint64_t),
                                  static_cast<off_t>((start / kPageSize + first) * sizeof(uint64_t)));
        for (size_t i = 0; i < wanted; ++i) {
            const bool known = got >= static_cast<ssize_t>((i + 1) * sizeof(uint64_t));
            if (!known || (entries[i] & (kEntryPresent | kEntrySwapped))) {
                bits[(first + i) / 64] |= uint64_t{1} << ((first + i) % 64);
            }
        }
    }
}

void ResidentRuns::seek(uintptr_t address) noexcept {
    size_t low = at_, high = count_;
    // Mostly the next one.
    if (low + 1 < high && runs_[low + 1].end > address) {
        at_ = low + 1;
        return;
    }
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (runs_[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    at_ = low;
}

Resident ResidentRuns::within(uintptr_t start, uintptr_t end) noexcept {
    Resident found;
    if (start >= end) return found;
    const Run* run = behind(start);
    for (; run != nullptr && run < runs_ + count_ && run->start < end; ++run) {
        const uintptr_t from = run->start > start ? run->start : start, to = run->end < end ? run->end : end;
        (run->shared ? found.shared : found.priv) += to - from;
    }
    return found;
}

}  // namespace flyweight::memory
