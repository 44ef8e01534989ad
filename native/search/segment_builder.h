#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "search/segment_output.h"
#include "search/term_table.h"

namespace flyweight::search {

struct FileInput {
    std::string_view path;
    std::string_view language;  // or the reason, for a skipped file
    std::array<uint8_t, 16> content_hash;
    uint64_t size_bytes;
    int64_t mtime_ns;
};

struct ChunkInput {
    uint32_t start_byte;
    uint32_t end_byte;
    uint32_t start_line;
    uint32_t end_line;
    std::string_view symbol;
    std::string_view scope;
    std::string_view defined;  // names whose definitions begin here, NUL-separated
    std::string_view kind;
};

// Collects files and their chunks and writes them as one segment. Text goes to the file as it comes; the rest
// is held until finish(), and buffered_bytes() tells the caller when it is time for that.
class SegmentBuilder {
  public:
    // `path` must not exist. Temporary files go to the same directory.
    SegmentBuilder(const std::string& path, uint32_t dimensions, std::string meta);

    // `vectors` holds dimensions floats per chunk, each of length one (or zero for "no direction").
    void add_file(const FileInput& file, std::string_view text, std::span<const ChunkInput> chunks,
                  const float* vectors);
    void add_skipped(const FileInput& file);

    uint32_t dimensions() const { return dimensions_; }
    uint32_t file_count() const { return static_cast<uint32_t>(files_.size()); }
    uint32_t chunk_count() const { return static_cast<uint32_t>(chunks_.size()); }
    size_t buffered_bytes() const;
    uint64_t finish();  // returns the size of the segment in bytes

  private:
    uint16_t name_number(std::string_view name);
    void add_record(const FileInput& file, uint16_t flags);
    void add_vector(const float* vector);
    void write_files();
    void write_postings(uint64_t& term_count);

    std::string directory_;
    SegmentOutput output_;
    uint32_t dimensions_;
    std::string meta_;
    std::vector<std::string> names_;
    std::vector<format::FileRecord> files_;
    std::string paths_;
    std::vector<format::ChunkRecord> chunks_;
    std::string symbols_;
    std::vector<int8_t> vectors_;
    std::vector<float> scales_;
    std::vector<uint8_t> sketch_;
    std::vector<float> sketch_scales_;
    std::vector<float> rotated_;
    std::vector<float> vector_sum_;
    std::vector<uint8_t> lengths_;
    std::vector<uint8_t> classes_;
    uint64_t text_size_ = 0;
    uint64_t total_terms_ = 0;
    TermTable terms_;
};

}  // namespace flyweight::search
