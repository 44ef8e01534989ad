#include "memory/native_hooks.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "memory/events.h"
#include "memory/import_passes.h"
#include "memory/library_search.h"
#include "memory/mapping_table.h"
#include "memory/operator_new.h"
#include "memory/shadow_map.h"

// Python's own allocators. Not there when the hooks are tested without Python.
extern "C" __attribute__((weak, visibility("default"))) void* PyObject_Malloc(size_t);

namespace flyweight::memory {
namespace {

#if defined(__x86_64__)
#define FLYWEIGHT_HOOKS_DLSYM(HOOK) HOOK(dlsym, false)
#else
#define FLYWEIGHT_HOOKS_DLSYM(HOOK)
#endif

// Name, and whether it belongs to malloc's family.
#define FLYWEIGHT_HOOKS(HOOK)  \
    HOOK(malloc, true)         \
    HOOK(free, true)           \
    HOOK(calloc, true)         \
    HOOK(realloc, true)        \
    HOOK(reallocarray, true)   \
    HOOK(posix_memalign, true) \
    HOOK(aligned_alloc, true)  \
    HOOK(memalign, true)       \
    HOOK(valloc, true)         \
    HOOK(pvalloc, true)        \
    HOOK(mmap, false)          \
    HOOK(mmap64, false)        \
    HOOK(munmap, false)        \
    HOOK(mremap, false)        \
    HOOK(dlopen, false)        \
    HOOK(dlmopen, false)       \
    HOOK(dlclose, false)       \
    FLYWEIGHT_HOOKS_DLSYM(HOOK)

// What the names are bound to. Hooks call through these: through our own import slots a tool that came after us would
// be called, which calls us.
struct RealFunctions {
#define HOOK(name, of_the_heap) decltype(&::name) name = nullptr;
    FLYWEIGHT_HOOKS(HOOK)
#undef HOOK
};
RealFunctions real;

std::atomic<bool> installed{false};

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

// ---------------------------------------- malloc's family ----------------------------------------

// A record takes two granules, so a block must own two.
inline size_t raised(size_t size) {
    return size < kSmallestRequest ? kSmallestRequest : size;
}
// For functions that may want a multiple of the alignment; of a larger alignment such a size is no multiple anyway.
inline size_t raised_evenly(size_t size) {
    return size < kSmallestRequest ? 2 * kGranule : size;
}

// In sampled mode most blocks are none of our business: a countdown when they come, a look at their page when they go.
inline bool only_samples() {
    return tracker.attention.load(std::memory_order_relaxed) == kSampledOnly;
}
inline bool passes_unsampled(size_t size) {
    if (!only_samples()) [[likely]]
        return false;
    if ((this_thread.until_sample -= static_cast<int64_t>(size)) >= 0) return true;
    this_thread.until_sample += static_cast<int64_t>(size);  // the tracker will count it down itself
    return false;
}
inline bool goes_unsampled(const void* block) {
    return only_samples() && !tracker.may_be_sampled(block);
}

inline void* recorded(void* block, size_t size, void* caller) {
    if (block != nullptr && !in_profiler()) [[likely]]
        native_allocated(block, size, caller);
    return block;
}
// The same, for where a call more or less is nothing.
__attribute__((noinline)) void* recorded_rarely(void* block, size_t size, void* caller) {
    return recorded(block, size, caller);
}

// The path of every block: one frame, and in sampled mode none.
__attribute__((noinline, flatten)) void* allocate_and_record(size_t size, void* caller) {
    return recorded(real.malloc(raised(size)), size, caller);
}

void* hook_malloc(size_t size) noexcept {
    if (passes_unsampled(size)) return real.malloc(size);
    return allocate_and_record(size, CALLER);
}

__attribute__((noinline, flatten)) void record_and_free(void* block) {
    // Before the real free: afterwards the address may be another thread's block already.
    native_freed(block);
    real.free(block);
}

void hook_free(void* block) noexcept {
    if (block == nullptr || goes_unsampled(block)) return real.free(block);
    record_and_free(block);
}

void* hook_calloc(size_t count, size_t size) noexcept {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return real.calloc(count, size);  // fails in its own way
    if (passes_unsampled(total)) return real.calloc(count, size);
    void* block = total < kSmallestRequest ? real.calloc(1, kSmallestRequest) : real.calloc(count, size);
    return recorded(block, total, CALLER);
}

// realloc(block, 0) frees the block and returns null in the C library; other allocators return a smallest block, which
// may be too small for a record.
__attribute__((noinline)) void* reallocate_to_nothing(void* block, void* caller) {
    native_freed(block);
    void* smallest = real.realloc(block, 0);
    if (smallest == nullptr) return nullptr;
    const int saved = errno;
    void* larger = real.realloc(smallest, kSmallestRequest);
    errno = saved;
    return larger == nullptr ? smallest : recorded_rarely(larger, 0, caller);
}

inline void* reallocate(void* block, size_t size, void* caller) {
    if (block == nullptr) return recorded_rarely(real.malloc(raised(size)), size, caller);
    if (size == 0) [[unlikely]]
        return reallocate_to_nothing(block, caller);
    if (goes_unsampled(block) && passes_unsampled(size)) return real.realloc(block, size);
    const Taken taken = native_released(block);
    void* moved = real.realloc(block, raised(size));
    if (moved == nullptr) [[unlikely]] {
        native_restored(block, taken);
        return nullptr;
    }
    return recorded(moved, size, caller);
}

void* hook_realloc(void* block, size_t size) noexcept {
    return reallocate(block, size, CALLER);
}

// The real one calls realloc through the C library's import slot, where a hook would record the block again.
void* hook_reallocarray(void* block, size_t count, size_t size) noexcept {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return nullptr;
    }
    return reallocate(block, total, CALLER);
}

int hook_posix_memalign(void** block, size_t alignment, size_t size) noexcept {
    const int error = real.posix_memalign(block, alignment, raised(size));
    if (error == 0) recorded_rarely(*block, size, CALLER);
    return error;
}

void* hook_aligned_alloc(size_t alignment, size_t size) noexcept {
    return recorded_rarely(real.aligned_alloc(alignment, raised_evenly(size)), size, CALLER);
}

void* hook_memalign(size_t alignment, size_t size) noexcept {
    return recorded_rarely(real.memalign(alignment, raised_evenly(size)), size, CALLER);
}

void* hook_valloc(size_t size) noexcept {
    return recorded_rarely(real.valloc(raised(size)), size, CALLER);
}
void* hook_pvalloc(size_t size) noexcept {
    return recorded_rarely(real.pvalloc(raised(size)), size, CALLER);
}

// The same in libraries that define operator new (operator_new.h).

void* hook_malloc_below_new(size_t size) noexcept {
    void* const caller = caller_of_operator_new(CALLER);
    if (passes_unsampled(size)) return real.malloc(size);
    return allocate_and_record(size, caller);
}

int hook_posix_memalign_below_new(void** block, size_t alignment, size_t size) noexcept {
    void* const caller = caller_of_operator_new(CALLER);
    const int error = real.posix_memalign(block, alignment, raised(size));
    if (error == 0) recorded_rarely(*block, size, caller);
    return error;
}

void* hook_aligned_alloc_below_new(size_t alignment, size_t size) noexcept {
    void* const caller = caller_of_operator_new(CALLER);
    return recorded_rarely(real.aligned_alloc(alignment, raised_evenly(size)), size, caller);
}

// ---------------------------------------- mmap's family ----------------------------------------

inline bool records_mappings() {
    return installed.load(std::memory_order_relaxed);
}

inline uintptr_t number(const void* address) {
    return reinterpret_cast<uintptr_t>(address);
}

struct MappingRequest {
    void* hint;
    size_t size;
    int protection, flags, file;
    off64_t offset;
};

template <class RealMap>
void* map_memory(RealMap real_map, const MappingRequest& request, void* caller) noexcept {
    const auto& [hint, size, protection, flags, file, offset] = request;
    if (!records_mappings()) return real_map(hint, size, protection, flags, file, offset);
    const auto kind = flags & MAP_ANONYMOUS ? MappingKind::anonymous : MappingKind::file;
    const SiteId site =
        kind == MappingKind::anonymous && !in_profiler() ? native_site(Domain::mapped, caller) : SiteId{};
    const auto record = [&](MappingChange& change, void* start) {
        if (start == MAP_FAILED || !change) return;
        if (in_profiler()) {
            change.unmap(number(start), size);
        } else {
            change.map(number(start), size, kind, site);
        }
    };
    if (flags & MAP_FIXED) {  // may end known intervals
        MappingChange change;
        void* start = real_map(hint, size, protection, flags, file, offset);
        record(change, start);
        return start;
    }
    void* start = real_map(hint, size, protection, flags, file, offset);  // may take seconds to populate
    MappingChange change;
    record(change, start);
    return start;
}

void* hook_mmap(void* hint, size_t size, int protection, int flags, int file, off_t offset) noexcept {
    return map_memory(real.mmap, {hint, size, protection, flags, file, offset}, CALLER);
}

void* hook_mmap64(void* hint, size_t size, int protection, int flags, int file, off64_t offset) noexcept {
    return map_memory(real.mmap64, {hint, size, protection, flags, file, offset}, CALLER);
}

int hook_munmap(void* start, size_t size) noexcept {
    if (!records_mappings()) return real.munmap(start, size);
    MappingChange change;
    const int result = real.munmap(start, size);
    if (result == 0 && change) change.unmap(number(start), size);
    return result;
}

// Declared with an ellipsis in the C library; on the architectures served here its argument travels like any fifth.
void* hook_mremap(void* old_start, size_t old_size, size_t new_size, int flags, void* wanted) noexcept {
    if (!records_mappings()) return real.mremap(old_start, old_size, new_size, flags, wanted);
    const SiteId site = in_profiler() ? SiteId{} : native_site(Domain::mapped, CALLER);
    MappingChange change;
    void* start = real.mremap(old_start, old_size, new_size, flags, wanted);
    if (start != MAP_FAILED && change) {
        const bool keeps_old = old_size == 0 || (flags & MREMAP_DONTUNMAP);
        change.remap(number(old_start), old_size, number(start), new_size, keeps_old, site);
    }
    return start;
}

// ---------------------------------------- the loader ----------------------------------------

void* hook_dlopen(const char* name, int flags) noexcept {
    void* handle = open_for(CALLER, name, flags, [](const char* n, int f) { return real.dlopen(n, f); });
    if (handle != nullptr) make_import_pass();
    return handle;
}

void* hook_dlmopen(Lmid_t space, const char* name, int flags) noexcept {
    const auto open = [space](const char* n, int f) { return real.dlmopen(space, n, f); };
    // Another space's libraries call that space's own C library; the loader does not list them for us.
    void* handle = space == LM_ID_BASE ? open_for(CALLER, name, flags, open) : open(name, flags);
    if (handle != nullptr) make_import_pass();
    return handle;
}

int hook_dlclose(void* handle) noexcept {
    const int result = real.dlclose(handle);
    if (result == 0) make_import_pass();
    return result;
}

// ---------------------------------------- the table ----------------------------------------

#if defined(__x86_64__)
void* hook_dlsym(void* handle, const char* name) noexcept;
#endif

#define HOOK(name, of_the_heap) {#name, nullptr, nullptr, reinterpret_cast<void*>(&hook_##name), of_the_heap, nullptr},
ImportedFunction table[] = {FLYWEIGHT_HOOKS(HOOK)};
#undef HOOK

struct HookBelowNew {
    const char* name;
    void* hook;
};
const HookBelowNew kHooksBelowNew[] = {{"malloc", reinterpret_cast<void*>(&hook_malloc_below_new)},
                                       {"posix_memalign", reinterpret_cast<void*>(&hook_posix_memalign_below_new)},
                                       {"aligned_alloc", reinterpret_cast<void*>(&hook_aligned_alloc_below_new)}};

#if defined(__x86_64__)
// ctypes, cffi and plug-ins find malloc by name; what they get must be what libraries get that import it.
extern "C" __attribute__((used)) void* flyweight_hook_by_name(void* handle, const char* name) noexcept {
    if (handle == RTLD_NEXT || name == nullptr || !installed.load(std::memory_order_relaxed)) return nullptr;
    for (const ImportedFunction& function : table) {
        if (std::strcmp(function.name, name) != 0) continue;
        if (function.real == nullptr) return nullptr;
        const void* found = real.dlsym(handle, name);
        return found == function.real || found == function.address ? function.hook : nullptr;
    }
    return nullptr;
}

// RTLD_NEXT and RTLD_DEFAULT mean something else for every caller, and the real function knows its caller by the
// return address: hence a jump, with the stack as it was.
__attribute__((naked)) void* hook_dlsym(void*, const char*) noexcept {
    asm("push %%rdi\n\t"
        "push %%rsi\n\t"
        "sub $8, %%rsp\n\t"
        "call flyweight_hook_by_name\n\t"
        "add $8, %%rsp\n\t"
        "pop %%rsi\n\t"
        "pop %%rdi\n\t"
        "test %%rax, %%rax\n\t"
        "jz 1f\n\t"
        "ret\n"
        "1:\n\t"
        "jmp *%0"
        :
        : "m"(real.dlsym));
}
#endif

// A function's address may be a stub of the program that jumps through a slot of the program (import_table.h). The real
// function is then defined further on.
void* find_definition(const char* name, void* address) {
    Dl_info info;
    const ElfW(Sym)* symbol = nullptr;
    if (address == nullptr || dladdr1(address, &info, (void**)&symbol, RTLD_DL_SYMENT) == 0 || symbol == nullptr ||
        symbol->st_shndx != SHN_UNDEF) {
        return address;
    }
    void* program = dlopen(nullptr, RTLD_LAZY);
    void* definition = nullptr;
    for (auto* listed = static_cast<link_map*>(program); listed != nullptr && definition == nullptr;
         listed = listed->l_next) {
        void* library = listed == program ? nullptr : dlopen(listed->l_name, RTLD_LAZY | RTLD_NOLOAD);
        if (library == nullptr) continue;
        void* candidate = dlsym(library, name);  // its own or one of a library that it needs
        void* home = nullptr;
        if (candidate != nullptr && dladdr1(candidate, &info, &home, RTLD_DL_LINKMAP) != 0 && home == library) {
            definition = candidate;
        }
        dlclose(library);
    }
    dlclose(program);
    return definition;
}

void resolve_once() {
    if (real.malloc != nullptr) return;
    for (ImportedFunction& function : table) {
        for (const HookBelowNew& variant : kHooksBelowNew) {
            if (std::strcmp(function.name, variant.name) == 0) function.hook_below_new = variant.hook;
        }
        function.address = dlsym(RTLD_DEFAULT, function.name);
        function.real = find_definition(function.name, function.address);
    }
    size_t i = 0;
#define HOOK(name, of_the_heap) real.name = reinterpret_cast<decltype(real.name)>(table[i++].real);
    FLYWEIGHT_HOOKS(HOOK)
#undef HOOK
}

}  // namespace

void install_native_hooks() noexcept {
    const int saved = errno;
    if (!installed.load(std::memory_order_relaxed)) {
        resolve_once();
        clear_mapping_table();
        installed.store(true, std::memory_order_release);
        start_import_passes({table, std::size(table), &real, reinterpret_cast<const void*>(&PyObject_Malloc)});
    }
    errno = saved;
}

void remove_native_hooks() noexcept {
    const int saved = errno;
    if (installed.exchange(false, std::memory_order_acq_rel)) {
        stop_import_passes();
        clear_mapping_table();
    }
    errno = saved;
}

void look_for_new_libraries() noexcept {
    const int saved = errno;
    make_import_pass();
    errno = saved;
}

int patched_libraries() noexcept {
    return patched_library_count();
}
int foreign_import_slots() noexcept {
    return foreign_slot_count();
}

bool native_hooks_displaced() noexcept {
    const int saved = errno;
    const bool displaced = installed.load(std::memory_order_relaxed) && import_slots_were_taken();
    errno = saved;
    return displaced;
}

void lock_native_hooks_for_fork() noexcept {
    hold_import_passes_for_fork();
}
void unlock_native_hooks_after_fork() noexcept {
    release_import_passes_after_fork();
}

}  // namespace flyweight::memory
