#include "search/query_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace flyweight::search {

namespace {

constexpr size_t kKeyBytes = 256;
constexpr size_t kBytesPerHit = 256;  // fixed part 28, then path, language, kind, symbol, scope
constexpr uintptr_t kPageBytes = 4096;

struct StoredHit {
    ChunkRef ref;
    uint32_t start_line;
    uint32_t end_line;
    float score;
    uint16_t path_length;
    uint16_t language_length;
    uint16_t kind_length;
    uint16_t symbol_length;
    uint32_t strings_length;
};

uint64_t hash_key(std::string_view key) {
    uint64_t hash = 0xCBF29CE484222325ULL;
    for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    return hash;
}

uint32_t segment_number(const IndexView& view, const Hit& hit) {
    const auto found = std::find_if(view.segments.begin(), view.segments.end(),
                                    [&hit](const SegmentView& part) { return part.segment == hit.segment; });
    return static_cast<uint32_t>(found - view.segments.begin());
}

}  // namespace

QueryCache::QueryCache(size_t entries, size_t hits_per_entry, double ttl_s)
    : slots_(ttl_s > 0.0 ? entries : 0),
      slot_bytes_(kKeyBytes + hits_per_entry * kBytesPerHit),
      pool_(new uint8_t[slots_.size() * slot_bytes_]),  // not zeroed: a page is resident once its slot is used
      ttl_s_(ttl_s) {}

bool QueryCache::find(std::string_view key, const IndexView& view, double now_s, std::vector<Hit>& out) {
    const uint64_t hash = hash_key(key);
    for (size_t i = 0; i < slots_.size(); ++i) {
        Slot& slot = slots_[i];
        if (slot.hash != hash || slot.last_used == 0 || slot.key_length != key.size()) continue;
        const uint8_t* bytes = bytes_of(i);
        if (std::memcmp(bytes, key.data(), key.size()) != 0) continue;
        if (slot.generation != view.generation || now_s - slot.stored_s > ttl_s_) {
            slot.last_used = 0;
            ++counters_.expired;
            break;
        }
        slot.last_used = ++clock_;
        bytes += key.size();
        out.clear();
        out.reserve(slot.hit_count);
        for (uint32_t n = 0; n < slot.hit_count; ++n) {
            StoredHit stored;
            std::memcpy(&stored, bytes, sizeof stored);
            bytes += sizeof stored;
            Hit& hit = out.emplace_back();
            hit.segment = view.segments[stored.ref.segment].segment;
            hit.chunk = stored.ref.chunk;
            hit.start_line = stored.start_line;
            hit.end_line = stored.end_line;
            hit.score = stored.score;
            hit.path_length = stored.path_length;
            hit.language_length = stored.language_length;
            hit.kind_length = stored.kind_length;
            hit.symbol_length = stored.symbol_length;
            hit.strings.assign(reinterpret_cast<const char*>(bytes), stored.strings_length);
            bytes += stored.strings_length;
        }
        ++counters_.hits;
        return true;
    }
    ++counters_.misses;
    return false;
}

size_t QueryCache::victim() const {
    const auto oldest = std::min_element(slots_.begin(), slots_.end(),
                                         [](const Slot& a, const Slot& b) { return a.last_used < b.last_used; });
    return static_cast<size_t>(oldest - slots_.begin());
}

void QueryCache::store(std::string_view key, const IndexView& view, double now_s, const std::vector<Hit>& hits) {
    size_t needed = key.size();
    for (const Hit& hit : hits) needed += sizeof(StoredHit) + hit.strings.size();
    if (slots_.empty() || key.size() > kKeyBytes || needed > slot_bytes_) return;
    const uint64_t hash = hash_key(key);
    size_t index = victim();
    for (size_t i = 0; i < slots_.size(); ++i) {
        // Another thread may have answered the same query meanwhile.
        if (slots_[i].last_used != 0 && slots_[i].hash == hash && slots_[i].key_length == key.size() &&
            std::memcmp(bytes_of(i), key.data(), key.size()) == 0) {
            index = i;
        }
    }
    Slot& slot = slots_[index];
    if (slot.last_used != 0 && slot.hash != hash) ++counters_.evictions;
    uint8_t* bytes = bytes_of(index);
    std::memcpy(bytes, key.data(), key.size());
    bytes += key.size();
    for (const Hit& hit : hits) {
        const StoredHit stored{{segment_number(view, hit), hit.chunk},
                               hit.start_line,
                               hit.end_line,
                               hit.score,
                               hit.path_length,
                               hit.language_length,
                               hit.kind_length,
                               hit.symbol_length,
                               static_cast<uint32_t>(hit.strings.size())};
        std::memcpy(bytes, &stored, sizeof stored);
        bytes += sizeof stored;
        std::memcpy(bytes, hit.strings.data(), hit.strings.size());
        bytes += hit.strings.size();
    }
    slot = {
        hash, view.generation, ++clock_, now_s, static_cast<uint32_t>(key.size()), static_cast<uint32_t>(hits.size())};
}

void QueryCache::clear() {
    std::fill(slots_.begin(), slots_.end(), Slot{});
}

void QueryCache::give_back() {
    clear();
    const auto begin = reinterpret_cast<uintptr_t>(pool_.get());
    const uintptr_t first = (begin + kPageBytes - 1) / kPageBytes * kPageBytes;
    const uintptr_t last = (begin + stored_bytes()) / kPageBytes * kPageBytes;
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

size_t QueryCache::size() const {
    return static_cast<size_t>(
        std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.last_used != 0; }));
}

}  // namespace flyweight::search
