#include "memory/mapping_table.h"

#include <pthread.h>
#include <unistd.h>

#include <cstring>

#include "memory/pages.h"

namespace flyweight::memory {
namespace {

struct Interval {
    uintptr_t start, end;
    SiteId site;
    MappingKind kind;
};

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
__thread bool inside __attribute__((tls_model("initial-exec"))) = false;

// A sorted array: thousands of mappings are many, and inserting is a memmove beside a system call.
StableArray<Interval, size_t{1} << 20> intervals;
size_t interval_count = 0;
FileMappings files{};
uint64_t lost = 0;

const uintptr_t page_mask = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)) - 1;

uintptr_t end_of(uintptr_t start, size_t size) {
    const uintptr_t end = (start + size + page_mask) & ~page_mask;
    return end < start ? ~page_mask : end;  // more than there is: to the end of the address space
}

void take_account(const Interval& interval) {
    const size_t size = interval.end - interval.start;
    if (interval.kind == MappingKind::anonymous) {
        charge(interval.site, size);
    } else {
        ++files.count;
        files.bytes += size;
    }
}

void drop_account(const Interval& interval) {
    const size_t size = interval.end - interval.start;
    if (interval.kind == MappingKind::anonymous) {
        discharge(interval.site, size);
    } else {
        --files.count;
        files.bytes -= size;
    }
}

// The first interval that ends behind the address.
size_t first_behind(uintptr_t address) {
    size_t low = 0, high = interval_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (intervals[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void insert(size_t at, const Interval& interval) {
    if (!intervals.reserve() || interval_count == intervals.capacity()) {
        ++lost;
        return;
    }
    std::memmove(intervals.data() + at + 1, intervals.data() + at, (interval_count - at) * sizeof(Interval));
    intervals[at] = interval;
    ++interval_count;
    take_account(interval);
}

struct Removed {
    bool any = false;
    bool anonymous = false;
};

// Ends whatever is known within [start, end); intervals that reach out of it lose the part inside.
Removed cut(uintptr_t start, uintptr_t end) {
    Removed removed;
    const size_t first = first_behind(start);
    size_t last = first;
    for (; last < interval_count && intervals[last].start < end; ++last) {
        removed.any = true;
        removed.anonymous |= intervals[last].kind == MappingKind::anonymous;
        drop_account(intervals[last]);
    }
    if (!removed.any) return removed;
    const Interval left = intervals[first], right = intervals[last - 1];
    std::memmove(intervals.data() + first, intervals.data() + last, (interval_count - last) * sizeof(Interval));
    interval_count -= last - first;
    if (right.end > end) insert(first, {end, right.end, right.site, right.kind});
    if (left.start < start) insert(first, {left.start, start, left.site, left.kind});
    return removed;
}

}  // namespace

MappingChange::MappingChange() noexcept : holds_(!inside) {
    if (!holds_) return;
    // Set first: a signal handler that comes while the lock is being taken must not try to take it.
    inside = true;
    pthread_mutex_lock(&mutex);
}

MappingChange::~MappingChange() {
    if (!holds_) return;
    pthread_mutex_unlock(&mutex);
    inside = false;
}

void MappingChange::map(uintptr_t start, size_t size, MappingKind kind, SiteId site) noexcept {
    const uintptr_t end = end_of(start, size);
    cut(start, end);
    if (kind == MappingKind::anonymous && site == SiteId{}) return;
    insert(first_behind(start), {start, end, site, kind});
}

void MappingChange::unmap(uintptr_t start, size_t size) noexcept {
    cut(start, end_of(start, size));
}

void MappingChange::remap(uintptr_t old_start, size_t old_size, uintptr_t new_start, size_t new_size, bool keeps_old,
                          SiteId site) noexcept {
    const uintptr_t old_end = end_of(old_start, old_size);
    Removed known;
    if (keeps_old) {
        const size_t at = first_behind(old_start);
        known.any = at < interval_count && intervals[at].start < (old_end == old_start ? old_end + 1 : old_end);
        known.anonymous = known.any && intervals[at].kind == MappingKind::anonymous;
    } else {
        known = cut(old_start, old_end);
    }
    if (!known.any) {
        unmap(new_start, new_size);
        return;
    }
    map(new_start, new_size, known.anonymous ? MappingKind::anonymous : MappingKind::file, site);
}

size_t anonymous_intervals(AnonymousInterval* into, size_t capacity) noexcept {
    const MappingChange change;
    size_t found = 0;
    for (size_t i = 0; i < interval_count; ++i) {
        const Interval& interval = intervals[i];
        if (interval.kind != MappingKind::anonymous) continue;
        if (found < capacity) into[found] = {interval.start, interval.end, interval.site};
        ++found;
    }
    return found;
}

FileMappings file_mappings() noexcept {
    const MappingChange change;
    return files;
}

uint64_t lost_mappings() noexcept {
    const MappingChange change;
    return lost;
}

size_t mapping_table_bytes() noexcept {
    const MappingChange change;
    return interval_count * sizeof(Interval);
}

void clear_mapping_table() noexcept {
    const MappingChange change;
    intervals.clear();
    interval_count = 0;
    files = {};
    lost = 0;
}

void lock_mapping_table_for_fork() noexcept {
    inside = true;
    pthread_mutex_lock(&mutex);
}

void unlock_mapping_table_after_fork() noexcept {
    pthread_mutex_unlock(&mutex);
    inside = false;
}

}  // namespace flyweight::memory
