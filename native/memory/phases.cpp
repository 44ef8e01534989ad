#include "memory/phases.h"

#include "memory/clock.h"
#include "memory/slow_lock.h"
#include "memory/tracker.h"

namespace flyweight::memory {
namespace {

constexpr size_t kMostOpen = 4096;
constexpr size_t kBuckets = 1024;

StableArray<Phase, kMostOpen> phases;  // zero-filled; a Phase with number 0 is free
Phase* buckets[kBuckets];              // by context: the innermost phase of each comes first
uint32_t open_count = 0;
uint32_t last_number = 0;
// Changes when any phase opens or closes: what threads remember is valid for one version.
std::atomic<uint32_t> version{1};

Phase*& bucket_of(const void* context) noexcept {
    return buckets[reinterpret_cast<uintptr_t>(context) * 0x9e3779b97f4a7c15ULL >> 54];
}

Phase* innermost(const void* context) noexcept {
    for (Phase* phase = bucket_of(context); phase != nullptr; phase = phase->next) {
        if (phase->context == context) return phase;
    }
    return nullptr;
}

Phase* find(uint32_t number) noexcept {
    if (number == 0 || phases.data() == nullptr) return nullptr;
    for (size_t i = 0; i < phases.size(); ++i) {
        if (phases[i].number == number) return &phases[i];
    }
    return nullptr;
}

// The phase that what happens on this thread now belongs to.
Phase* phase_here() noexcept {
    ThreadState& thread = this_thread;
    const uint32_t now = version.load(std::memory_order_acquire);
    const OwnThread own = own_thread();
    const PyThreadState* attached = own.state;
    if (!own.attached) {
        // Without the GIL the context cannot change; what the thread last knew still holds.
        return thread.phase_version == now ? thread.phase : nullptr;
    }
    if (thread.phase_version != now || thread.phase_context != attached->context) {
        SlowLock lock;
        thread.phase = attached->context != nullptr ? innermost(attached->context) : nullptr;
        thread.phase_context = attached->context;
        thread.phase_version = now;
    }
    return thread.phase;
}

void close(Phase* phase) noexcept {
    for (size_t i = 0; i < phases.size(); ++i) {
        if (phases[i].outer == phase) phases[i].outer = phase->outer;  // closed out of order
    }
    for (Phase** at = &bucket_of(phase->context); *at != nullptr; at = &(*at)->next) {
        if (*at == phase) {
            *at = phase->next;
            break;
        }
    }
    phase->number = 0;
    if (--open_count == 0) tracker.attention.fetch_and(~uint32_t{kPhasesOpen}, std::memory_order_relaxed);
    version.fetch_add(1, std::memory_order_release);
}

}  // namespace

uint32_t begin_phase() noexcept {
    // A thread has no context until somebody asks; asking now keeps it from changing under the phase.
    PyObject* copy = PyContext_CopyCurrent();
    if (copy == nullptr) return 0;
    Py_DECREF(copy);
    PyObject* context = attached_thread()->context;
    if (context == nullptr) return 0;
    SlowLock lock;
    if (!phases.reserve()) return 0;
    Phase* free = nullptr;
    for (size_t i = 0; i < phases.size() && free == nullptr; ++i) {
        if (phases[i].number == 0) free = &phases[i];
    }
    if (free == nullptr) {
        const size_t fresh = phases.append();
        if (fresh == kMostOpen) return 0;
        free = &phases[fresh];
    }
    if (++last_number == 0) ++last_number;
    Phase*& bucket = bucket_of(context);
    *free = {last_number, innermost(context), bucket, Py_NewRef(context), monotonic_ms(), 0, 0, 0, 0, 0};
    bucket = free;
    ++open_count;
    version.fetch_add(1, std::memory_order_release);
    tracker.attention.fetch_or(kPhasesOpen, std::memory_order_relaxed);
    return free->number;
}

bool read_phase(uint32_t number, Phase* copy) noexcept {
    SlowLock lock;
    const Phase* phase = find(number);
    if (phase == nullptr) return false;
    *copy = *phase;
    return true;
}

bool end_phase(uint32_t number, Phase* copy) noexcept {
    PyObject* context = nullptr;
    {
        SlowLock lock;
        Phase* phase = find(number);
        if (phase == nullptr) return false;
        *copy = *phase;
        context = phase->context;
        close(phase);
    }
    Py_DECREF(context);
    return true;
}

void end_all_phases() noexcept {
    Phase copy;
    for (size_t i = 0; i < phases.size(); ++i) {
        if (phases[i].number != 0) end_phase(phases[i].number, &copy);
    }
}

void phase_allocated(uint64_t bytes) noexcept {
    for (Phase* phase = phase_here(); phase != nullptr; phase = phase->outer) {
        phase->allocated_bytes += bytes;
        phase->allocation_count += 1;
        const auto net = static_cast<int64_t>(phase->allocated_bytes - phase->freed_bytes);
        if (net > phase->peak_net_bytes) phase->peak_net_bytes = net;
    }
}

void phase_released(uint64_t blocks, uint64_t bytes) noexcept {
    for (Phase* phase = phase_here(); phase != nullptr; phase = phase->outer) {
        phase->freed_bytes += bytes;
        phase->deallocation_count += blocks;
    }
}

}  // namespace flyweight::memory
