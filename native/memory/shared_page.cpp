#include "memory/shared_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "memory/budgets.h"
#include "memory/clock.h"
#include "memory/components.h"
#include "memory/history.h"
#include "memory/totals.h"
#include "memory/tracker.h"

namespace flyweight::memory {
namespace {

char page_prefix[512];
char page_path[540];
PageHeader* page = nullptr;
size_t ticks_shown = 0;  // that the page's ring has

uint64_t process_start() noexcept {
    char text[1024];
    const int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    const ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return 0;
    text[got] = 0;
    const char* at = std::strrchr(text, ')');  // the name before it may contain anything
    for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
    return at != nullptr ? std::strtoull(at, nullptr, 10) : 0;
}

uint64_t unix_ms() noexcept {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

void copy_name(char* to, size_t room, uint32_t name) noexcept {
    std::string_view text = tracker.strings[name];
    if (text.size() >= room) text.remove_prefix(text.size() - room + 1);
    std::memset(to, 0, room);
    std::memcpy(to, text.data(), text.size());
}

void fill_row(PageRow& row, SiteId number, int64_t growth) noexcept {
    const Site& site = tracker.sites[number];
    row.live_count = site.live_count();
    row.live_bytes = site.live_bytes();
    row.peak_bytes = site.peak();
    row.total_count = site.total_count();
    row.total_bytes = site.total_bytes();
    row.largest_bytes = site.largest();
    row.growth_bytes_per_s = growth;
    row.line = site.line;
    row.domain = static_cast<uint32_t>(site.domain);
    copy_name(row.function, sizeof row.function, site.function);
    copy_name(row.file, sizeof row.file, site.file);
}

// The largest few by a score, kept sorted by insertion: few enough that nothing cleverer pays.
template <class Number, size_t kRoom>
struct Largest {
    struct Entry {
        int64_t score;
        Number site;
    } entries[kRoom];
    size_t count = 0;

    void offer(int64_t score, Number site) noexcept {
        if (score <= 0 || (count == kRoom && score <= entries[kRoom - 1].score)) return;
        size_t at = count < kRoom ? count++ : kRoom - 1;
        for (; at > 0 && entries[at - 1].score < score; --at) entries[at] = entries[at - 1];
        entries[at] = {score, site};
    }
};

// Bytes per second by which a site's troughs rose, if they rose nearly all the time up to now; 0 otherwise. A coarse
// sieve: the verdict, with its statistics, is the reader's (flyweight.memory.leaks).
int64_t steady_growth(const SiteHistory& site) noexcept {
    if (site.windows < 6) return 0;
    uint32_t rises = 0;
    for (uint32_t i = 1; i < site.windows; ++i) rises += site.bytes[i] > site.bytes[i - 1];
    const uint32_t last = site.windows - 1;
    if (rises * 4 < last * 3 || site.bytes[last] <= site.bytes[last - 2]) return 0;
    const uint64_t ms = last * site.window_ms();
    return static_cast<int64_t>((site.bytes[last] - site.bytes[0]) * 1000 / (ms > 0 ? ms : 1));
}

template <class Row>
Row* table(size_t offset) noexcept {
    return reinterpret_cast<Row*>(reinterpret_cast<char*>(page) + offset);
}

// The sums are those of the last tick.
void fill_components() noexcept {
    Largest<ComponentId, kPageComponents - 1> largest;
    Components::Sum rest = components.sum(Components::kOther);
    for (size_t number = 1; number < components.count(); ++number) {
        const Components::Sum& sum = components.sum(static_cast<ComponentId>(number));
        rest.live_bytes += sum.live_bytes, rest.live_count += sum.live_count;
        largest.offer(static_cast<int64_t>(sum.live_bytes), static_cast<ComponentId>(number));
    }
    auto* const rows = table<PageComponent>(kPageComponentOffset);
    size_t count = 0;
    for (; count < largest.count; ++count) {
        const ComponentId number = largest.entries[count].site;
        const Components::Sum& sum = components.sum(number);
        rows[count] = {sum.live_bytes, sum.live_count, sum.highest_bytes, {}};
        copy_name(rows[count].name, sizeof rows[count].name, components.name(number));
        rest.live_bytes -= sum.live_bytes, rest.live_count -= sum.live_count;
    }
    if (rest.live_bytes > 0) {
        rows[count] = {rest.live_bytes, rest.live_count, rest.live_bytes, {}};
        copy_name(rows[count].name, sizeof rows[count].name, components.name(Components::kOther));
        ++count;
    }
    page->component_rows = static_cast<uint32_t>(count);
}

void fill_budgets() noexcept {
    auto* const rows = table<PageBudget>(kPageBudgetOffset);
    uint32_t count = 0;
    for (size_t number = 0; number < Budgets::kMost; ++number) {
        const Budget& budget = budgets[number];
        if (!budget.set) continue;
        PageBudget& row = rows[count++];
        row = {budget.limit_bytes, budget.used_bytes, budget.highest_bytes, budget.times_exceeded, budget.over, {}};
        if (budget.component != Components::kOther) {
            copy_name(row.component, sizeof row.component, components.name(budget.component));
        }
    }
    page->budget_rows = count;
}

void add_moments() noexcept {
    const size_t now = history.ticks();
    if (now < ticks_shown) ticks_shown = 0;  // a new session
    const size_t first = now > kPageMoments ? now - kPageMoments : 0;
    auto* const rows = table<PageMoment>(kPageMomentOffset);
    for (size_t tick = ticks_shown > first ? ticks_shown : first; tick < now; ++tick) {
        const SeriesRow& row = history.at_tick(tick);
        rows[tick % kPageMoments] = {row.end_ms, row.lowest_bytes, row.highest_bytes, row.last_bytes, row.rss_bytes};
        page->rss_bytes = row.rss_bytes;
    }
    ticks_shown = now;
    page->moment_rows = static_cast<uint32_t>(now - first);
    page->first_moment = static_cast<uint32_t>(first % kPageMoments);
}

}  // namespace

bool create_page(const char* prefix) noexcept {
    remove_page();
    if (std::strlen(prefix) >= sizeof page_prefix) {
        errno = ENAMETOOLONG;
        return false;
    }
    std::strcpy(page_prefix, prefix);
    return create_page_again();
}

bool create_page_again() noexcept {
    if (page_prefix[0] == 0 || page != nullptr) return true;
    std::snprintf(page_path, sizeof page_path, "%s.%d", page_prefix, static_cast<int>(getpid()));
    unlink(page_path);  // left by a dead process that had our pid
    const int file = open(page_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return false;
    void* mapped = MAP_FAILED;
    if (ftruncate(file, kPageBytes) == 0) {
        mapped = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    const int saved = errno;
    close(file);
    if (mapped == MAP_FAILED) {
        unlink(page_path);
        errno = saved;
        return false;
    }
    page = static_cast<PageHeader*>(mapped);
    page->version = kPageVersion;
    page->pid = static_cast<uint32_t>(getpid());
    page->process_start = process_start();
    page->site_offset = kPageSiteOffset;
    page->leak_offset = kPageLeakOffset;
    page->row_bytes = sizeof(PageRow);
    page->component_offset = kPageComponentOffset;
    page->budget_offset = kPageBudgetOffset;
    page->moment_offset = kPageMomentOffset;
    page->component_row_bytes = sizeof(PageComponent);
    page->budget_row_bytes = sizeof(PageBudget);
    page->moment_row_bytes = sizeof(PageMoment);
    ticks_shown = 0;
    publish_page();
    std::memcpy(page->magic, "FLYWMEM", 8);  // last: whoever sees it may read the rest
    return true;
}

void publish_page() noexcept {
    if (page == nullptr) return;
    Largest<SiteId, kPageSites> live;
    for (size_t number = 1; number < tracker.sites.size(); ++number) {
        const auto site = static_cast<SiteId>(number);
        live.offer(static_cast<int64_t>(tracker.sites[site].live_bytes()), site);
    }
    Largest<SiteId, kPageLeaks> growing;
    for (size_t number = 1; number < history.site_count(); ++number) {
        growing.offer(steady_growth(history.site(number)), history.site(number).site);
    }
    Totals totals[kDomains + 1];
    add_up(totals);

    auto sequence = reinterpret_cast<std::atomic<uint32_t>*>(&page->sequence);
    sequence->store(sequence->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    page->flags = (tracker.attention.load(std::memory_order_relaxed) & kStopped ? 0u : uint32_t{kPageRecording}) |
                  (tracker.settings.sampled ? kPageSampled : 0u) | (tracker.settings.native ? kPageNative : 0u) |
                  (tracker.degraded_reason.load(std::memory_order_relaxed) != 0 ? kPageDegraded : 0u);
    page->started_unix_ms = started_unix_ms();
    page->updated_unix_ms = unix_ms();
    page->elapsed_ms = elapsed_ms();
    page->own_bytes = tracker.own_bytes.get();
    for (size_t i = 0; i <= kDomains; ++i) {
        const Totals& t = totals[i];
        page->counters[i] = {t.current_bytes,    t.peak_bytes,         t.allocated_bytes, t.freed_bytes,
                             t.allocation_count, t.deallocation_count, t.live_count};
    }
    page->limit_bytes = tracker.settings.limit_bytes;
    auto* rows = table<PageRow>(kPageSiteOffset);
    for (size_t i = 0; i < live.count; ++i) fill_row(rows[i], live.entries[i].site, 0);
    page->site_rows = static_cast<uint32_t>(live.count);
    auto* leaks = table<PageRow>(kPageLeakOffset);
    for (size_t i = 0; i < growing.count; ++i) fill_row(leaks[i], growing.entries[i].site, growing.entries[i].score);
    page->leak_rows = static_cast<uint32_t>(growing.count);
    fill_components();
    fill_budgets();
    add_moments();
    sequence->store(sequence->load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void remove_page() noexcept {
    page_prefix[0] = 0;
    if (page == nullptr) return;
    munmap(page, kPageBytes);
    page = nullptr;
    const int saved = errno;
    unlink(page_path);
    errno = saved;
}

void forget_page_in_child() noexcept {
    if (page == nullptr) return;
    munmap(page, kPageBytes);  // the parent's; the child makes its own when it lives long enough
    page = nullptr;
}

}  // namespace flyweight::memory
