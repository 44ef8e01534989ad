#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "search/mapped_file.h"
#include "search/segment_format.h"

namespace flyweight::search {

struct TermPostings {
    uint32_t count = 0;
    const uint8_t* data = nullptr;
    size_t length = 0;
};

// One immutable segment, mapped. Opening checks every section but the text against its checksum, reading through
// a buffer, so a damaged file is refused before it is used and a checked one costs no memory. Thread-safe.
class Segment {
  public:
    // Throws IoError or FormatError. With verify = false only header and table of contents are checked.
    static std::shared_ptr<const Segment> open(const std::string& path, bool verify = true,
                                               MappedFile::Use use = MappedFile::Use::kRandom);

    uint32_t dimensions() const { return header_.dimensions; }
    uint32_t chunk_count() const { return header_.chunk_count; }
    uint32_t file_count() const { return header_.file_count; }
    uint64_t term_count() const { return header_.term_count; }
    uint64_t total_terms() const { return header_.total_terms; }
    size_t size_bytes() const { return file_.size(); }
    const std::string& path() const { return file_.path(); }
    std::string_view meta() const { return bytes(format::Section::kMeta); }

    const std::vector<std::string>& names() const { return names_; }
    const format::FileRecord& file(uint32_t index) const { return files_[index]; }
    std::string_view file_path(uint32_t index) const;
    std::string_view file_name(uint32_t index) const { return names_[files_[index].name]; }
    std::string_view file_text(uint32_t index) const;
    // The file at a place in the order of paths.
    uint32_t file_in_order(uint32_t position) const { return file_order_[position]; }
    // The file with exactly this path, by binary search.
    std::optional<uint32_t> find_file(std::string_view path) const;

    const format::ChunkRecord& chunk(uint32_t index) const { return chunks_[index]; }
    // symbol NUL scope [NUL defined name]*
    std::string_view symbols(uint32_t chunk) const;
    // The bytes of a chunk, checked against their checksum: throws FormatError when they were altered.
    std::string_view text(uint32_t chunk) const;

    const int8_t* vector(uint32_t chunk) const { return vectors_ + size_t{chunk} * header_.dimensions; }
    float scale(uint32_t chunk) const { return scales_[chunk]; }
    const uint8_t* sketch_block(uint32_t block) const;
    const float* sketch_scales() const { return sketch_scales_; }
    const uint8_t* lengths() const { return lengths_; }
    const uint8_t* classes() const { return classes_; }
    const float* vector_sum() const { return vector_sum_; }

    std::optional<TermPostings> find_term(std::string_view term) const;

    // Gives back the pages of the vectors or sketches of the chunks in [first, last).
    void release_vectors(uint32_t first, uint32_t last) const;
    void release_sketches(uint32_t first, uint32_t last) const;
    // Gives back the pages touched so far; text and all.
    void release() const { file_.release(); }
    // Checks the section against its checksum; the doctor asks for the text as well.
    bool section_intact(format::Section section) const;

  private:
    friend class LexiconReader;

    Segment() = default;
    void read_toc();
    void check_sections(bool verify);
    std::string_view bytes(format::Section section) const;
    template <typename T>
    const T* records(format::Section section, uint64_t count) const;
    [[noreturn]] void corrupt(const std::string& what) const;

    MappedFile file_;
    format::Header header_{};
    std::vector<format::TocEntry> toc_;  // by section number
    std::vector<std::string> names_;
    const format::FileRecord* files_ = nullptr;
    const uint32_t* file_order_ = nullptr;
    const format::ChunkRecord* chunks_ = nullptr;
    const int8_t* vectors_ = nullptr;
    const float* scales_ = nullptr;
    const float* sketch_scales_ = nullptr;
    const uint8_t* lengths_ = nullptr;
    const uint8_t* classes_ = nullptr;
    const float* vector_sum_ = nullptr;
    const uint64_t* lexicon_index_ = nullptr;
    uint64_t lexicon_blocks_ = 0;
};

// Walks the terms of a segment in byte order.
class LexiconReader {
  public:
    explicit LexiconReader(const Segment& segment, uint64_t first_block = 0);
    // False at the end. The views point into the mapping.
    bool next();
    std::string_view term() const { return term_; }
    const TermPostings& postings() const { return postings_; }

  private:
    const Segment* segment_;
    std::string_view lexicon_;
    std::string_view all_postings_;
    size_t position_ = 0;
    uint64_t entry_ = 0;
    uint64_t entries_left_ = 0;
    uint64_t postings_offset_ = 0;
    std::string_view term_;
    TermPostings postings_;
};

// Number of terms in a chunk, coded in a byte with steps of 4.4 %: 16 steps to the octave.
uint8_t encode_length(uint32_t terms);
float decode_length(uint8_t code);

}  // namespace flyweight::search
