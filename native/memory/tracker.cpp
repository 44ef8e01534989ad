#include "memory/tracker.h"

#include <cmath>

#include "memory/clock.h"
#include "memory/slow_lock.h"

namespace flyweight::memory {

constinit Tracker tracker;
constinit Surroundings surroundings;

bool Tracker::reserve() noexcept {
    if (sampled_pages_ == nullptr) {
        sampled_pages_ =
            static_cast<std::atomic<uintptr_t>*>(reserve_pages(ShadowMap::kChunks * sizeof(std::atomic<uintptr_t>)));
    }
    return sampled_pages_ != nullptr && shadow.reserve() && sites.reserve() && strings.reserve() && stacks.reserve() &&
           samples.reserve();
}

void Tracker::begin(const Settings& wanted) noexcept {
    SlowLock lock;
    settings = wanted;
    ++session;
    limit_bytes = wanted.limit_bytes != 0 ? wanted.limit_bytes : kNoLimit;
    shadow.clear();
    cache.clear();
    native_cache.clear();
    sites.clear();
    stacks.clear();
    samples.clear();
    for (size_t i = 0; i < ShadowMap::kChunks * sizeof(uintptr_t) / kPageSize; ++i) {
        // Pages of the directory that were never touched stay so.
        if (!resident_bytes(reinterpret_cast<char*>(sampled_pages_) + i * kPageSize, kPageSize)) continue;
        for (size_t j = 0; j < kPageSize / sizeof(uintptr_t); ++j) {
            const uintptr_t pages =
                sampled_pages_[i * kPageSize / sizeof(uintptr_t) + j].load(std::memory_order_relaxed);
            if (pages == 0) continue;
            const uintptr_t bias = sampled_bias(i * kPageSize / sizeof(uintptr_t) + j);
            drop_pages(reinterpret_cast<void*>(pages + bias), ShadowMap::kChunkBytes / kPageSize);
        }
    }
    for (Level& level : levels) level.reset();
    total.reset();
    total.cap = limit_bytes;
    untracked_frees.set(0), lost_frees.set(0), limit_hits.set(0);
    limit_site.store(-1, std::memory_order_relaxed);
    degraded_tick.store(UINT32_MAX, std::memory_order_relaxed);
    degraded_reason.store(0, std::memory_order_relaxed);
    sampler.start(wanted.sample_interval_bytes, wanted.seed, session);
    this_thread.until_sample = 0;
    const uint32_t wants = (wanted.sampled ? kSampledOnly : 0u) | (wanted.full_stacks ? kFullStacks : 0u);
    attention.store(wants | kStopped, std::memory_order_release);
}

void Tracker::end() noexcept {
    attention.fetch_or(kStopped, std::memory_order_release);
    SlowLock lock;
    own_bytes.set(measure_own_bytes());
    shadow.clear();  // records would go stale from here on
}

uint64_t Tracker::weight_count(uint64_t size) const noexcept {
    return static_cast<uint64_t>(std::llround(sampler.weigh(size).count));
}

uint64_t Tracker::weight_bytes(uint64_t size) const noexcept {
    return static_cast<uint64_t>(std::llround(sampler.weigh(size).bytes));
}

void Tracker::charge(SiteId site, uint64_t blocks, uint64_t bytes) noexcept {
    if (site != kNoSite) count<Access::shared>(sites[site].domain, site, blocks, bytes, bytes);
}

void Tracker::discharge(SiteId site, uint64_t blocks, uint64_t bytes) noexcept {
    if (site != kNoSite) discount<Access::shared>(site, blocks, bytes);
}

uint32_t Tracker::keep_sample(void* block, uint64_t size, SiteId site, Domain domain) noexcept {
    if (in_profiler()) return site;
    ProfilerScope scope;
    SlowLock lock;
    uint32_t native = 0;
    const StackId stack = surroundings.stack != nullptr ? surroundings.stack(&native) : 0;
    const uint32_t now = tick.load(std::memory_order_relaxed);
    const uint32_t row = samples.find_or_add_row(stack, native, domain, site, now);
    if (row == 0) return site;
    const uint32_t number =
        samples.add({reinterpret_cast<uintptr_t>(block), size, row, site, now, 0}, sampler.weigh(size));
    return number != 0 ? number | kTraced : site;
}

bool Tracker::note_sampled(void* block, uint64_t size, SiteId site, Domain domain) noexcept {
    const auto address = reinterpret_cast<uintptr_t>(block);
    if (site == kNoSite) return true;
    ShadowMap::Word* words = shadow.find_or_reserve(address);
    if (words == nullptr) return true;
    const uint32_t number = keep_sample(block, size, site, domain);
    if (!(number & kTraced)) return true;
    if (ShadowMap::holds(words)) lose(words);
    count<Access::shared>(domain, site, weight_count(size), weight_bytes(size), size);
    ShadowMap::write(words, number, size, tick.load(std::memory_order_relaxed));
    SlowLock lock;
    mark_sampled_page(address, +1);
    return total.current() <= limit_bytes;
}

void Tracker::mark_sampled_page(uintptr_t address, int change) noexcept {
    const uintptr_t chunk = address >> ShadowMap::kChunkBits;
    std::atomic<uintptr_t>& entry = sampled_pages_[chunk];
    uintptr_t base = entry.load(std::memory_order_relaxed);
    if (base == 0) {
        if (change < 0) return;
        base = reinterpret_cast<uintptr_t>(reserve_pages(ShadowMap::kChunkBytes / kPageSize));
        if (base == 0) return;
        base -= sampled_bias(chunk);
        entry.store(base, std::memory_order_release);
    }
    std::atomic<uint8_t>& pages = *sampled_page(base, address);
    const uint8_t held = pages.load(std::memory_order_relaxed);
    if (held == 255) return;  // lost count: the page is looked at for the rest of the session
    if (change < 0 && held == 0) return;
    pages.store(static_cast<uint8_t>(held + change), std::memory_order_relaxed);
}

void Tracker::forget_traced(const Record& record, Sample* copy) noexcept {
    SlowLock lock;
    const uint32_t number = record.number & ~kTraced;
    if (settings.full_stacks) {
        StackRow& row = samples.row(number);
        row.live_count -= 1;
        row.live_bytes -= static_cast<double>(record.size);
        return;
    }
    if (copy != nullptr) *copy = samples[number];
    samples.remove(number, sampler.weigh(record.size));
}

void Tracker::lose(ShadowMap::Word* words) noexcept {
    // The block that this record describes was returned without our seeing it: another tool stood in between.
    const Record record = ShadowMap::read(words);
    ShadowMap::erase(words);
    const SiteId site = site_of(record.number);
    if (record.number & kTraced) forget_traced(record, nullptr);
    lost_frees.add(1);
    if (settings.sampled) {
        discount<Access::shared>(site, weight_count(record.size), weight_bytes(record.size));
    } else {
        discount<Access::shared>(site, 1, record.size);
    }
}

void Tracker::uncount(ShadowMap::Word* words) noexcept {
    // With no arena to be had, the small-object allocator asks the raw domain for small blocks as well, and that hook
    // came first. The block is the other hook's: as if it had not been recorded before.
    const Record record = ShadowMap::read(words);
    const SiteId number = site_of(record.number);
    if (record.number & kTraced) forget_traced(record, nullptr);
    ShadowMap::erase(words);
    Site& site = sites[number];
    discount<Access::shared>(number, 1, record.size);
    site.others_freed_count.subtract(1);
    site.others_allocated_count.subtract(1);
    site.others_allocated_bytes.subtract(record.size);
}

template <Access kAccess>
bool Tracker::allocated_specially(Domain domain, void* block, uint64_t size, SiteId site) noexcept {
    ShadowMap::Word* words = shadow.find_or_reserve(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr) return true;
    if (ShadowMap::holds(words)) block == this_thread.raw_block ? uncount(words) : lose(words);
    if (!count<kAccess>(domain, site, 1, size, size)) return false;
    // The countdown has been advanced by the caller.
    const uint32_t number = this_thread.until_sample < 0 ? trace(block, size, site, domain) : site;
    ShadowMap::write(words, number, size, tick.load(std::memory_order_relaxed));
    return true;
}
template bool Tracker::allocated_specially<Access::exclusive>(Domain, void*, uint64_t, SiteId) noexcept;
template bool Tracker::allocated_specially<Access::shared>(Domain, void*, uint64_t, SiteId) noexcept;

template <Access kAccess>
Taken Tracker::take(void* block) noexcept {
    Taken taken{};
    const auto address = reinterpret_cast<uintptr_t>(block);
    ShadowMap::Word* words = shadow.find(address);
    if (words == nullptr || !ShadowMap::holds(words)) return taken;
    const Record record = ShadowMap::read(words);
    for (size_t i = 0; i < (record.size > ShadowMap::kLargestShort ? 4 : 2); ++i) {
        taken.words[i] = words[i].load(std::memory_order_relaxed);
    }
    ShadowMap::erase(words);
    const SiteId site = site_of(record.number);
    if (record.number & kTraced) forget_traced(record, &taken.sample);
    if (settings.sampled) {
        discount<Access::shared>(site, weight_count(record.size), weight_bytes(record.size));
        SlowLock lock;
        mark_sampled_page(address, -1);
    } else {
        discount<kAccess>(site, 1, record.size);
    }
    return taken;
}
template Taken Tracker::take<Access::exclusive>(void*) noexcept;
template Taken Tracker::take<Access::shared>(void*) noexcept;

template <Access kAccess>
uint64_t Tracker::released_specially(void* block) noexcept {
    const uint64_t size = recorded_size(block);
    take<kAccess>(block);
    return size;
}
template uint64_t Tracker::released_specially<Access::exclusive>(void*) noexcept;
template uint64_t Tracker::released_specially<Access::shared>(void*) noexcept;

template <Access kAccess>
void Tracker::put_back(void* block, const Taken& taken) noexcept {
    if (taken.words[0] == 0) return;
    ShadowMap::Word* words = shadow.find(reinterpret_cast<uintptr_t>(block));
    if (words == nullptr) return;
    Record record{};
    {
        ShadowMap::Word copy[4];
        for (size_t i = 0; i < 4; ++i) copy[i].store(taken.words[i], std::memory_order_relaxed);
        record = ShadowMap::read(copy);
    }
    SiteId site = record.number;
    uint32_t number = record.number;
    SlowLock lock;
    if (record.number & kTraced) {
        if (settings.full_stacks) {
            StackRow& row = samples.row(record.number & ~kTraced);
            row.live_count += 1;
            row.live_bytes += static_cast<double>(record.size);
            site = row.site;
        } else {
            site = taken.sample.site;
            Weight weight = sampler.weigh(record.size);
            const uint32_t again = samples.add(taken.sample, weight);
            if (again != 0) {
                StackRow& row = samples.row(taken.sample.row);  // it is the same block, not one more
                --row.total_samples;
                row.total_count -= weight.count;
                row.total_bytes -= weight.bytes;
                row.total_variance -= weight.variance;
                number = again | kTraced;
            } else {
                number = site;
            }
        }
    }
    const uint64_t blocks = settings.sampled ? weight_count(record.size) : 1;
    const uint64_t bytes = settings.sampled ? weight_bytes(record.size) : record.size;
    Site& counters = sites[site];
    Level& level = levels[static_cast<size_t>(counters.domain)];
    if (kAccess == Access::exclusive && !settings.sampled) {
        counters.freed_count.subtract(blocks);
        counters.live.add(bytes);
        level.own.add(bytes);
        total.own.add(bytes);
    } else {
        counters.others_freed_count.subtract(blocks);
        counters.others_live.add(bytes);
        counters.refresh_mark();
        level.others.add(bytes);
        level.refresh_mark();
        total.others.add(bytes);
        total.refresh_mark();
    }
    ShadowMap::write(words, number, record.size, record.tick);
    if (settings.sampled) mark_sampled_page(reinterpret_cast<uintptr_t>(block), +1);
}
template void Tracker::put_back<Access::exclusive>(void*, const Taken&) noexcept;
template void Tracker::put_back<Access::shared>(void*, const Taken&) noexcept;

void Tracker::turn_to_sampling(uint32_t reason) noexcept {
    SlowLock lock;
    attention.fetch_and(~uint32_t{kTooMuchMemory}, std::memory_order_relaxed);
    if (settings.sampled) return;
    constexpr uint64_t kDefaultInterval = uint64_t{512} << 10;
    if (sampler.interval() == 0) sampler.start(kDefaultInterval, settings.seed, session);
    if (settings.full_stacks) {
        settings.full_stacks = false;
        samples.clear();  // rows counted every block; from now on they would mix with estimates
    }
    settings.sampled = true;
    attention.store((attention.load(std::memory_order_relaxed) & ~uint32_t{kFullStacks}) | kSampledOnly,
                    std::memory_order_release);
    degraded_tick.store(tick.load(std::memory_order_relaxed), std::memory_order_relaxed);
    degraded_reason.store(reason, std::memory_order_relaxed);

    // What has been allocated so far stays as counted. What is live is from now on what the live samples stand for.
    shadow.clear();
    for (size_t number = 1; number < sites.size(); ++number) {
        Site& site = sites[static_cast<SiteId>(number)];
        if (site.domain == Domain::mapped) continue;  // mappings keep their own records
        site.freed_count.set(site.allocated_count.get());
        site.live.set(0);
        site.others_freed_count.set(site.others_allocated_count.get());
        site.others_live.set(0);
    }
    total.own.set(0);
    total.others.set(0);
    for (size_t i = 0; i < kDomains; ++i) {
        if (i == static_cast<size_t>(Domain::mapped)) {
            total.others.add(levels[i].current());
            continue;
        }
        levels[i].own.set(0);
        levels[i].others.set(0);
    }
    for (uint32_t number = 1; number < samples.size(); ++number) {
        const Sample& sample = samples[number];
        if (sample.address == 0) continue;
        const uint64_t blocks = weight_count(sample.size), bytes = weight_bytes(sample.size);
        Site& site = sites[sample.site];
        site.others_freed_count.subtract(blocks);
        site.others_live.add(bytes);
        levels[static_cast<size_t>(site.domain)].others.add(bytes);
        total.others.add(bytes);
        if (ShadowMap::Word* words = shadow.find_or_reserve(sample.address); words != nullptr) {
            ShadowMap::write(words, number | kTraced, sample.size, sample.tick);
            mark_sampled_page(sample.address, +1);
        }
    }
    for (size_t number = 1; number < sites.size(); ++number) {
        Site& site = sites[static_cast<SiteId>(number)];
        // A lucky sample stands for more than its site ever allocated. Nothing is live that was not allocated: the
        // totals give way, since the frees to come subtract what the samples stand for.
        if (const uint64_t live = site.live_bytes(), total = site.total_bytes(); above(live, total)) {
            site.others_allocated_bytes.add(live - total);
        }
        if (const uint64_t freed = site.freed_count.get() + site.others_freed_count.get(); above(0, freed)) {
            site.others_allocated_count.subtract(freed);
            site.others_freed_count.subtract(freed);
        }
        site.refresh_mark();
    }
    for (Level& level : levels) level.refresh_mark();
    total.refresh_mark();
}

size_t Tracker::measure_own_bytes() noexcept {
    return shadow.own_bytes() + sites.own_bytes() + strings.own_bytes() + stacks.own_bytes() + samples.own_bytes() +
           cache.own_bytes() + (settings.native ? native_cache.own_bytes() : 0);
}

}  // namespace flyweight::memory
