// What lies in heaps, byte by byte: pools and chunks, the recorded blocks in them, and what is left of a mapping when
// all that can be recognised is taken out.
#pragma once

#include "memory/account_workspace.h"
#include "memory/heap_blocks.h"
#include "memory/page_states.h"
#include "memory/safe_read.h"

namespace flyweight::memory {

// The rows that parts of heaps go to, apart from those of sites.
struct HeapRows {
    explicit HeapRows(AttributedRows& rows) noexcept;
    AttributedRow *used_python, *used_native;          // without records
    AttributedRow *free_python, *free_native;          // held for later
    AttributedRow *overhead_python, *overhead_native;  // headers, and rounding to sizes
    AttributedRow *before_python, *before_native;      // in use, and in no record
    AttributedRow* padding;                            // what requests were raised by, so that records fit
    AttributedRow* unnamed;
};

class HeapAccount {
  public:
    // exact: every live block is recorded. Otherwise blocks are not looked for.
    HeapAccount(Workspace& work, const SafeReader& reader, const PageStates& states, HeapRows& rows,
                bool exact) noexcept
        : work_(work),
          reader_(reader),
          rows_(rows),
          blocks_(states),
          exact_(exact),
          unowned_(work.unowned, work.window) {}

    // What the caller knows of the interpreter.
    void trust(const AttributionRequest& request) noexcept {
        trusts_python_ = request.python_stands_still && exact_;
        highest_held_ = request.highest_held;
    }

    // The mapping, or neighbours, that the stretches given next lie in; `leftover` gets what nothing else does.
    void begin(const ResidentRuns& runs, AttributedRow& leftover) noexcept;

    void take_heap(uintptr_t start, uintptr_t end, bool is_main) noexcept;
    void take_interval(uintptr_t start, uintptr_t end, SiteId site) noexcept;
    void take_unclaimed(uintptr_t start, uintptr_t end) noexcept;
    void take_leftover(uintptr_t start, uintptr_t end) noexcept;
    Resident within(uintptr_t start, uintptr_t end) noexcept { return runs_.within(start, end); }

    // Stretches that nobody claimed, for which a library may be found whose data points there.
    DataPointers& unowned() noexcept { return unowned_; }

  private:
    void take_chunk(const Chunk& chunk, bool mapped_alone) noexcept;
    uintptr_t take_recorded_chunks(uintptr_t at, uintptr_t end, HeapWords& words) noexcept;
    uintptr_t take_what_begins(uintptr_t page, const PoolHeader& header, uintptr_t done, uintptr_t end) noexcept;
    const PoolHeader* trusted_header(uintptr_t page) noexcept;
    void take_pool(const Pool& pool) noexcept;
    Resident take_blocks(uintptr_t start, uintptr_t end) noexcept;
    void take_block(const HeapBlock& block, Resident& left) noexcept;
    Resident& used_or_before() noexcept { return exact_ ? rows_.before_native->parts : rows_.used_native->parts; }

    Workspace& work_;
    const SafeReader& reader_;
    HeapRows& rows_;
    HeapBlocks blocks_;
    const bool exact_;
    bool trusts_python_ = false;
    uintptr_t (*highest_held_)(uintptr_t start, uintptr_t end) = nullptr;
    DataPointers unowned_;

    ResidentRuns runs_;
    AttributedRow* leftover_ = nullptr;
    uint64_t cache_key_ = 0;
    bool seen_pool_ = false;
    uintptr_t last_pool_end_ = 0;
    bool added_unowned_ = false;  // of the mapping that is being taken
};

}  // namespace flyweight::memory
