#include "memory/site_table.h"

#include <cstring>

namespace flyweight::memory {
namespace {

constexpr size_t kFirstIndexSize = 2048;

}  // namespace

bool SiteTable::reserve() noexcept {
    if (!sites_.reserve() || !libraries_.reserve() || !index_.reserve()) return false;
    if (index_size_ == 0) index_size_ = kFirstIndexSize;
    if (sites_.size() == 0) count_.store(sites_.append() + 1, std::memory_order_release);  // number 0: no site
    return true;
}

void SiteTable::clear() noexcept {
    sites_.clear();
    libraries_.clear();
    libraries_end_ = 0;
    index_.clear();
    index_size_ = 0;
    full_ = false;
    reserve();
}

uint64_t SiteTable::hash(const Location& location) noexcept {
    uint64_t key = uint64_t{location.file} << 32 | location.function;
    key = (key ^ key >> 31) * 0x9e3779b97f4a7c15ULL;
    key ^= uint64_t{location.library} << 40;
    key ^= uint64_t{location.line} << 2 | static_cast<uint64_t>(location.domain);
    key = (key ^ key >> 29) * 0xbf58476d1ce4e5b9ULL;
    return key ^ key >> 32;
}

SiteId SiteTable::find_or_add(const Location& location, uint32_t tick) noexcept {
    if (sites_.size() * 2 > index_size_ && !grow_index()) return kNoSite;
    size_t slot = hash(location) & (index_size_ - 1);
    for (; index_[slot] != 0; slot = (slot + 1) & (index_size_ - 1)) {
        if (this->location(index_[slot]) == location) return index_[slot];
    }
    const size_t number = sites_.append();
    if (number == kCapacity) {
        full_ = true;
        return kNoSite;
    }
    Site& site = sites_[number];
    site.domain = location.domain;
    site.file = location.file;
    site.function = location.function;
    site.line = location.line;
    site.first_tick = tick;
    if (location.library != 0) libraries_[number] = location.library, libraries_end_ = number + 1;
    index_[slot] = static_cast<uint32_t>(number);
    count_.store(number + 1, std::memory_order_release);
    return static_cast<SiteId>(number);
}

bool SiteTable::grow_index() noexcept {
    if (index_size_ * 2 > index_.capacity()) return sites_.size() < index_size_;
    index_size_ *= 2;
    std::memset(index_.data(), 0, index_size_ * sizeof(uint32_t));
    for (size_t number = 1; number < sites_.size(); ++number) {
        size_t slot = hash(location(static_cast<SiteId>(number))) & (index_size_ - 1);
        while (index_[slot] != 0) slot = (slot + 1) & (index_size_ - 1);
        index_[slot] = static_cast<uint32_t>(number);
    }
    return true;
}

size_t SiteTable::own_bytes() const noexcept {
    return sites_.used_bytes() + libraries_end_ * sizeof(uint32_t) + index_size_ * sizeof(uint32_t);
}

}  // namespace flyweight::memory
