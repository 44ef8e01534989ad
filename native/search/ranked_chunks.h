#pragma once

#include <cstdint>
#include <string_view>

#include "search/index_view.h"
#include "search/path_class.h"

namespace flyweight::search {

// What ranking asks about a chunk, wherever it is kept.
class RankedChunks {
  public:
    virtual ~RankedChunks() = default;
    virtual uint64_t file(ChunkRef ref) const = 0;  // the same number for the chunks of one file, and for no others
    virtual std::string_view path(ChunkRef ref) const = 0;
    virtual FileClass file_class(ChunkRef ref) const = 0;
    // symbol NUL scope [NUL defined name]*
    virtual std::string_view symbols(ChunkRef ref) const = 0;
};

// Chunks of an index of segments.
class SegmentChunks final : public RankedChunks {
  public:
    explicit SegmentChunks(const IndexView& view) : view_(view) {}

    uint64_t file(ChunkRef ref) const override {
        return uint64_t{ref.segment} << 32 | segment(ref).chunk(ref.chunk).file;
    }
    std::string_view path(ChunkRef ref) const override {
        return segment(ref).file_path(segment(ref).chunk(ref.chunk).file);
    }
    FileClass file_class(ChunkRef ref) const override { return segment(ref).classes()[ref.chunk]; }
    std::string_view symbols(ChunkRef ref) const override { return segment(ref).symbols(ref.chunk); }

  private:
    const Segment& segment(ChunkRef ref) const { return *view_.segments[ref.segment].segment; }

    const IndexView& view_;
};

}  // namespace flyweight::search
