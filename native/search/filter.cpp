#include "search/filter.h"

#include <algorithm>

#include "search/glob.h"

namespace flyweight::search {

namespace {

// A scratch larger than this is given back after the query that needed it.
constexpr size_t kKeptVerdicts = 64 * 1024;

bool any_matches(const std::vector<std::string>& globs, std::string_view path) {
    return std::any_of(globs.begin(), globs.end(),
                       [path](const std::string& glob) { return glob_matches(glob, path); });
}

}  // namespace

void Filter::begin(const IndexView& view, const FilterRules& rules) {
    view_ = &view;
    rules_ = &rules;
    if (rules.empty()) return;
    first_file_.clear();
    size_t files = 0;
    for (const SegmentView& part : view.segments) {
        first_file_.push_back(files);
        files += part.segment->file_count();
    }
    if (verdicts_.capacity() > kKeptVerdicts && files < kKeptVerdicts) std::vector<uint8_t>().swap(verdicts_);
    verdicts_.assign(files, kUnknown);
}

bool Filter::decide(const Segment& segment, uint32_t file) const {
    if (!rules_->languages.empty()) {
        const std::string_view language = segment.file_name(file);
        if (std::find(rules_->languages.begin(), rules_->languages.end(), language) == rules_->languages.end())
            return false;
    }
    const std::string_view path = segment.file_path(file);
    if (!rules_->include.empty() && !any_matches(rules_->include, path)) return false;
    return !any_matches(rules_->exclude, path);
}

}  // namespace flyweight::search
