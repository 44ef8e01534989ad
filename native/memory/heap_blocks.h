// The recorded blocks of an address range, in order, from the shadow.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/page_states.h"
#include "memory/tracker.h"

namespace flyweight::memory {

struct HeapBlock {
    uintptr_t address;
    uint64_t size;
    SiteId site;
};

// Shadow pages that were never written are not looked at: reading would map them.
class HeapBlocks {
  public:
    explicit HeapBlocks(const PageStates& states) noexcept : states_(states), sites_(tracker.sites.size()) {}

    // Calls visit(block) for the records that begin in [start, end).
    template <class Visit>
    void within(uintptr_t start, uintptr_t end, Visit&& visit) noexcept {
        for (uintptr_t at = start & ~(kGranule - 1); at < end;) {
            if (!turn_to(at)) {
                at = chunk_ + ShadowMap::kChunkBytes;
                continue;
            }
            const uintptr_t chunk_end = chunk_ + ShadowMap::kChunkBytes, until = chunk_end < end ? chunk_end : end;
            while (at < until) {
                if (!written(at)) {
                    at = (at / kBytesPerPage + 1) * kBytesPerPage;
                    continue;
                }
                const uintptr_t page_end = (at / kBytesPerPage + 1) * kBytesPerPage;
                const uintptr_t stop = page_end < until ? page_end : until;
                bool came_from_empty = false;
                while (at < stop) {
                    const ShadowMap::Word* word = words_ + (at - chunk_) / kGranule;
                    if (!ShadowMap::holds(word)) {
                        at += kGranule;
                        came_from_empty = true;
                        continue;
                    }
                    // A record written just now, between our look at its first word and the one at its second.
                    if (came_from_empty && ShadowMap::holds(word - 1)) at -= kGranule, --word;
                    came_from_empty = false;
                    __builtin_prefetch(word + kAhead);
                    const Record record = ShadowMap::read(word);
                    if (const SiteId site = site_of(record); site != kNoSite) visit(HeapBlock{at, record.size, site});
                    const uint64_t granules = (record.size + kGranule - 1) / kGranule;
                    at += (granules < 2 ? 2 : granules) * kGranule;
                }
            }
        }
    }

    // The record of the block that begins at `address`.
    bool at(uintptr_t address, HeapBlock* block) noexcept {
        if (!turn_to(address) || !written(address)) return false;
        const Record record = ShadowMap::read(words_ + (address - chunk_) / kGranule);
        const SiteId site = site_of(record);
        if (site == kNoSite) return false;
        *block = {address, record.size, site};
        return true;
    }

  private:
    static constexpr size_t kAhead = 256;  // words, that is sixteen cache lines
    static constexpr size_t kShadowPages = ShadowMap::kReservedBytes / kPageSize;
    static constexpr size_t kBytesPerPage =
        kPageSize / sizeof(ShadowMap::Word) * kGranule;  // that a shadow page covers

    // False: nothing in the chunk was ever recorded.
    bool turn_to(uintptr_t address) noexcept {
        const uintptr_t chunk = address >> ShadowMap::kChunkBits << ShadowMap::kChunkBits;
        if (chunk != chunk_) load(chunk);
        return words_ != nullptr;
    }
    bool written(uintptr_t address) const noexcept {
        const size_t page = (address - chunk_) / kBytesPerPage;
        return written_[page / 64] >> (page % 64) & 1;
    }
    void load(uintptr_t chunk) noexcept;
    SiteId site_of(const Record& record) const noexcept {
        // What a record names is checked: its owner may be writing it just now.
        if (!(record.number & kTraced)) [[likely]]
            return record.number < sites_ ? record.number : kNoSite;
        return site_of_traced(record.number & ~kTraced);
    }
    SiteId site_of_traced(uint32_t number) const noexcept;

    const PageStates& states_;
    const size_t sites_;
    uintptr_t chunk_ = 1;  // none
    const ShadowMap::Word* words_ = nullptr;
    uint64_t written_[kShadowPages / 64 + 1];
};

}  // namespace flyweight::memory
