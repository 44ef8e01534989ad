// Totals are sums over the sites: there is no second set of books that could disagree.
#pragma once

#include <cstdint>

#include "memory/tracker.h"

namespace flyweight::memory {

struct Totals {
    uint64_t current_bytes, peak_bytes, allocated_bytes, freed_bytes;
    uint64_t allocation_count, deallocation_count, live_count;
};

// One per domain, then all together. The peak of all together is the peak of their sum, not the sum of their peaks.
inline void add_up(Totals (&totals)[kDomains + 1]) noexcept {
    for (Totals& t : totals) t = {};
    for (size_t number = 1; number < tracker.sites.size(); ++number) {
        const Site& site = tracker.sites[static_cast<SiteId>(number)];
        Totals& t = totals[static_cast<size_t>(site.domain)];
        const uint64_t count = site.total_count(), live = site.live_count();
        const uint64_t bytes = site.total_bytes(), live_bytes = site.live_bytes();
        t.allocation_count += count;
        t.live_count += live;
        t.deallocation_count += count - live;
        t.allocated_bytes += bytes;
        t.current_bytes += live_bytes;
        t.freed_bytes += bytes - live_bytes;
    }
    Totals& all = totals[kDomains];
    for (size_t i = 0; i < kDomains; ++i) {
        Totals& t = totals[i];
        t.peak_bytes = tracker.levels[i].peak();
        all.allocation_count += t.allocation_count;
        all.live_count += t.live_count;
        all.deallocation_count += t.deallocation_count;
        all.allocated_bytes += t.allocated_bytes;
        all.current_bytes += t.current_bytes;
        all.freed_bytes += t.freed_bytes;
    }
    all.peak_bytes = tracker.total.peak();
    if (!tracker.settings.native) totals[static_cast<size_t>(Domain::python)].peak_bytes = all.peak_bytes;
    // The sums were taken while others went on: what they found has been there.
    for (Totals& t : totals) {
        if (above(t.current_bytes, t.peak_bytes)) t.peak_bytes = t.current_bytes;
    }
}

}  // namespace flyweight::memory
