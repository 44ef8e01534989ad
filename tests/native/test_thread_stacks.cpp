// Stacks of threads are found by their descriptors.
#include "memory/thread_stacks.h"

#include <pthread.h>
#include <semaphore.h>

#include <algorithm>
#include <vector>

#include "check.h"
#include "memory/pages.h"

using namespace flyweight::memory;

namespace {

sem_t started, go_on;

void* wait_here(void* where) {
    char local = 0;
    *static_cast<uintptr_t*>(where) = reinterpret_cast<uintptr_t>(&local);
    sem_post(&started);
    while (sem_wait(&go_on) != 0) {
    }
    return nullptr;
}

Stack own_extent(pthread_t thread) {
    pthread_attr_t attributes;
    void* start = nullptr;
    size_t size = 0;
    pthread_getattr_np(thread, &attributes);
    pthread_attr_getstack(&attributes, &start, &size);
    pthread_attr_destroy(&attributes);
    return {reinterpret_cast<uintptr_t>(start), reinterpret_cast<uintptr_t>(start) + size, 0};
}

}  // namespace

TEST(stack_pointers_of_waiting_threads_lie_in_their_stacks_and_lead_to_their_extent) {
    constexpr size_t kThreads = 12;
    sem_init(&started, 0, 0);
    sem_init(&go_on, 0, 0);
    pthread_t threads[kThreads];
    uintptr_t locals[kThreads];
    for (size_t i = 0; i < kThreads; ++i) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, (size_t{256} << 10) + i * 4 * kPageSize);
        CHECK(pthread_create(&threads[i], &attributes, wait_here, &locals[i]) == 0);
        pthread_attr_destroy(&attributes);
    }
    for (size_t i = 0; i < kThreads; ++i) {
        while (sem_wait(&started) != 0) {
        }
    }
    std::vector<Mapping> mappings(1 << 14);
    std::vector<char> text(1 << 20);
    ProcessMap map;
    map.mappings = mappings.data();
    map.capacity = mappings.size();
    map.text = text.data();
    map.text_capacity = text.size();
    REQUIRE(read_process_map("/proc/self/smaps", map));
    const PageStates states;
    const SafeReader reader(false);
    for (size_t i = 0; i < kThreads && reader.works(); ++i) {
        const Mapping* mapping = nullptr;
        for (size_t number = 0; number < map.count; ++number) {
            if (map.mappings[number].start <= locals[i] && locals[i] < map.mappings[number].end) {
                mapping = &map.mappings[number];
            }
        }
        REQUIRE(mapping != nullptr);
        std::vector<Run> runs(4096);
        ResidentRuns resident(runs.data(), states.resident(mapping->start, mapping->end, PageStates::Sharing::all,
                                                           runs.data(), runs.size()));
        Stack stack;
#if defined(__x86_64__) && defined(__GLIBC__)
        REQUIRE(find_stack(*mapping, locals[i], resident, reader, &stack));
        const Stack expected = own_extent(threads[i]);
        CHECK_EQUAL(stack.start, expected.start);
        CHECK_EQUAL(stack.end, expected.end);
#endif
    }
    // All wait, but one may not have got there yet.
    uintptr_t pointers[kThreads + 8];
    const size_t count = read_stack_pointers(pointers, kThreads + 8);
    size_t inside = 0;
    for (size_t i = 0; i < count; ++i) {
        for (size_t thread = 0; thread < kThreads; ++thread) {
            const Stack extent = own_extent(threads[thread]);
            inside += extent.start <= pointers[i] && pointers[i] < extent.end;
        }
    }
    CHECK(inside <= kThreads);
    for (size_t i = 0; i < kThreads; ++i) sem_post(&go_on);
    for (const pthread_t thread : threads) pthread_join(thread, nullptr);
}
