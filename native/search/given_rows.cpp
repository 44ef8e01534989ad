#include "search/given_rows.h"

#include <unordered_map>

#include "search/ranked_chunks.h"
#include "search/ranking.h"

namespace flyweight::search {

namespace {

class RowChunks final : public RankedChunks {
  public:
    explicit RowChunks(const std::vector<GivenRow>& rows) : rows_(rows) {
        std::unordered_map<std::string_view, uint32_t> first_rows;
        for (uint32_t row = 0; row < rows.size(); ++row) {
            files_.push_back(first_rows.try_emplace(rows[row].path, row).first->second);
            classes_.push_back(files_[row] == row ? classify(rows[row].path) : classes_[files_[row]]);
        }
    }

    uint64_t file(ChunkRef ref) const override { return files_[ref.chunk]; }
    std::string_view path(ChunkRef ref) const override { return rows_[ref.chunk].path; }
    FileClass file_class(ChunkRef ref) const override { return classes_[ref.chunk]; }
    std::string_view symbols(ChunkRef ref) const override { return rows_[ref.chunk].symbols; }

  private:
    const std::vector<GivenRow>& rows_;
    std::vector<uint32_t> files_;  // by row: the first row of its file
    std::vector<FileClass> classes_;
};

}  // namespace

std::vector<std::pair<uint32_t, float>> rank_rows(std::string_view query, const std::vector<GivenRow>& rows,
                                                  size_t limit) {
    const QueryWords words(query);
    const Priors priors = words.priors();
    const RowChunks chunks(rows);
    std::vector<Candidate> candidates;
    candidates.reserve(rows.size());
    for (uint32_t row = 0; row < rows.size(); ++row) {
        const ChunkRef ref{0, row};
        const float prior = priors.of(chunks.file_class(ref));
        candidates.push_back({ref, rows[row].lexical * prior, rows[row].dense * prior, 0.0F});
    }
    rank(chunks, words, candidates, limit);
    std::vector<std::pair<uint32_t, float>> ranked;
    ranked.reserve(candidates.size());
    for (const Candidate& candidate : candidates) ranked.emplace_back(candidate.ref.chunk, candidate.score);
    return ranked;
}

}  // namespace flyweight::search
