#include "search/terms.h"

#include <algorithm>
#include <array>

#include "search/segment_format.h"

namespace flyweight::search {

namespace {

// A part shorter than this ("a", "8") says nothing on its own.
constexpr size_t kMinPartBytes = 2;
// Nobody names a thing with more than this many bytes; what is longer is data (a base64 block, a hash table).
constexpr size_t kMaxWordBytes = 256;

bool is_lower(unsigned char c) { return (c >= 'a' && c <= 'z') || c >= 0x80; }
bool is_upper(unsigned char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

constexpr std::string_view kStopWords[] = {
    "a",    "an",    "and",   "any",   "are",  "as",    "at",    "be",   "been",  "being", "by",
    "can",  "could", "did",   "do",    "does", "done",  "for",   "from", "had",   "has",   "have",
    "how",  "i",     "in",    "into",  "is",   "it",    "its",   "me",   "my",    "of",    "on",
    "or",   "our",   "should", "so",   "some", "such",  "that",  "the",  "their", "them",  "then",
    "there", "these", "they", "this",  "those", "to",   "was",   "we",   "were",  "what",  "when",
    "where", "which", "who",  "why",   "will", "with",  "would", "you",  "your",
};


}  // namespace

void TermSplitter::analyse(std::string_view word) {
    parts_.clear();
    lowered_.clear();
    whole_begin_ = whole_end_ = 0;
    if (word.size() > kMaxWordBytes) return;
    size_t part_begin = 0;
    const auto close_part = [&](size_t end) {
        if (end - part_begin >= kMinPartBytes && parts_.size() < 64) {
            parts_.push_back({static_cast<uint32_t>(part_begin),
                              static_cast<uint32_t>(std::min(end, part_begin + format::kMaxTermBytes))});
        }
        part_begin = end;
    };
    for (size_t i = 0; i < word.size(); ++i) {
        const auto c = static_cast<unsigned char>(word[i]);
        lowered_.push_back(is_upper(c) ? static_cast<char>(c + 32) : static_cast<char>(c));
        if (c == '_') {
            close_part(i);
            part_begin = i + 1;
            continue;
        }
        if (i == part_begin) continue;
        const auto previous = static_cast<unsigned char>(word[i - 1]);
        const bool camel = is_upper(c) && (is_lower(previous) || is_digit(previous));
        // The last capital of a run starts the next word: HTTPServer is HTTP and Server.
        const bool run_ends = is_lower(c) && is_upper(previous) && i >= 2 && i - 1 > part_begin &&
                              is_upper(static_cast<unsigned char>(word[i - 2]));
        // Digits stay with the letters before them (v2, utf8) and begin a word only after which letters follow.
        const bool after_digits = is_digit(previous) && is_lower(c) && i - part_begin >= 3;
        if (camel || after_digits) {
            close_part(i);
        } else if (run_ends) {
            close_part(i - 1);
        }
    }
    close_part(word.size());
    while (whole_begin_ < lowered_.size() && lowered_[whole_begin_] == '_') ++whole_begin_;
    whole_end_ = static_cast<uint32_t>(lowered_.size());
    while (whole_end_ > whole_begin_ && lowered_[whole_end_ - 1] == '_') --whole_end_;
    whole_end_ = std::min(whole_end_, whole_begin_ + format::kMaxTermBytes);
    if (whole_end_ - whole_begin_ < kMinPartBytes && !(whole_end_ > whole_begin_ && is_lower(static_cast<unsigned char>(lowered_[whole_begin_])))) {
        whole_end_ = whole_begin_;
    }
}

bool is_stop_word(std::string_view term) {
    return std::find(std::begin(kStopWords), std::end(kStopWords), term) != std::end(kStopWords);
}

}  // namespace flyweight::search
