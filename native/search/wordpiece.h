#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace flyweight::search {

// Tokenization of source code and of questions about it: identifiers are split where a person would split
// them, then each word is cut into the longest pieces the vocabulary knows (WordPiece, Wu et al. 2016,
// section 4.1).
//
//   bytes -> words    letters and digits are kept, all else separates; getHTTPServer2 -> get http server 2;
//                     accents are dropped; scripts other than Latin separate, since the vocabulary has none
//   word -> pieces    greedy, longest first; continuation pieces are vocabulary entries of their own

// Hash of a word, extended one byte at a time, so that all prefixes of a word cost one pass: FNV-1a in 64
// bits, then the finalizer of MurmurHash3, since FNV alone mixes upwards only.
constexpr uint64_t word_hash_start(bool continuation) {
    return continuation ? 0x84222325cbf29ce4u : 0xcbf29ce484222325u;
}
constexpr uint64_t word_hash_extend(uint64_t state, uint8_t byte) {
    return (state ^ byte) * 0x100000001b3u;
}
constexpr uint64_t word_hash_finish(uint64_t h) {
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 33);
}

// One cache line of the vocabulary's hash table. A slot holds 48 bits of the word's hash above the token's
// number plus one; slots fill from the front and a full bucket overflows into the next. Bucket and slot
// together compare 61 bits, so the word itself need not be looked at: a word outside the vocabulary passes
// for one inside in 2^-45 cases.
struct Bucket {
    static constexpr size_t kSlots = 8;
    static constexpr uint32_t kNumberBits = 16;
    alignas(64) std::array<uint64_t, kSlots> slots;
};
static_assert(sizeof(Bucket) == 64);

// Where buckets come from: the mapped table, or single reads that leave nothing resident.
class BucketReader {
  public:
    BucketReader(const Bucket* mapped, uint32_t buckets, uint32_t tokens)
        : mapped_(mapped), mask_(buckets - 1), tokens_(tokens) {}
    BucketReader(int descriptor, uint64_t offset, uint32_t buckets, uint32_t tokens)
        : descriptor_(descriptor), offset_(offset), mask_(buckets - 1), tokens_(tokens) {}

    // The token of the word with this hash, or -1.
    int32_t find(uint64_t hash) {
        for (uint32_t number = static_cast<uint32_t>(hash) & mask_, step = 0; step <= mask_; ++step) {
            const Bucket& bucket = mapped_ != nullptr ? mapped_[number] : read(number);
            for (const uint64_t slot : bucket.slots) {
                if (slot == 0) return -1;
                if (((slot ^ hash) >> Bucket::kNumberBits) != 0) continue;
                const auto token = static_cast<uint32_t>(slot & 0xffffu) - 1;
                return token < tokens_ ? static_cast<int32_t>(token) : -1;
            }
            number = (number + 1) & mask_;
        }
        return -1;
    }

  private:
    const Bucket& read(uint32_t number);  // throws IoError

    const Bucket* mapped_ = nullptr;
    int descriptor_ = -1;
    uint64_t offset_ = 0;
    uint32_t mask_;
    uint32_t tokens_;
    Bucket buffer_;
};

// Pulls the tokens of one text. Holds no memory beyond itself, and runs in time linear in the text, whatever
// the text.
class WordPiece {
  public:
    // Longer runs of letters are not words; what follows is skipped up to the next boundary.
    static constexpr size_t kMaxWordBytes = 48;

    WordPiece(std::string_view text, const BucketReader& vocabulary, uint32_t longest_piece)
        : next_(reinterpret_cast<const uint8_t*>(text.data())),
          end_(next_ + text.size()),
          vocabulary_(vocabulary),
          longest_piece_(longest_piece) {}

    // Writes up to `capacity` token numbers and returns how many; 0 when the text is exhausted.
    size_t next(uint32_t* tokens, size_t capacity);

  private:
    bool next_word();
    void take(uint8_t letter);
    const uint8_t* take_lower(const uint8_t* p);
    int32_t next_piece();

    const uint8_t* next_;
    const uint8_t* end_;
    BucketReader vocabulary_;
    size_t longest_piece_;
    std::array<uint8_t, kMaxWordBytes> word_{};
    size_t word_length_ = 0;
    size_t word_position_ = 0;
};

}  // namespace flyweight::search
