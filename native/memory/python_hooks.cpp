#include "memory/python_hooks.h"

#include "memory/recording.h"
#include "memory/session.h"

namespace flyweight::memory {
namespace {

constexpr PyMemAllocatorDomain kPythonDomains[] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
constexpr int kPythonDomainCount = 3;

// What stood before us, one per domain. Read by every hook; set before ours are reachable.
PyMemAllocatorEx former[kPythonDomainCount];
bool installed[kPythonDomainCount];
PyObjectArenaAllocator former_arenas;
bool arenas_hooked = false;

constexpr size_t at_least_two_granules(size_t size) noexcept {
    return size < kSmallestRequest ? kSmallestRequest : size;
}

// Requests that the small-object allocator does not serve (above 512 bytes; the debug allocator adds up to 32) it
// passes on to the raw domain, where our other hook stands. The block belongs to the hook it came to first.
constexpr size_t kPassedOn = 512 - 64;

// What else is returned meanwhile (a tool between the two keeps tables of its own) still has its record, for the outer
// hook has taken out that of its own block.
struct NestedScope {
    NestedScope() noexcept { ++this_thread.nested; }
    ~NestedScope() { --this_thread.nested; }
};

struct ReallocScope {
    explicit ReallocScope(void* block) noexcept {
        this_thread.reallocating = block != nullptr ? block : ThreadState::kNothing;
    }
    ~ReallocScope() { this_thread.reallocating = nullptr; }
};

// CPython keeps a radix tree of its arenas, whose nodes it asks of the raw domain right after it has mapped an arena
// (Objects/obmalloc.c, arena_map_get). They are the interpreter's, not the line's that happened to run.
constexpr size_t kArenaMapNodes[] = {128 << 10, 256 << 10};

bool is_arena_map_node(size_t count, size_t each) noexcept {
    if (!this_thread.arena_mapped) [[likely]]
        return false;
    for (const size_t node : kArenaMapNodes) {
        if (count == 1 && each == node) return true;
    }
    this_thread.arena_mapped = false;
    return false;
}

// After a refusal some small requests pass, or the interpreter could not even raise the MemoryError: 3.12 and 3.13 try
// for ever to make the integer they need while they unwind.
constexpr int kSmallRequestsAfterRefusal = 128;
constexpr size_t kSmallRequest = 512;
int small_requests_left = 0;  // under the GIL

bool may_overdraw(size_t size) noexcept {
    if (size > kSmallRequest || small_requests_left == 0) return false;
    --small_requests_left;
    return true;
}

struct LimitLifted {
    const uint64_t limit = tracker.limit_bytes;
    LimitLifted() noexcept { tracker.limit_bytes = Tracker::kNoLimit; }
    ~LimitLifted() { tracker.limit_bytes = limit; }
};

template <int kIndex, bool kAlone>
struct Hooks {
    static constexpr bool kHasGil = kPythonDomains[kIndex] != PYMEM_DOMAIN_RAW;

    [[gnu::always_inline]] static bool nested() noexcept {
        if constexpr (kHasGil) return false;
        return this_thread.nested != 0;
    }

    [[gnu::always_inline]] static bool record(void* block, size_t size, void* caller) noexcept {
        if constexpr (kHasGil) return record_attached<Domain::python, kAlone>(block, size);
        const bool within_limit = record_allocation<Domain::python>(block, size, caller);
        this_thread.raw_block = block;
        return within_limit;
    }
    [[gnu::always_inline]] static bool exclusive() noexcept {
        if constexpr (kHasGil) return release_is_exclusive_with_gil();
        return release_is_exclusive();
    }
    // At no line of Python: the caller's library.
    static bool record_as_interpreters(void* block, size_t size, void* caller) noexcept {
        const bool attached = attached_thread() != nullptr;
        this_thread.raw_block = block;
        return careful_allocation(block, size, Domain::python, {nullptr, caller, attached, Notes::none});
    }
    static void note_refusal() noexcept {
        small_requests_left = kSmallRequestsAfterRefusal;
        tracker.limit_hits.add(1);
        int64_t none = -1;
        const int64_t site = site_of(Here(nullptr), Domain::python);
        tracker.limit_site.compare_exchange_strong(none, site, std::memory_order_relaxed);
    }
    [[gnu::noinline]] static void* refuse(void* block, size_t size) noexcept {
        if (tracker.is_recorded(block)) record_release(block, exclusive());  // sampled ones are recorded first
        if (may_overdraw(size)) {
            const LimitLifted lifted;
            record(block, size, nullptr);
            return block;
        }
        note_refusal();
        NestedScope scope;
        former[kIndex].free(former[kIndex].ctx, block);
        return nullptr;
    }
    static bool would_exceed_limit(size_t size, size_t former_size) noexcept {
        return size > former_size && tracker.total.current() + (size - former_size) > tracker.limit_bytes;
    }

    // The ordinary goes through without a call, so that it keeps its values in registers and needs no frame. Everything
    // else leaves by a tail call.
    [[gnu::noinline]] static void* recorded_carefully(void* block, size_t size) noexcept {
        if (block != nullptr && !record_attached<Domain::python, kAlone>(block, size)) return refuse(block, size);
        return block;
    }
    [[gnu::noinline]] static void* recorded_again(void* block, size_t size) noexcept {
        tracker.uncounted(size);
        return recorded_carefully(block, size);
    }
    [[gnu::always_inline]] static void* recorded(void* block, size_t size) noexcept {
        PyThreadState* const thread = attached_thread_at_a_glance();
        if (glance(tracker.attention) != 0 || thread == nullptr) [[unlikely]]
            return recorded_carefully(block, size);
        const Frame* const frame = current_frame(thread);
        SiteId site;
        if (frame == nullptr || !tracker.cache.knows_bytecode(place_key(instruction(frame), Domain::python), &site) ||
            !is_exclusive(thread)) [[unlikely]] {
            return recorded_carefully(block, size);
        }
        if (!tracker.allocated_plainly<Domain::python, kAlone>(block, size, site)) [[unlikely]]
            return recorded_again(block, size);
        return block;
    }

    [[gnu::noinline]] static void* allocate_passed_on(size_t size) noexcept {
        const PyMemAllocatorEx& next = former[kIndex];
        void* block;
        {
            NestedScope scope;
            block = next.malloc(next.ctx, size);
        }
        if (block != nullptr && !record_attached<Domain::python, kAlone>(block, size)) [[unlikely]]
            return refuse(block, size);
        return block;
    }
    static void* allocate(void*, size_t size) {
        const PyMemAllocatorEx& next = former[kIndex];
        if (nested()) return next.malloc(next.ctx, size);
        if (kHasGil && size > kPassedOn) [[unlikely]]
            return allocate_passed_on(size);
        void* const block = next.malloc(next.ctx, at_least_two_granules(size));
        if constexpr (kHasGil) return recorded(block, size);
        if (block == nullptr) [[unlikely]]
            return nullptr;
        if (!record(block, size, __builtin_return_address(0))) [[unlikely]]
            return refuse(block, size);
        return block;
    }

    static void* allocate_zeroed_below(const PyMemAllocatorEx& next, size_t count, size_t each) noexcept {
        if (nested()) return next.calloc(next.ctx, count, each);
        NestedScope scope;
        return count * each < kSmallestRequest ? next.calloc(next.ctx, 1, kSmallestRequest)
                                               : next.calloc(next.ctx, count, each);
    }
    static void* allocate_zeroed(void*, size_t count, size_t each) {
        const PyMemAllocatorEx& next = former[kIndex];
        if (kHasGil && count * each <= kPassedOn) [[likely]] {
            const size_t size = count * each;
            return recorded(size < kSmallestRequest ? next.calloc(next.ctx, 1, kSmallestRequest)
                                                    : next.calloc(next.ctx, count, each),
                            size);
        }
        const bool pass = nested();
        void* const block = allocate_zeroed_below(next, count, each);
        if (block == nullptr || pass) [[unlikely]]
            return block;
        void* const caller = __builtin_return_address(0);
        if (!kHasGil && is_arena_map_node(count, each)) [[unlikely]]
            return record_as_interpreters(block, each, caller) ? block : refuse(block, each);
        // Callers have checked that the product does not overflow.
        if (!record(block, count * each, caller)) [[unlikely]]
            return refuse(block, count * each);
        return block;
    }

    static void* reallocate(void* context, void* block, size_t size) {
        if (block == nullptr) {
            const ReallocScope realloc_scope(nullptr);
            return allocate(context, size);
        }
        const PyMemAllocatorEx& next = former[kIndex];
        if (nested() && !tracker.is_recorded(block)) return next.realloc(next.ctx, block, size);
        const bool alone = exclusive();
        if (tracker.limit_bytes != Tracker::kNoLimit && would_exceed_limit(size, tracker.recorded_size(block)) &&
            !may_overdraw(size)) [[unlikely]] {
            note_refusal();
            return nullptr;
        }
        const Taken taken = record_take(block, alone);
        NestedScope scope;
        const ReallocScope realloc_scope(block);
        void* const moved = next.realloc(next.ctx, block, at_least_two_granules(size));
        if (moved == nullptr) [[unlikely]] {
            record_put_back(block, taken, alone);
            return nullptr;
        }
        void* const caller = __builtin_return_address(0);
        if (!record(moved, size, caller)) [[unlikely]] {
            const LimitLifted lifted;  // it has been given by now
            record(moved, size, caller);
        }
        return moved;
    }

    [[gnu::noinline]] static void release_below(const PyMemAllocatorEx& next, void* block) noexcept {
        NestedScope scope;
        next.free(next.ctx, block);
    }
    [[gnu::noinline]] static void release_carefully(void* block) noexcept {
        const PyMemAllocatorEx& next = former[kIndex];
        if (block != nullptr && (!nested() || tracker.is_recorded(block))) [[likely]] {
            const uint64_t size = record_release < kHasGil && kAlone > (block, exclusive());
            if (kHasGil && size > kPassedOn) [[unlikely]]
                return release_below(next, block);
        }
        next.free(next.ctx, block);
    }
    static void release(void*, void* block) {
        if constexpr (!kHasGil) return release_carefully(block);
        const PyMemAllocatorEx& next = former[kIndex];
        uint64_t size;
        if (glance(tracker.attention) != 0 || !exclusive() || !tracker.released_plainly<kAlone>(block, &size))
            [[unlikely]] {
            return release_carefully(block);
        }
        if (size > kPassedOn) [[unlikely]]
            return release_below(next, block);
        next.free(next.ctx, block);
    }

    static constexpr PyMemAllocatorEx table(void* context) noexcept {
        return {context, allocate, allocate_zeroed, reallocate, release};
    }
};

// Sampled mode: a countdown, and a look at a byte per page when a block is returned. What is chosen, and every other
// mode, goes the way of the exact hooks.
template <int kIndex>
struct SampledHooks {
    using Exact = Hooks<kIndex, false>;
    // Large blocks go the exact way too, which keeps the raw domain's hook from counting them again.
    static constexpr bool kPassesOn = Exact::kHasGil;

    static bool only_sampling() noexcept { return glance(tracker.attention) == kSampledOnly; }
    static bool counts_down(size_t size) noexcept {
        return (this_thread.until_sample -= static_cast<int64_t>(size)) >= 0;
    }
    // For a block that ran the countdown out: the exact way counts it down once more, so it is given back first.
    [[gnu::noinline]] static void* allocate_slowly(void* context, size_t size) {
        Tracker::uncounted(size);
        return Exact::allocate(context, size);
    }
    static void* allocate(void* context, size_t size) {
        if (!only_sampling() || (kPassesOn && size > kPassedOn)) [[unlikely]]
            return Exact::allocate(context, size);
        if (Exact::nested()) return former[kIndex].malloc(former[kIndex].ctx, size);
        if (!counts_down(size)) [[unlikely]]
            return allocate_slowly(context, size);
        return former[kIndex].malloc(former[kIndex].ctx, size);
    }

    [[gnu::noinline]] static void* allocate_zeroed_slowly(void* context, size_t count, size_t each) {
        Tracker::uncounted(count * each);
        return Exact::allocate_zeroed(context, count, each);
    }
    static void* allocate_zeroed(void* context, size_t count, size_t each) {
        if (!only_sampling() || (kPassesOn && count * each > kPassedOn)) [[unlikely]]
            return Exact::allocate_zeroed(context, count, each);
        if (Exact::nested()) return former[kIndex].calloc(former[kIndex].ctx, count, each);
        if (!counts_down(count * each)) [[unlikely]]
            return allocate_zeroed_slowly(context, count, each);
        return former[kIndex].calloc(former[kIndex].ctx, count, each);
    }

    [[gnu::noinline]] static void* reallocate_slowly(void* context, void* block, size_t size) {
        Tracker::uncounted(size);
        return Exact::reallocate(context, block, size);
    }
    static void* reallocate(void* context, void* block, size_t size) {
        if (!only_sampling() || kPassesOn || (block != nullptr && tracker.may_be_sampled(block))) [[unlikely]]
            return Exact::reallocate(context, block, size);
        if (Exact::nested()) return former[kIndex].realloc(former[kIndex].ctx, block, size);
        if (!counts_down(size)) [[unlikely]]
            return reallocate_slowly(context, block, size);
        return former[kIndex].realloc(former[kIndex].ctx, block, size);
    }

    [[gnu::noinline]] static void release_slowly(void* context, void* block) { Exact::release(context, block); }
    static void release(void* context, void* block) {
        if (!only_sampling() || tracker.may_be_sampled(block)) [[unlikely]]  // null never is
            return release_slowly(context, block);
        former[kIndex].free(former[kIndex].ctx, block);
    }

    static constexpr PyMemAllocatorEx table(void* context) noexcept {
        return {context, allocate, allocate_zeroed, reallocate, release};
    }
};

enum class Kind { exact, exact_alone, sampled };

template <int kIndex>
constexpr PyMemAllocatorEx table_of(Kind kind, void* context) noexcept {
    switch (kind) {
        case Kind::exact:
            return Hooks<kIndex, false>::table(context);
        case Kind::exact_alone:
            return Hooks<kIndex, true>::table(context);
        case Kind::sampled:
            break;
    }
    return SampledHooks<kIndex>::table(context);
}

PyMemAllocatorEx ours(int index, Kind kind, void* context) noexcept {
    return index == 0   ? table_of<0>(kind, context)
           : index == 1 ? table_of<1>(kind, context)
                        : table_of<2>(kind, context);
}

bool is_ours(int index, const PyMemAllocatorEx& allocator) noexcept {
    for (const Kind kind : {Kind::exact, Kind::exact_alone, Kind::sampled}) {
        if (allocator.malloc == ours(index, kind, nullptr).malloc) return true;
    }
    return false;
}

Kind wanted_kind = Kind::exact;

// Whether a call to the domain's allocator reaches our hook, wherever in the chain it stands.
bool reached(int index, const PyMemAllocatorEx& outermost) noexcept {
    if (!installed[index]) return false;
    if (is_ours(index, outermost)) return true;
    ProfilerScope scope;
    tracker.attention.fetch_or(kProbing, std::memory_order_relaxed);
    this_thread.probed = 0;
    void* block = outermost.malloc(outermost.ctx, kSmallestRequest);
    const bool seen = this_thread.probed != 0;
    if (block != nullptr) outermost.free(outermost.ctx, block);
    tracker.attention.fetch_and(~uint32_t{kProbing}, std::memory_order_relaxed);
    return seen;
}

// The context stays what it was: a thread of another interpreter that reads the table while it changes then calls a
// function of ours or the former one, each with a context it can work with.
void put_in(int index, const PyMemAllocatorEx& outermost) noexcept {
    if (!is_ours(index, outermost)) former[index] = outermost;
    PyMemAllocatorEx hooks = ours(index, wanted_kind, outermost.ctx);
    PyMem_SetAllocator(kPythonDomains[index], &hooks);
    installed[index] = true;
}

// Arenas are where Python's small blocks live: their mappings are no allocations of their own.
void* map_arena(void*, size_t size) {
    ProfilerScope scope;
    this_thread.arena_mapped = true;
    return former_arenas.alloc(former_arenas.ctx, size);
}

void unmap_arena(void*, void* arena, size_t size) {
    ProfilerScope scope;
    tracker.shadow.drop(reinterpret_cast<uintptr_t>(arena), size);
    former_arenas.free(former_arenas.ctx, arena, size);
}

}  // namespace

void install_python_hooks(bool sampled, bool alone) noexcept {
    wanted_kind = sampled ? Kind::sampled : alone ? Kind::exact_alone : Kind::exact;
    for (int index = 0; index < kPythonDomainCount; ++index) {
        PyMemAllocatorEx outermost;
        PyMem_GetAllocator(kPythonDomains[index], &outermost);
        if (is_ours(index, outermost) || !reached(index, outermost)) {
            put_in(index, outermost);
        } else if (!alone) {
            // Another tool holds on to hooks of an earlier session, which may take Python to be alone.
            tracker.attention.fetch_or(kApart, std::memory_order_relaxed);
        }
    }
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    if (arenas.alloc != map_arena) {
        former_arenas = arenas;
        PyObjectArenaAllocator hooks = {arenas.ctx, map_arena, unmap_arena};
        PyObject_SetArenaAllocator(&hooks);
        arenas_hooked = true;
    }
}

void remove_python_hooks() noexcept {
    for (int index = 0; index < kPythonDomainCount; ++index) {
        PyMemAllocatorEx outermost;
        PyMem_GetAllocator(kPythonDomains[index], &outermost);
        if (!is_ours(index, outermost)) continue;
        PyMem_SetAllocator(kPythonDomains[index], &former[index]);
        installed[index] = false;
    }
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    if (arenas_hooked && arenas.alloc == map_arena) {
        PyObject_SetArenaAllocator(&former_arenas);
        arenas_hooked = false;
    }
}

int probe_python_hooks() noexcept {
    int displaced = 0;
    for (int index = 0; index < kPythonDomainCount; ++index) {
        PyMemAllocatorEx outermost;
        PyMem_GetAllocator(kPythonDomains[index], &outermost);
        if (reached(index, outermost)) continue;
        put_in(index, outermost);
        ++displaced;
    }
    return displaced;
}

}  // namespace flyweight::memory
