#pragma once

// The bytes of a segment file. docs/index-format.md is the specification; this header is its mirror in C++.
// Everything is little-endian; sections begin at multiples of kSectionAlignment.

#include <array>
#include <bit>
#include <cstdint>

namespace flyweight::search::format {

static_assert(std::endian::native == std::endian::little, "segments are mapped as they are: little-endian only");

constexpr std::array<char, 8> kMagic = {'F', 'L', 'Y', 'W', 'S', 'E', 'G', '\n'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kSectionAlignment = 64;

enum class Section : uint32_t {
    kMeta = 1,
    kNames = 2,          // languages, chunk kinds and skip reasons, referred to by number
    kFiles = 3,          // FileRecord per file
    kPaths = 4,          // path bytes, no separators
    kFileOrder = 5,      // u32 file numbers in ascending order of path bytes
    kChunks = 6,         // ChunkRecord per chunk
    kSymbols = 7,        // per chunk: symbol NUL scope [NUL defined name]*
    kVectors = 8,        // int8, chunk-major
    kScales = 9,         // f32 per chunk: int8 value * scale = component
    kSketch = 10,        // one bit per dimension, in blocks of kSketchBlock chunks
    kSketchScales = 11,  // f32 per chunk
    kLengths = 12,       // u8 per chunk: coded number of terms
    kLexicon = 13,       // blocks of terms in byte order
    kLexiconIndex = 14,  // u64 offset of each block in kLexicon
    kPostings = 15,
    kText = 16,       // the bytes of every indexed file
    kVectorSum = 17,  // f32 per dimension: sum of the chunks' vectors
    kClasses = 18,    // u8 per chunk: what the path of its file says it is (path_class.h)
};
constexpr uint32_t kSectionCount = 18;

struct Header {
    std::array<char, 8> magic;
    uint32_t version;
    uint32_t dimensions;
    uint32_t chunk_count;
    uint32_t file_count;
    uint64_t term_count;
    uint64_t total_terms;  // sum over chunks, for the average length in BM25
    uint64_t toc_offset;
    uint32_t section_count;
    uint32_t name_count;
    uint32_t toc_crc;
    uint32_t header_crc;  // of the bytes before it
};
static_assert(sizeof(Header) == 64);

struct TocEntry {
    uint32_t section;
    uint32_t crc;
    uint64_t offset;
    uint64_t length;
    uint64_t reserved;
};
static_assert(sizeof(TocEntry) == 32);

// A file that was read and found not worth indexing (binary, minified, ...) has a record too, with no chunks:
// the next run sees that it has not changed and does not read it again.
constexpr uint16_t kFileSkipped = 1;

struct FileRecord {
    uint64_t path_offset;
    uint32_t path_length;
    uint32_t first_chunk;
    uint32_t chunk_count;
    uint16_t name;  // language, or the reason where kFileSkipped is set
    uint16_t flags;
    uint64_t text_offset;
    uint64_t size_bytes;
    int64_t mtime_ns;
    std::array<uint8_t, 16> content_hash;
};
static_assert(sizeof(FileRecord) == 64);

struct ChunkRecord {
    uint32_t file;
    uint32_t start_line;
    uint32_t end_line;
    uint32_t text_start;  // from the file's text_offset
    uint32_t text_length;
    uint32_t symbol_offset;
    uint16_t symbol_length;
    uint16_t kind;
    uint32_t text_crc;  // text is checked when it is read, everything else when the segment is opened
};
static_assert(sizeof(ChunkRecord) == 32);

constexpr uint32_t kSketchBlock = 64;
constexpr uint32_t kLexiconBlock = 64;    // terms per block
constexpr uint32_t kPostingsBlock = 128;  // postings per block
constexpr uint32_t kMaxTermBytes = 64;

}  // namespace flyweight::search::format
