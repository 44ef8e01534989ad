#include "memory/clock.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <cerrno>

#include "memory/thread_state.h"

namespace flyweight::memory {
namespace {

std::atomic<uint64_t> started_ms{0};
std::atomic<uint64_t> started_unix{0};

pthread_t thread;
std::atomic<bool> running{false};
bool stopping = false;  // guarded by `mutex`
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
void (*periodic_work)() = nullptr;

void* run(void*) {
    ProfilerScope scope;
    pthread_setname_np(pthread_self(), "flyweight-tick");
    timespec next;
    pthread_mutex_lock(&mutex);
    while (!stopping) {
        pthread_mutex_unlock(&mutex);
        periodic_work();
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_nsec += long{kTickMs} * 1000000;
        if (next.tv_nsec >= 1000000000) ++next.tv_sec, next.tv_nsec -= 1000000000;
        pthread_mutex_lock(&mutex);
        if (!stopping) pthread_cond_clockwait(&wake, &mutex, CLOCK_MONOTONIC, &next);
    }
    pthread_mutex_unlock(&mutex);
    return nullptr;
}

uint64_t read_ms(clockid_t clock) noexcept {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace

uint64_t monotonic_ms() noexcept {
    return read_ms(CLOCK_MONOTONIC_COARSE);
}

void start_clock() noexcept {
    started_ms.store(monotonic_ms(), std::memory_order_relaxed);
    started_unix.store(read_ms(CLOCK_REALTIME), std::memory_order_relaxed);
}

uint64_t elapsed_ms() noexcept {
    const uint64_t now = monotonic_ms(), then = started_ms.load(std::memory_order_relaxed);
    return now > then ? now - then : 0;
}

uint64_t started_unix_ms() noexcept {
    return started_unix.load(std::memory_order_relaxed);
}

uint32_t current_tick() noexcept {
    constexpr uint64_t kLast = (uint64_t{1} << 26) - 1;  // 194 days; later blocks are all of that day
    const uint64_t tick = elapsed_ms() / kTickMs;
    return static_cast<uint32_t>(tick < kLast ? tick : kLast);
}

bool start_ticker(void (*work)()) noexcept {
    if (running.load(std::memory_order_acquire)) return true;
    const int saved = errno;
    periodic_work = work;
    stopping = false;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, size_t{128} << 10);
    // Signals belong to the program's threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&thread, &attributes, run, nullptr) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    running.store(started, std::memory_order_release);
    errno = saved;
    return started;
}

void stop_ticker() noexcept {
    if (!running.load(std::memory_order_acquire)) return;
    const int saved = errno;
    pthread_mutex_lock(&mutex);
    stopping = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, nullptr);
    running.store(false, std::memory_order_release);
    errno = saved;
}

bool ticker_running() noexcept {
    return running.load(std::memory_order_acquire);
}

void forget_ticker_in_child() noexcept {
    running.store(false, std::memory_order_release);
    mutex = PTHREAD_MUTEX_INITIALIZER;
    wake = PTHREAD_COND_INITIALIZER;
}

}  // namespace flyweight::memory
