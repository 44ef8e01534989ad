#include "search/segment_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "search/crc32c.h"
#include "search/errors.h"

namespace flyweight::search {

namespace {

constexpr size_t kSpillBufferBytes = 512 * 1024;

bool write_all(int fd, const uint8_t* bytes, size_t length) {
    while (length > 0) {
        const ssize_t written = ::write(fd, bytes, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes += written;
        length -= static_cast<size_t>(written);
    }
    return true;
}

}  // namespace

void append_varint(std::vector<uint8_t>& out, uint64_t value) {
    while (value >= 0x80) {
        out.push_back(static_cast<uint8_t>(value | 0x80));
        value >>= 7;
    }
    out.push_back(static_cast<uint8_t>(value));
}

Spill::~Spill() {
    if (fd_ >= 0) ::close(fd_);
}

void Spill::append(const void* bytes, size_t length) {
    const auto* begin = static_cast<const uint8_t*>(bytes);
    buffer_.insert(buffer_.end(), begin, begin + length);
    if (buffer_.size() >= kSpillBufferBytes) flush();
}

void Spill::flush() {
    if (fd_ < 0) {
        // Beside the index, not in /tmp: /tmp is often memory, which is what spilling is to spare.
        std::string name = directory_ + "/spill-XXXXXX";
        fd_ = ::mkostemp(name.data(), O_CLOEXEC);
        if (fd_ < 0) throw WriteError("cannot create a temporary file in " + directory_ + ": " + std::strerror(errno));
        ::unlink(name.c_str());
    }
    if (!write_all(fd_, buffer_.data(), buffer_.size())) {
        throw WriteError("cannot write a temporary file in " + directory_ + ": " + std::strerror(errno));
    }
    spilled_ += buffer_.size();
    buffer_.clear();
}

size_t Spill::read_spilled(uint64_t offset, uint8_t* out, size_t length) const {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(length, spilled_ - offset));
    const ssize_t got = ::pread(fd_, out, want, static_cast<off_t>(offset));
    if (got <= 0) throw WriteError("cannot read a temporary file in " + directory_);
    return static_cast<size_t>(got);
}

SegmentOutput::SegmentOutput(const std::string& path, size_t buffer_bytes) : path_(path), buffer_bytes_(buffer_bytes) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ < 0) fail("create");
    buffer_.reserve(buffer_bytes_);
    const format::Header placeholder{};
    put(&placeholder, sizeof placeholder);
}

SegmentOutput::~SegmentOutput() {
    if (fd_ >= 0) ::close(fd_);
}

void SegmentOutput::fail(const char* what) const {
    throw WriteError(std::string("cannot ") + what + " " + path_ + ": " + std::strerror(errno));
}

void SegmentOutput::flush() {
    if (!write_all(fd_, buffer_.data(), buffer_.size())) fail("write");
    buffer_.clear();
}

void SegmentOutput::put(const void* bytes, size_t length) {
    const auto* begin = static_cast<const uint8_t*>(bytes);
    position_ += length;
    while (length > 0) {
        const size_t piece = std::min(length, buffer_bytes_ - buffer_.size());
        buffer_.insert(buffer_.end(), begin, begin + piece);
        if (buffer_.size() == buffer_bytes_) flush();
        begin += piece;
        length -= piece;
    }
}

void SegmentOutput::begin(format::Section section) {
    end_section();
    static constexpr uint8_t kZeros[format::kSectionAlignment] = {};
    put(kZeros, (format::kSectionAlignment - position_ % format::kSectionAlignment) % format::kSectionAlignment);
    section_ = section;
    section_begin_ = position_;
    section_crc_ = 0;
}

void SegmentOutput::write(const void* bytes, size_t length) {
    if (length == 0) return;
    section_crc_ = crc32c(section_crc_, bytes, length);
    put(bytes, length);
}

void SegmentOutput::write(const Spill& spill) {
    spill.drain([this](const uint8_t* bytes, size_t length) { write(bytes, length); });
}

void SegmentOutput::end_section() {
    if (section_begin_ == 0) return;
    toc_.push_back({static_cast<uint32_t>(section_), section_crc_, section_begin_, section_size(), 0});
    section_begin_ = 0;
}

uint64_t SegmentOutput::finish(format::Header header) {
    begin({});  // aligns the table of contents
    header.magic = format::kMagic;
    header.version = format::kVersion;
    header.toc_offset = position_;
    header.section_count = static_cast<uint32_t>(toc_.size());
    const size_t toc_bytes = toc_.size() * sizeof(format::TocEntry);
    header.toc_crc = crc32c(0, toc_.data(), toc_bytes);
    header.header_crc = crc32c(0, &header, offsetof(format::Header, header_crc));
    put(toc_.data(), toc_bytes);
    flush();
    if (::pwrite(fd_, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) fail("write");
    if (::fsync(fd_) != 0) fail("sync");
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) fail("close");
    return position_;
}

void LexiconOutput::add(std::string_view term, uint32_t count, const std::vector<uint8_t>& postings) {
    std::vector<uint8_t> entry;
    if (term_count_ % format::kLexiconBlock == 0) {
        index_.push_back(lexicon_.size());
        const uint64_t offset = output_.section_size();
        const auto* bytes = reinterpret_cast<const uint8_t*>(&offset);
        entry.insert(entry.end(), bytes, bytes + sizeof offset);
    }
    append_varint(entry, term.size());
    entry.insert(entry.end(), term.begin(), term.end());
    append_varint(entry, count);
    append_varint(entry, postings.size());
    lexicon_.append(entry.data(), entry.size());
    output_.write(postings.data(), postings.size());
    ++term_count_;
}

uint64_t LexiconOutput::finish() {
    output_.begin(format::Section::kLexicon);
    output_.write(lexicon_);
    output_.begin(format::Section::kLexiconIndex);
    output_.write(index_.data(), index_.size() * sizeof(uint64_t));
    return term_count_;
}

}  // namespace flyweight::search
