#include "memory/library_map.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"

using namespace flyweight::memory;

namespace {

struct Opened {
    void* handle = dlopen(LATER_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    void* function() const { return dlsym(handle, "take"); }
    LibraryNumber number() const { return library_pages.at(function()); }
    void close() { dlclose(handle), handle = nullptr; }
};

int of_the_program() {
    return 0;
}

}  // namespace

TEST(before_the_first_picture_nothing_is_known) {
    CHECK_EQUAL(library_pages.at(reinterpret_cast<void*>(&of_the_program)), 0u);
    CHECK_EQUAL(library_pages.at(nullptr), 0u);
    CHECK_EQUAL(library_pages.at(reinterpret_cast<void*>(UINTPTR_MAX)), 0u);
    CHECK(library_path(0) == nullptr);
}

TEST(every_library_has_a_number_of_its_own) {
    refresh_library_map();
    const LibraryNumber program = library_pages.at(reinterpret_cast<void*>(&of_the_program));
    const LibraryNumber c = library_pages.at(dlsym(RTLD_DEFAULT, "getpid"));
    CHECK(program != 0);
    CHECK(c != 0 && c != program);
    CHECK(library_path(program) != nullptr && std::strstr(library_path(program), "test_library_map") != nullptr);
    CHECK(library_path(c) != nullptr && std::strstr(library_path(c), "libc") != nullptr);
    int on_the_stack = 0;
    CHECK_EQUAL(library_pages.at(&on_the_stack), 0u);
    CHECK_EQUAL(library_pages.at(nullptr), 0u);
}

TEST(a_library_is_known_after_the_next_picture_and_forgotten_when_it_goes) {
    Opened later;
    REQUIRE(later.handle != nullptr);
    void* const function = later.function();
    CHECK_EQUAL(library_pages.at(function), 0u);
    refresh_library_map();
    const LibraryNumber number = later.number();
    REQUIRE(number != 0);
    CHECK_EQUAL(std::strcmp(library_path(number), LATER_LIBRARY), 0);
    CHECK_EQUAL(std::strcmp(library_of(function), LATER_LIBRARY), 0);
    later.close();
    refresh_library_map();
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // which may keep libraries
    CHECK_EQUAL(library_pages.at(function), 0u);
#endif
    Opened again;
    refresh_library_map();
    CHECK_EQUAL(again.number(), number);
    again.close();
    refresh_library_map();
}

TEST(pages_are_set_to_the_byte_and_in_any_part_of_the_address_space) {
    static LibraryPages pages;
    REQUIRE(pages.reserve());
    struct Range {
        uintptr_t start, end;
    };
    const Range ranges[] = {{0x400000, 0x400001},
                            {0x555500001234, 0x555500005000},
                            {0x7ffffffff000, 0x800000000000},
                            {0x7f003ffff000, 0x7f0040001001}};  // across the end of a GiB
    for (LibraryNumber number = 1; const Range& range : ranges) pages.set(range.start, range.end, number++);
    for (LibraryNumber number = 1; const Range& range : ranges) {
        const uintptr_t first = range.start & ~uintptr_t{0xfff}, end = ((range.end - 1) | 0xfff) + 1;
        for (uintptr_t address = first; address < end; address += 0x800) {
            CHECK_EQUAL(pages.at(reinterpret_cast<void*>(address)), number);
        }
        CHECK_EQUAL(pages.at(reinterpret_cast<void*>(first - 1)), 0u);
        CHECK_EQUAL(pages.at(reinterpret_cast<void*>(end)), 0u);
        pages.set(range.start, range.end, 0);
        CHECK_EQUAL(pages.at(reinterpret_cast<void*>(range.start)), 0u);
        ++number;
    }
    pages.set(5, 5, 9);
    CHECK_EQUAL(pages.at(reinterpret_cast<void*>(uintptr_t{5})), 0u);
    // More parts than there is room for stay unknown, which is slow and not wrong.
    for (uintptr_t part = 1; part < 200; ++part) pages.set(part << 30, (part << 30) + 4096, 7);
    for (uintptr_t part = 1; part < 200; ++part) {
        const LibraryNumber found = pages.at(reinterpret_cast<void*>(part << 30));
        CHECK(found == 7 || found == 0);
    }
}

TEST(readers_see_whole_numbers_while_libraries_come_and_go) {
    refresh_library_map();
    const LibraryNumber program = library_pages.at(reinterpret_cast<void*>(&of_the_program));
    std::atomic<bool> done{false};
    std::atomic<void*> seen{nullptr};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            while (!done.load(std::memory_order_relaxed)) {
                CHECK_EQUAL(library_pages.at(reinterpret_cast<void*>(&of_the_program)), program);
                const LibraryNumber number = library_pages.at(seen.load(std::memory_order_relaxed));
                CHECK(number == 0 || std::strcmp(library_path(number), LATER_LIBRARY) == 0);
            }
        });
    }
    for (int i = 0; i < 200 * check::kScale; ++i) {
        Opened later;
        seen.store(later.function());
        refresh_library_map();
        CHECK(later.number() != 0);
        later.close();
        refresh_library_map();
    }
    done.store(true);
    for (std::thread& thread : threads) thread.join();
}
