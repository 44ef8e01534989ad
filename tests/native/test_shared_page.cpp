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
#include "memory/clock.h"
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
