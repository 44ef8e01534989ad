#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace flyweight::search {

// A read-only file mapping whose pages can be given back at any time.
//
// Mapped pages count as private memory of the only process that touches them, so a resident that scans a
// large index would "grow" to the size of the index. release() drops the page-table entries and nothing
// else: the page cache keeps the data and the next access is a minor fault (about 2 us per MB where the file
// system uses large folios, 25 us per MB where it does not).
class MappedFile {
  public:
    MappedFile() = default;
    enum class Use {
        kRandom,  // by queries: huge pages where the page cache has them, mapped and given back in an instant
        kStream,  // by merges of many files: small pages, or one touch in each file would hold 2 MB of each
    };
    explicit MappedFile(const std::string& path, Use use = Use::kRandom);  // throws IoError
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const uint8_t* data() const { return data_; }
    size_t size() const { return size_; }
    const std::string& path() const { return path_; }

    // CRC-32C of [offset, offset + length), read through a small buffer so that checking a file does not
    // make it resident. Throws IoError when the range cannot be read.
    uint32_t checksum(uint64_t offset, uint64_t length) const;

    // Gives every touched page back. Safe while other threads read: they fault the page in again.
    void release() const;
    void release(uint64_t offset, uint64_t length) const;

  private:
    std::string path_;
    const uint8_t* data_ = nullptr;
    size_t size_ = 0;
    int fd_ = -1;
};

}  // namespace flyweight::search
