// What each component and the whole process held over time, in bounded memory: coarse rows for long ago, fine rows for
// the last while. The largest components have a column each; what a row's columns lack of its total is "(other)".
#pragma once

#include <cstdint>

#include "memory/components.h"
#include "memory/pages.h"

namespace flyweight::memory {

class ComponentSeries {
  public:
    static constexpr uint32_t kCoarseRows = 256, kFineRows = 128, kColumns = 32;
    struct Row {
        uint64_t end_ms, lowest_bytes, highest_bytes;
        uint64_t last_bytes;  // the sum of all components
        uint64_t rss_bytes;
    };

    bool reserve() noexcept;
    void clear() noexcept;
    // A tick; `components` has its sums. Under the slow lock.
    void note(const Row& tick, const Components& from) noexcept;

    size_t columns() const noexcept { return columns_; }
    ComponentId component(size_t column) const noexcept { return of_column_[column]; }
    uint64_t bytes(size_t column, size_t cell) const noexcept { return cells_[column * kRows + cell]; }
    // Calls visit(row, cell), oldest first; `cell` is what `bytes` takes.
    template <class Visit>
    void rows(Visit&& visit) const noexcept {
        const size_t fine = fine_count_ < kFineRows ? fine_count_ : kFineRows, first = fine_count_ - fine;
        const uint64_t from_ms = fine > 0 ? rows_[kCoarseRows + first % kFineRows].end_ms : UINT64_MAX;
        for (size_t i = 0; i < coarse_rows_ && rows_[i].end_ms < from_ms; ++i) visit(rows_[i], i);
        for (size_t i = first; i < fine_count_; ++i) {
            const size_t cell = kCoarseRows + i % kFineRows;
            visit(rows_[cell], cell);
        }
    }
    size_t own_bytes() const noexcept;

  private:
    static constexpr size_t kRows = kCoarseRows + kFineRows;
    void find_columns(const Components& from) noexcept;
    void write(size_t cell, const Row& row, const Components& from) noexcept;
    void halve() noexcept;

    StableArray<Row, kRows> rows_;
    StableArray<PackedBytes, kColumns * kRows> cells_;  // column by column: what nobody uses is never touched
    ComponentId of_column_[kColumns] = {};
    uint64_t highest_[kColumns] = {};
    bool has_column_[Components::kMostComponents] = {};
    size_t columns_ = 0, coarse_rows_ = 0, fine_count_ = 0;
    uint32_t row_ticks_ = 1, ticks_in_row_ = 0;
};

extern ComponentSeries component_series;

}  // namespace flyweight::memory
