// Soft limits on what is tracked, of the whole process or of one component: compared with its use at every tick. What
// is done when use goes over one is the Python side's (flyweight/memory/budget.py); here it is only noticed.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/components.h"

namespace flyweight::memory {

struct Budget {
    bool armed;             // looked at: whoever set it is ready to hear of it
    bool set, over;         // over: reported, and use has not been under 95 % since
    bool waiting;           // a crossing that nobody has been told of
    ComponentId component;  // Components::kOther: the whole process
    uint64_t limit_bytes;
    uint64_t used_bytes;      // when last compared
    uint64_t highest_bytes;   // most at any comparison
    uint64_t crossing_bytes;  // use when it went over
    uint64_t times_exceeded;
    uint64_t peak_before;  // of the process, when last compared: a new peak since then counts, even if it is over
};

// Under the slow lock.
class Budgets {
  public:
    static constexpr size_t kMost = 32;

    // Its number; kMost: there is no room. `peak_bytes` is the process's peak until now.
    size_t add(ComponentId component, uint64_t limit_bytes, uint64_t peak_bytes, bool armed = true) noexcept;
    void arm() noexcept;  // all
    void remove(size_t number) noexcept;
    const Budget& operator[](size_t number) const noexcept { return budgets_[number]; }
    bool any() const noexcept { return count_ > 0; }

    // Compares all with what is used now, by the process and by component. True when somebody waits to be told.
    bool compare(uint64_t used_bytes, uint64_t peak_bytes, const Components& sums) noexcept;
    bool take_crossing(size_t number) noexcept;  // true: `number` went over, and whoever asks now tells
    // Nothing is over, nobody waits: for a new session, whose peak begins at 0, and for a forked child, which has the
    // peak of its parent.
    void start_again() noexcept;
    void forget_crossings() noexcept;

  private:
    Budget budgets_[kMost] = {};
    size_t count_ = 0;
};

extern Budgets budgets;

// Brings the news of crossings to Python; set by the module. Called by the ticker, without the GIL, while somebody
// waits.
extern void (*tell_of_crossings)() noexcept;
extern std::atomic<bool> news_on_the_way;

}  // namespace flyweight::memory
