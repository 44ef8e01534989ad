// What the native hooks report. Callable on any thread at any time; never allocates through the C library.
#pragma once

#include "memory/recording.h"

namespace flyweight::memory {

// A block was allocated by the real function on behalf of `caller`.
inline void native_allocated(void* block, size_t size, void* caller) noexcept {
    record_allocation<Domain::native>(block, size, caller);
}

// A block is about to be returned, or reallocated: its record comes out first.
inline void native_freed(void* block) noexcept {
    record_release(block, release_is_exclusive());
}
inline Taken native_released(void* block) noexcept {
    return record_take(block, release_is_exclusive());
}
inline void native_restored(void* block, const Taken& taken) noexcept {
    record_put_back(block, taken, release_is_exclusive());
}

inline SiteId native_site(Domain domain, void* caller) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) & kStopped) return kNoSite;
    return site_of(Here(caller), domain);
}

// For mappings, which keep records of their own: one more, one less.
inline void charge(SiteId site, size_t size) noexcept {
    tracker.charge(site, 1, size);
}
inline void discharge(SiteId site, size_t size) noexcept {
    tracker.discharge(site, 1, size);
}

}  // namespace flyweight::memory
