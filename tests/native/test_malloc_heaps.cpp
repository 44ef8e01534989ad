// Walks through heaps: made up, damaged, and the real one.
#include "memory/malloc_heaps.h"

#include <sys/mman.h>

#include <vector>

#include "check.h"
#include "memory/pages.h"

using namespace flyweight::memory;

namespace {

constexpr uint64_t kPreviousInUse = 1;

struct Wanted {
    uint64_t size;
    ChunkState state;
};

// A heap in memory of our own: chunks as malloc lays them out, the last one its top.
class MadeHeap {
  public:
    static constexpr size_t kBytes = size_t{1} << 20;
    MadeHeap()
        : at_(static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
          run_{start(), start() + kBytes, false} {
        std::memset(at_, 0x5a, kBytes);  // resident, and no sizes
    }
    ~MadeHeap() { munmap(at_, kBytes); }
    MadeHeap(const MadeHeap&) = delete;
    MadeHeap& operator=(const MadeHeap&) = delete;

    uintptr_t start() const { return reinterpret_cast<uintptr_t>(at_); }
    uintptr_t end() const { return start() + kBytes; }
    uint64_t& word(uintptr_t address) { return *reinterpret_cast<uint64_t*>(address); }
    ResidentRuns runs() const { return {&run_, 1}; }

    void fill(const std::vector<Wanted>& chunks) {
        uintptr_t at = start();
        bool previous_in_use = true;
        for (const Wanted& chunk : chunks) {
            word(at + 8) = chunk.size | (previous_in_use ? kPreviousInUse : 0);
            previous_in_use = chunk.state != ChunkState::free;
            at += chunk.size;
        }
    }

  private:
    char* at_;
    Run run_;
};

std::vector<Wanted> random_chunks(check::Random& random, size_t bytes) {
    std::vector<Wanted> chunks;
    bool free_before = false;
    while (bytes > 4096) {
        const uint64_t size =
            std::min<uint64_t>(32 + 16 * (random.one_in(20) ? random.below(2000) : random.below(20)), bytes - 1024);
        const bool is_free = !free_before && random.one_in(4);
        chunks.push_back({size & ~uint64_t{15}, is_free ? ChunkState::free : ChunkState::used});
        free_before = is_free;
        bytes -= chunks.back().size;
    }
    chunks.push_back({bytes, ChunkState::top});
    return chunks;
}

std::vector<Chunk> walk(MadeHeap& heap, bool direct, uint64_t key = 0) {
    static char window[HeapWords::kWindow];
    const SafeReader reader(direct);
    ResidentRuns runs = heap.runs();
    HeapWords words(reader, runs, window);
    HeapWalk walk(heap.start(), heap.end(), words, key);
    std::vector<Chunk> found;
    Chunk chunk;
    while (walk.next(&chunk)) found.push_back(chunk);
    return found;
}

bool covers(const MadeHeap& heap, const std::vector<Chunk>& chunks) {
    uintptr_t at = heap.start();
    for (const Chunk& chunk : chunks) {
        if (chunk.start != at || chunk.size == 0) return false;
        at += chunk.size;
    }
    return at == heap.end();
}

}  // namespace

TEST(a_walk_finds_the_chunks_that_are_there) {
    check::Random random(11);
    for (int round = 0; round < 30; ++round) {
        MadeHeap heap;
        const std::vector<Wanted> wanted = random_chunks(random, MadeHeap::kBytes);
        heap.fill(wanted);
        for (const bool direct : {true, false}) {
            const std::vector<Chunk> found = walk(heap, direct);
            REQUIRE(found.size() == wanted.size());
            CHECK(covers(heap, found));
            for (size_t i = 0; i < found.size(); ++i) {
                CHECK_EQUAL(found[i].size, wanted[i].size);
                CHECK(found[i].state == wanted[i].state);
            }
        }
    }
}

TEST(chunks_with_the_key_of_the_thread_caches_are_cached) {
    MadeHeap heap;
    check::Random random(5);
    std::vector<Wanted> wanted(200, {64, ChunkState::used});
    wanted.push_back({MadeHeap::kBytes - 200 * 64, ChunkState::top});
    heap.fill(wanted);
    const uint64_t key = 0x1234567890abcdef;
    for (size_t i = 10; i < 20; ++i) heap.word(heap.start() + i * 64 + 24) = key;
    const std::vector<Chunk> found = walk(heap, true, key);
    REQUIRE(found.size() == wanted.size());
    for (size_t i = 0; i < 200; ++i) {
        CHECK(found[i].state == (i >= 10 && i < 20 ? ChunkState::cached : ChunkState::used));
    }
}

TEST(a_heap_that_ends_in_fences_is_walked_to_its_end) {
    MadeHeap heap;
    std::vector<Wanted> wanted(100, {128, ChunkState::used});
    wanted.push_back({MadeHeap::kBytes - 100 * 128 - 32, ChunkState::used});
    wanted.push_back({16, ChunkState::fence});
    heap.fill(wanted);
    heap.word(heap.end() - 8) = kPreviousInUse;  // of size 0
    const std::vector<Chunk> found = walk(heap, true);
    REQUIRE(found.size() == wanted.size() + 1);
    CHECK(found[101].state == ChunkState::fence && found[102].state == ChunkState::fence);
    CHECK(covers(heap, found));
}

TEST(what_makes_no_sense_is_passed_over_until_chunks_do_again) {
    MadeHeap heap;
    const std::vector<Wanted> wanted(MadeHeap::kBytes / 256, {256, ChunkState::used});
    heap.fill(wanted);
    const uintptr_t broken = heap.start() + 100 * 256;
    heap.word(broken + 8) = 0x7fffffffffff0001;
    const std::vector<Chunk> found = walk(heap, true);
    CHECK(covers(heap, found));
    REQUIRE(found.size() == wanted.size());
    CHECK(found[100].state == ChunkState::unknown);
    CHECK_EQUAL(found[100].start, broken);
    CHECK(found[101].state == ChunkState::used);
}

TEST(damage_anywhere_ends_no_walk_and_loses_no_byte) {
    check::Random random(17);
    MadeHeap heap;
    for (int round = 0; round < 60 * check::kScale; ++round) {
        const std::vector<Wanted> wanted = random_chunks(random, MadeHeap::kBytes);
        heap.fill(wanted);
        for (uint64_t i = random.below(200); i-- > 0;) {
            uint64_t& word = heap.word(heap.start() + random.below(MadeHeap::kBytes / 8) * 8);
            word = random.one_in(2) ? random.next() : random.below(2 * MadeHeap::kBytes);
        }
        CHECK(covers(heap, walk(heap, random.one_in(2))));
    }
}

TEST(pages_that_are_not_resident_are_not_read) {
    MadeHeap heap;
    heap.fill(std::vector<Wanted>(MadeHeap::kBytes / 256, {256, ChunkState::used}));
    const uintptr_t hole = heap.start() + 40 * kPageSize;
    madvise(reinterpret_cast<void*>(hole), 8 * kPageSize, MADV_DONTNEED);
    PageStates states;
    Run found[64];
    ResidentRuns runs(found, states.resident(heap.start(), heap.end(), PageStates::Sharing::none, found, 64));
    static char window[HeapWords::kWindow];
    const SafeReader reader(true);
    HeapWords words(reader, runs, window);
    HeapWalk walk(heap.start(), heap.end(), words, 0);
    Chunk chunk;
    uint64_t covered = 0;
    while (walk.next(&chunk)) covered += chunk.size;
    CHECK_EQUAL(covered, MadeHeap::kBytes);
    ResidentRuns after(found, states.resident(heap.start(), heap.end(), PageStates::Sharing::none, found, 64));
    CHECK_EQUAL(after.within(hole, hole + 8 * kPageSize).total(), 0u);
}

TEST(headers_of_mapped_chunks_and_arenas_are_told_from_other_words) {
    uint64_t size = 0;
    CHECK(is_mapped_chunk(0, 0x21000 | 2, &size));
    CHECK_EQUAL(size, 0x21000u);
    CHECK(!is_mapped_chunk(0, 0x21000 | 3, &size));
    CHECK(!is_mapped_chunk(0, 0x21000, &size));
    CHECK(!is_mapped_chunk(0, 0x21010 | 2, &size));
    CHECK(!is_mapped_chunk(0, 2, &size));
    CHECK(!is_mapped_chunk(16, 0x21000 | 2, &size));

    const size_t room = 2 * kArenaAlignment;
    void* const area = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    const uintptr_t heap = (reinterpret_cast<uintptr_t>(area) + kArenaAlignment - 1) & ~(kArenaAlignment - 1);
    auto* const info = reinterpret_cast<uint64_t*>(heap);
    const Run run{heap, heap + kPageSize, false};
    const SafeReader reader(true);
    const auto is_heap = [&](uint64_t arena, uint64_t previous, uint64_t used, uint64_t accessible) {
        info[0] = arena, info[1] = previous, info[2] = used, info[3] = accessible;
        static char window[HeapWords::kWindow];
        ResidentRuns runs(&run, 1);
        HeapWords words(reader, runs, window);
        return is_arena_heap(heap, words, &size);
    };
    CHECK(is_heap(heap + 48, 0, 0x21000, 0x21000));
    CHECK_EQUAL(size, 0x21000u);
    CHECK(is_heap(heap + 32, 0, 0x1000, 0x21000));
    CHECK(is_heap(heap + 48 - kArenaAlignment, heap - kArenaAlignment, 0x4000, 0x4000));
    CHECK(!is_heap(0, 0, 0x21000, 0x21000));
    CHECK(!is_heap(heap + 48, 4096, 0x21000, 0x21000));
    CHECK(!is_heap(heap + 48, 0, 0x21008, 0x21000));
    CHECK(!is_heap(heap + 48, 0, 0x21000, 0x20000));
    CHECK(!is_heap(heap + 48, 0, kArenaAlignment + 4096, kArenaAlignment + 4096));
    munmap(area, room);
}
