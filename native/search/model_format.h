#pragma once

// The bytes of a model file. docs/model-format.md is the specification; this header is its mirror in C++.

#include <array>
#include <bit>
#include <cstdint>

namespace flyweight::search::model_format {

static_assert(std::endian::native == std::endian::little, "models are mapped as they are: little-endian only");

constexpr std::array<char, 8> kMagic = {'F', 'L', 'Y', 'W', 'M', 'O', 'D', '\n'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kSectionAlignment = 64;

enum Section : uint32_t {
    kMeta,      // id NUL provenance
    kWordEnds,  // u32 per token: where its word ends in kWords
    kWords,     // the words, one after the other
    kBuckets,   // search::Bucket
    kScales,    // f32 per token: int8 value * scale = component, frequency weight included
    kTable,     // int8, token-major
    kSectionCount,
};

struct SectionEntry {
    uint64_t offset;
    uint64_t length;
    uint32_t crc;  // of the section and of the zeros that pad it
    uint32_t reserved;
};
static_assert(sizeof(SectionEntry) == 24);

struct Header {
    std::array<char, 8> magic;
    uint32_t version;
    uint32_t dimensions;
    uint32_t vocabulary_size;
    uint32_t bucket_count;  // a power of two
    uint32_t longest_piece;
    uint32_t section_count;
    uint64_t file_size;
    std::array<uint8_t, 24> reserved;
    std::array<SectionEntry, kSectionCount> sections;
    std::array<uint8_t, 44> reserved_too;
    uint32_t header_crc;  // of the bytes before it
};
static_assert(sizeof(Header) == 256);

}  // namespace flyweight::search::model_format
