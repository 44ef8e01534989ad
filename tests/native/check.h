// Tests without a framework: TEST(name) { ... } registers, CHECK(...) reports and goes on, REQUIRE(...) ends the test.
// A program runs all its tests, or those whose names are given, and fails when a check did.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace check {

struct Test {
    const char* name;
    void (*body)();
    Test* next;
    static inline Test* first = nullptr;
    static inline Test** last = &first;
    static inline std::atomic<int> failures{0};

    Test(const char* name, void (*body)()) : name(name), body(body), next(nullptr) {
        *last = this;
        last = &next;
    }
};

// Values are shown as signed numbers, which suits counts, sizes and differences; -1 is easier to read than 2^64 - 1.
template <class T>
long long shown(T value) {
    if constexpr (requires { static_cast<long long>(value); }) {
        return static_cast<long long>(value);
    } else {
        return static_cast<long long>(reinterpret_cast<intptr_t>(value));
    }
}

inline bool report(bool good, const char* file, int line, const char* text) {
    if (!good && Test::failures.fetch_add(1) < 20) std::fprintf(stderr, "%s:%d: %s\n", file, line, text);
    return good;
}

template <class A, class B>
bool equal(const A& a, const B& b, const char* file, int line, const char* text) {
    if (a == b) return true;
    if (Test::failures.fetch_add(1) < 20) {
        std::fprintf(stderr, "%s:%d: %s: %lld, not %lld\n", file, line, text, shown(a), shown(b));
    }
    return false;
}

// xorshift64*: fast, seeded, and the same everywhere.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
    uint64_t next() {
        state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1dULL;
    }
    uint64_t below(uint64_t limit) { return (next() >> 11) % limit; }
    bool one_in(uint64_t n) { return below(n) == 0; }

  private:
    uint64_t state_;
};

#ifdef FLYWEIGHT_SOAK
inline constexpr int kScale = 50;
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kScale = 1;
#else
inline constexpr int kScale = 2;
#endif

}  // namespace check

#define TEST(name)                                       \
    static void test_##name();                           \
    static check::Test entry_##name(#name, test_##name); \
    static void test_##name()
#define CHECK(condition) check::report(bool(condition), __FILE__, __LINE__, #condition)
#define CHECK_EQUAL(actual, expected) check::equal(actual, expected, __FILE__, __LINE__, #actual)
#define REQUIRE(condition) \
    if (!CHECK(condition)) return

#ifndef CHECK_NO_MAIN
int main(int argc, char** argv) {
    for (check::Test* test = check::Test::first; test != nullptr; test = test->next) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; ++i) wanted |= std::strcmp(argv[i], test->name) == 0;
        if (!wanted) continue;
        const int before = check::Test::failures.load();
        test->body();
        std::printf("%s %s\n", check::Test::failures.load() == before ? "ok    " : "FAILED", test->name);
        std::fflush(stdout);
    }
    return check::Test::failures.load() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#endif
