#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flyweight::search {

// A chunk that another store than ours has found, with what ranking needs to know of it.
struct GivenRow {
    std::string path;
    std::string symbols;   // symbol NUL scope [NUL defined name]*
    float lexical = 0.0F;  // BM25
    float dense = 0.0F;    // cosine - mean cosine of all chunks
};

// Ranks the rows as chunks of a segment are ranked, priors included: (row, score), best first, at most `limit`. Equal
// scores keep the order of the rows.
std::vector<std::pair<uint32_t, float>> rank_rows(std::string_view query, const std::vector<GivenRow>& rows,
                                                  size_t limit);

}  // namespace flyweight::search
