#include "memory/string_table.h"

#include <cstring>

namespace flyweight::memory {

bool StringTable::reserve() noexcept {
    if (!text_.reserve() || !entries_.reserve() || !buckets_.reserve()) return false;
    if (entries_.size() == 0) entries_.append();  // number 0
    return true;
}

uint32_t StringTable::intern(std::string_view text) noexcept {
    if (text.empty()) return 0;
    if (text.size() > kLongestName) text.remove_prefix(text.size() - kLongestName);
    uint32_t hash = 2166136261u;  // FNV-1a
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    uint32_t& bucket = buckets_[hash % kBuckets];
    for (uint32_t at = bucket; at != 0; at = entries_[at].next) {
        if (entries_[at].hash == hash && (*this)[at] == text) return at;
    }
    const size_t offset = text_.append(text.size());
    if (offset == text_.capacity()) return 0;
    const size_t number = entries_.append();
    if (number == entries_.capacity()) return 0;
    std::memcpy(&text_[offset], text.data(), text.size());
    entries_[number] = {static_cast<uint32_t>(offset), static_cast<uint32_t>(text.size()), hash, bucket};
    bucket = static_cast<uint32_t>(number);
    return bucket;
}

std::string_view StringTable::operator[](uint32_t number) const noexcept {
    if (number == 0 || number >= entries_.size()) return {};
    const Entry& entry = entries_[number];
    return {&text_[entry.offset], entry.length};
}

size_t StringTable::own_bytes() const noexcept {
    return text_.used_bytes() + entries_.used_bytes() + (entries_.size() > 1 ? kBuckets * sizeof(uint32_t) : 0);
}

}  // namespace flyweight::memory
