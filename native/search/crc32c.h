#pragma once

#include <cstddef>
#include <cstdint>

namespace flyweight::search {

// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of n bytes. Start with seed 0; passing the checksum of what
// came before as the seed continues it, so crc32c(crc32c(0, a), b) is the checksum of a followed by b.
uint32_t crc32c(uint32_t seed, const void* data, size_t n);

}  // namespace flyweight::search
