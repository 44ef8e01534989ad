#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flyweight::search {

// Splits text into the terms of the lexical index: every identifier whole and lower-cased, and, where it has
// several, its parts split at case changes, underscores and between letters and digits:
// `HTTPServer_v2` gives `httpserver_v2`, `http`, `server`, `v2`. Bytes >= 0x80 are letters, so words of any
// script are kept whole. Linear in the text; a term is cut at format::kMaxTermBytes.
class TermSplitter {
  public:
    // Calls sink(std::string_view term) for each term. The view dies with the call.
    template <typename Sink>
    void split(std::string_view text, Sink&& sink);

  private:
    static bool is_word(unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    }
    // Lower-cases `word` into lowered_ and records where its parts begin and end.
    void analyse(std::string_view word);

    struct Part {
        uint32_t begin;
        uint32_t end;
    };
    std::string lowered_;
    std::vector<Part> parts_;
    uint32_t whole_begin_ = 0;
    uint32_t whole_end_ = 0;
};

// True for words so common in English questions that they carry no meaning in a query ("how", "the", "does").
bool is_stop_word(std::string_view term);

template <typename Sink>
void TermSplitter::split(std::string_view text, Sink&& sink) {
    size_t position = 0;
    while (position < text.size()) {
        while (position < text.size() && !is_word(static_cast<unsigned char>(text[position]))) ++position;
        const size_t begin = position;
        while (position < text.size() && is_word(static_cast<unsigned char>(text[position]))) ++position;
        if (position == begin) break;
        analyse(text.substr(begin, position - begin));
        const std::string_view lowered(lowered_);
        if (whole_end_ > whole_begin_) sink(lowered.substr(whole_begin_, whole_end_ - whole_begin_));
        if (parts_.size() < 2) continue;
        for (const Part& part : parts_) sink(lowered.substr(part.begin, part.end - part.begin));
    }
}

}  // namespace flyweight::search
