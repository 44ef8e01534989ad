#include "memory/slow_lock.h"

#include <pthread.h>

#include <atomic>

namespace flyweight::memory {
namespace {

pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
std::atomic<unsigned long> taken{0};

}  // namespace

void SlowLock::acquire() noexcept {
    pthread_mutex_lock(&mutex);
    taken.fetch_add(1, std::memory_order_relaxed);
}

bool SlowLock::try_acquire() noexcept {
    return pthread_mutex_trylock(&mutex) == 0;
}

void SlowLock::release() noexcept {
    pthread_mutex_unlock(&mutex);
}

void SlowLock::reset_in_child() noexcept {
    // The child's only thread holds it, but a recursive mutex remembers its owner by a thread id that is the parent's.
    mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}

unsigned long SlowLock::times_taken() noexcept {
    return taken.load(std::memory_order_relaxed);
}

}  // namespace flyweight::memory
