#include "memory/crash_page.h"

#include <signal.h>
#include <time.h>

#include "memory/shared_page.h"
#include "memory/slow_lock.h"

namespace flyweight::memory {
namespace {

constexpr int kCrashes[] = {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGTRAP};

// Another thread lets go of the lock within microseconds, if it gets to run.
constexpr int kTries = 200;
constexpr timespec kPause{0, 1'000'000};

// The handler is taken out on entry, so that a fault in here, among tables that the crash may have damaged, ends the
// process as it would have ended. Who holds the lock may be what has crashed: then the page of the last tick must do.
void publish_and_die(int number) noexcept {
    for (int i = 0; i < kTries; ++i) {
        if (SlowLock::try_acquire()) {
            publish_page();
            SlowLock::release();
            break;
        }
        nanosleep(&kPause, nullptr);
    }
    raise(number);
}

}  // namespace

void publish_on_crash() noexcept {
    for (const int number : kCrashes) {
        struct sigaction present{};
        if (sigaction(number, nullptr, &present) != 0 || (present.sa_flags & SA_SIGINFO) ||
            present.sa_handler != SIG_DFL) {
            continue;
        }
        struct sigaction ours{};
        ours.sa_handler = publish_and_die;
        ours.sa_flags = static_cast<int>(SA_RESETHAND) | SA_NODEFER;
        sigaction(number, &ours, nullptr);
    }
}

}  // namespace flyweight::memory
