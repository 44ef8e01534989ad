// The rows of an account of resident memory, and the arithmetic that makes them sum to what the kernel says.
//
// A mapping that belongs to one row adds the kernel's own figures to it. Of mappings that are divided, rows get bytes
// of private and of shared pages; what is not known page by page (dirty, proportional, swapped) is divided over the
// rows in proportion at the end, without losing a byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/page_states.h"
#include "memory/process_map.h"

namespace flyweight::memory {

enum class RowKind : uint32_t {
    interpreter,
    library,
    python_heap,
    native_heap,
    mapped_memory,
    mapped_file,
    thread_stack,
    allocator,
    free,
    before_recording,
    profiler,
    kernel,
    unnamed,
    given  // named by the caller
};
inline constexpr const char* kRowKinds[] = {
    "interpreter", "library", "python heap",      "native heap", "mapped memory", "mapped file", "thread stack",
    "allocator",   "free",    "before recording", "profiler",    "kernel",        "unnamed",     "given"};

struct AttributedRow {
    RowKind kind;
    const char* text;  // its name, in memory that outlives the account's use; not terminated
    uint32_t length;
    bool estimated;
    Figures figures;  // of whole mappings, and after `settle` of everything
    Resident parts;   // of divided mappings
    uint64_t live_bytes, live_count;
};

class AttributedRows {
  public:
    static constexpr size_t kCapacity = size_t{1} << 14;
    static constexpr size_t kIndexSize = kCapacity * 2;
    static constexpr size_t kBytes = kCapacity * sizeof(AttributedRow) + kIndexSize * sizeof(uint32_t);

    // `memory`: kBytes of zeros.
    explicit AttributedRows(void* memory) noexcept
        : rows_(static_cast<AttributedRow*>(memory)), index_(reinterpret_cast<uint32_t*>(rows_ + kCapacity)) {}

    // The row of that kind and name, made if new. The last one stands for all that find no room.
    AttributedRow& find_or_add(RowKind kind, const char* text, size_t length) noexcept;
    AttributedRow& find_or_add(RowKind kind, const char* text) noexcept;

    size_t size() const noexcept { return count_; }
    AttributedRow& operator[](size_t number) noexcept { return rows_[number]; }

    // Moves what was claimed of divided mappings into the figures, so that all rows sum to `wanted`: the sum of divided
    // mappings as the kernel has it. What was claimed too little goes to `missing`.
    void settle(const Figures& divided, AttributedRow& missing) noexcept;
    // Makes all rows sum to `wanted`, the kernel's figures for the whole process. They differ from the sum of its
    // mappings when the process, or others that share pages with it, did not stand still between the two readings, and
    // in the proportional size always: the kernel rounds that of each mapping down. What is missing goes to `missing`,
    // what is too much is taken from the largest rows; pages that changed hands, dirty and proportional bytes are
    // spread.
    void reconcile(const Figures& wanted, AttributedRow& missing) noexcept;
    Figures sum() const noexcept;

  private:
    // Adds `bytes` to one figure of the rows, in proportion to the room each has, or takes them away.
    template <class Room, class Change>
    void spread(uint64_t bytes, Room&& room, Change&& change) noexcept;
    void take_from_largest(uint64_t excess) noexcept;
    void move(uint64_t Resident::* from, uint64_t Resident::* to, uint64_t bytes) noexcept;

    void grow_index() noexcept;

    AttributedRow* rows_;
    uint32_t* index_;  // open addressing over the first index_size_ slots: few rows touch few pages
    size_t index_size_ = 1024;
    size_t count_ = 0;
};

// Takes up to `bytes` from `left`, of private and shared pages alike, and adds them to `to`.
void give(Resident& left, uint64_t bytes, Resident& to) noexcept;

}  // namespace flyweight::memory
