#include "search/wordpiece.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "search/errors.h"

namespace flyweight::search {

namespace {

enum class Kind : uint8_t { kSeparator, kLower, kUpper, kDigit };

struct Character {
    Kind kind;
    uint8_t folded;  // lower case, without accent
    uint8_t bytes;   // including a combining mark
};

// U+00C0..U+017F without accents; a blank separates. Letters without a base form get the nearest single one.
constexpr std::string_view kLatin =
    "AAAAAAACEEEEIIIIDNOOOOO OUUUUYTs"
    "aaaaaaaceeeeiiiidnooooo ouuuuyty"
    "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGg"
    "GgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlL"
    "lLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSs"
    "SsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";
static_assert(kLatin.size() == 0x180 - 0xc0);

constexpr bool is_ascii_lower(uint8_t byte) {
    return byte >= 'a' && byte <= 'z';
}

constexpr Character classify_ascii(uint8_t byte) {
    if (byte >= 'a' && byte <= 'z') return {Kind::kLower, byte, 1};
    if (byte >= 'A' && byte <= 'Z') return {Kind::kUpper, static_cast<uint8_t>(byte | 0x20), 1};
    if (byte >= '0' && byte <= '9') return {Kind::kDigit, byte, 1};
    return {Kind::kSeparator, 0, 1};
}

constexpr std::array<Character, 256> make_byte_table() {
    std::array<Character, 256> table{};
    for (size_t byte = 0; byte < 256; ++byte) table[byte] = classify_ascii(static_cast<uint8_t>(byte));
    return table;
}

constexpr std::array<Character, 256> kByteTable = make_byte_table();

bool is_ascii_separator(uint8_t byte) {
    return byte < 0x80 && kByteTable[byte].kind == Kind::kSeparator;
}

// Only two-byte sequences can be Latin letters (lead bytes C3..C5) or combining marks (U+0300..U+036F:
// CC 80..CD AF).
bool is_combining_mark(const uint8_t* p, const uint8_t* end) {
    return end - p >= 2 && ((p[0] == 0xcc && (p[1] & 0xc0) == 0x80) || (p[0] == 0xcd && p[1] >= 0x80 && p[1] <= 0xaf));
}

Character read_beyond_ascii(const uint8_t* p, const uint8_t* end) {
    if (p[0] < 0xc3 || p[0] > 0xc5 || end - p < 2 || (p[1] & 0xc0) != 0x80) return {Kind::kSeparator, 0, 1};
    const size_t code_point = (static_cast<size_t>(p[0]) & 0x1f) << 6 | (p[1] & 0x3f);
    Character character = kByteTable[static_cast<uint8_t>(kLatin[code_point - 0xc0])];
    character.bytes = 2;
    return character;
}

Character read(const uint8_t* p, const uint8_t* end) {
    if (p == end) return {Kind::kSeparator, 0, 0};
    Character character = p[0] < 0x80 ? kByteTable[p[0]] : read_beyond_ascii(p, end);
    const bool letter = character.kind == Kind::kLower || character.kind == Kind::kUpper;
    if (letter && is_combining_mark(p + character.bytes, end))
        character.bytes = static_cast<uint8_t>(character.bytes + 2);
    return character;
}

// In a run of capitals, is the one at `p` the first letter of the next word? HTTPServer: S is; HTTPs and
// URLs: the last capital is not, a lone s after capitals is a plural.
bool begins_word(const uint8_t* p, const Character& capital, const uint8_t* end) {
    const uint8_t* after = p + capital.bytes;
    const Character second = read(after, end);
    if (second.kind != Kind::kLower) return false;
    if (second.folded != 's') return true;
    return read(after + second.bytes, end).kind == Kind::kLower;
}

}  // namespace

const Bucket& BucketReader::read(uint32_t number) {
    const auto position = static_cast<off_t>(offset_ + number * sizeof(Bucket));
    ssize_t got;
    do {
        got = ::pread(descriptor_, &buffer_, sizeof buffer_, position);
    } while (got < 0 && errno == EINTR);
    if (got != static_cast<ssize_t>(sizeof buffer_)) {
        throw IoError(std::string("cannot read the model's vocabulary: ") +
                      (got < 0 ? std::strerror(errno) : "file was cut short"));
    }
    return buffer_;
}

void WordPiece::take(uint8_t letter) {
    if (word_length_ < kMaxWordBytes) word_[word_length_++] = letter;
}

// Text is almost all ASCII lower case: a run of it is taken without looking at anything else, except that a
// letter before something beyond ASCII is left, since that may be its accent.
const uint8_t* WordPiece::take_lower(const uint8_t* p) {
    const size_t room = std::min(static_cast<size_t>(end_ - p), kMaxWordBytes - word_length_);
    size_t taken = 0;
    while (taken < room && is_ascii_lower(p[taken])) {
        word_[word_length_ + taken] = p[taken];
        ++taken;
    }
    if (taken > 0 && p + taken != end_ && p[taken] >= 0x80) --taken;
    word_length_ += taken;
    return p + taken;
}

bool WordPiece::next_word() {
    const uint8_t* p = next_;
    Character current;
    do {
        while (p != end_ && is_ascii_separator(*p)) ++p;
        if (p == end_) {
            next_ = p;
            return false;
        }
        current = read(p, end_);
        if (current.kind == Kind::kSeparator) p += current.bytes;
    } while (current.kind == Kind::kSeparator);
    word_length_ = 0;
    word_position_ = 0;
    const Kind first = current.kind;
    bool capitals = false;  // two or more, and nothing else so far
    Kind previous = first;
    do {
        take(current.folded);
        p += current.bytes;
        if (previous == Kind::kLower) p = take_lower(p);
        current = read(p, end_);
        if (current.kind == Kind::kSeparator || (current.kind == Kind::kDigit) != (first == Kind::kDigit)) break;
        if (current.kind == Kind::kUpper) {
            if (previous == Kind::kLower || begins_word(p, current, end_)) break;
            capitals = true;
        } else if (capitals && current.kind == Kind::kLower) {
            // begins_word left this letter to the capitals before it: a plural.
            take(current.folded);
            p += current.bytes;
            break;
        }
        previous = current.kind;
    } while (true);
    next_ = p;
    return true;
}

int32_t WordPiece::next_piece() {
    const size_t start = word_position_;
    const bool number = word_[start] <= '9';
    const size_t longest = std::min(word_length_ - start, longest_piece_);
    std::array<uint64_t, kMaxWordBytes> prefixes;
    uint64_t state = word_hash_start(start > 0);
    for (size_t i = 0; i < longest; ++i) prefixes[i] = state = word_hash_extend(state, word_[start + i]);
    // Parts of a number mean nothing: 4096 is in the vocabulary as it is, or it is dropped.
    const size_t shortest = number ? word_length_ : 1;
    for (size_t length = longest; length >= shortest; --length) {
        const int32_t token = vocabulary_.find(word_hash_finish(prefixes[length - 1]));
        if (token >= 0) {
            word_position_ = start + length;
            return token;
        }
    }
    word_position_ = number ? word_length_ : start + 1;
    return -1;
}

size_t WordPiece::next(uint32_t* tokens, size_t capacity) {
    size_t count = 0;
    while (count < capacity) {
        if (word_position_ == word_length_ && !next_word()) break;
        const int32_t token = next_piece();
        if (token >= 0) tokens[count++] = static_cast<uint32_t>(token);
    }
    return count;
}

}  // namespace flyweight::search
