#include "search/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "search/crc32c.h"
#include "search/errors.h"

namespace flyweight::search {

namespace {

constexpr size_t kReadBufferBytes = 128 * 1024;
constexpr uint64_t kPageBytes = 4096;

}  // namespace

MappedFile::MappedFile(const std::string& path, Use use) : path_(path) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) throw IoError("cannot open " + path + ": " + std::strerror(errno));
    struct stat status{};
    if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(fd_);
        throw IoError("cannot map " + path + ": not a regular file");
    }
    size_ = static_cast<size_t>(status.st_size);
    if (size_ == 0) return;
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_, 0);
    if (address == MAP_FAILED) {
        const int error = errno;
        ::close(fd_);
        throw IoError("cannot map " + path + ": " + std::strerror(error));
    }
    data_ = static_cast<const uint8_t*>(address);
    ::madvise(address, size_, use == Use::kRandom ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);  // a wish that may be refused
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
    if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept {
    *this = std::move(other);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(fd_, other.fd_);
    return *this;
}

uint32_t MappedFile::checksum(uint64_t offset, uint64_t length) const {
    const auto buffer = std::make_unique<uint8_t[]>(kReadBufferBytes);
    uint32_t crc = 0;
    while (length > 0) {
        const size_t want = static_cast<size_t>(std::min<uint64_t>(length, kReadBufferBytes));
        const ssize_t got = ::pread(fd_, buffer.get(), want, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            throw IoError("cannot read " + path_ + ": " +
                          (got < 0 ? std::strerror(errno) : "file is shorter than expected"));
        crc = crc32c(crc, buffer.get(), static_cast<size_t>(got));
        offset += static_cast<uint64_t>(got);
        length -= static_cast<uint64_t>(got);
    }
    return crc;
}

void MappedFile::release() const {
    if (data_ != nullptr) ::madvise(const_cast<uint8_t*>(data_), size_, MADV_DONTNEED);
}

void MappedFile::release(uint64_t offset, uint64_t length) const {
    if (data_ == nullptr) return;
    const uint64_t begin = offset / kPageBytes * kPageBytes;
    const uint64_t end = std::min<uint64_t>(offset + length, size_);
    if (end > begin) ::madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace flyweight::search
