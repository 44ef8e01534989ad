#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "search/index_view.h"

namespace flyweight::search {

// What is known of a chunk when ranking begins.
struct Candidate {
    ChunkRef ref;
    float lexical = 0.0F;  // BM25; 0 where the chunk was not among the lexical best
    float cosine = 0.0F;
    float score = 0.0F;    // the answer
};

// A query as ranking sees it.
struct QueryWords {
    explicit QueryWords(std::string_view query);

    std::string lowered;
    std::vector<std::string> words;  // terms without stop words, in order, each once
    bool looks_like_identifier = false;
};

// How many candidates each of the two searches contributes.
constexpr size_t kCandidatesPerSearch = 80;

// Scores the candidates, orders them best first and keeps `limit`. All policy of the ranking is in ranking.cpp.
void rank(const IndexView& view, const QueryWords& query, float greatest_lexical, std::vector<Candidate>& candidates,
          size_t limit);

}  // namespace flyweight::search
