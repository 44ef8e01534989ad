#include "search/index_view.h"

#include <algorithm>
#include <charconv>

#include "search/errors.h"

namespace flyweight::search {

namespace {

uint32_t parse_number(std::string_view& text) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) throw FormatError("the list of dead files is not a list of numbers");
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return value;
}

}  // namespace

void IndexView::seal() {
    uint64_t chunks = 0;
    for (const SegmentView& part : segments) {
        chunks += part.segment->chunk_count();
        centroid_.resize(part.segment->dimensions());
        for (size_t i = 0; i < centroid_.size(); ++i) centroid_[i] += part.segment->vector_sum()[i];
    }
    for (float& component : centroid_) component /= static_cast<float>(std::max<uint64_t>(chunks, 1));
}

std::vector<bool> parse_dead_files(std::string_view ranges, uint32_t file_count) {
    std::vector<bool> dead;
    if (ranges.empty()) return dead;
    dead.resize(file_count);
    while (!ranges.empty()) {
        const uint32_t first = parse_number(ranges);
        uint32_t last = first;
        if (!ranges.empty() && ranges.front() == '-') {
            ranges.remove_prefix(1);
            last = parse_number(ranges);
        }
        if (last < first || last >= file_count) throw FormatError("a dead file lies outside its segment");
        for (uint32_t file = first; file <= last; ++file) dead[file] = true;
        if (!ranges.empty()) {
            if (ranges.front() != ',') throw FormatError("the list of dead files is not a list of numbers");
            ranges.remove_prefix(1);
        }
    }
    return dead;
}

}  // namespace flyweight::search
