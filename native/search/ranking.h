#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "search/path_class.h"
#include "search/ranked_chunks.h"

namespace flyweight::search {

// A chunk that one of the two searches found.
struct Candidate {
    ChunkRef ref;
    float lexical = 0.0F;  // BM25 times prior; 0 where the chunk was not among the lexical best
    float dense = 0.0F;    // (cosine - mean cosine of all chunks) times prior
    float score = 0.0F;    // the answer
};

enum class QueryForm {
    kText,  // several words; `names` are those spelt like identifiers
    kWord,  // one plain word
    kName,  // one qualified or distinctly spelt name, of which `names` has the last component
};

// Text beyond this adds time and no meaning: a 1 MB query is a pasted file.
constexpr size_t kMaxQueryBytes = 4096;

// A query as ranking sees it.
struct QueryWords {
    explicit QueryWords(std::string_view query);  // of which the first kMaxQueryBytes count

    std::vector<std::string> terms;  // what BM25 looks up, each once
    std::vector<std::string> parts;  // the words of the query, split and stemmed, each once
    std::vector<std::string> names;  // names whose definitions it may be after, as they are spelt
    QueryForm form = QueryForm::kText;
    FileClass asked = 0;  // kinds of file the query asks for

    Priors priors() const;
};

// Candidates that each of the two searches contributes to a query for `limit` results.
size_t candidates_for(size_t limit);

// Chunks that define a name of the query and are candidates for that alone.
size_t definitions_kept();

// Scores the candidates, orders them best first and keeps `limit`. The whole ranking policy, every rule and every
// weight, is in ranking.cpp.
void rank(const RankedChunks& chunks, const QueryWords& query, std::vector<Candidate>& candidates, size_t limit);

}  // namespace flyweight::search
