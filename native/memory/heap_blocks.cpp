#include "memory/heap_blocks.h"

namespace flyweight::memory {

void HeapBlocks::load(uintptr_t chunk) noexcept {
    chunk_ = chunk;
    words_ = chunk >> ShadowMap::kAddressBits == 0 ? tracker.shadow.find(chunk) : nullptr;
    if (words_ != nullptr) states_.written(reinterpret_cast<uintptr_t>(words_), kShadowPages, written_);
}

SiteId HeapBlocks::site_of_traced(uint32_t number) const noexcept {
    SiteId site = kNoSite;
    if (tracker.settings.full_stacks) {
        if (number < tracker.samples.row_count()) site = tracker.samples.row(number).site;
    } else if (number < tracker.samples.size()) {
        site = tracker.samples[number].site;
    }
    return site < sites_ ? site : kNoSite;
}

}  // namespace flyweight::memory
