#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "search/index_view.h"

namespace flyweight::search {

struct Scored {
    ChunkRef ref;
    float score;
};

// Equal scores are ordered by place, so that results do not depend on the order of the scan.
inline bool better(const Scored& a, const Scored& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.ref.segment != b.ref.segment) return a.ref.segment < b.ref.segment;
    return a.ref.chunk < b.ref.chunk;
}

// The best `capacity` of a stream. Keeps up to twice as many and cuts back when full: amortised constant time
// an offer, no heap to sift, and a threshold that lets most offers be refused by one comparison.
class Best {
  public:
    explicit Best(size_t capacity = 0) { reset(capacity); }
    void reset(size_t capacity) {
        capacity_ = capacity;
        items_.clear();
        items_.reserve(2 * capacity);
        threshold_ = -std::numeric_limits<float>::infinity();
    }
    float threshold() const { return threshold_; }
    void offer(ChunkRef ref, float score) {
        if (!(score > threshold_) || capacity_ == 0) return;
        items_.push_back({ref, score});
        if (items_.size() == 2 * capacity_) cut();
    }
    // Best first.
    std::vector<Scored>& sorted() {
        if (items_.size() > capacity_) cut();
        std::sort(items_.begin(), items_.end(), [](const Scored& a, const Scored& b) { return better(a, b); });
        return items_;
    }
    std::vector<Scored>& unsorted() {
        if (items_.size() > capacity_) cut();
        return items_;
    }

  private:
    void cut() {
        const auto last = items_.begin() + static_cast<std::ptrdiff_t>(capacity_);
        std::nth_element(items_.begin(), last - 1, items_.end(),
                         [](const Scored& a, const Scored& b) { return better(a, b); });
        items_.erase(last, items_.end());
        threshold_ = items_.back().score;
    }

    size_t capacity_ = 0;
    float threshold_ = 0.0F;
    std::vector<Scored> items_;
};

}  // namespace flyweight::search
