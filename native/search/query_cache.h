#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "search/hit.h"

namespace flyweight::search {

struct CacheCounters {
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t evictions = 0;
    uint64_t expired = 0;
};

// Results of recent queries in a pool that is allocated once: `entries` slots of fixed size. A lookup copies out of the
// slot, a store writes into it; neither changes what the pool holds of the heap. Least recently used goes first; an
// entry older than the time to live, or of another index generation, is not found. A result or key too large for a slot
// is simply not kept.
//
// Not locked: callers hold the GIL, which also keeps a fork from seeing a slot half written.
class QueryCache {
  public:
    // Room per slot is for `hits_per_entry` hits of usual size. ttl_s <= 0 or entries == 0 disables the cache.
    QueryCache(size_t entries, size_t hits_per_entry, double ttl_s);

    // Fills `out` and returns true when the key is present and fresh.
    bool find(std::string_view key, const IndexView& view, double now_s, std::vector<Hit>& out);
    void store(std::string_view key, const IndexView& view, double now_s, const std::vector<Hit>& hits);
    void clear();
    void give_back();  // forgets everything, and lets the system have the pool's pages until slots are used again

    const CacheCounters& counters() const { return counters_; }
    size_t size() const;
    size_t capacity() const { return slots_.size(); }
    const uint8_t* pool() const { return pool_.get(); }
    size_t stored_bytes() const { return slots_.size() * slot_bytes_; }  // from pool() on
    size_t pool_bytes() const { return stored_bytes() + slots_.size() * sizeof(Slot); }

  private:
    struct Slot {
        uint64_t hash = 0;
        uint64_t generation = 0;
        uint64_t last_used = 0;  // 0: empty
        double stored_s = 0.0;
        uint32_t key_length = 0;
        uint32_t hit_count = 0;
    };
    uint8_t* bytes_of(size_t slot) { return pool_.get() + slot * slot_bytes_; }
    size_t victim() const;

    std::vector<Slot> slots_;
    size_t slot_bytes_;
    std::unique_ptr<uint8_t[]> pool_;
    double ttl_s_;
    uint64_t clock_ = 0;
    CacheCounters counters_;
};

}  // namespace flyweight::search
