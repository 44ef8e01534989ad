#include "search/ranking.h"

#include <algorithm>

#include "search/terms.h"

namespace flyweight::search {

QueryWords::QueryWords(std::string_view query) {
    TermSplitter splitter;
    splitter.split(query, [this](std::string_view term) {
        if (is_stop_word(term) || std::find(words.begin(), words.end(), term) != words.end()) return;
        words.emplace_back(term);
    });
}

void rank(const IndexView&, const QueryWords&, float greatest_lexical, std::vector<Candidate>& candidates, size_t limit) {
    for (Candidate& candidate : candidates) {
        candidate.score = 0.5F * candidate.cosine + 0.5F * (greatest_lexical > 0 ? candidate.lexical / greatest_lexical : 0);
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    if (candidates.size() > limit) candidates.resize(limit);
}

}  // namespace flyweight::search
