#include "search/segment.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "search/crc32c.h"
#include "search/errors.h"
#include "search/sketch.h"

namespace flyweight::search {

namespace {

using format::Section;

bool read_varint(std::string_view bytes, size_t& position, uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && position < bytes.size(); shift += 7) {
        const auto byte = static_cast<uint8_t>(bytes[position++]);
        value |= static_cast<uint64_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) return true;
    }
    return false;
}

}  // namespace

void Segment::corrupt(const std::string& what) const {
    throw FormatError("segment " + file_.path() + " is damaged: " + what);
}

std::shared_ptr<const Segment> Segment::open(const std::string& path, bool verify, MappedFile::Use use) {
    const std::shared_ptr<Segment> segment(new Segment());
    segment->file_ = MappedFile(path, use);
    segment->read_toc();
    segment->check_sections(verify);
    segment->release();
    return segment;
}

void Segment::read_toc() {
    if (file_.size() < sizeof header_) corrupt("it is shorter than a header");
    std::memcpy(&header_, file_.data(), sizeof header_);
    if (header_.magic != format::kMagic) corrupt("it does not begin as a segment does");
    if (header_.version != format::kVersion) {
        throw VersionError("segment " + file_.path() + " was written by format " + std::to_string(header_.version) +
                           ", this build reads " + std::to_string(format::kVersion));
    }
    if (header_.header_crc != crc32c(0, &header_, offsetof(format::Header, header_crc))) {
        corrupt("the header fails its checksum");
    }
    const uint64_t toc_bytes = uint64_t{header_.section_count} * sizeof(format::TocEntry);
    if (header_.section_count != format::kSectionCount || header_.toc_offset > file_.size() ||
        file_.size() - header_.toc_offset != toc_bytes) {
        corrupt("it was cut short");
    }
    if (crc32c(0, file_.data() + header_.toc_offset, toc_bytes) != header_.toc_crc) {
        corrupt("the table of contents fails its checksum");
    }
    toc_.resize(format::kSectionCount + 1);
    for (uint32_t i = 0; i < header_.section_count; ++i) {
        format::TocEntry entry;
        std::memcpy(&entry, file_.data() + header_.toc_offset + i * sizeof entry, sizeof entry);
        const bool inside = entry.offset % format::kSectionAlignment == 0 && entry.offset <= header_.toc_offset &&
                            entry.length <= header_.toc_offset - entry.offset;
        if (entry.section == 0 || entry.section > format::kSectionCount || !inside)
            corrupt("a section lies outside the file");
        toc_[entry.section] = entry;
    }
}

std::string_view Segment::bytes(Section section) const {
    const format::TocEntry& entry = toc_[static_cast<uint32_t>(section)];
    return {reinterpret_cast<const char*>(file_.data()) + entry.offset, entry.length};
}

template <typename T>
const T* Segment::records(Section section, uint64_t count) const {
    const std::string_view all = bytes(section);
    if (all.size() != count * sizeof(T))
        corrupt("section " + std::to_string(static_cast<uint32_t>(section)) + " has a wrong length");
    return reinterpret_cast<const T*>(all.data());
}

bool Segment::section_intact(Section section) const {
    const format::TocEntry& entry = toc_[static_cast<uint32_t>(section)];
    return file_.checksum(entry.offset, entry.length) == entry.crc;
}

void Segment::check_sections(bool verify) {
    for (uint32_t section = 1; section <= format::kSectionCount; ++section) {
        const auto id = static_cast<Section>(section);
        if (verify && id != Section::kText && !section_intact(id)) {
            corrupt("section " + std::to_string(section) + " fails its checksum");
        }
    }
    const uint64_t chunks = header_.chunk_count;
    const uint64_t dimensions = header_.dimensions;
    if (!has_sketches(dimensions)) corrupt("impossible number of dimensions");
    files_ = records<format::FileRecord>(Section::kFiles, header_.file_count);
    file_order_ = records<uint32_t>(Section::kFileOrder, header_.file_count);
    chunks_ = records<format::ChunkRecord>(Section::kChunks, chunks);
    vectors_ = records<int8_t>(Section::kVectors, chunks * dimensions);
    scales_ = records<float>(Section::kScales, chunks);
    records<uint8_t>(Section::kSketch,
                     (chunks + format::kSketchBlock - 1) / format::kSketchBlock * (dimensions / 4 * 32));
    sketch_scales_ = records<float>(Section::kSketchScales, chunks);
    lengths_ = records<uint8_t>(Section::kLengths, chunks);
    classes_ = records<uint8_t>(Section::kClasses, chunks);
    vector_sum_ = records<float>(Section::kVectorSum, dimensions);
    lexicon_blocks_ = (header_.term_count + format::kLexiconBlock - 1) / format::kLexiconBlock;
    lexicon_index_ = records<uint64_t>(Section::kLexiconIndex, lexicon_blocks_);
    std::string_view names = bytes(Section::kNames);
    while (!names.empty()) {
        const size_t end = names.find('\0');
        if (end == std::string_view::npos) corrupt("the table of names is unfinished");
        names_.emplace_back(names.substr(0, end));
        names.remove_prefix(end + 1);
    }
    if (names_.size() != header_.name_count) corrupt("the table of names has a wrong length");
}

std::string_view Segment::file_path(uint32_t index) const {
    const format::FileRecord& record = files_[index];
    return bytes(Section::kPaths).substr(record.path_offset, record.path_length);
}

std::string_view Segment::file_text(uint32_t index) const {
    const format::FileRecord& record = files_[index];
    const std::string_view all = bytes(Section::kText);
    if (record.text_offset > all.size() || record.size_bytes > all.size() - record.text_offset) {
        corrupt("a file lies outside the text");
    }
    return all.substr(record.text_offset, record.size_bytes);
}

std::optional<uint32_t> Segment::find_file(std::string_view path) const {
    const uint32_t* end = file_order_ + header_.file_count;
    const uint32_t* found = std::lower_bound(
        file_order_, end, path, [this](uint32_t file, std::string_view wanted) { return file_path(file) < wanted; });
    if (found == end || file_path(*found) != path) return std::nullopt;
    return *found;
}

std::string_view Segment::symbols(uint32_t chunk) const {
    const format::ChunkRecord& record = chunks_[chunk];
    return bytes(Section::kSymbols).substr(record.symbol_offset, record.symbol_length);
}

std::string_view Segment::text(uint32_t chunk) const {
    const format::ChunkRecord& record = chunks_[chunk];
    const std::string_view all = bytes(Section::kText);
    const uint64_t begin = files_[record.file].text_offset + record.text_start;
    if (begin > all.size() || record.text_length > all.size() - begin) corrupt("a chunk lies outside the text");
    const std::string_view text = all.substr(begin, record.text_length);
    if (crc32c(0, text.data(), text.size()) != record.text_crc) {
        corrupt("the text of " + std::string(file_path(record.file)) + " fails its checksum");
    }
    return text;
}

const uint8_t* Segment::sketch_block(uint32_t block) const {
    return reinterpret_cast<const uint8_t*>(bytes(Section::kSketch).data()) +
           size_t{block} * (header_.dimensions / 4 * 32);
}

void Segment::release_vectors(uint32_t first, uint32_t last) const {
    const uint64_t begin = toc_[static_cast<uint32_t>(Section::kVectors)].offset;
    file_.release(begin + uint64_t{first} * header_.dimensions, uint64_t{last - first} * header_.dimensions);
}

void Segment::release_sketches(uint32_t first, uint32_t last) const {
    const uint64_t begin = toc_[static_cast<uint32_t>(Section::kSketch)].offset;
    const uint64_t chunk_bytes = header_.dimensions / 8;
    file_.release(begin + first * chunk_bytes, (last - first) * chunk_bytes);
}

std::optional<TermPostings> Segment::find_term(std::string_view term) const {
    // The last block whose first term is not after `term`.
    uint64_t low = 0;
    uint64_t high = lexicon_blocks_;
    while (low < high) {
        const uint64_t middle = (low + high) / 2;
        LexiconReader reader(*this, middle);
        if (!reader.next()) return std::nullopt;
        if (reader.term() <= term) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) return std::nullopt;
    LexiconReader reader(*this, low - 1);
    for (uint32_t i = 0; i < format::kLexiconBlock && reader.next(); ++i) {
        if (reader.term() == term) return reader.postings();
        if (reader.term() > term) break;
    }
    return std::nullopt;
}

LexiconReader::LexiconReader(const Segment& segment, uint64_t first_block)
    : segment_(&segment), lexicon_(segment.bytes(Section::kLexicon)), all_postings_(segment.bytes(Section::kPostings)) {
    if (first_block >= segment.lexicon_blocks_) return;
    position_ = segment.lexicon_index_[first_block];
    entry_ = first_block * format::kLexiconBlock;
    entries_left_ = segment.term_count() - entry_;
}

bool LexiconReader::next() {
    if (entries_left_ == 0) return false;
    if (entry_ % format::kLexiconBlock == 0) {
        if (position_ + sizeof postings_offset_ > lexicon_.size()) segment_->corrupt("the lexicon is unfinished");
        std::memcpy(&postings_offset_, lexicon_.data() + position_, sizeof postings_offset_);
        position_ += sizeof postings_offset_;
    }
    uint64_t length = 0;
    uint64_t count = 0;
    uint64_t bytes = 0;
    bool good = read_varint(lexicon_, position_, length) && length <= lexicon_.size() - position_;
    if (good) {
        term_ = lexicon_.substr(position_, length);
        position_ += length;
        good = read_varint(lexicon_, position_, count) && read_varint(lexicon_, position_, bytes) &&
               postings_offset_ <= all_postings_.size() && bytes <= all_postings_.size() - postings_offset_;
    }
    if (!good) segment_->corrupt("the lexicon is unfinished");
    postings_ = {static_cast<uint32_t>(count),
                 reinterpret_cast<const uint8_t*>(all_postings_.data()) + postings_offset_, static_cast<size_t>(bytes)};
    postings_offset_ += bytes;
    ++entry_;
    --entries_left_;
    return true;
}

uint8_t encode_length(uint32_t terms) {
    return static_cast<uint8_t>(std::min(255L, std::lrint(16.0 * std::log2(1.0 + terms))));
}

float decode_length(uint8_t code) {
    return std::exp2(static_cast<float>(code) / 16.0F) - 1.0F;
}

}  // namespace flyweight::search
