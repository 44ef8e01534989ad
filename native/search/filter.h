#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "search/index_view.h"

namespace flyweight::search {

struct FilterRules {
    std::vector<std::string> languages;  // any of them; empty: every language
    std::vector<std::string> include;    // globs, any of them; empty: every path
    std::vector<std::string> exclude;    // globs, none of them

    bool empty() const { return languages.empty() && include.empty() && exclude.empty(); }
};

// Decides which files a query may see. Only asked about chunks that would enter the results, and each file is decided
// once a query, so a filter costs nothing on the chunks that score low.
class Filter {
  public:
    // Begins a query; keeps its memory from the one before.
    void begin(const IndexView& view, const FilterRules& rules);

    bool admits(ChunkRef ref) {
        if (rules_->empty() && !view_->segments[ref.segment].any_dead()) return true;
        const uint32_t file = view_->segments[ref.segment].segment->chunk(ref.chunk).file;
        return admits_file(ref.segment, file);
    }

  private:
    enum : uint8_t { kUnknown = 0, kAdmitted = 1, kRefused = 2 };

    bool admits_file(uint32_t segment, uint32_t file) {
        const SegmentView& part = view_->segments[segment];
        if (part.dead(file)) return false;
        if (rules_->empty()) return true;
        uint8_t& verdict = verdicts_[first_file_[segment] + file];
        if (verdict == kUnknown) verdict = decide(*part.segment, file) ? kAdmitted : kRefused;
        return verdict == kAdmitted;
    }
    bool decide(const Segment& segment, uint32_t file) const;

    const IndexView* view_ = nullptr;
    const FilterRules* rules_ = nullptr;
    std::vector<uint8_t> verdicts_;
    std::vector<size_t> first_file_;
};

}  // namespace flyweight::search
