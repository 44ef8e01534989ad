#include "search/segment_builder.h"

#include <algorithm>
#include <numeric>

#include "search/chunk_fields.h"
#include "search/crc32c.h"
#include "search/errors.h"
#include "search/path_class.h"
#include "search/postings.h"
#include "search/quantize.h"
#include "search/segment.h"
#include "search/sketch.h"

namespace flyweight::search {

namespace {

using format::Section;

std::string directory_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

SegmentBuilder::SegmentBuilder(const std::string& path, uint32_t dimensions, std::string meta)
    : directory_(directory_of(path)),
      output_(path),
      dimensions_(dimensions),
      meta_(std::move(meta)),
      rotated_(dimensions),
      vector_sum_(dimensions) {
    output_.begin(Section::kText);
}

uint16_t SegmentBuilder::name_number(std::string_view name) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found != names_.end()) return static_cast<uint16_t>(found - names_.begin());
    names_.emplace_back(name);
    return static_cast<uint16_t>(names_.size() - 1);
}

void SegmentBuilder::add_record(const FileInput& file, uint16_t flags) {
    files_.push_back({paths_.size(), static_cast<uint32_t>(file.path.size()), chunk_count(), 0,
                      name_number(file.language), flags, text_size_, file.size_bytes, file.mtime_ns,
                      file.content_hash});
    paths_.append(file.path);
}

void SegmentBuilder::add_skipped(const FileInput& file) {
    add_record(file, format::kFileSkipped);
}

void SegmentBuilder::add_vector(const float* vector) {
    const size_t lane = scales_.size() % format::kSketchBlock;
    if (lane == 0) sketch_.resize(sketch_.size() + sketch_block_bytes(dimensions_));
    uint8_t* block = sketch_.data() + sketch_.size() - sketch_block_bytes(dimensions_);
    // Stored rotated: sketch and int8 share the rotation, and even components lose less to rounding.
    rotate(vector, dimensions_, rotated_.data());
    for (size_t i = 0; i < dimensions_; ++i) vector_sum_[i] += rotated_[i];
    sketch_scales_.push_back(encode_sketch(rotated_.data(), dimensions_, lane, block));
    vectors_.resize(vectors_.size() + dimensions_);
    scales_.push_back(quantize_int8(rotated_.data(), dimensions_, vectors_.data() + vectors_.size() - dimensions_));
}

void SegmentBuilder::add_file(const FileInput& file, std::string_view text, std::span<const ChunkInput> chunks,
                              const float* vectors) {
    add_record(file, 0);
    const auto file_number = static_cast<uint32_t>(files_.size() - 1);
    files_.back().chunk_count = static_cast<uint32_t>(chunks.size());
    const FileClass file_class = classify(file.path);
    for (const ChunkInput& chunk : chunks) {
        const std::string_view chunk_text = text.substr(chunk.start_byte, chunk.end_byte - chunk.start_byte);
        const size_t symbol_offset = symbols_.size();
        symbols_.append(chunk.symbol.substr(0, 1024)).push_back('\0');
        symbols_.append(chunk.scope.substr(0, 1024));
        if (!chunk.defined.empty()) {
            symbols_.push_back('\0');
            symbols_.append(chunk.defined.substr(0, 8192));
        }
        if (symbols_.size() > UINT32_MAX) throw WriteError("too many symbols for one segment");
        chunks_.push_back({file_number, chunk.start_line, chunk.end_line, chunk.start_byte,
                           static_cast<uint32_t>(chunk_text.size()), static_cast<uint32_t>(symbol_offset),
                           static_cast<uint16_t>(symbols_.size() - symbol_offset), name_number(chunk.kind),
                           crc32c(0, chunk_text.data(), chunk_text.size())});
        const uint32_t terms = terms_.add(chunk_text, 1);
        each_name_field({file.path, chunk.symbol, chunk.scope, chunk.defined},
                        [this](std::string_view field, uint32_t weight) { terms_.add(field, weight); });
        each_definition(chunk.defined, [this](const std::string& term) { terms_.add_whole(term); });
        terms_.end_chunk();
        total_terms_ += terms;
        lengths_.push_back(encode_length(terms));
        classes_.push_back(file_class);
        add_vector(vectors);
        vectors += dimensions_;
    }
    output_.write(text);
    text_size_ += text.size();
}

size_t SegmentBuilder::buffered_bytes() const {
    return files_.capacity() * sizeof(format::FileRecord) + paths_.capacity() +
           chunks_.capacity() * sizeof(format::ChunkRecord) + symbols_.capacity() + vectors_.capacity() +
           sketch_.capacity() + (scales_.capacity() + sketch_scales_.capacity()) * sizeof(float) + lengths_.capacity() +
           classes_.capacity() + terms_.memory_bytes();
}

void SegmentBuilder::write_files() {
    output_.begin(Section::kMeta);
    output_.write(meta_);
    output_.begin(Section::kNames);
    for (const std::string& name : names_) output_.write(std::string_view(name.c_str(), name.size() + 1));
    output_.begin(Section::kFiles);
    output_.write(files_.data(), files_.size() * sizeof(format::FileRecord));
    output_.begin(Section::kPaths);
    output_.write(paths_);
    std::vector<uint32_t> order(files_.size());
    std::iota(order.begin(), order.end(), 0U);
    const auto path_of = [this](uint32_t file) {
        return std::string_view(paths_).substr(files_[file].path_offset, files_[file].path_length);
    };
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return path_of(a) < path_of(b); });
    output_.begin(Section::kFileOrder);
    output_.write(order.data(), order.size() * sizeof(uint32_t));
}

void SegmentBuilder::write_postings(uint64_t& term_count) {
    output_.begin(Section::kPostings);
    LexiconOutput lexicon(output_, directory_);
    PostingsEncoder encoder;
    std::vector<uint8_t> encoded;
    terms_.drain([&](std::string_view term, const uint32_t* first, const uint32_t* last) {
        encoded.clear();
        for (const uint32_t* posting = first; posting != last; ++posting) {
            encoder.append(*posting >> 8, *posting & 0xFF, encoded);
        }
        lexicon.add(term, encoder.finish(encoded), encoded);
    });
    term_count = lexicon.finish();
}

uint64_t SegmentBuilder::finish() {
    format::Header header{};
    header.dimensions = dimensions_;
    header.chunk_count = chunk_count();
    header.file_count = file_count();
    header.total_terms = total_terms_;
    header.name_count = static_cast<uint32_t>(names_.size());
    write_files();
    output_.begin(Section::kChunks);
    output_.write(chunks_.data(), chunks_.size() * sizeof(format::ChunkRecord));
    output_.begin(Section::kSymbols);
    output_.write(symbols_);
    output_.begin(Section::kVectors);
    output_.write(vectors_.data(), vectors_.size());
    output_.begin(Section::kScales);
    output_.write(scales_.data(), scales_.size() * sizeof(float));
    output_.begin(Section::kSketch);
    output_.write(sketch_.data(), sketch_.size());
    output_.begin(Section::kSketchScales);
    output_.write(sketch_scales_.data(), sketch_scales_.size() * sizeof(float));
    output_.begin(Section::kLengths);
    output_.write(lengths_.data(), lengths_.size());
    output_.begin(Section::kClasses);
    output_.write(classes_.data(), classes_.size());
    output_.begin(Section::kVectorSum);
    output_.write(vector_sum_.data(), vector_sum_.size() * sizeof(float));
    write_postings(header.term_count);
    return output_.finish(header);
}

}  // namespace flyweight::search
