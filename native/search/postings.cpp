#include "search/postings.h"

#include <algorithm>
#include <cstring>

namespace flyweight::search {

namespace {

constexpr uint32_t kBlock = format::kPostingsBlock;

template <typename Width>
uint32_t decode_deltas(const uint8_t* bytes, uint32_t size, uint32_t previous, uint32_t* out) {
    for (uint32_t i = 0; i < size; ++i) {
        Width delta;
        std::memcpy(&delta, bytes + i * sizeof(Width), sizeof(Width));
        previous += delta;
        out[i] = previous;
    }
    return previous;
}

}  // namespace

void PostingsEncoder::append(uint32_t chunk, uint32_t frequency, std::vector<uint8_t>& out) {
    deltas_[pending_] = chunk - previous_;
    frequencies_[pending_] = static_cast<uint8_t>(std::min<uint32_t>(frequency, 255));
    previous_ = chunk;
    ++count_;
    if (++pending_ == kBlock) flush_block(out);
}

void PostingsEncoder::flush_block(std::vector<uint8_t>& out) {
    const uint32_t largest = *std::max_element(deltas_, deltas_ + pending_);
    const uint8_t width = largest <= 0xFF ? 1 : largest <= 0xFFFF ? 2 : 4;
    const size_t begin = out.size();
    out.resize(begin + 1 + pending_ * (width + 1U));
    uint8_t* cursor = out.data() + begin;
    *cursor++ = width;
    for (uint32_t i = 0; i < pending_; ++i, cursor += width) std::memcpy(cursor, &deltas_[i], width);
    std::memcpy(cursor, frequencies_, pending_);
    bytes_ += static_cast<uint32_t>(out.size() - begin);
    skips_.push_back({previous_, bytes_});
    pending_ = 0;
}

uint32_t PostingsEncoder::finish(std::vector<uint8_t>& out) {
    if (pending_ > 0) flush_block(out);
    if (skips_.size() > 1) {
        const auto* bytes = reinterpret_cast<const uint8_t*>(skips_.data());
        out.insert(out.end(), bytes, bytes + skips_.size() * sizeof(PostingsSkip));
    }
    const uint32_t count = count_;
    skips_.clear();
    previous_ = count_ = bytes_ = 0;
    return count;
}

PostingsCursor::PostingsCursor(const uint8_t* data, size_t length, uint32_t count)
    : data_(data), length_(length), block_count_((count + kBlock - 1) / kBlock), count_(count) {
    if (block_count_ > 1) {
        const size_t table = size_t{block_count_} * sizeof(PostingsSkip);
        if (table > length) {
            block_count_ = 0;  // only a damaged segment gets here
            return;
        }
        length_ = length - table;
        skips_ = data + length_;
    }
}

bool PostingsCursor::next_block() {
    if (block_ >= block_count_ || position_ >= length_) return false;
    const uint32_t size = std::min(kBlock, count_ - block_ * kBlock);
    const uint8_t width = data_[position_];
    const size_t needed = 1 + size_t{size} * (width + 1U);
    if (needed > length_ - position_) return false;
    const uint8_t* deltas = data_ + position_ + 1;
    if (width == 1) {
        previous_ = decode_deltas<uint8_t>(deltas, size, previous_, chunks_);
    } else if (width == 2) {
        previous_ = decode_deltas<uint16_t>(deltas, size, previous_, chunks_);
    } else if (width == 4) {
        previous_ = decode_deltas<uint32_t>(deltas, size, previous_, chunks_);
    } else {
        return false;
    }
    frequencies_ = deltas + size_t{size} * width;
    size_ = size;
    position_ += needed;
    ++block_;
    return true;
}

bool PostingsCursor::seek_block(uint32_t chunk) {
    if (size_ > 0 && last() >= chunk) return true;
    if (skips_ != nullptr) {
        PostingsSkip skip{};
        uint32_t target = block_;
        while (target < block_count_) {
            std::memcpy(&skip, skips_ + size_t{target} * sizeof(PostingsSkip), sizeof skip);
            if (skip.last_chunk >= chunk) break;
            ++target;
        }
        if (target >= block_count_) {
            block_ = block_count_;
            return false;
        }
        if (target > block_) {
            std::memcpy(&skip, skips_ + size_t{target - 1} * sizeof(PostingsSkip), sizeof skip);
            block_ = target;
            position_ = skip.end_offset;
            previous_ = skip.last_chunk;
        }
    }
    while (next_block()) {
        if (last() >= chunk) return true;
    }
    return false;
}

}  // namespace flyweight::search
