#include "search/index_view.h"

#include <algorithm>
#include <charconv>

#include "search/errors.h"
#include "search/path_class.h"

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
    size_t files = 0;
    uint64_t chunks = 0;
    for (const SegmentView& part : segments) {
        first_file_.push_back(files);
        files += part.segment->file_count();
        chunks += part.segment->chunk_count();
        centroid_.resize(part.segment->dimensions());
        for (size_t i = 0; i < centroid_.size(); ++i) centroid_[i] += part.segment->vector_sum()[i];
    }
    for (float& component : centroid_) component /= static_cast<float>(std::max<uint64_t>(chunks, 1));
    classes_ = std::make_unique<std::atomic<uint16_t>[]>(files);
}

FileClass IndexView::file_class(uint32_t segment, uint32_t file) const {
    std::atomic<uint16_t>& known = classes_[first_file_[segment] + file];
    uint16_t value = known.load(std::memory_order_relaxed);
    if (value == 0) {
        value = static_cast<uint16_t>(classify(segments[segment].segment->file_path(file)) + 1);
        known.store(value, std::memory_order_relaxed);
    }
    return static_cast<FileClass>(value - 1);
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
