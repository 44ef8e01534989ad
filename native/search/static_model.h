#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "search/mapped_file.h"
#include "search/wordpiece.h"

namespace flyweight::search {

// A table of token vectors in a file (docs/model-format.md): a text's vector is the sum of its tokens'
// vectors, scaled to length one. All members may be called from several threads at once.
class StaticModel {
  public:
    // Checks every byte of the file against its checksums, without making it resident. Throws FormatError,
    // IoError.
    static std::shared_ptr<const StaticModel> open(const std::string& path);
    ~StaticModel();
    StaticModel(const StaticModel&) = delete;
    StaticModel& operator=(const StaticModel&) = delete;

    uint32_t dimensions() const { return dimensions_; }
    uint32_t vocabulary_size() const { return vocabulary_size_; }
    std::string_view id() const { return id_; }                  // what an index remembers: model and version
    std::string_view provenance() const { return provenance_; }  // what it was made from, and its licence

    // Writes the vector of `text`, its leading `dims` (1..dimensions()) components scaled to length one, or
    // zeros when no token is known. Returns the number of tokens. For many texts: reads through the mapping,
    // which stays resident until release().
    size_t embed(std::string_view text, uint32_t dims, float* out) const;

    // The same vector, for one short text: every look-up is a read of its own, and nothing stays resident. A
    // text long enough to make that slow goes through the mapping, which is then released.
    size_t embed_once(std::string_view text, uint32_t dims, float* out) const;

    std::vector<uint32_t> tokenize(std::string_view text) const;

    // The word of a token; a continuation piece begins with "##". Throws std::out_of_range.
    std::string_view token(uint32_t number) const;

    // Gives back the pages that reading made resident.
    void release() const { file_.release(); }

  private:
    explicit StaticModel(const std::string& path);

    WordPiece pieces(std::string_view text) const;
    const uint8_t* section(uint64_t offset) const { return file_.data() + offset; }
    void read(uint64_t offset, void* into, size_t n) const;

    MappedFile file_;
    int descriptor_ = -1;  // for reads that bypass the mapping
    uint32_t dimensions_ = 0;
    uint32_t vocabulary_size_ = 0;
    uint32_t bucket_count_ = 0;
    uint32_t longest_piece_ = 0;
    uint64_t word_ends_offset_ = 0;
    uint64_t words_offset_ = 0;
    uint64_t buckets_offset_ = 0;
    uint64_t scales_offset_ = 0;
    uint64_t table_offset_ = 0;
    uint64_t words_length_ = 0;
    std::string id_;
    std::string provenance_;
};

}  // namespace flyweight::search
