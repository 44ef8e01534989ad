#include "search/stem.h"

#include <algorithm>
#include <string_view>

namespace flyweight::search {

namespace {

bool has_vowel(std::string_view word) {
    return word.find_first_of("aeiouy") != std::string_view::npos;
}

template <size_t N>
bool ends_with_any(std::string_view word, const std::string_view (&endings)[N]) {
    return std::any_of(std::begin(endings), std::end(endings),
                       [word](std::string_view ending) { return word.ends_with(ending); });
}

// "stopp" is what is left of "stopping"; "call" of "calling" keeps its double letter.
std::string_view undouble(std::string_view word) {
    const size_t n = word.size();
    const bool doubled = n > 2 && word[n - 1] == word[n - 2];
    if (doubled && word[n - 1] != 'l' && word[n - 1] != 's' && word[n - 1] != 'z') word.remove_suffix(1);
    return word;
}

}  // namespace

void stem(std::string& text, size_t begin) {
    std::string_view word = std::string_view(text).substr(begin);
    const auto cut = [&word](size_t letters) { word.remove_suffix(letters); };
    static constexpr std::string_view kSibilants[] = {"sses", "shes", "ches", "xes", "zes"};
    static constexpr std::string_view kNotPlural[] = {"ss", "us", "is"};
    bool y = false;
    if (word.size() > 4 && word.ends_with("ies")) {
        cut(3);
        y = true;
    } else if (word.size() > 4 && ends_with_any(word, kSibilants)) {
        cut(2);
    } else if (word.size() > 3 && word.ends_with('s') && !ends_with_any(word, kNotPlural)) {
        cut(1);
    }
    if (y) {
        text[begin + word.size()] = 'y';
        word = std::string_view(text).substr(begin, word.size() + 1);
    }
    if (word.size() > 5 && word.ends_with("ing") && has_vowel(word.substr(0, word.size() - 3))) {
        cut(3);
        word = undouble(word);
    } else if (word.size() > 4 && word.ends_with("ed") && has_vowel(word.substr(0, word.size() - 2))) {
        cut(2);
        word = undouble(word);
    }
    if (word.size() > 4 && word.ends_with('e')) cut(1);
    static constexpr std::string_view kVerbalNouns[] = {"ation", "ition", "ator", "itor"};
    static constexpr std::string_view kAgents[] = {"er", "or", "ion", "ment", "abl"};
    const auto ending_of = [&word](const auto& endings) -> size_t {
        for (const std::string_view ending : endings) {
            if (word.size() > ending.size() + 3 && word.ends_with(ending)) return ending.size();
        }
        return 0;
    };
    if (const size_t letters = ending_of(kVerbalNouns); letters > 0) {
        cut(letters);
    } else if (const size_t fewer = ending_of(kAgents); fewer > 0) {
        cut(fewer);
        word = undouble(word);
    } else if (word.size() > 6 && word.ends_with("at")) {
        cut(2);
    }
    text.resize(begin + word.size());
}

}  // namespace flyweight::search
