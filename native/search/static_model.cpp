#include "search/static_model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "search/crc32c.h"
#include "search/errors.h"
#include "search/model_format.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace flyweight::search {

namespace {

namespace format = model_format;

constexpr uint32_t kMaxDimensions = 1024;
// Tokens are collected in batches: long enough to fetch rows ahead of use, short enough that a batch of rows
// stays in the first-level cache while it is added up 64 dimensions at a time.
constexpr size_t kBatch = 64;
// Above this a text has so many tokens that single reads would take milliseconds.
constexpr size_t kReadOneByOneBytes = 1024;

constexpr uint64_t padded(uint64_t length) {
    return (length + format::kSectionAlignment - 1) / format::kSectionAlignment * format::kSectionAlignment;
}

void add_row_portable(const int8_t* row, float scale, size_t begin, size_t end, float* sum) {
    for (size_t i = begin; i < end; ++i) sum[i] += static_cast<float>(row[i]) * scale;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) inline __m256 scaled(const int8_t* values, __m256 scale) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(values));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), scale);
}

// Multiplies and adds apart instead of fused, and in the order of the tokens, so that every machine makes the
// same bits.
__attribute__((target("avx2"))) void add_64_avx2(const int8_t* table, size_t stride, const float* scales,
                                                 const uint32_t* tokens, size_t count, float* sum) {
    __m256 lane[8];
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) lane[k] = _mm256_loadu_ps(sum + 8 * k);
    for (size_t i = 0; i < count; ++i) {
        const int8_t* row = table + tokens[i] * stride;
        const __m256 scale = _mm256_set1_ps(scales[tokens[i]]);
#pragma GCC unroll 8
        for (size_t k = 0; k < 8; ++k) lane[k] = _mm256_add_ps(lane[k], scaled(row + 8 * k, scale));
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) _mm256_storeu_ps(sum + 8 * k, lane[k]);
}

#endif

void add_rows(const int8_t* table, size_t stride, const float* scales, const uint32_t* tokens, size_t count,
              size_t dims, float* sum) {
    size_t done = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        for (; done + 64 <= dims; done += 64) add_64_avx2(table + done, stride, scales, tokens, count, sum + done);
    }
#endif
    if (done == dims) return;
    for (size_t i = 0; i < count; ++i) add_row_portable(table + tokens[i] * stride, scales[tokens[i]], done, dims, sum);
}

void normalize(float* vector, size_t dims) {
    double squares = 0.0;
    for (size_t i = 0; i < dims; ++i) squares += static_cast<double>(vector[i]) * static_cast<double>(vector[i]);
    if (squares == 0.0) return;
    const double factor = 1.0 / std::sqrt(squares);
    for (size_t i = 0; i < dims; ++i) vector[i] = static_cast<float>(static_cast<double>(vector[i]) * factor);
}

[[noreturn]] void damaged(const std::string& path, const char* what) {
    throw FormatError("model " + path + " is damaged: " + what + "; install the package again");
}

}  // namespace

std::shared_ptr<const StaticModel> StaticModel::open(const std::string& path) {
    return std::shared_ptr<const StaticModel>(new StaticModel(path));
}

StaticModel::StaticModel(const std::string& path) : file_(path) {
    format::Header header{};
    if (file_.size() < sizeof header) damaged(path, "too short for a header");
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) throw IoError("cannot open " + path + ": " + std::strerror(errno));
    try {
        read(0, &header, sizeof header);
        if (header.magic != format::kMagic) damaged(path, "it is not a model file");
        if (header.version != format::kVersion) {
            throw VersionError("model " + path + " has format " + std::to_string(header.version) +
                               ", this build reads " + std::to_string(format::kVersion) +
                               ": install the version of the package it came with");
        }
        if (header.header_crc != crc32c(0, &header, offsetof(format::Header, header_crc))) {
            damaged(path, "the header's checksum is wrong");
        }
        if (header.file_size != file_.size()) damaged(path, "it was cut short or added to");
        dimensions_ = header.dimensions;
        vocabulary_size_ = header.vocabulary_size;
        bucket_count_ = header.bucket_count;
        longest_piece_ = header.longest_piece;
        if (header.section_count != format::kSectionCount || dimensions_ == 0 || dimensions_ > kMaxDimensions ||
            dimensions_ % 64 != 0 || vocabulary_size_ == 0 || vocabulary_size_ > 0xffff || longest_piece_ == 0 ||
            longest_piece_ > WordPiece::kMaxWordBytes || !std::has_single_bit(bucket_count_)) {
            damaged(path, "the header is out of bounds");
        }
        const uint64_t tokens = vocabulary_size_;
        const std::array<uint64_t, format::kSectionCount> expected = {
            header.sections[format::kMeta].length,    tokens * sizeof(uint32_t), header.sections[format::kWords].length,
            bucket_count_ * uint64_t{sizeof(Bucket)}, tokens * sizeof(float),    tokens * dimensions_};
        uint64_t end = sizeof header;
        for (size_t i = 0; i < format::kSectionCount; ++i) {
            const format::SectionEntry& entry = header.sections[i];
            if (entry.offset != end || entry.length != expected[i] || entry.length > file_.size() - end) {
                damaged(path, "the table of sections is wrong");
            }
            end += padded(entry.length);
            if (end > file_.size()) damaged(path, "the table of sections is wrong");
            if (file_.checksum(entry.offset, padded(entry.length)) != entry.crc) damaged(path, "a checksum is wrong");
        }
        if (end != file_.size()) damaged(path, "the table of sections is wrong");
        word_ends_offset_ = header.sections[format::kWordEnds].offset;
        words_offset_ = header.sections[format::kWords].offset;
        words_length_ = header.sections[format::kWords].length;
        buckets_offset_ = header.sections[format::kBuckets].offset;
        scales_offset_ = header.sections[format::kScales].offset;
        table_offset_ = header.sections[format::kTable].offset;

        std::string meta(header.sections[format::kMeta].length, '\0');
        read(header.sections[format::kMeta].offset, meta.data(), meta.size());
        const size_t separator = meta.find('\0');
        if (separator == std::string::npos) damaged(path, "it has no id");
        id_ = meta.substr(0, separator);
        provenance_ = meta.substr(separator + 1);
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

StaticModel::~StaticModel() {
    ::close(descriptor_);
}

void StaticModel::read(uint64_t offset, void* into, size_t n) const {
    auto* bytes = static_cast<uint8_t*>(into);
    while (n > 0) {
        const ssize_t got = ::pread(descriptor_, bytes, n, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            throw IoError("cannot read " + file_.path() + ": " +
                          (got < 0 ? std::strerror(errno) : "the file was cut short"));
        }
        bytes += got;
        offset += static_cast<uint64_t>(got);
        n -= static_cast<size_t>(got);
    }
}

WordPiece StaticModel::pieces(std::string_view text) const {
    const auto* buckets = reinterpret_cast<const Bucket*>(section(buckets_offset_));
    return {text, BucketReader(buckets, bucket_count_, vocabulary_size_), longest_piece_};
}

size_t StaticModel::embed(std::string_view text, uint32_t dims, float* out) const {
    const auto* table = reinterpret_cast<const int8_t*>(section(table_offset_));
    const auto* scales = reinterpret_cast<const float*>(section(scales_offset_));
    std::fill_n(out, dims, 0.0F);
    WordPiece source = pieces(text);
    uint32_t tokens[kBatch];
    size_t total = 0;
    while (const size_t count = source.next(tokens, kBatch)) {
        for (size_t i = 0; i < count; ++i) {
            const int8_t* row = table + size_t{tokens[i]} * dimensions_;
            for (uint32_t line = 0; line < dims; line += 64) __builtin_prefetch(row + line);
        }
        add_rows(table, dimensions_, scales, tokens, count, dims, out);
        total += count;
    }
    normalize(out, dims);
    return total;
}

size_t StaticModel::embed_once(std::string_view text, uint32_t dims, float* out) const {
    if (text.size() > kReadOneByOneBytes) {
        const size_t total = embed(text, dims, out);
        release();
        return total;
    }
    std::fill_n(out, dims, 0.0F);
    WordPiece source(text, BucketReader(descriptor_, buckets_offset_, bucket_count_, vocabulary_size_), longest_piece_);
    int8_t row[kMaxDimensions];
    uint32_t token = 0;
    size_t total = 0;
    for (; source.next(&token, 1) == 1; ++total) {
        float scale = 0.0F;
        read(scales_offset_ + token * sizeof(float), &scale, sizeof scale);
        read(table_offset_ + uint64_t{token} * dimensions_, row, dims);
        add_row_portable(row, scale, 0, dims, out);
    }
    normalize(out, dims);
    return total;
}

std::vector<uint32_t> StaticModel::tokenize(std::string_view text) const {
    WordPiece source = pieces(text);
    std::vector<uint32_t> tokens;
    uint32_t batch[kBatch];
    while (const size_t count = source.next(batch, kBatch)) tokens.insert(tokens.end(), batch, batch + count);
    return tokens;
}

std::string_view StaticModel::token(uint32_t number) const {
    if (number >= vocabulary_size_) throw std::out_of_range("the vocabulary has no token " + std::to_string(number));
    const auto* ends = reinterpret_cast<const uint32_t*>(section(word_ends_offset_));
    const uint32_t begin = number == 0 ? 0 : ends[number - 1];
    const uint32_t end = ends[number];
    if (begin > end || end > words_length_)
        throw FormatError("model " + file_.path() + " is damaged: a word is out of bounds");
    return {reinterpret_cast<const char*>(section(words_offset_)) + begin, end - begin};
}

}  // namespace flyweight::search
