#include "memory/budgets.h"

namespace flyweight::memory {
namespace {

// Use that hovers about a budget would be reported at every tick otherwise.
constexpr uint64_t under_again(uint64_t limit_bytes) noexcept {
    return limit_bytes - limit_bytes / 20;
}

}  // namespace

constinit Budgets budgets;
void (*tell_of_crossings)() noexcept = nullptr;
constinit std::atomic<bool> news_on_the_way{false};

size_t Budgets::add(ComponentId component, uint64_t limit_bytes, uint64_t peak_bytes, bool armed) noexcept {
    for (size_t number = 0; number < kMost; ++number) {
        if (budgets_[number].set) continue;
        budgets_[number] = {};
        budgets_[number].set = true;
        budgets_[number].armed = armed;
        budgets_[number].component = component;
        budgets_[number].limit_bytes = limit_bytes;
        budgets_[number].peak_before = peak_bytes;
        ++count_;
        return number;
    }
    return kMost;
}

void Budgets::remove(size_t number) noexcept {
    if (number >= kMost || !budgets_[number].set) return;
    budgets_[number] = {};
    --count_;
}

void Budgets::arm() noexcept {
    for (Budget& budget : budgets_) budget.armed = budget.set;
}

bool Budgets::compare(uint64_t used_bytes, uint64_t peak_bytes, const Components& sums) noexcept {
    bool anybody = false;
    for (Budget& budget : budgets_) {
        if (!budget.set || !budget.armed) continue;
        const bool whole = budget.component == Components::kOther;
        const uint64_t used = whole ? used_bytes : sums.sum(budget.component).live_bytes;
        const uint64_t highest = whole && peak_bytes > budget.peak_before ? peak_bytes : used;
        budget.peak_before = peak_bytes;
        budget.used_bytes = used;
        if (highest > budget.highest_bytes) budget.highest_bytes = highest;
        if (highest > budget.limit_bytes && !budget.over) {
            budget.over = budget.waiting = true;
            budget.crossing_bytes = highest;
            ++budget.times_exceeded;
        }
        if (used < under_again(budget.limit_bytes)) budget.over = false;
        anybody |= budget.waiting;
    }
    return anybody;
}

bool Budgets::take_crossing(size_t number) noexcept {
    const bool waiting = budgets_[number].waiting;
    budgets_[number].waiting = false;
    return waiting;
}

void Budgets::start_again() noexcept {
    forget_crossings();
    for (Budget& budget : budgets_) budget.used_bytes = budget.peak_before = 0;
}

void Budgets::forget_crossings() noexcept {
    for (Budget& budget : budgets_) budget.over = budget.waiting = false;
    news_on_the_way.store(false, std::memory_order_relaxed);
}

}  // namespace flyweight::memory
