#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flyweight::search {

// Splits text into the terms of the lexical index. A token is a run of letters, digits, underscores and bytes >= 0x80
// (letters of other scripts). Its parts are cut at case changes, underscores and between letters and digits,
// lower-cased and stemmed: `HTTPServer_v2` has `http`, `serv`, `v`, `2`. A token of several parts is also kept whole,
// without its underscores: renderTemplate, render_template and rendertemplate meet. Linear in the text, nothing
// allocated per term.
class TermSplitter {
  public:
    // Calls sink(std::string_view term) for each term. The view dies with the call.
    template <typename Sink>
    void split(std::string_view text, Sink&& sink) {
        each_token(text, [&](std::string_view token) {
            analyse(token);
            if (parts_.size() > 1) sink(std::string_view(whole_));
            for (const Part& part : parts_) sink(std::string_view(stems_).substr(part.begin, part.length));
        });
    }

    // Calls sink(part) for each part of each token.
    template <typename Sink>
    void split_parts(std::string_view text, Sink&& sink) {
        each_token(text, [&](std::string_view token) {
            analyse(token);
            for (const Part& part : parts_) sink(std::string_view(stems_).substr(part.begin, part.length));
        });
    }

    // Calls sink(token) for each token as it is written.
    template <typename Sink>
    static void each_token(std::string_view text, Sink&& sink) {
        size_t position = 0;
        while (position < text.size()) {
            while (position < text.size() && !is_word(static_cast<unsigned char>(text[position]))) ++position;
            const size_t begin = position;
            while (position < text.size() && is_word(static_cast<unsigned char>(text[position]))) ++position;
            if (position > begin) sink(text.substr(begin, position - begin));
        }
    }

  private:
    struct Part {
        uint32_t begin;
        uint32_t length;
    };

    static bool is_word(unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    }
    void analyse(std::string_view token);
    void add_part(std::string_view part);

    std::string whole_;
    std::string stems_;
    std::vector<Part> parts_;
};

// True for words so common in English questions that they carry no meaning in a query ("how", "the", "does").
bool is_stop_word(std::string_view lowered);

// What follows the last of `::`, `.`, `->`, `#`, `/`, `\`: the name a qualified name is about.
std::string_view last_component(std::string_view name);

std::string lowered(std::string_view text);  // ASCII letters only

}  // namespace flyweight::search
