// Which pages are resident, and reading memory that may go away.
#include "memory/page_states.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "check.h"
#include "memory/pages.h"
#include "memory/safe_read.h"

using namespace flyweight::memory;

namespace {

class Area {
  public:
    explicit Area(size_t pages)
        : pages_(pages),
          at_(static_cast<char*>(
              mmap(nullptr, pages * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
        madvise(at_, pages * kPageSize, MADV_NOHUGEPAGE);
    }
    ~Area() { munmap(at_, pages_ * kPageSize); }
    Area(const Area&) = delete;
    Area& operator=(const Area&) = delete;
    uintptr_t start() const { return reinterpret_cast<uintptr_t>(at_); }
    uintptr_t end() const { return start() + pages_ * kPageSize; }
    volatile char& page(size_t number) { return at_[number * kPageSize]; }

  private:
    size_t pages_;
    char* at_;
};

}  // namespace

TEST(runs_are_the_pages_that_were_written) {
    for (const bool may_scan : {true, false}) {
        Area area(2000);
        check::Random random(may_scan ? 1 : 2);
        std::vector<bool> written(2000);
        for (int i = 0; i < 700; ++i) {
            const size_t page = random.below(2000);
            written[page] = true;
            area.page(page) = 1;
        }
        PageStates states(may_scan);
        REQUIRE(states.works());
        std::vector<Run> runs(2000);
        const size_t count =
            states.resident(area.start(), area.end(), PageStates::Sharing::none, runs.data(), runs.size());
        ResidentRuns resident(runs.data(), count);
        for (size_t page = 0; page < 2000; ++page) {
            CHECK_EQUAL(resident.holds(area.start() + page * kPageSize + 100), bool(written[page]));
        }
        for (int i = 0; i < 1000; ++i) {
            const size_t from = random.below(2000), to = from + random.below(2000 - from + 1);
            uint64_t expected = 0;
            for (size_t page = from; page < to; ++page) expected += written[page] * kPageSize;
            const Resident found = resident.within(area.start() + from * kPageSize, area.start() + to * kPageSize);
            CHECK_EQUAL(found.priv, expected);
            CHECK_EQUAL(found.shared, 0u);
        }
    }
}

TEST(a_range_within_a_page_counts_its_bytes) {
    Area area(3);
    area.page(1) = 1;
    PageStates states;
    Run runs[4];
    const size_t count = states.resident(area.start(), area.end(), PageStates::Sharing::none, runs, 4);
    ResidentRuns resident(runs, count);
    CHECK_EQUAL(resident.within(area.start() + kPageSize - 10, area.start() + kPageSize + 20).priv, 20u);
    CHECK_EQUAL(resident.within(area.start() + kPageSize + 20, area.end()).priv, kPageSize - 20);
    CHECK_EQUAL(resident.within(area.end(), area.start()).total(), 0u);
}

TEST(the_page_of_zeros_is_not_counted) {
    for (const bool may_scan : {true, false}) {
        Area area(8);
        area.page(3) = 1;
        CHECK_EQUAL(int{area.page(5)}, 0);  // reading maps it
        PageStates states(may_scan);
        Run runs[8];
        const size_t count = states.resident(area.start(), area.end(), PageStates::Sharing::none, runs, 8);
        CHECK_EQUAL(count, 1u);
        CHECK_EQUAL(runs[0].start, area.start() + 3 * kPageSize);
        uint64_t bits = 0;
        states.written(area.start(), 8, &bits);
        CHECK(bits >> 3 & 1);
        CHECK(!(bits >> 4 & 1));
    }
}

TEST(after_a_fork_pages_are_told_apart_by_who_maps_them) {
    for (const bool may_scan : {true, false}) {
        Area area(4);
        for (size_t page = 0; page < 4; ++page) area.page(page) = 1;
        int ready[2], done[2];
        REQUIRE(pipe(ready) == 0 && pipe(done) == 0);
        const pid_t child = fork();
        char byte = 0;
        if (child == 0) {
            const bool told = write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1;
            _exit(told ? 0 : 1);
        }
        REQUIRE(read(ready[0], &byte, 1) == 1);
        area.page(1) = 2;  // a page of our own from now on
        PageStates states(may_scan);
        Run runs[8];
        const size_t count = states.resident(area.start(), area.end(), PageStates::Sharing::mixed, runs, 8);
        ResidentRuns resident(runs, count);
        CHECK_EQUAL(resident.within(area.start(), area.end()).priv, kPageSize);
        CHECK_EQUAL(resident.within(area.start(), area.end()).shared, 3 * kPageSize);
        CHECK_EQUAL(resident.within(area.start() + kPageSize, area.start() + 2 * kPageSize).priv, kPageSize);
        REQUIRE(write(done[1], &byte, 1) == 1);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        for (const int end : {ready[0], ready[1], done[0], done[1]}) close(end);
    }
}

TEST(memory_that_is_gone_reads_as_false_and_as_zeros) {
    const SafeReader reader(false);
    if (!reader.works()) return;  // a sandbox forbids the call
    Area area(3);
    const auto hole = area.start() + kPageSize;
    for (size_t page = 0; page < 3; ++page) area.page(page) = static_cast<char>(page + 1);
    munmap(reinterpret_cast<void*>(hole), kPageSize);
    char byte = 0;
    CHECK(reader.read(area.start(), &byte, 1) && byte == 1);
    CHECK(!reader.read(hole, &byte, 1));
    uint64_t words[5];
    const uintptr_t addresses[] = {area.start(), hole, hole + 8, hole + kPageSize, 0};
    reader.read_many(addresses, 5, sizeof(uint64_t), words);
    CHECK_EQUAL(words[0], 1u);
    CHECK_EQUAL(words[1], 0u);
    CHECK_EQUAL(words[2], 0u);
    CHECK_EQUAL(words[3], 3u);
    CHECK_EQUAL(words[4], 0u);
}

TEST(many_reads_come_back_in_order) {
    std::vector<uint64_t> from(3000), to(3000);
    std::vector<uintptr_t> addresses;
    for (size_t i = 0; i < from.size(); ++i) {
        from[i] = i * i;
        addresses.push_back(reinterpret_cast<uintptr_t>(&from[i]));
    }
    for (const bool direct : {true, false}) {
        const SafeReader reader(direct);
        if (!reader.works()) continue;
        std::fill(to.begin(), to.end(), 1);
        reader.read_many(addresses.data(), addresses.size(), sizeof(uint64_t), to.data());
        CHECK(from == to);
    }
}
