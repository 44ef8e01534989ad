#include "memory/session.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "memory/budgets.h"
#include "memory/clock.h"
#include "memory/history.h"
#include "memory/library_map.h"
#include "memory/mapping_table.h"
#include "memory/native_hooks.h"
#include "memory/phases.h"
#include "memory/places.h"
#include "memory/python_hooks.h"
#include "memory/recording.h"
#include "memory/shared_page.h"
#include "memory/slow_lock.h"

namespace flyweight::memory {
namespace {

bool is_recording = false;
bool handlers_registered = false;
uint32_t ticks_done = 0;
uint64_t length_ms = 0;
std::atomic<uint64_t> resume_ms{0};  // when the ticker may come back
std::atomic<bool> resuming{false};
Displaced seen{};
uint32_t known_libraries = 0;
pthread_mutex_t fork_mutex = PTHREAD_MUTEX_INITIALIZER;

// A moment after the fork: CPython counts the parent's threads right after it, to warn of forks with threads.
constexpr uint64_t kResumeDelayMs = 100;
constexpr uint32_t kTicksPerMeasurement = kTicksPerSecond;

// A hook takes less than a microsecond; a thread that is preempted in one is back within this, nearly always.
constexpr long kGraceMs = 5;
constexpr uint64_t kBetweenSessionsMs = 20;
uint64_t stopped_ms = 0;

void rest_ms(long duration) noexcept {
    const int saved = errno;
    const timespec rest{0, duration * 1000000};
    nanosleep(&rest, nullptr);
    errno = saved;
}

void resume_later() noexcept {
    resume_ms.store(monotonic_ms() + kResumeDelayMs, std::memory_order_relaxed);
    tracker.attention.fetch_or(kClockLate, std::memory_order_release);
}

void before_fork() {
    pthread_mutex_lock(&fork_mutex);
    if (!is_recording) return;
    stop_ticker();
    lock_native_hooks_for_fork();
    lock_mapping_table_for_fork();
    SlowLock::acquire();
}

void after_fork_in_parent() {
    if (is_recording) {
        SlowLock::release();
        unlock_mapping_table_after_fork();
        unlock_native_hooks_after_fork();
        resume_later();
    }
    pthread_mutex_unlock(&fork_mutex);
}

void after_fork_in_child() {
    fork_mutex = PTHREAD_MUTEX_INITIALIZER;
    if (!is_recording) return;
    SlowLock::reset_in_child();
    DetachedReaders::reset_in_child();
    unlock_mapping_table_after_fork();
    unlock_native_hooks_after_fork();
    forget_ticker_in_child();
    forget_page_in_child();
    budgets.forget_crossings();
    resuming.store(false, std::memory_order_relaxed);
    resume_later();
}

}  // namespace

StartError start_session(const Settings& settings, const char* page_prefix) noexcept {
    AttachedState::find();  // first, since others may run meanwhile
    if (is_recording) return StartError::already_recording;
    if (!tracker.reserve() || !history.reserve() || !reserve_places()) return StartError::no_memory;
    if (!handlers_registered) {
        main_interpreter = PyInterpreterState_Main();
        surroundings = {capture_stack, phase_allocated, phase_released};
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        std::atexit(remove_page);
        handlers_registered = true;
    }
    if (stopped_ms != 0 && monotonic_ms() - stopped_ms < kBetweenSessionsMs) rest_ms(kBetweenSessionsMs);
    seen = {};
    ticks_done = 0;
    start_clock();
    tracker.set_tick(0);
    {
        SlowLock lock;
        history.clear();
        clear_places();
        clear_mapping_table();
    }
    tracker.begin(settings);
    budgets.start_again();
    if (page_prefix[0] != 0 && !create_page(page_prefix)) {
        tracker.end();
        return StartError::no_page;
    }
    is_recording = true;
    install_python_hooks(settings.sampled, !settings.native);
    if (settings.native) {
        refresh_library_map();
        known_libraries = library_generation();
        install_native_hooks();
    }
    // Not before every hook is in: a block must not be recorded by one and returned past another.
    tracker.attention.fetch_and(~uint32_t{kStopped}, std::memory_order_release);
    if (!start_ticker(tick)) resume_later();
    return StartError::none;
}

void stop_session() noexcept {
    if (!is_recording) return;
    stop_ticker();
    length_ms = elapsed_ms();
    tracker.attention.fetch_or(kStopped, std::memory_order_release);
    if (tracker.settings.native) remove_native_hooks();
    remove_python_hooks();
    // Threads that do not need our GIL may be inside a hook: what they have begun to count should land in this session.
    rest_ms(kGraceMs);
    tick();  // the last figures
    end_all_phases();
    budgets.start_again();
    tracker.end();
    remove_page();
    is_recording = false;
    stopped_ms = monotonic_ms();
}

bool recording() noexcept {
    return is_recording;
}

uint64_t stopped_elapsed_ms() noexcept {
    return is_recording ? elapsed_ms() : length_ms;
}

void tick() noexcept {
    tracker.set_tick(current_tick());
    if (tracker.settings.native) {
        look_for_new_libraries();
        if (library_generation() != known_libraries) {
            known_libraries = library_generation();
            forget_native_places();
        }
    }
    bool over_budget = false;
    {
        SlowLock lock;
        history.note(current_tick(), elapsed_ms());
        if (budgets.any()) {
            over_budget = budgets.compare(tracker.total.current(), tracker.total.peak(), components);
        }
        if (ticks_done++ % kTicksPerMeasurement == 0) {
            const size_t own = tracker.measure_own_bytes() + places_own_bytes() + history.own_bytes();
            tracker.own_bytes.set(own);
            const uint64_t limit = tracker.settings.own_limit_bytes;
            if (limit != 0 && own > limit && !tracker.settings.sampled) {
                tracker.attention.fetch_or(kTooMuchMemory, std::memory_order_relaxed);
            }
            if (tracker.settings.native && native_hooks_displaced()) seen.native = true;
        }
        publish_page();
    }
    if (over_budget && tell_of_crossings != nullptr) tell_of_crossings();
}

void look_at_the_clock(bool may_start_thread) noexcept {
    tracker.set_tick(current_tick());
    if (!may_start_thread || in_profiler() || !is_recording) return;
    if (monotonic_ms() < resume_ms.load(std::memory_order_relaxed)) return;
    if (resuming.exchange(true, std::memory_order_acquire)) return;
    ProfilerScope scope;
    const int saved = errno;
    create_page_again();
    if (start_ticker(tick)) {
        tracker.attention.fetch_and(~uint32_t{kClockLate}, std::memory_order_relaxed);
    } else {
        resume_later();
    }
    resuming.store(false, std::memory_order_release);
    errno = saved;
}

Displaced displaced() noexcept {
    return seen;
}

void probe() noexcept {
    if (!is_recording) return;
    seen.python += static_cast<uint32_t>(probe_python_hooks());
    if (tracker.settings.native && native_hooks_displaced()) seen.native = true;
}

}  // namespace flyweight::memory
