#include "memory/sampler.h"

#include <atomic>
#include <cmath>

namespace flyweight::memory {
namespace {

std::atomic<uint64_t> threads_seeded{0};
// A thread asks at least this often, so that it soon learns of a new session.
constexpr int64_t kLongestCountdown = int64_t{1} << 20;

uint64_t scramble(uint64_t x) noexcept {  // splitmix64
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

}  // namespace

__thread ThreadState this_thread __attribute__((tls_model("initial-exec")));

void Sampler::start(uint64_t interval_bytes, uint64_t seed, uint32_t session) noexcept {
    interval_ = interval_bytes;
    seed_ = seed;
    session_ = session;
    threads_seeded.store(0, std::memory_order_relaxed);
}

double Sampler::draw() noexcept {
    uint64_t& x = this_thread.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    const double uniform = (static_cast<double>(x >> 11) + 0.5) * 0x1.0p-53;  // in (0, 1)
    return -std::log(uniform) * static_cast<double>(interval_);
}

bool Sampler::fire(uint64_t size) noexcept {
    ThreadState& thread = this_thread;
    if (interval_ == 0) {
        thread.until_sample = kLongestCountdown;
        return false;
    }
    int64_t remaining = thread.gap_left + thread.until_sample;
    if (thread.session != session_ || thread.random == 0) {
        thread.session = session_;
        thread.random = scramble(seed_ ^ scramble(threads_seeded.fetch_add(1, std::memory_order_relaxed) + 1)) | 1;
        remaining = static_cast<int64_t>(draw()) - static_cast<int64_t>(size);
    }
    const bool chosen = remaining < 0;
    if (chosen) remaining = static_cast<int64_t>(draw());
    thread.until_sample = remaining < kLongestCountdown ? remaining : kLongestCountdown;
    thread.gap_left = remaining - thread.until_sample;
    return chosen;
}

Weight Sampler::weigh(uint64_t size) const noexcept {
    const double s = static_cast<double>(size > 0 ? size : 1);
    const double p = -std::expm1(-s / static_cast<double>(interval_ > 0 ? interval_ : 1));
    return {1 / p, static_cast<double>(size) / p, s * s * (1 - p) / (p * p)};
}

}  // namespace flyweight::memory
