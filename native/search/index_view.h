#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "search/segment.h"

namespace flyweight::search {

// A live segment and the files in it that no longer count.
struct SegmentView {
    std::shared_ptr<const Segment> segment;
    std::vector<bool> dead_files;  // empty: none

    bool any_dead() const { return !dead_files.empty(); }
    bool dead(uint32_t file) const { return file < dead_files.size() && dead_files[file]; }
};

// The index as one manifest describes it. Immutable; queries and results hold it by shared_ptr, so a newer manifest
// never pulls a segment from under them.
struct IndexView {
    uint64_t generation = 0;  // differs between any two views of a process's searcher
    std::vector<SegmentView> segments;

    // Call once all segments are in.
    void seal();

    // Mean of all chunks' vectors, rotated as they are.
    const std::vector<float>& centroid() const { return centroid_; }

    uint64_t chunk_count() const {
        uint64_t count = 0;
        for (const SegmentView& view : segments) count += view.segment->chunk_count();
        return count;
    }
    void release() const {
        for (const SegmentView& view : segments) view.segment->release();
    }

  private:
    std::vector<float> centroid_;
};

struct ChunkRef {
    uint32_t segment;
    uint32_t chunk;
    friend bool operator==(const ChunkRef&, const ChunkRef&) = default;
};

// Parses "3-7,12" (ascending file numbers and ranges, as the manifest writes them). Throws FormatError.
std::vector<bool> parse_dead_files(std::string_view ranges, uint32_t file_count);

}  // namespace flyweight::search
