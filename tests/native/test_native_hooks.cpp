// The native heap's hooks in a real process: real libraries, real import slots, the Python side replaced by a double.
#include "memory/native_hooks.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "check.h"
#include "memory/events.h"
#include "memory/mapping_table.h"
#include "memory/totals.h"

using namespace flyweight::memory;

namespace {

struct Library {
    void* handle = nullptr;
    void* (*take)(size_t) = nullptr;
    void* (*take_zeroed)(size_t, size_t) = nullptr;
    void* (*take_again)(void*, size_t) = nullptr;
    void* (*take_array)(void*, size_t, size_t) = nullptr;
    void* (*take_aligned)(size_t, size_t) = nullptr;
    void* (*take_memalign)(size_t, size_t) = nullptr;
    void* (*take_pages)(size_t) = nullptr;
    int (*take_posix)(void**, size_t, size_t) = nullptr;
    char* (*take_copy)(const char*) = nullptr;
    void (*give)(void*) = nullptr;
    void* (*map)(size_t) = nullptr;
    int (*unmap)(void*, size_t) = nullptr;
    void* (*remap)(void*, size_t, size_t, int) = nullptr;
    void* (*map_at)(void*, size_t) = nullptr;
    void* (*find)(const char*) = nullptr;
    void* (*load)(const char*) = nullptr;
    int (*unload)(void*) = nullptr;

    bool open() {
        handle = dlopen(ALLOCATING_LIBRARY, RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) return false;
        const auto bind = [this](auto& function, const char* name) {
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
        };
        bind(take, "take"), bind(take_zeroed, "take_zeroed"), bind(take_again, "take_again");
        bind(take_array, "take_array"), bind(take_aligned, "take_aligned"), bind(take_memalign, "take_memalign");
        bind(take_pages, "take_pages"), bind(take_posix, "take_posix"), bind(take_copy, "take_copy");
        bind(give, "give"), bind(map, "map"), bind(unmap, "unmap"), bind(remap, "remap"), bind(map_at, "map_at");
        bind(find, "find"), bind(load, "load"), bind(unload, "unload");
        return unload != nullptr;
    }
};
Library library;

void begin() {
    Settings settings;
    settings.native = true;
    exclusive_thread = true;
    tracker.begin(settings);
    install_native_hooks();
    tracker.attention.fetch_and(~uint32_t{kStopped});
}

void end() {
    tracker.end();
    remove_native_hooks();
}

// What has been counted between two looks.
struct Look {
    Totals totals[kDomains + 1];
    Look() { add_up(totals); }
};

struct Change {
    int64_t allocated = 0, allocated_bytes = 0, freed = 0, freed_bytes = 0;
    bool operator==(const Change&) const = default;
};

template <class Steps>
Change change_in(Domain domain, Steps&& steps) {
    const auto number = static_cast<size_t>(domain);
    const Look before;
    steps();
    const Look after;
    const Totals &a = before.totals[number], &b = after.totals[number];
    return {int64_t(b.allocation_count - a.allocation_count), int64_t(b.allocated_bytes - a.allocated_bytes),
            int64_t(b.deallocation_count - a.deallocation_count), int64_t(b.freed_bytes - a.freed_bytes)};
}

void check_change(const Change& found, const Change& wanted, int line) {
    if (found == wanted) return;
    check::report(false, __FILE__, line, "not what was expected:");
    std::fprintf(stderr, "  allocated %lld (%lld bytes), freed %lld (%lld bytes)\n", (long long)found.allocated,
                 (long long)found.allocated_bytes, (long long)found.freed, (long long)found.freed_bytes);
}
#define CHECK_CHANGE(domain, steps, ...) check_change(change_in(domain, [&] steps), Change{__VA_ARGS__}, __LINE__)

bool ready() {
    return library.handle != nullptr || (tracker.reserve() && library.open());
}

}  // namespace

TEST(a_loaded_library_is_patched_and_left_as_it_was) {
    REQUIRE(ready());
    begin();
    CHECK(patched_libraries() > 0);
    void* block = nullptr;
    CHECK_CHANGE(Domain::native, { block = library.take(100); }, 1, 100, 0, 0);
    CHECK_CHANGE(Domain::native, { library.give(block); }, 0, 0, 1, 100);
    end();
    begin();
    block = library.take(100);
    end();
    library.give(block);  // allocated under the hooks, returned without
    CHECK_CHANGE(Domain::native, { library.give(library.take(100)); }, 0, 0, 0, 0);
}

TEST(every_member_of_the_family_counts_the_size_asked_for) {
    REQUIRE(ready());
    begin();
    std::vector<void*> blocks;
    blocks.reserve(64);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take(0)); }, 1, 0, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take(1)); }, 1, 1, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take(100000)); }, 1, 100000, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_zeroed(7, 3)); }, 1, 21, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_zeroed(0, 3)); }, 1, 0, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_again(nullptr, 33)); }, 1, 33, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_array(nullptr, 5, 9)); }, 1, 45, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_aligned(64, 128)); }, 1, 128, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_aligned(16, 16)); }, 1, 16, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_memalign(4096, 10)); }, 1, 10, 0, 0);
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_pages(100)); }, 1, 100, 0, 0);
    CHECK_CHANGE(
        Domain::native,
        {
            void* block = nullptr;
            CHECK_EQUAL(library.take_posix(&block, 32, 77), 0);
            blocks.push_back(block);
        },
        1, 77, 0, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose strdup allocates by itself
    CHECK_CHANGE(Domain::native, { blocks.push_back(library.take_copy("four")); }, 1, 5, 0, 0);
#else
    blocks.push_back(library.take(5));
#endif
    CHECK_CHANGE(Domain::native, { library.give(nullptr); }, 0, 0, 0, 0);
    for (void* block : blocks) {
        CHECK(block != nullptr);
        std::memset(block, 0xff, 1);
    }
    CHECK_CHANGE(
        Domain::native,
        {
            for (void* block : blocks) library.give(block);
        },
        0, 0, 13, 0 + 1 + 100000 + 21 + 0 + 33 + 45 + 128 + 16 + 10 + 100 + 77 + 5);
    end();
}

TEST(realloc_returns_the_old_block_and_takes_a_new_one) {
    REQUIRE(ready());
    begin();
    void* block = library.take(50);
    CHECK_CHANGE(Domain::native, { block = library.take_again(block, 70000); }, 1, 70000, 1, 50);
    CHECK_CHANGE(Domain::native, { block = library.take_again(block, 8); }, 1, 8, 1, 70000);
    CHECK_CHANGE(Domain::native, { block = library.take_array(block, 4, 10); }, 1, 40, 1, 8);
    CHECK_CHANGE(Domain::native, { CHECK(library.take_again(block, 0) == nullptr); }, 0, 0, 1, 40);
    end();
}

TEST(what_fails_changes_nothing_and_keeps_errno) {
    REQUIRE(ready());
    begin();
    void* block = library.take(50);
    volatile size_t huge = PTRDIFF_MAX;
    for (int i = 0; i < 3; ++i) {
        CHECK_CHANGE(Domain::native, { CHECK(library.take(huge) == nullptr); }, 0, 0, 0, 0);
        CHECK_CHANGE(Domain::native, { CHECK(library.take(SIZE_MAX) == nullptr); }, 0, 0, 0, 0);
        CHECK_CHANGE(Domain::native, { CHECK(library.take_zeroed(huge, 16) == nullptr); }, 0, 0, 0, 0);
        errno = 0;
        CHECK_CHANGE(Domain::native, { CHECK(library.take_again(block, huge) == nullptr); }, 0, 0, 0, 0);
        CHECK_EQUAL(errno, ENOMEM);
        CHECK_CHANGE(Domain::native, { CHECK(library.take_array(block, huge, 16) == nullptr); }, 0, 0, 0, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which end the program instead
        void* aligned = nullptr;
        CHECK_CHANGE(Domain::native, { CHECK_EQUAL(library.take_posix(&aligned, 3, 10), EINVAL); }, 0, 0, 0, 0);
        CHECK(aligned == nullptr);
#endif
    }
    CHECK_EQUAL(tracker.recorded_size(block), 50u);
    CHECK_CHANGE(Domain::native, { library.give(block); }, 0, 0, 1, 50);
    errno = 4711;
    library.give(library.take(10));
    CHECK_EQUAL(errno, 4711);
    end();
}

TEST(mappings_are_followed_through_unmap_remap_and_replacement) {
    REQUIRE(ready());
    begin();
    constexpr int64_t kPage = 4096;
    char* start = nullptr;
    CHECK_CHANGE(Domain::mapped, { start = static_cast<char*>(library.map(10 * kPage - 5)); }, 1, 10 * kPage, 0, 0);
    CHECK_CHANGE(Domain::mapped, { library.unmap(start + 4 * kPage, kPage); }, 2, 9 * kPage, 1, 10 * kPage);
    CHECK_CHANGE(Domain::mapped, { library.unmap(start, 4 * kPage); }, 0, 0, 1, 4 * kPage);
    start += 5 * kPage;
    CHECK_CHANGE(
        Domain::mapped, { start = static_cast<char*>(library.remap(start, 5 * kPage, 50 * kPage, MREMAP_MAYMOVE)); }, 1,
        50 * kPage, 1, 5 * kPage);
    CHECK(start != MAP_FAILED);
    CHECK_CHANGE(
        Domain::mapped, { CHECK(library.remap(start, 50 * kPage, size_t(1) << 60, 0) == MAP_FAILED); }, 0, 0, 0, 0);
    CHECK_CHANGE(Domain::mapped, { CHECK(library.map(size_t(1) << 60) == MAP_FAILED); }, 0, 0, 0, 0);
    CHECK_CHANGE(Domain::mapped, { CHECK(library.unmap(start + 1, kPage) != 0); }, 0, 0, 0, 0);
    CHECK_CHANGE(
        Domain::mapped, { library.map_at(start + 10 * kPage, 10 * kPage); }, 3, (10 + 30 + 10) * kPage, 1, 50 * kPage);
    CHECK_CHANGE(Domain::mapped, { library.unmap(start, 50 * kPage); }, 0, 0, 3, 50 * kPage);
    end();
}

TEST(symbols_found_by_name_are_the_hooks) {
    REQUIRE(ready());
    begin();
    auto by_name = reinterpret_cast<void* (*)(size_t)>(library.find("malloc"));
    REQUIRE(by_name != nullptr);
    void* block = nullptr;
    CHECK_CHANGE(Domain::native, { block = by_name(321); }, 1, 321, 0, 0);
    library.give(block);
    CHECK(library.find("no_such_function_anywhere") == nullptr);
    CHECK_EQUAL(library.find("getpid"), dlsym(RTLD_DEFAULT, "getpid"));
    end();
}

TEST(threads_return_each_others_blocks) {
    REQUIRE(ready());
    begin();
    constexpr int kThreads = 100;
    constexpr size_t kSlots = 512;
    static std::atomic<uint64_t*> mailbox[kSlots];
    static std::atomic<uint64_t> allocated{0}, bytes{0}, freed{0}, freed_bytes{0};
    std::atomic<int> started{0}, finished{0};
    std::atomic<bool> go{false}, leave{false};
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            ++started;
            while (!go.load()) std::this_thread::yield();
            check::Random random(uint64_t(t) + 1);
            for (int i = 0; i < 500 * check::kScale; ++i) {
                const uint64_t size = 8 + random.below(3000);
                uint64_t* block;
                if (random.one_in(3)) {
                    block = mailbox[random.below(kSlots)].exchange(nullptr);
                    if (block != nullptr) ++freed, freed_bytes += *block;
                    block = static_cast<uint64_t*>(library.take_again(block, size));
                } else {
                    block = static_cast<uint64_t*>(library.take(size));
                }
                *block = size, ++allocated, bytes += size;
                block = mailbox[random.below(kSlots)].exchange(block);
                if (block == nullptr) continue;
                ++freed, freed_bytes += *block;
                library.give(block);
            }
            ++finished;
            while (!leave.load()) std::this_thread::yield();
        });
    }
    while (started.load() < kThreads) std::this_thread::yield();
    const Change change = change_in(Domain::native, [&] {
        go.store(true);
        while (finished.load() < kThreads) std::this_thread::yield();
    });
    CHECK(change == (Change{int64_t(allocated), int64_t(bytes), int64_t(freed), int64_t(freed_bytes)}));
    leave.store(true);
    for (std::thread& thread : threads) thread.join();
    for (std::atomic<uint64_t*>& slot : mailbox) library.give(slot.exchange(nullptr));
    end();
}

TEST(hooks_come_and_go_while_threads_allocate) {
    REQUIRE(ready());
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            check::Random random(uint64_t(t) + 1);
            while (!done.load(std::memory_order_relaxed)) {
                void* block = library.take(random.below(2000));
                block = library.take_again(block, 1 + random.below(2000));
                library.give(block);
                void* start = library.map(8192);
                library.unmap(start, 8192);
            }
        });
    }
    for (int i = 0; i < 10 * check::kScale; ++i) {
        begin();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        look_for_new_libraries();
        native_hooks_displaced();
        end();
    }
    done.store(true);
    for (std::thread& thread : threads) thread.join();
}

TEST(a_library_loaded_later_is_patched_and_forgotten_when_it_goes) {
    REQUIRE(ready());
    begin();
    const int before = patched_libraries();
    void* later = library.load(LATER_LIBRARY);
    REQUIRE(later != nullptr);
    CHECK_EQUAL(patched_libraries(), before + 1);
    const auto take = reinterpret_cast<void* (*)(size_t)>(dlsym(later, "take"));
    void* block = nullptr;
    CHECK_CHANGE(Domain::native, { block = take(55); }, 1, 55, 0, 0);
    CHECK_CHANGE(Domain::native, { library.give(block); }, 0, 0, 1, 55);
    CHECK_EQUAL(library.unload(later), 0);
    CHECK_EQUAL(patched_libraries(), before);
    CHECK(!native_hooks_displaced());
    end();
}

TEST(libraries_come_and_go_while_threads_allocate) {
    REQUIRE(ready());
    begin();
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            check::Random random(uint64_t(t) + 1);
            while (!done.load(std::memory_order_relaxed)) library.give(library.take(random.below(2000)));
        });
    }
    for (int i = 0; i < 50 * check::kScale; ++i) {
        void* later = library.load(LATER_LIBRARY);
        REQUIRE(later != nullptr);
        const auto take = reinterpret_cast<void* (*)(size_t)>(dlsym(later, "take"));
        library.give(take(100));
        CHECK_EQUAL(library.unload(later), 0);
    }
    done.store(true);
    for (std::thread& thread : threads) thread.join();
    end();
}

#if !defined(__SANITIZE_ADDRESS__)  // which brings an operator new of its own that asks nobody
TEST(operator_new_is_named_by_the_library_that_calls_it) {
    REQUIRE(ready());
    begin();
    void* const newing = library.load(NEWING_LIBRARY);
    REQUIRE(newing != nullptr);
    const auto give = reinterpret_cast<void (*)(void*)>(dlsym(newing, "give"));
    const auto refused = reinterpret_cast<bool (*)(size_t)>(dlsym(newing, "refused"));
    const auto blocks_of = [](const char* path) {
        uint64_t blocks = 0;
        for (SiteId site = 1; site < tracker.sites.size(); ++site) {
            if (tracker.strings[tracker.sites.location(site).library] != path) continue;
            blocks += tracker.sites[site].total_count();
        }
        return blocks;
    };
    const uint64_t before = blocks_of(NEWING_LIBRARY);
    const char* const forms[] = {"take",
                                 "take_array",
                                 "take_nothrow",
                                 "take_array_nothrow",
                                 "take_aligned",
                                 "take_array_aligned",
                                 "take_aligned_nothrow",
                                 "take_array_aligned_nothrow",
                                 "take_from_malloc"};
    for (int round = 1; round <= 3; ++round) {
        for (const char* form : forms) {
            const auto take = reinterpret_cast<void* (*)(size_t)>(dlsym(newing, form));
            REQUIRE(take != nullptr);
            void* block = nullptr;
            CHECK_CHANGE(Domain::native, { block = take(640); }, 1, 640, 0, 0);
            CHECK_CHANGE(Domain::native, { give(block); }, 0, 0, 1, 640);
        }
        CHECK_EQUAL(blocks_of(NEWING_LIBRARY), before + uint64_t(round) * std::size(forms));
    }
    CHECK(!refused(100));
    volatile size_t huge = PTRDIFF_MAX;
    CHECK(refused(huge));
    // The exception that this allocated is the C++ library's own.
    CHECK_EQUAL(blocks_of(NEWING_LIBRARY), before + 3 * std::size(forms) + 1);
    CHECK_EQUAL(library.unload(newing), 0);
    end();
}

TEST(operator_new_is_as_it_was_without_the_hooks) {
    REQUIRE(ready());
    void* const newing = dlopen(NEWING_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(newing != nullptr);
    const auto take = reinterpret_cast<void* (*)(size_t)>(dlsym(newing, "take"));
    const auto give = reinterpret_cast<void (*)(void*)>(dlsym(newing, "give"));
    begin();
    void* block = take(50);
    CHECK_CHANGE(Domain::native, { give(take(70)); }, 1, 70, 1, 70);
    end();
    CHECK_CHANGE(Domain::native, { give(take(70)); }, 0, 0, 0, 0);
    give(block);
    dlclose(newing);
}
#endif
