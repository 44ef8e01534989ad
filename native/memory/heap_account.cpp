#include "memory/heap_account.h"

#include <algorithm>
#include <cstring>

#include "memory/pages.h"

namespace flyweight::memory {

HeapRows::HeapRows(AttributedRows& rows) noexcept
    : used_python(&rows.find_or_add(RowKind::python_heap, "")),
      used_native(&rows.find_or_add(RowKind::native_heap, "")),
      free_python(&rows.find_or_add(RowKind::free, "python heap")),
      free_native(&rows.find_or_add(RowKind::free, "native heap")),
      overhead_python(&rows.find_or_add(RowKind::allocator, "python heap")),
      overhead_native(&rows.find_or_add(RowKind::allocator, "native heap")),
      before_python(&rows.find_or_add(RowKind::before_recording, "python heap")),
      before_native(&rows.find_or_add(RowKind::before_recording, "native heap")),
      padding(&rows.find_or_add(RowKind::profiler, "padding")),
      unnamed(&rows.find_or_add(RowKind::unnamed, "")) {}

void HeapAccount::begin(const ResidentRuns& runs, AttributedRow& leftover) noexcept {
    runs_ = runs;
    leftover_ = &leftover;
    seen_pool_ = added_unowned_ = false;
}

void HeapAccount::take_block(const HeapBlock& block, Resident& left) noexcept {
    Resident part = runs_.within(block.address, block.address + block.size);
    // Two records that contradict each other (one was being written): no byte counts twice.
    if (part.total() > left.total()) part = left;
    give(left, part.total(), work_.sites[block.site].parts);
}

Resident HeapAccount::take_blocks(uintptr_t start, uintptr_t end) noexcept {
    Resident left = runs_.within(start, end);
    if (left.total() == 0 || !exact_) return left;
    blocks_.within(start, end, [&](const HeapBlock& block) { take_block(block, left); });
    return left;
}

void HeapAccount::take_pool(const Pool& pool) noexcept {
    Resident left = runs_.within(pool.start, pool.start + kPoolSize);
    const bool plain = left.priv == kPoolSize;
    uint64_t tracked = 0, asked_for = 0, padded = 0;
    if (exact_) {
        // Blocks of a pool often come from one site: its sum is written when another one's turn comes.
        SiteId site = kNoSite;
        uint64_t of_site = 0;
        blocks_.within(pool.start, pool.start + kPoolSize, [&](const HeapBlock& block) {
            if (block.size > pool.block_size) return;  // a record left behind by a free that went past us
            ++tracked;
            asked_for += block.size;
            if (block.size <= kGranule) padded += kGranule;
            if (plain && block.size <= left.priv) [[likely]] {
                left.priv -= block.size;
                if (block.site != site) {
                    work_.sites[site].parts.priv += of_site;
                    site = block.site;
                    of_site = 0;
                }
                of_site += block.size;
            } else {
                take_block(block, left);
            }
        });
        work_.sites[site].parts.priv += of_site;  // of no site: nothing
    }
    const uint64_t rounding = std::max(tracked * pool.block_size, asked_for + padded) - asked_for - padded;
    give(left, kPoolOverhead + pool.rest + rounding, rows_.overhead_python->parts);
    give(left, padded, rows_.padding->parts);
    const uint64_t untracked = (pool.in_use > tracked ? pool.in_use - tracked : 0) * pool.block_size;
    give(left, untracked, exact_ ? rows_.before_python->parts : rows_.used_python->parts);
    rows_.free_python->parts += left;
}

void HeapAccount::take_chunk(const Chunk& chunk, bool mapped_alone) noexcept {
    Resident left = runs_.within(chunk.start, chunk.start + chunk.size);
    if (left.total() == 0) return;
    switch (chunk.state) {
        case ChunkState::free:
        case ChunkState::top:
            rows_.free_native->parts += left;
            return;
        case ChunkState::fence:
            rows_.overhead_native->parts += left;
            return;
        case ChunkState::unknown:
            used_or_before() += take_blocks(chunk.start, chunk.start + chunk.size);
            return;
        case ChunkState::cached:
        case ChunkState::used:
            break;
    }
    const uintptr_t block_start = chunk.start + 2 * kChunkHeader;
    if (exact_) {
        HeapBlock block;
        // Python's debug allocators put two words before what they hand out, and large blocks of pymalloc go through
        // two of them.
        if (blocks_.at(block_start, &block) || blocks_.at(block_start + kGranule, &block) ||
            blocks_.at(block_start + 2 * kGranule, &block)) {
            if (block.size <= chunk.size) {
                take_block(block, left);
                rows_.overhead_native->parts += left;
                return;
            }
        }
        if (mapped_alone) {  // an aligned block begins further on
            Resident others = take_blocks(chunk.start, chunk.start + chunk.size);
            if (others.total() != left.total()) {
                rows_.overhead_native->parts += others;
                return;
            }
        }
    }
    give(left, mapped_alone ? 2 * kChunkHeader : kChunkHeader, rows_.overhead_native->parts);
    if (chunk.state == ChunkState::cached) {
        rows_.free_native->parts += left;
    } else {
        used_or_before() += left;
    }
}

void HeapAccount::take_heap(uintptr_t start, uintptr_t end, bool is_main) noexcept {
    ResidentRuns cursor = runs_;  // words and chunks are asked for in turn: a cursor for each
    HeapWords words(reader_, cursor, work_.window);
    if (is_main && highest_held_ != nullptr) words.trust_below(highest_held_(start, end));
    if (cache_key_ == 0 && is_main) cache_key_ = find_cache_key(start, words);
    HeapWalk walk(start, end, words, cache_key_);
    Chunk chunk;
    while (walk.next(&chunk)) {
        take_chunk(chunk, false);
        if (exact_) walk.go_on_at(take_recorded_chunks(chunk.start + chunk.size, end, words));
    }
}

// Where recorded blocks follow one another their chunks need not be read: a chunk's size is that of its block and half
// a header, rounded up. Where no block follows there its header is asked, for a record a granule further on may be that
// of a debug allocator's block, whose chunk begins where it should.
uintptr_t HeapAccount::take_recorded_chunks(uintptr_t at, uintptr_t end, HeapWords& words) noexcept {
    HeapBlock block, next;
    if (at + kSmallestChunk > end || !blocks_.at(at + 2 * kChunkHeader, &block)) return at;
    for (;; block = next) {
        uint64_t size =
            std::max<uint64_t>(kSmallestChunk, (block.size + kChunkHeader + kGranule - 1) & ~(kGranule - 1));
        if (size > end - at || end - at - size < 2 * kSmallestChunk) return at;
        if (!blocks_.at(at + size + 2 * kChunkHeader, &next)) {
            uint64_t told;
            if (!words.word(at + kChunkHeader, &told)) return at;
            told &= ~uint64_t{kGranule - 1};
            if (told <= size || told > size + kGranule || !blocks_.at(at + told + 2 * kChunkHeader, &next)) return at;
            size = told;
        }
        Resident left = runs_.within(at, at + size);
        take_block(block, left);
        rows_.overhead_native->parts += left;
        at += size;
    }
}

void HeapAccount::take_interval(uintptr_t start, uintptr_t end, SiteId site) noexcept {
    const Resident left = take_blocks(start, end);
    (site < tracker.sites.size() ? work_.sites[site].parts : rows_.unnamed->parts) += left;
}

// What begins at a page, by its first words: a pool, or a chunk that malloc mapped by itself. Returns its end; 0:
// neither.
uintptr_t HeapAccount::take_what_begins(uintptr_t page, const PoolHeader& header, uintptr_t done,
                                        uintptr_t end) noexcept {
    Pool pool;
    if (page + kPoolSize <= end && is_pool(page, header, &pool)) {
        take_leftover(done, page);
        take_pool(pool);
        seen_pool_ = true;
        return last_pool_end_ = page + kPoolSize;
    }
    uint64_t words[2], size;
    std::memcpy(words, &header, sizeof words);
    if (is_mapped_chunk(words[0], words[1], &size) && size <= end - page) {
        take_leftover(done, page);
        take_chunk({page, size, ChunkState::used}, true);
        return page + size;
    }
    return 0;
}

// The header of a pool that holds a recorded block of Python: it stays while the block lives. Null: nothing says so.
const PoolHeader* HeapAccount::trusted_header(uintptr_t page) noexcept {
    if (!trusts_python_ || page % kPoolSize != 0) return nullptr;
    HeapBlock block;
    // The first block is mostly in use; with debug allocators it begins a granule later.
    for (const size_t granule : {0, 1, 2, 4}) {
        if (!blocks_.at(page + kPoolOverhead + granule * kGranule, &block)) continue;
        if (block.size > kPoolSize || tracker.sites[block.site].domain != Domain::python) return nullptr;
        return reinterpret_cast<const PoolHeader*>(page);
    }
    return nullptr;
}

void HeapAccount::take_unclaimed(uintptr_t start, uintptr_t end) noexcept {
    uintptr_t done = start;
    // Behind a pool the next one is expected. Where nothing is found, ever more pages are looked at in one go.
    bool among_pools = false;
    size_t batch = 1;
    for (uintptr_t at = (start + kPageSize - 1) & ~(kPageSize - 1); at < end;) {
        const Run* const run = runs_.behind(at);
        if (run == nullptr || run->start >= end) break;
        at = std::max(at, run->start);
        if (among_pools) {
            const PoolHeader* const header = trusted_header(at);
            const uintptr_t found = header != nullptr ? take_what_begins(at, *header, done, end) : 0;
            if (found != 0) {
                done = at = found;
                continue;
            }
        }
        const uintptr_t until = std::min(run->end, end), step = among_pools ? kPoolSize : kPageSize;
        size_t count = 0;
        for (uintptr_t page = at; page < until && count < batch; page += step) work_.addresses[count++] = page;
        reader_.read_many(work_.addresses, count, sizeof(PoolHeader), work_.headers);
        bool as_expected = true;
        for (size_t i = 0; i < count && as_expected; ++i) {
            const uintptr_t page = work_.addresses[i];
            const uintptr_t found = take_what_begins(page, work_.headers[i], done, end);
            if (found != 0) done = found;
            at = found != 0 ? found : among_pools ? page : page + kPageSize;
            as_expected = among_pools ? found == page + kPoolSize : found == 0;
        }
        if (as_expected) {
            batch = std::min(batch * 2, kBatch);
        } else {
            among_pools = !among_pools && seen_pool_ && done == last_pool_end_;
            batch = among_pools ? 4 : 1;
        }
    }
    take_leftover(done, end);
}

void HeapAccount::take_leftover(uintptr_t start, uintptr_t end) noexcept {
    if (start >= end) return;
    Resident left = take_blocks(start, end);
    if (left.total() == 0) return;
    // Where whole huge pages are resident, an arena's untouched pools are as well.
    if (seen_pool_ && start < last_pool_end_ + kArenaSize) {
        PoolHeader header;
        const uintptr_t first = (start + kPoolSize - 1) & ~(kPoolSize - 1);
        const uintptr_t until = std::min(end, last_pool_end_ + kArenaSize);
        if (first < until && runs_.holds(first) && reader_.read(first, &header, sizeof header) && is_blank(header)) {
            give(left, runs_.within(start, until).total(), rows_.free_python->parts);
        }
    }
    if (leftover_ != rows_.unnamed) {
        leftover_->parts += left;
        return;
    }
    if (unowned_.add(start, end, left, added_unowned_)) {
        added_unowned_ = true;
    } else {
        rows_.unnamed->parts += left;
    }
}

}  // namespace flyweight::memory
