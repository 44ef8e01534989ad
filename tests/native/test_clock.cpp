#include "memory/clock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "check.h"
#include "memory/thread_state.h"

using namespace flyweight::memory;

namespace {

std::atomic<int> calls{0};
std::atomic<bool> was_in_profiler{false}, signals_blocked{false};

void work() {
    was_in_profiler = in_profiler();
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    signals_blocked = sigismember(&blocked, SIGTERM) == 1;
    ++calls;
}

void wait_for_calls(int wanted) {
    while (calls.load() < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace

TEST(the_clock_starts_at_zero_and_does_not_go_back) {
    start_clock();
    CHECK_EQUAL(current_tick(), 0u);
    uint64_t last = 0;
    for (int i = 0; i < 1000; ++i) {
        const uint64_t now = elapsed_ms();
        CHECK(now >= last);
        last = now;
    }
    CHECK(started_unix_ms() > 1600000000000u);
}

TEST(the_ticker_works_as_the_profiler_with_signals_blocked_until_it_is_stopped) {
    calls = 0;
    REQUIRE(start_ticker(work));
    CHECK(ticker_running());
    CHECK(start_ticker(work));  // is fine, and starts no second one
    wait_for_calls(2);
    stop_ticker();
    const int at_the_end = calls.load();
    CHECK(was_in_profiler.load() && signals_blocked.load());
    CHECK(!ticker_running());
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK_EQUAL(calls.load(), at_the_end);
    stop_ticker();  // is fine
}

TEST(it_may_be_started_and_stopped_many_times) {
    for (int i = 0; i < 50; ++i) {
        calls = 0;
        REQUIRE(start_ticker(work));
        wait_for_calls(1);
        stop_ticker();
    }
}

#if !defined(__SANITIZE_THREAD__)  // which does not follow threads into a child
TEST(a_child_starts_a_ticker_of_its_own) {
    REQUIRE(start_ticker(work));
    stop_ticker();  // as before every fork
    const pid_t child = fork();
    if (child == 0) {
        forget_ticker_in_child();
        calls = 0;
        if (ticker_running() || !start_ticker(work)) _exit(1);
        wait_for_calls(1);
        stop_ticker();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif
