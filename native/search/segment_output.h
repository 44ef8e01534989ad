#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "search/segment_format.h"

namespace flyweight::search {

// Bytes set aside until their section's turn comes: in memory while few, in an unlinked temporary file beyond.
class Spill {
  public:
    explicit Spill(std::string directory) : directory_(std::move(directory)) {}
    ~Spill();
    Spill(const Spill&) = delete;
    Spill& operator=(const Spill&) = delete;

    void append(const void* bytes, size_t length);
    uint64_t size() const { return spilled_ + buffer_.size(); }
    template <typename Sink>
    void drain(Sink&& sink) const;  // sink(const uint8_t*, size_t)

  private:
    void flush();
    size_t read_spilled(uint64_t offset, uint8_t* out, size_t length) const;

    std::string directory_;
    std::vector<uint8_t> buffer_;
    uint64_t spilled_ = 0;
    int fd_ = -1;
};

// Writes one segment file, section by section, through a small buffer: the header comes last, so a file that
// was cut off never looks like a segment. Throws IoError (with the system's reason) when a write fails.
class SegmentOutput {
  public:
    static constexpr size_t kSmallBuffer = 256 * 1024;
    // Whole aligned pieces of 2 MB end up in huge folios of the page cache, and mapping those costs a hundredth of
    // mapping single pages: a scan of 200,000 chunks takes 0.5 ms instead of 2 ms (Linux 6.18, ext4).
    static constexpr size_t kLargeBuffer = 2 * 1024 * 1024;

    // A merge writes in large pieces (see kLargeBuffer); a builder's segments are short-lived and it has little memory.
    explicit SegmentOutput(const std::string& path, size_t buffer_bytes = kSmallBuffer);
    ~SegmentOutput();
    SegmentOutput(const SegmentOutput&) = delete;
    SegmentOutput& operator=(const SegmentOutput&) = delete;

    void begin(format::Section section);
    void write(const void* bytes, size_t length);
    void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
    void write(const Spill& spill);
    template <typename Record>
    void write_record(const Record& record) {
        write(&record, sizeof record);
    }
    uint64_t section_size() const { return position_ - section_begin_; }

    // Ends the last section, writes table of contents and header, and makes the file durable.
    // Returns its size in bytes.
    uint64_t finish(format::Header header);

  private:
    void end_section();
    void put(const void* bytes, size_t length);
    void flush();
    [[noreturn]] void fail(const char* what) const;

    std::string path_;
    int fd_ = -1;
    size_t buffer_bytes_;
    std::vector<uint8_t> buffer_;
    uint64_t position_ = 0;
    uint64_t section_begin_ = 0;
    uint32_t section_crc_ = 0;
    format::Section section_{};
    std::vector<format::TocEntry> toc_;
};

// The terms of a segment with their postings, arriving in byte order of the terms.
class LexiconOutput {
  public:
    LexiconOutput(SegmentOutput& output, const std::string& directory) : output_(output), lexicon_(directory) {}

    // Postings bytes go straight to the output, whose current section must be kPostings.
    void add(std::string_view term, uint32_t count, const std::vector<uint8_t>& postings);
    // Writes the sections kLexicon and kLexiconIndex. Returns the number of terms.
    uint64_t finish();

  private:
    SegmentOutput& output_;
    Spill lexicon_;
    std::vector<uint64_t> index_;
    uint64_t term_count_ = 0;
};

void append_varint(std::vector<uint8_t>& out, uint64_t value);

template <typename Sink>
void Spill::drain(Sink&& sink) const {
    constexpr size_t kPiece = 64 * 1024;
    const auto piece = std::make_unique<uint8_t[]>(kPiece);
    for (uint64_t offset = 0; offset < spilled_;) {
        const size_t got = read_spilled(offset, piece.get(), kPiece);
        sink(piece.get(), got);
        offset += got;
    }
    sink(buffer_.data(), buffer_.size());
}

}  // namespace flyweight::search
