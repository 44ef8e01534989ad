#include "memory/component_series.h"

#include <cstring>

#include "memory/counters.h"

namespace flyweight::memory {

constinit ComponentSeries component_series;

bool ComponentSeries::reserve() noexcept {
    return rows_.reserve() && cells_.reserve();
}

void ComponentSeries::clear() noexcept {
    rows_.clear();
    cells_.clear();
    std::memset(has_column_, 0, sizeof has_column_);
    columns_ = coarse_rows_ = fine_count_ = 0;
    row_ticks_ = 1;
    ticks_in_row_ = 0;
}

void ComponentSeries::note(const Row& tick, const Components& from) noexcept {
    find_columns(from);
    write(kCoarseRows + fine_count_++ % kFineRows, tick, from);

    Row row = tick;
    if (ticks_in_row_ > 0) {
        row.lowest_bytes = lower(row.lowest_bytes, rows_[coarse_rows_].lowest_bytes);
        row.highest_bytes = higher(row.highest_bytes, rows_[coarse_rows_].highest_bytes);
    }
    write(coarse_rows_, row, from);
    if (++ticks_in_row_ < row_ticks_) return;
    ticks_in_row_ = 0;
    if (++coarse_rows_ == kCoarseRows) halve();
}

void ComponentSeries::write(size_t cell, const Row& row, const Components& from) noexcept {
    rows_[cell] = row;
    for (size_t column = 0; column < columns_; ++column) {
        cells_[column * kRows + cell] = from.sum(of_column_[column]).live_bytes;
    }
}

// Who comes first has a column. When all are taken, the largest without one takes that of the component that never
// held half as much; the past of both is then part of "(other)".
void ComponentSeries::find_columns(const Components& from) noexcept {
    size_t largest = 0;
    for (size_t number = 1; number < from.count(); ++number) {
        const uint64_t bytes = from.sum(static_cast<ComponentId>(number)).live_bytes;
        if (bytes == 0 || has_column_[number]) continue;
        if (columns_ < kColumns) {
            has_column_[number] = true;
            highest_[columns_] = 0;
            of_column_[columns_++] = static_cast<ComponentId>(number);
        } else if (largest == 0 || bytes > from.sum(static_cast<ComponentId>(largest)).live_bytes) {
            largest = number;
        }
    }
    size_t least = 0;
    for (size_t column = 0; column < columns_; ++column) {
        highest_[column] = higher(highest_[column], from.sum(of_column_[column]).live_bytes);
        if (highest_[column] < highest_[least]) least = column;
    }
    if (largest == 0) return;
    const uint64_t bytes = from.sum(static_cast<ComponentId>(largest)).live_bytes;
    if (bytes / 2 < highest_[least]) return;
    has_column_[of_column_[least]] = false;
    has_column_[largest] = true;
    of_column_[least] = static_cast<ComponentId>(largest);
    highest_[least] = bytes;
    std::memset(static_cast<void*>(&cells_[least * kRows]), 0, kRows * sizeof(PackedBytes));
}

void ComponentSeries::halve() noexcept {
    for (size_t i = 0; i < kCoarseRows / 2; ++i) {
        const Row &a = rows_[2 * i], &b = rows_[2 * i + 1];
        rows_[i] = {b.end_ms, lower(a.lowest_bytes, b.lowest_bytes), higher(a.highest_bytes, b.highest_bytes),
                    b.last_bytes, b.rss_bytes};
    }
    for (size_t column = 0; column < columns_; ++column) {
        PackedBytes* const cells = &cells_[column * kRows];
        for (size_t i = 0; i < kCoarseRows / 2; ++i) cells[i] = cells[2 * i + 1];
    }
    coarse_rows_ = kCoarseRows / 2;
    row_ticks_ *= 2;
}

size_t ComponentSeries::own_bytes() const noexcept {
    const size_t rows = coarse_rows_ + (fine_count_ < kFineRows ? fine_count_ : kFineRows);
    return rows * (sizeof(Row) + columns_ * sizeof(PackedBytes));
}

}  // namespace flyweight::memory
