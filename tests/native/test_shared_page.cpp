#include "memory/shared_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "check.h"
#include "memory/budgets.h"
#include "memory/clock.h"
#include "memory/components.h"
#include "memory/history.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

using namespace flyweight::memory;

namespace {

std::string prefix() {
    return "/tmp/flyweight-native-test." + std::to_string(getuid());
}
std::string path() {
    return prefix() + "." + std::to_string(getpid());
}

SiteId site(const char* function, uint32_t line) {
    SlowLock lock;
    return tracker.sites.find_or_add(
        {tracker.strings.intern("a.py"), tracker.strings.intern(function), line, Domain::python}, 0);
}

struct Page {
    alignas(8) char bytes[kPageBytes];
    const PageHeader& header() const { return *reinterpret_cast<const PageHeader*>(bytes); }
    const PageRow& site(uint32_t i) const { return reinterpret_cast<const PageRow*>(bytes + header().site_offset)[i]; }
};

// As a reader does: a copy counts when the sequence number is even and did not change meanwhile.
bool read(Page& page) {
    const int file = open(path().c_str(), O_RDONLY);
    if (file < 0) return false;
    uint32_t after = 1;
    do {
        if (pread(file, page.bytes, sizeof page.bytes, 0) != static_cast<ssize_t>(sizeof page.bytes)) break;
        if (pread(file, &after, sizeof after, offsetof(PageHeader, sequence)) != sizeof after) break;
    } while (after % 2 == 1 || after != page.header().sequence);
    close(file);
    return after % 2 == 0;
}

void begin() {
    Settings settings;
    settings.native = true;
    start_clock();
    tracker.begin(settings);
}

}  // namespace

TEST(a_page_is_private_complete_and_gone_afterwards) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    REQUIRE(create_page(prefix().c_str()));
    struct stat status;
    REQUIRE(stat(path().c_str(), &status) == 0);
    CHECK_EQUAL(status.st_mode & 0777, 0600u);
    const SiteId large = site("large", 1), small = site("small", 2);
    tracker.charge(large, 1, 5000), tracker.charge(small, 1, 10);
    {
        SlowLock lock;
        publish_page();
    }
    static Page page;
    REQUIRE(read(page));
    CHECK(std::memcmp(page.header().magic, "FLYWMEM", 8) == 0);
    CHECK_EQUAL(page.header().version, kPageVersion);
    CHECK_EQUAL(page.header().pid, static_cast<uint32_t>(getpid()));
    CHECK_EQUAL(page.header().counters[3].current_bytes, 5010u);
    REQUIRE(page.header().site_rows == 2);
    CHECK(std::string(page.site(0).function) == "large" && page.site(0).live_bytes == 5000);
    CHECK(std::string(page.site(1).function) == "small" && page.site(1).live_bytes == 10);
    remove_page();
    CHECK(access(path().c_str(), F_OK) != 0);
    tracker.end();
}

// By the numbers of docs/memory-model.md, not by the structures of shared_page.h.
TEST(components_budgets_and_ticks_lie_where_the_documents_say) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    size_t budget = 0;
    {
        SlowLock lock;
        history.clear();
        components.clear_rules();
        components.add_rule("a.py", "shop");
        budget = budgets.add(components.number_of("shop"), 4000, 0);
    }
    REQUIRE(create_page(prefix().c_str()));
    const SiteId one = site("one", 1);
    for (uint64_t tick = 1; tick <= 300; ++tick) {
        tracker.charge(one, 1, 100);
        SlowLock lock;
        history.note(static_cast<uint32_t>(tick), tick * 250);
        budgets.compare(tracker.total.current(), tracker.total.peak(), components);
        publish_page();
    }
    static Page page;
    REQUIRE(read(page));
    const auto word = [](size_t at) { return *reinterpret_cast<const uint64_t*>(page.bytes + at); };
    const auto half = [](size_t at) { return *reinterpret_cast<const uint32_t*>(page.bytes + at); };
    CHECK(word(312) > 0);                                          // RSS
    CHECK_EQUAL(word(320), 0u);                                    // no limit
    CHECK_EQUAL(half(328), 1u);                                    // components
    CHECK_EQUAL(half(332), 1u);                                    // budgets
    CHECK_EQUAL(half(336), 256u);                                  // ticks
    CHECK_EQUAL(half(340), 44u);                                   // the oldest: number 44 of 300
    CHECK_EQUAL(half(344), 24576u);                                // components are here,
    CHECK_EQUAL(half(348), 26688u);                                // budgets here
    CHECK_EQUAL(half(352), 29248u);                                // and ticks here,
    CHECK(half(356) == 64 && half(360) == 80 && half(364) == 40);  // with rows of this many bytes
    CHECK(word(24576) == 30000 && word(24584) == 300 && word(24592) == 30000);
    CHECK(std::string(page.bytes + 24600) == "shop");
    CHECK(word(26688) == 4000 && word(26696) == 30000 && word(26704) == 30000 && word(26712) == 1 && word(26720) == 1);
    CHECK(std::string(page.bytes + 26728) == "shop");
    for (uint64_t i = 0; i < 256; ++i) {
        const uint64_t tick = 45 + i;
        const size_t at = 29248 + (44 + i) % 256 * 40;
        CHECK_EQUAL(word(at), tick * 250);
        CHECK(word(at + 8) == tick * 100 && word(at + 16) == tick * 100 && word(at + 24) == tick * 100);
        CHECK(word(at + 32) > 0);
    }
    {
        SlowLock lock;
        budgets.remove(budget);
    }
    remove_page();
    tracker.end();
}

TEST(a_page_made_later_shows_the_ticks_before) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    {
        SlowLock lock;
        history.clear();
        for (uint32_t tick = 1; tick <= 10; ++tick) history.note(tick, tick * 250);
    }
    REQUIRE(create_page(prefix().c_str()));
    static Page page;
    REQUIRE(read(page));
    CHECK(page.header().moment_rows == 10 && page.header().first_moment == 0);
    remove_page();
    tracker.end();
}

TEST(components_beyond_the_largest_are_shown_together) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    {
        SlowLock lock;
        history.clear();
        components.clear_rules();
        components.add_rule("/p/", "*");
    }
    REQUIRE(create_page(prefix().c_str()));
    for (uint32_t i = 0; i < 40; ++i) {
        SiteId number = 0;
        {
            SlowLock lock;
            number = tracker.sites.find_or_add(
                {tracker.strings.intern("/p/q" + std::to_string(i) + "/x.py"), 1, 1, Domain::python}, 0);
        }
        tracker.charge(number, 1, 1000 + i);
    }
    SlowLock lock;
    history.note(1, 250);
    publish_page();
    static Page page;
    REQUIRE(read(page));
    REQUIRE(page.header().component_rows == kPageComponents);
    const auto* rows = reinterpret_cast<const PageComponent*>(page.bytes + page.header().component_offset);
    CHECK(std::string(rows[0].name) == "q39" && rows[0].live_bytes == 1039);
    CHECK(std::string(rows[kPageComponents - 1].name) == "(other)");
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kPageComponents; ++i) sum += rows[i].live_bytes;
    CHECK_EQUAL(sum, 40 * 1000u + 39 * 40 / 2);
    remove_page();
    tracker.end();
}

TEST(long_names_lose_their_beginning) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    REQUIRE(create_page(prefix().c_str()));
    const std::string name = std::string(200, 'x') + "_end";
    tracker.charge(site(name.c_str(), 1), 1, 100);
    {
        SlowLock lock;
        publish_page();
    }
    static Page page;
    REQUIRE(read(page) && page.header().site_rows == 1);
    const std::string shown = page.site(0).function;
    CHECK_EQUAL(shown.size(), sizeof page.site(0).function - 1);
    CHECK(shown.ends_with("_end"));
    remove_page();
    tracker.end();
}

TEST(a_reader_never_keeps_half_a_page) {
    REQUIRE(tracker.reserve() && history.reserve());
    begin();
    REQUIRE(create_page(prefix().c_str()));
    const SiteId one = site("one", 1);
    std::atomic<bool> done{false};
    {
        SlowLock lock;
        publish_page();
    }
    std::thread writer([&] {
        while (!done.load()) {
            tracker.charge(one, 1, 64);
            SlowLock lock;
            publish_page();
        }
    });
    static Page page;
    for (int i = 0; i < 200; ++i) {
        REQUIRE(read(page));
        if (page.header().site_rows == 0) continue;
        // The row and the counters are of one moment.
        CHECK_EQUAL(page.site(0).live_bytes, page.header().counters[3].current_bytes);
        CHECK_EQUAL(page.site(0).live_bytes, page.site(0).live_count * 64);
    }
    done.store(true);
    writer.join();
    remove_page();
    tracker.end();
}

TEST(a_page_that_cannot_be_made_is_refused_with_a_reason) {
    errno = 0;
    CHECK(!create_page("/nonexistent/directory/page"));
    CHECK_EQUAL(errno, ENOENT);
}
