// What all hooks do with a block, whichever allocator it came from.
#pragma once

#include "memory/places.h"
#include "memory/python_frame.h"
#include "memory/tracker.h"

namespace flyweight::memory {

struct Where {
    PlaceKey key;
    PyThreadState* thread;  // null: no Python on this thread now
    bool exclusive;         // the thread holds the main interpreter's GIL
};

extern PyInterpreterState* main_interpreter;

inline Where where_attached(PyThreadState* thread, Domain domain) noexcept {
    const Frame* frame = thread != nullptr ? current_frame(thread) : nullptr;
    const uintptr_t address = frame != nullptr ? instruction(frame) : 0;
#if PY_VERSION_HEX < 0x030c0000
    const bool exclusive = true;  // one GIL for all interpreters
#else
    const bool exclusive = thread != nullptr && thread->interp == main_interpreter;
#endif
    return {place_key(address, domain), thread, exclusive};
}

// For callers that hold a GIL by contract.
inline Where here_with_gil(Domain domain) noexcept { return where_attached(attached_thread(), domain); }

// For callers that may be any thread.
inline Where here(Domain domain, void* caller) noexcept {
    PyThreadState* thread = attached_thread_if_any();
    if (thread != nullptr && current_frame(thread) != nullptr) return where_attached(thread, domain);
    return {caller_key(reinterpret_cast<uintptr_t>(caller), domain), nullptr, false};
}

SiteId resolve(const Where& where, Domain domain, void* caller) noexcept;

inline SiteId site_of(const Where& where, Domain domain, void* caller) noexcept {
    const SiteId site = tracker.cache.find(where.key);
    return site != kNoSite ? site : resolve(where, domain, caller);
}

// The rare cases: stopped, phases open, full stacks, sampling. False: over the limit.
bool careful_allocation(void* block, size_t size, Domain domain, const Where& where, void* caller) noexcept;
uint64_t careful_release(void* block, bool exclusive) noexcept;
Taken careful_take(void* block, bool exclusive) noexcept;

template <Domain kDomain>
inline bool record_allocation(void* block, size_t size, const Where& where, void* caller) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
        return careful_allocation(block, size, kDomain, where, caller);
    const SiteId site = site_of(where, kDomain, caller);
    if (where.exclusive) [[likely]]
        return tracker.allocated<kDomain, Access::exclusive>(block, size, site);
    return tracker.allocated<kDomain, Access::shared>(block, size, site);
}

// Returns the size of the block; one of which nothing is known counts as large.
inline constexpr uint64_t kUnknownSize = UINT64_MAX;
inline uint64_t record_release(void* block, bool exclusive) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
        return careful_release(block, exclusive);
    if (exclusive) [[likely]]
        return tracker.released<Access::exclusive>(block);
    return tracker.released<Access::shared>(block);
}

// For realloc, which may fail: the record comes out before the real call and goes back if that fails.
inline Taken record_take(void* block, bool exclusive) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
        return careful_take(block, exclusive);
    return exclusive ? tracker.take_quickly<Access::exclusive>(block) : tracker.take_quickly<Access::shared>(block);
}
inline void record_put_back(void* block, const Taken& taken, bool exclusive) noexcept {
    exclusive ? tracker.put_back<Access::exclusive>(block, taken) : tracker.put_back<Access::shared>(block, taken);
}

// On 3.12 and later an interpreter may have a GIL of its own; its threads count among the shared writers.
inline bool release_is_exclusive_with_gil() noexcept {
#if PY_VERSION_HEX < 0x030c0000
    return true;
#else
    const PyThreadState* thread = attached_thread();
    return thread != nullptr && thread->interp == main_interpreter;
#endif
}
inline bool release_is_exclusive() noexcept {
    const PyThreadState* thread = attached_thread_if_any();
#if PY_VERSION_HEX < 0x030c0000
    return thread != nullptr;
#else
    return thread != nullptr && thread->interp == main_interpreter;
#endif
}

}  // namespace flyweight::memory
