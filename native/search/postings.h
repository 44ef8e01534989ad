#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "search/segment_format.h"

namespace flyweight::search {

// The postings of one term: blocks of up to 128 (chunk, frequency) pairs. A block is one width byte w (1, 2 or 4),
// the chunk-number deltas in w bytes each, then the frequencies in one byte each (255 stands for more).
// Where there are several blocks, a table follows them: per block the last chunk and the end of its bytes.
// Byte-aligned on purpose: it decodes in about one instruction a posting and needs 2.1 bytes on real code.
struct PostingsSkip {
    uint32_t last_chunk;
    uint32_t end_offset;
};

class PostingsEncoder {
  public:
    // Chunks arrive in ascending order. Encoded bytes are appended to `out`.
    void append(uint32_t chunk, uint32_t frequency, std::vector<uint8_t>& out);
    // Writes what is pending and the skip table; returns the number of postings and starts afresh.
    uint32_t finish(std::vector<uint8_t>& out);

  private:
    void flush_block(std::vector<uint8_t>& out);

    uint32_t deltas_[format::kPostingsBlock] = {};
    uint8_t frequencies_[format::kPostingsBlock] = {};
    uint32_t pending_ = 0;
    uint32_t previous_ = 0;
    uint32_t count_ = 0;
    uint32_t bytes_ = 0;
    std::vector<PostingsSkip> skips_;
};

class PostingsCursor {
  public:
    PostingsCursor() = default;
    PostingsCursor(const uint8_t* data, size_t length, uint32_t count);

    // Decodes the next block; false at the end. Never reads outside [data, data + length).
    bool next_block();
    // Moves to the block that may hold `chunk` or a later one; false when there is none.
    bool seek_block(uint32_t chunk);

    uint32_t size() const { return size_; }
    const uint32_t* chunks() const { return chunks_; }
    const uint8_t* frequencies() const { return frequencies_; }
    uint32_t last() const { return chunks_[size_ - 1]; }
    uint32_t count() const { return count_; }

  private:
    const uint8_t* data_ = nullptr;
    size_t length_ = 0;  // of the blocks, without the skip table
    size_t position_ = 0;
    const uint8_t* skips_ = nullptr;
    uint32_t block_ = 0;
    uint32_t block_count_ = 0;
    uint32_t count_ = 0;
    uint32_t previous_ = 0;
    uint32_t size_ = 0;
    const uint8_t* frequencies_ = nullptr;
    uint32_t chunks_[format::kPostingsBlock] = {};
};

}  // namespace flyweight::search
