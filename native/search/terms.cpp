#include "search/terms.h"

#include <algorithm>

#include "search/segment_format.h"
#include "search/stem.h"

namespace flyweight::search {

namespace {

// Nobody names a thing with more bytes than this; what is longer is data (a base64 block, a hash).
constexpr size_t kMaxTokenBytes = 256;

bool is_lower(char c) {
    return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80;
}
bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
char lower(char c) {
    return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c;
}

constexpr std::string_view kStopWords[] = {
    "a",    "an",    "and",    "are",    "as",      "at",    "be",      "been",  "being", "but",   "by",
    "can",  "could", "did",    "do",     "does",    "doing", "done",    "for",   "from",  "get",   "gets",
    "got",  "had",   "has",    "have",   "how",     "i",     "if",      "in",    "into",  "is",    "it",
    "its",  "me",    "my",     "no",     "not",     "of",    "off",     "on",    "onto",  "or",    "our",
    "out",  "over",  "should", "so",     "some",    "such",  "than",    "that",  "the",   "their", "them",
    "then", "there", "these",  "they",   "this",    "those", "through", "to",    "under", "until", "up",
    "via",  "was",   "we",     "were",   "what",    "when",  "where",   "which", "while", "who",   "whose",
    "why",  "will",  "with",   "within", "without", "would", "you",     "your",
};

}  // namespace

void TermSplitter::add_part(std::string_view part) {
    const size_t begin = stems_.size();
    for (const char c : part.substr(0, format::kMaxTermBytes)) stems_.push_back(lower(c));
    stem(stems_, begin);
    parts_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(stems_.size() - begin)});
}

void TermSplitter::analyse(std::string_view token) {
    parts_.clear();
    stems_.clear();
    whole_.clear();
    if (token.size() > kMaxTokenBytes) return;
    size_t i = 0;
    while (i < token.size()) {
        const size_t begin = i;
        if (is_upper(token[i])) {
            while (i < token.size() && is_upper(token[i])) ++i;
            if (i < token.size() && is_lower(token[i])) {
                // The last capital of a run starts the next word: HTTPServer is HTTP and Server.
                if (i - begin > 1) {
                    --i;
                } else {
                    while (i < token.size() && is_lower(token[i])) ++i;
                }
            }
        } else if (is_lower(token[i])) {
            while (i < token.size() && is_lower(token[i])) ++i;
        } else if (is_digit(token[i])) {
            while (i < token.size() && is_digit(token[i])) ++i;
        } else {
            ++i;
            continue;
        }
        add_part(token.substr(begin, i - begin));
    }
    if (parts_.size() > 1) {
        for (const char c : token.substr(0, format::kMaxTermBytes)) {
            if (c != '_') whole_.push_back(lower(c));
        }
        stem(whole_, 0);
    }
}

bool is_stop_word(std::string_view lowered) {
    return std::binary_search(std::begin(kStopWords), std::end(kStopWords), lowered);
}

std::string_view last_component(std::string_view name) {
    const size_t separator = name.find_last_of(".:>#/\\");
    return separator == std::string_view::npos ? name : name.substr(separator + 1);
}

std::string lowered(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(), lower);
    return result;
}

}  // namespace flyweight::search
