// What all hooks do with a block, whichever allocator it came from.
#pragma once

#include "memory/importing.h"
#include "memory/library_map.h"
#include "memory/places.h"
#include "memory/python_frame.h"
#include "memory/tracker.h"

namespace flyweight::memory {

extern PyInterpreterState* main_interpreter;
extern std::atomic<bool> others_allocate;  // an interpreter other than the main one was seen to

// Whether the attached thread is the exclusive writer. Before 3.12 all interpreters share one GIL.
inline bool is_exclusive([[maybe_unused]] const PyThreadState* thread) noexcept {
#if PY_VERSION_HEX < 0x030c0000
    return true;
#else
    return thread != nullptr && thread->interp == main_interpreter;
#endif
}

// The key of the place where an attached thread is. Null: no Python on this thread.
[[gnu::always_inline]] inline PlaceKey key_of(const PyThreadState* thread, Domain domain) noexcept {
    const Frame* frame = thread != nullptr ? current_frame(thread) : nullptr;
    return place_key(frame != nullptr ? instruction(frame) : 0, domain);
}

// Who asks for memory. `caller` is the native caller.
struct Where {
    PyThreadState* thread;
    void* caller;
    bool attached;
    Notes notes;  // what may be done with those of code objects
    bool exclusive() const noexcept { return attached && is_exclusive(thread); }
    // Python's own blocks: the caller matters on threads without Python only. All others: it is the caller's library.
    PlaceKey key(Domain domain) const noexcept {
        if (domain != Domain::python) return library_key(instruction_or_none(), domain, library_pages.at(caller));
        return thread != nullptr ? key_of(thread, domain) : caller_key(reinterpret_cast<uintptr_t>(caller), domain);
    }
    // Mappings are not looked for: a system call costs more than the slow way.
    [[gnu::always_inline]] bool knows(Domain domain, SiteId* site) const noexcept {
        if (domain == Domain::python) return tracker.cache.knows(key(domain), site);
        if (domain == Domain::mapped) return false;
        return tracker.native_cache.knows(instruction_or_none(), library_pages.at(caller), site);
    }

  private:
    uintptr_t instruction_or_none() const noexcept {
        return thread != nullptr ? address_in(key_of(thread, Domain::python)) : 0;
    }
};

// The same for hooks that any thread may call. Where it points to may be read while it lives.
class Here : public Where {
  public:
    explicit Here(void* native_caller) noexcept : Where{nullptr, native_caller, false, Notes::none} {
        const OwnThread own = own_thread();
        attached = own.attached;
        if (attached) notes = Notes::read;
        if (own.state == nullptr) return;
        if (!own.attached) {
            reading_ = DetachedReaders::enter();
            if (!reading_) return;
        }
        // Without a frame the native caller says more.
        if (current_frame(own.state) != nullptr) thread = own.state;
    }
    ~Here() {
        if (reading_) DetachedReaders::leave();
    }
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;

  private:
    bool reading_ = false;
};

SiteId resolve(Where where, Domain domain) noexcept;

inline SiteId site_of(Where where, Domain domain) noexcept {
    SiteId site;
    return where.knows(domain, &site) ? site : resolve(where, domain);
}

// The rare cases: stopped, phases open, full stacks, sampling, a place not seen before. False: over the limit.
bool careful_allocation(void* block, size_t size, Domain domain, Where where) noexcept;
uint64_t careful_release(void* block, bool exclusive) noexcept;
Taken careful_take(void* block, bool exclusive) noexcept;

// For hooks whose callers hold a GIL by contract.
template <Domain kDomain, bool kAlone>
[[gnu::always_inline]] inline bool record_attached(void* block, size_t size) noexcept {
    PyThreadState* const thread = attached_thread();
    const PlaceKey key = key_of(thread, kDomain);
    SiteId site;
    if (tracker.attention.load(std::memory_order_relaxed) != 0 || !is_exclusive(thread) ||
        (!tracker.cache.knows_bytecode(key, &site) && !last_import.knows(thread, key, &site))) [[unlikely]] {
        return careful_allocation(block, size, kDomain,
                                  {thread, nullptr, thread != nullptr, thread != nullptr ? Notes::write : Notes::none});
    }
    return tracker.allocated<kDomain, Access::exclusive, kAlone>(block, size, site);
}

// For hooks that any thread may call.
template <Domain kDomain>
inline bool record_allocation(void* block, size_t size, void* caller) noexcept {
    SiteId site;
    const Here where(caller);
    if (tracker.attention.load(std::memory_order_relaxed) != 0 || !where.knows(kDomain, &site)) [[unlikely]] {
        return careful_allocation(block, size, kDomain, where);
    }
    if (where.exclusive()) return tracker.allocated<kDomain, Access::exclusive>(block, size, site);
    return tracker.allocated<kDomain, Access::shared>(block, size, site);
}

// Returns the size of the block; one of which nothing is known counts as large.
inline constexpr uint64_t kUnknownSize = UINT64_MAX;
template <bool kAlone = false>
[[gnu::always_inline]] inline uint64_t record_release(void* block, bool exclusive) noexcept {
    if (tracker.attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
        return careful_release(block, exclusive);
    if (exclusive) [[likely]]
        return tracker.released<Access::exclusive, kAlone>(block);
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
    // Finding out whose GIL it is costs a call. Until an interpreter other than the main one has allocated, which it
    // does before it can return anything, there is no question.
    if (!glance(others_allocate)) [[likely]]
        return true;
    return is_exclusive(attached_thread());
#endif
}
inline bool release_is_exclusive() noexcept {
#if PY_VERSION_HEX < 0x030c0000
    const PyThreadState* const mine = PyGILState_GetThisThreadState();
    return mine != nullptr && mine == attached_thread();
#else
    return is_exclusive(attached_thread());
#endif
}

}  // namespace flyweight::memory
