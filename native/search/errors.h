#pragma once

#include <stdexcept>

namespace flyweight::search {

// The bytes of a file are not what its format promises: wrong magic, wrong version, cut short, or a checksum that
// fails.
struct FormatError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The file is sound but of a format version this build does not read.
struct VersionError : FormatError {
    using FormatError::FormatError;
};

// The operating system refused: a file cannot be opened, read or mapped.
struct IoError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The operating system refused to create or write a file.
struct WriteError : IoError {
    using IoError::IoError;
};

}  // namespace flyweight::search
