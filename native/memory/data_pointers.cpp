#include "memory/data_pointers.h"

#include <cstring>

namespace flyweight::memory {

bool DataPointers::add(uintptr_t start, uintptr_t end, const Resident& resident, bool joined) noexcept {
    if (joined && count_ > 0) {
        OwnedStretch& last = stretches_[count_ - 1];
        last.end = end;
        last.resident += resident;
    } else if (count_ < kCapacity) {
        stretches_[count_++] = {start, end, resident, 0, 0, 0};
    } else {
        return false;
    }
    total_ += resident.total();
    return true;
}

void DataPointers::note(uint64_t word) noexcept {
    size_t low = 0, high = count_;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (stretches_[middle].end <= word) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < count_ && stretches_[low].start <= word) ++stretches_[low].current;
}

void DataPointers::read(const SafeReader& reader, const ResidentRuns& runs) noexcept {
    if (count_ == 0) return;
    const uint64_t lowest = stretches_[0].start, span = stretches_[count_ - 1].end - lowest;
    for (const Run& run : runs) {
        for (uintptr_t at = run.start; at < run.end; at += kWindow) {
            const size_t bytes = run.end - at < kWindow ? run.end - at : kWindow;
            if (!reader.read(at, window_, bytes)) break;
            for (size_t offset = 0; offset + sizeof(uint64_t) <= bytes; offset += sizeof(uint64_t)) {
                uint64_t word;
                std::memcpy(&word, window_ + offset, sizeof word);
                if (word - lowest < span) [[unlikely]]
                    note(word);
            }
        }
    }
}

void DataPointers::finish_library(uint32_t library) noexcept {
    for (size_t i = 0; i < count_; ++i) {
        OwnedStretch& stretch = stretches_[i];
        if (stretch.current > stretch.votes) {
            stretch.votes = stretch.current;
            stretch.owner = library;
        }
        stretch.current = 0;
    }
}

}  // namespace flyweight::memory
