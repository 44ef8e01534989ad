#include "memory/places.h"

#include <unwind.h>

#include <cstring>

#include "memory/importing.h"
#include "memory/library_map.h"
#include "memory/python_text.h"
#include "memory/recording.h"
#include "memory/slow_lock.h"

#if PY_VERSION_HEX < 0x030c0000
#define PyUnstable_Eval_RequestCodeExtraIndex _PyEval_RequestCodeExtraIndex
#define PyUnstable_Code_GetExtra _PyCode_GetExtra
#define PyUnstable_Code_SetExtra _PyCode_SetExtra
#endif

namespace flyweight::memory {
namespace {

// What we know about a code object. Numbers start at 1.
struct Code {
    uint32_t file, function;
    uint32_t first_place;
    uint32_t next_free;
    bool loads_modules;  // whose site is another for each module: its places are never in the cache
};

struct Place {
    PlaceKey key;
    SiteId site;
    uint32_t code;  // 0: a native caller
    uint32_t next_in_bucket;
    uint32_t next_in_code;
};

constexpr size_t kMostCodes = size_t{1} << 20;
constexpr size_t kMostPlaces = size_t{1} << 21;
constexpr size_t kBuckets = size_t{1} << 15;

StableArray<Code, kMostCodes> codes;
StableArray<Place, kMostPlaces> places;
StableArray<uint32_t, kBuckets> buckets;
uint32_t free_code = 0;
uint32_t free_place = 0;

// The index of our note in the code extra of one interpreter. Interpreters number theirs independently.
struct ExtraIndex {
    int64_t interpreter;
    Py_ssize_t index;
};
constexpr size_t kMostInterpreters = 64;
ExtraIndex extra_indexes[kMostInterpreters];
size_t extra_index_count = 0;

uint32_t& bucket_of(PlaceKey key) noexcept {
    return buckets[(key * 0x9e3779b97f4a7c15ULL) >> 49];
}

// Its number; 0 when it is not known.
uint32_t find_place(PlaceKey key) noexcept {
    for (uint32_t at = bucket_of(key); at != 0; at = places[at].next_in_bucket) {
        if (places[at].key == key) return at;
    }
    return 0;
}

void put_in_cache(PlaceKey key, SiteId site) noexcept {
    switch (domain_in(key)) {
        case Domain::python:
            return tracker.cache.put(key, site);
        case Domain::native:
            return tracker.native_cache.put(address_in(key), library_in(key), site);
        case Domain::mapped:
            break;
    }
}

void remove_from_cache(PlaceKey key) noexcept {
    switch (domain_in(key)) {
        case Domain::python:
            return tracker.cache.remove(key);
        case Domain::native:
            return tracker.native_cache.remove(address_in(key), library_in(key));
        case Domain::mapped:
            break;
    }
}

bool is_remembered(PlaceKey key) noexcept {
    return domain_in(key) == Domain::python || library_in(key) != 0;
}

void remember_place(PlaceKey key, SiteId site, uint32_t code) noexcept {
    uint32_t number = free_place;
    if (number != 0) {
        free_place = places[number].next_in_code;
    } else {
        const size_t fresh = places.append();
        if (fresh == kMostPlaces) return;  // it will be resolved again each time
        number = static_cast<uint32_t>(fresh);
    }
    uint32_t& bucket = bucket_of(key);
    places[number] = {key, site, code, bucket, code != 0 ? codes[code].first_place : 0};
    bucket = number;
    if (code != 0) codes[code].first_place = number;
    if (!codes[code].loads_modules) put_in_cache(key, site);
}

void forget_place(uint32_t number) noexcept {
    const PlaceKey key = places[number].key;
    for (uint32_t* at = &bucket_of(key); *at != 0; at = &places[*at].next_in_bucket) {
        if (*at == number) {
            *at = places[number].next_in_bucket;
            break;
        }
    }
    remove_from_cache(key);
    places[number].next_in_code = free_place;
    free_place = number;
}

// CPython deallocates a code object of ours.
void code_dies(void* note) {
    const auto number = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(note));
    if (number == 0) return;
    SlowLock lock;
    for (uint32_t at = codes[number].first_place; at != 0;) {
        const uint32_t next = places[at].next_in_code;
        forget_place(at);
        at = next;
    }
    codes[number] = {0, 0, 0, free_code, false};
    free_code = number;
}

// -1: this interpreter has no index to give.
Py_ssize_t extra_index(PyThreadState* thread) noexcept {
    const int64_t interpreter = PyInterpreterState_GetID(thread->interp);
    for (size_t i = 0; i < extra_index_count; ++i) {
        if (extra_indexes[i].interpreter == interpreter) return extra_indexes[i].index;
    }
    if (extra_index_count == kMostInterpreters) return -1;
    const Py_ssize_t index = PyUnstable_Eval_RequestCodeExtraIndex(code_dies);
    extra_indexes[extra_index_count++] = {interpreter, index};
    return index;
}

// As in CPython's codeobject.c, 3.11 to 3.13: what code->co_extra points to.
struct CodeExtra {
    Py_ssize_t size;
    void* notes[1];
};

// Allocates through PyMem. What is ours is not to be counted: the hooks take a careful look while this lasts.
bool attach_note(PyCodeObject* code, Py_ssize_t index, uint32_t number) noexcept {
    tracker.attention.fetch_or(kOurOwn, std::memory_order_relaxed);
    void* const note = reinterpret_cast<void*>(uintptr_t{number});
    bool attached = false;
    if (code->co_extra != nullptr) {
        attached = PyUnstable_Code_SetExtra(reinterpret_cast<PyObject*>(code), index, note) == 0;
    } else {
        // CPython's function makes room for everybody who has an index by then, and calls all their free functions when
        // the code dies, theirs with a null they did not ask for. Room up to our own index leaves later ones alone.
        const size_t size = sizeof(CodeExtra) + static_cast<size_t>(index) * sizeof(void*);
        if (auto* extra = static_cast<CodeExtra*>(PyMem_Calloc(1, size)); extra != nullptr) {
            extra->size = index + 1;
            extra->notes[index] = note;
            code->co_extra = extra;
            attached = true;
        }
    }
    tracker.attention.fetch_and(~uint32_t{kOurOwn}, std::memory_order_relaxed);
    return attached;
}

// Our note about a code object, made if it has none; 0 when it cannot carry one, and its places are not remembered.
uint32_t note_of(PyThreadState* thread, PyCodeObject* code, Notes notes) noexcept {
    const Py_ssize_t index = extra_index(thread);
    if (index < 0) return 0;
    // Somebody else's note may be on its way into this very code object: the realloc we are called from would move the
    // array that ours has to go into.
    const void* const extra = code->co_extra != nullptr ? code->co_extra : ThreadState::kNothing;
    if (this_thread.reallocating == extra) return 0;
    void* note = nullptr;
    if (PyUnstable_Code_GetExtra(reinterpret_cast<PyObject*>(code), index, &note) == 0 && note != nullptr) {
        return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(note));
    }
    if (notes != Notes::write) return 0;
    uint32_t number = free_code;
    if (number != 0) {
        free_code = codes[number].next_free;
    } else {
        const size_t fresh = codes.append();
        if (fresh == kMostCodes) return 0;
        number = static_cast<uint32_t>(fresh);
    }
    codes[number] = {intern_text(code->co_filename), intern_text(code->co_qualname), 0, 0, loads_modules(code)};
    if (!attach_note(code, index, number)) {
        codes[number].next_free = free_code;
        free_code = number;
        return 0;
    }
    return number;
}

// The name of the library that asked, for all domains but Python's: there it is the interpreter.
uint32_t library_name(const void* caller, Domain domain, PlaceKey key) noexcept {
    if (domain == Domain::python) return 0;
    const char* const path = library_in(key) != 0 ? library_path(library_in(key)) : library_of(caller);
    return path != nullptr ? tracker.strings.intern(path) : 0;
}

SiteId add_site(uint32_t file, uint32_t function, int line, Domain domain, uint32_t library) noexcept {
    const SiteId site =
        tracker.sites.find_or_add({file, function, line > 0 ? static_cast<uint32_t>(line) : 0, domain, library},
                                  tracker.tick.load(std::memory_order_relaxed));
    if (site == kNoSite) tracker.attention.fetch_or(kTooMuchMemory, std::memory_order_relaxed);
    return site;
}

// A place that was put into the cache before and lost its slot to another.
SiteId known_site(PlaceKey key) noexcept {
    const uint32_t known = is_remembered(key) ? find_place(key) : 0;
    if (known == 0) return kNoSite;
    if (!codes[places[known].code].loads_modules) put_in_cache(key, places[known].site);
    return places[known].site;
}

SiteId resolve_in_frame(PyThreadState* thread, Notes notes, const Frame* frame, PyCodeObject* code, const void* caller,
                        Domain domain, PlaceKey key) noexcept {
    if (const SiteId known = known_site(key); known != kNoSite) return known;
    const uintptr_t address = instruction(frame);
    uint32_t note = 0;
    if (notes != Notes::none) {
        note = note_of(thread, code, notes);
    } else if (const uint32_t sibling = find_place(place_key(address, Domain::python)); sibling != 0) {
        note = places[sibling].code;
    }
    int line = PyCode_Addr2Line(code, instruction_offset(code, address));
    if (line <= 0) line = code->co_firstlineno;  // what the compiler put in has no line of its own
    const uint32_t file = note != 0 ? codes[note].file : intern_text(code->co_filename);
    const uint32_t function = note != 0 ? codes[note].function : intern_text(code->co_qualname);
    const SiteId site = add_site(file, function, line, domain, library_name(caller, domain, key));
    if (site != kNoSite && note != 0 && is_remembered(key)) remember_place(key, site, note);
    return site;
}

// No static of a function: the guard of one would bring in the C++ library's handling of errors, 80 KB of code.
uint32_t import_name = 0;

SiteId add_import(uint32_t file, Domain domain, uint32_t library) noexcept {
    if (import_name == 0) import_name = tracker.strings.intern("<import>");
    return add_site(file, import_name, 0, domain, library);
}

// What the import system allocates for the module it loads is the module's. kNoSite where that is not known.
SiteId resolve_import(PyThreadState* thread, const void* caller, Domain domain, PlaceKey key) noexcept {
    const LoadingModule module = module_being_loaded(current_frame(thread));
    if (module.file == 0) return kNoSite;
    const SiteId site = add_import(module.file, domain, library_name(caller, domain, key));
    if (site != kNoSite && is_remembered(key) && is_exclusive(thread)) last_import.put(key, module.seen_at, site);
    return site;
}

// The site of one frame of the calling thread; kNoSite for frames without code.
SiteId resolve_place(PyThreadState* thread, Notes notes, const Frame* frame, Domain domain) noexcept {
    PyCodeObject* const code = code_of(frame);
    if (code == nullptr) return kNoSite;
    const PlaceKey key = place_key(instruction(frame), domain);
    if (const SiteId site = tracker.cache.find(key); site != kNoSite) return site;
    return resolve_in_frame(thread, notes, frame, code, nullptr, domain, key);
}

// What a stack is given on top of the import system's own frames.
SiteId innermost_import(PyThreadState* thread) noexcept {
    const Frame* frame = current_frame(thread);
    while (frame != nullptr && code_of(frame) == nullptr) frame = frame->previous;
    if (frame == nullptr || !loads_modules(code_of(frame))) return kNoSite;
    const LoadingModule module = module_being_loaded(frame);
    return module.file != 0 ? add_import(module.file, Domain::python, 0) : kNoSite;
}

struct NativeWalk {
    uintptr_t addresses[64];
    size_t count;
    size_t skip;
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* data) {
    auto& walk = *static_cast<NativeWalk*>(data);
    const uintptr_t address = _Unwind_GetIP(context);
    if (address == 0 || walk.count == sizeof walk.addresses / sizeof walk.addresses[0]) return _URC_END_OF_STACK;
    if (walk.skip > 0) {
        --walk.skip;
        return _URC_NO_REASON;
    }
    walk.addresses[walk.count++] = address;
    return _URC_NO_REASON;
}

}  // namespace

bool reserve_places() noexcept {
    if (!codes.reserve() || !places.reserve() || !buckets.reserve() || !reserve_imports()) return false;
    if (codes.size() == 0) codes.append();
    if (places.size() == 0) places.append();
    return true;
}

void clear_places() noexcept {
    SlowLock lock;
    places.clear();
    buckets.clear();
    free_place = 0;
    for (size_t i = 1; i < codes.size(); ++i) codes[i].first_place = 0;
    places.append();
    forget_imports();
}

size_t places_own_bytes() noexcept {
    return codes.used_bytes() + places.used_bytes() + (places.size() > 1 ? kBuckets * sizeof(uint32_t) : 0) +
           imports_own_bytes();
}

SiteId resolve_frame(PyThreadState* thread, Notes notes, const void* caller, Domain domain, PlaceKey key) noexcept {
    if (in_profiler()) return kNoSite;
    ProfilerScope scope;
    SlowLock lock;
    const Frame* const current = thread != nullptr ? current_frame(thread) : nullptr;
    for (const Frame* frame = current; frame != nullptr; frame = frame->previous) {
        PyCodeObject* const code = code_of(frame);
        if (code == nullptr) continue;
        if (notes != Notes::none && loads_modules(code)) {
            if (const SiteId site = resolve_import(thread, caller, domain, key); site != kNoSite) return site;
        }
        // Only the running frame's own instruction identifies the place; behind a frame of C code it depends on more.
        const PlaceKey frame_key = frame == current ? key : library_key(instruction(frame), domain, library_in(key));
        return resolve_in_frame(thread, notes, frame, code, caller, domain, frame_key);
    }
    const SiteId site = add_site(tracker.strings.intern("<interpreter>"), tracker.strings.intern("<no Python frame>"),
                                 0, domain, library_name(caller, domain, key));
    if (current == nullptr && site != kNoSite && is_remembered(key)) put_in_cache(key, site);
    return site;
}

SiteId resolve_caller(const void* caller, Domain domain, PlaceKey key) noexcept {
    if (in_profiler()) return kNoSite;
    ProfilerScope scope;
    SlowLock lock;
    if (const SiteId known = known_site(key); known != kNoSite) return known;
    const char* const path =
        domain != Domain::python && library_in(key) != 0 ? library_path(library_in(key)) : library_of(caller);
    const uint32_t file = tracker.strings.intern(path != nullptr ? path : "<unknown library>");
    const SiteId site = add_site(file, tracker.strings.intern("<native>"), 0, domain,
                                 domain != Domain::python && path != nullptr ? file : 0);
    if (site != kNoSite && is_remembered(key)) remember_place(key, site, 0);
    return site;
}

StackId capture_stack(uint32_t* native_stack) noexcept {
    if (native_stack != nullptr && tracker.settings.native_stacks) {
        NativeWalk walk;
        walk.count = 0;
        walk.skip = 0;
        _Unwind_Backtrace(step, &walk);
        *native_stack = tracker.stacks.intern_native(walk.addresses, walk.count);
    }
    return capture_python_stack(own_thread().attached ? Notes::read : Notes::none);
}

StackId capture_python_stack(Notes notes) noexcept {
    const OwnThread own = own_thread();
    if (own.state == nullptr || (!own.attached && !DetachedReaders::enter())) return 0;
    struct Step {
        SiteId place;
        bool entry;
    };
    Step steps[StackTable::kDeepest];
    size_t depth = 0;
    for (const Frame* frame = current_frame(own.state); frame != nullptr && depth < StackTable::kDeepest;
         frame = frame->previous) {
        const SiteId place = resolve_place(own.state, notes, frame, Domain::python);
        if (place != kNoSite) steps[depth++] = {place, entered_from_c(frame)};
    }
    const SiteId import = own.attached ? innermost_import(own.state) : kNoSite;
    if (!own.attached) DetachedReaders::leave();
    StackId stack = 0;
    while (depth-- > 0) stack = tracker.stacks.push(stack, steps[depth].place, steps[depth].entry);
    return import != kNoSite ? tracker.stacks.push(stack, import, false) : stack;
}

void forget_native_places() noexcept {
    SlowLock lock;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
        if (places.size() <= 1) return;
        for (uint32_t at = buckets[bucket]; at != 0;) {
            const uint32_t next = places[at].next_in_bucket;
            if (places[at].key & kNativeCaller) forget_place(at);
            at = next;
        }
    }
}

}  // namespace flyweight::memory
