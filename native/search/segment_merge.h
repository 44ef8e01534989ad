#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "search/segment.h"

namespace flyweight::search {

struct MergeInput {
    std::shared_ptr<const Segment> segment;
    std::vector<bool> dead_files;  // by file number; may be empty: none dead
};

struct MergeResult {
    uint64_t size_bytes = 0;
    uint32_t file_count = 0;
    uint32_t chunk_count = 0;
};

// Writes the living files of several segments as one, in order. Everything is streamed: memory does not grow with
// the inputs but for one bit per chunk, and the inputs' pages are given back on the way.
// All inputs have the same number of dimensions. Throws IoError, FormatError.
MergeResult merge_segments(const std::vector<MergeInput>& inputs, const std::string& path, const std::string& meta);

}  // namespace flyweight::search
