// The test double of native/memory/events.h: the same interface without Python. A thread says itself whether it is the
// exclusive writer, and a place is the caller's address, with its library.
#pragma once

#include "memory/library_map.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

namespace flyweight::memory {

inline thread_local bool exclusive_thread = false;

inline SiteId native_site(Domain domain, void* caller) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) & kStopped) return kNoSite;
    const PlaceKey key = caller_key(reinterpret_cast<uintptr_t>(caller), domain);
    if (const SiteId known = tracker.cache.find(key); known != kNoSite) return known;
    ProfilerScope scope;
    SlowLock lock;
    const uint32_t line = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(caller));
    const char* const path = library_of(caller);
    const uint32_t library = path != nullptr ? tracker.strings.intern(path) : 0;
    const SiteId site =
        tracker.sites.find_or_add({1, 1, line, domain, library}, tracker.tick.load(std::memory_order_relaxed));
    if (site != kNoSite) tracker.cache.put(key, site);
    return site;
}

inline void native_allocated(void* block, size_t size, void* caller) noexcept {
    const SiteId site = native_site(Domain::native, caller);
    if (site == kNoSite) return;
    if (exclusive_thread) {
        tracker.allocated<Domain::native, Access::exclusive>(block, size, site);
    } else {
        tracker.allocated<Domain::native, Access::shared>(block, size, site);
    }
}

inline Taken native_released(void* block) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) & kStopped) return {};
    return exclusive_thread ? tracker.take_quickly<Access::exclusive>(block)
                            : tracker.take_quickly<Access::shared>(block);
}
inline void native_freed(void* block) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) & kStopped) return;
    if (exclusive_thread) {
        tracker.released<Access::exclusive>(block);
    } else {
        tracker.released<Access::shared>(block);
    }
}
inline void native_restored(void* block, const Taken& taken) noexcept {
    if (exclusive_thread) {
        tracker.put_back<Access::exclusive>(block, taken);
    } else {
        tracker.put_back<Access::shared>(block, taken);
    }
}

inline void charge(SiteId site, size_t size) noexcept {
    tracker.charge(site, 1, size);
}
inline void discharge(SiteId site, size_t size) noexcept {
    tracker.discharge(site, 1, size);
}

}  // namespace flyweight::memory
