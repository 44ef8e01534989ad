// The ranking policy: what makes one chunk a better answer than another. Change it here; benchmarks/quality.py tells
// whether it was a good idea.
//
//   score = relevance + file evidence + prior * (path rules + symbol rule)
//
// Each constant says what it brings, as NDCG@10 on the development set (benchmarks/README.md) with and without it. All
// lie on a plateau: 20 % more or less of any changes the total by less than 0.005.

#include "search/ranking.h"

#include <algorithm>
#include <cmath>

#include "search/terms.h"

namespace flyweight::search {

namespace {

// Candidates: enough for the rules to choose from. Anything from 30 to 150 does equally well.
constexpr size_t kMinCandidates = 50;
constexpr size_t kCandidatesPerResult = 5;

// Relevance: both sides as shares of their best, the dense side weighing this much. Reciprocal rank fusion, the usual
// alternative, throws the distances between ranks away and is worse by 0.004.
constexpr float kDenseShare = 0.4F;

// Priors: factors on a file's relevance by what its path says it is, unless the query asks for that kind. They apply
// before candidates are cut, or tests and documentation crowd the source out (0.02 on whole checkouts).
constexpr std::array<float, kPathClasses> kPriors = {
    0.3F,  // kTest
    0.3F,  // kExample
    0.3F,  // kVendored
    0.3F,  // kLegacy
    0.3F,  // kProse
    0.5F,  // kData
    0.7F,  // kDeclaration
};

struct AskingWord {
    std::string_view word;
    FileClass asked;
};
constexpr AskingWord kAskingWords[] = {
    {"test", kTest},      {"tests", kTest},      {"testing", kTest},        {"spec", kTest},
    {"specs", kTest},     {"example", kExample}, {"examples", kExample},    {"demo", kExample},
    {"sample", kExample}, {"samples", kExample}, {"benchmark", kExample},   {"benchmarks", kExample},
    {"bench", kExample},  {"docs", kProse},      {"documentation", kProse}, {"documented", kProse},
    {"readme", kProse},   {"changelog", kProse}, {"guide", kProse},         {"tutorial", kProse},
};

// File evidence: several good chunks in a file speak for it. Goes to the file's best chunk only.
constexpr float kFileEvidence = 0.5F;
// Path rules: the share of the query's words that the file's name has, and of the name's words that the query has.
constexpr float kStemNamed = 0.7F;
constexpr float kStemCovered = 0.5F;
// Symbol rule: a definition of exactly the name that the query is (HTTPServer, a::b, _x), of its one plain word, or of
// a name within it. Such chunks are candidates whatever their scores.
constexpr float kDefinesQuery = 2.0F;
constexpr float kDefinesWord = 1.0F;
constexpr float kDefinesName = 0.3F;
constexpr size_t kDefinitions = 20;
// No pile-up: each further chunk of a file counts this much of the one before.
constexpr float kSameFileDecay = 0.5F;

// Scores are divided by this, so that 1 means every rule at its greatest.
constexpr float kGreatestScore = 1.0F + kFileEvidence + kStemNamed + kStemCovered + kDefinesQuery;

// Files whose directory says what they are about.
constexpr std::string_view kGenericStems[] = {"mod", "lib", "index", "init", "main"};

template <typename Container, typename Value>
bool contains(const Container& values, const Value& value) {
    return std::find(std::begin(values), std::end(values), value) != std::end(values);
}

void add_once(std::vector<std::string>& values, std::string_view value) {
    if (!contains(values, value)) values.emplace_back(value);
}

float share(size_t count, size_t total) {
    return static_cast<float>(count) / static_cast<float>(std::max<size_t>(total, 1));
}

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

// snake_case, camelCase or Capitalised.
bool is_spelt_like_name(std::string_view token) {
    const size_t first = token.find_first_not_of('_');
    if (first == std::string_view::npos) return false;
    const std::string_view inner = token.substr(first, token.find_last_not_of('_') + 1 - first);
    if (inner.find('_') != std::string_view::npos) return true;
    for (size_t i = 1; i < token.size(); ++i) {
        if ((is_lower(token[i - 1]) && is_upper(token[i])) || (is_upper(token[i - 1]) && is_lower(token[i])))
            return true;
    }
    return false;
}

constexpr std::string_view kBlanks = " \t\r\n\f\v";

std::string_view trimmed(std::string_view text) {
    const size_t begin = text.find_first_not_of(kBlanks);
    return begin == std::string_view::npos ? std::string_view()
                                           : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

bool is_one_name(std::string_view query) {
    const bool one_word = std::all_of(query.begin(), query.end(), [](char c) {
        return is_lower(c) || is_upper(c) || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80 ||
               std::string_view("_:.>#\\-").find(c) != std::string_view::npos;
    });
    if (query.empty() || !one_word) return false;
    return query.find("::") != std::string_view::npos || query.find("->") != std::string_view::npos ||
           query.find_first_of("._") != std::string_view::npos || std::any_of(query.begin(), query.end(), is_upper);
}

// The name of a file, or of its directory where that of the file says nothing (mod.rs, index.ts, __init__.py).
std::string_view telling_name(std::string_view path) {
    const size_t slash = path.rfind('/');
    const std::string_view base = slash == std::string_view::npos ? path : path.substr(slash + 1);
    std::string_view stem = base.substr(0, base.find('.'));
    if (stem.empty()) stem = base;
    const size_t first = std::min(stem.find_first_not_of('_'), stem.size());
    const std::string plain = lowered(stem.substr(first, stem.find_last_not_of('_') + 1 - first));
    if (!contains(kGenericStems, std::string_view(plain))) return stem;
    if (slash == std::string_view::npos) return {};
    const std::string_view directories = path.substr(0, slash);
    const size_t above = directories.rfind('/');
    return above == std::string_view::npos ? directories : directories.substr(above + 1);
}

// What all candidates of a file share.
struct FileStanding {
    uint64_t file;
    float prior = 1.0F;
    float path_score = 0.0F;
    float total = 0.0F;  // of relevance
    size_t best = 0;     // candidate
    float best_relevance = -1.0F;
    uint32_t ranked = 0;
};

class Ranking {
  public:
    Ranking(const RankedChunks& chunks, const QueryWords& query, std::vector<Candidate>& candidates)
        : chunks_(chunks), query_(query), candidates_(candidates), priors_(query.priors()) {}

    void run(size_t limit) {
        score_relevance();
        gather_files();
        apply_rules();
        spread_files();
        std::sort(candidates_.begin(), candidates_.end(), by_score);
        if (candidates_.size() > limit) candidates_.resize(limit);
        for (Candidate& candidate : candidates_) candidate.score /= kGreatestScore;
    }

  private:
    static bool by_score(const Candidate& a, const Candidate& b) {
        if (a.score != b.score) return a.score > b.score;
        return a.ref.segment != b.ref.segment ? a.ref.segment < b.ref.segment : a.ref.chunk < b.ref.chunk;
    }

    void score_relevance() {
        float top_lexical = 0.0F;
        float top_dense = 0.0F;
        for (const Candidate& candidate : candidates_) {
            top_lexical = std::max(top_lexical, candidate.lexical);
            top_dense = std::max(top_dense, candidate.dense);
        }
        const float dense_share = top_dense > 0.0F ? kDenseShare : 0.0F;
        float top = 0.0F;
        for (Candidate& candidate : candidates_) {
            const float lexical = top_lexical > 0.0F ? candidate.lexical / top_lexical : 0.0F;
            const float dense = top_dense > 0.0F ? std::max(candidate.dense, 0.0F) / top_dense : 0.0F;
            candidate.score = (1.0F - dense_share) * lexical + dense_share * dense;
            top = std::max(top, candidate.score);
        }
        for (Candidate& candidate : candidates_) candidate.score /= top > 0.0F ? top : 1.0F;
    }

    size_t standing_of(ChunkRef ref) {
        const uint64_t file = chunks_.file(ref);
        for (size_t i = 0; i < files_.size(); ++i) {
            if (files_[i].file == file) return i;
        }
        FileStanding standing{file};
        standing.prior = priors_.of(chunks_.file_class(ref));
        const Overlap stem = overlap(telling_name(chunks_.path(ref)));
        standing.path_score =
            kStemNamed * share(stem.shared, query_.parts.size()) + kStemCovered * share(stem.shared, stem.parts);
        files_.push_back(standing);
        return files_.size() - 1;
    }

    // How many words a name has, and how many of them are words of the query; each counted once.
    struct Overlap {
        size_t parts = 0;
        size_t shared = 0;
    };
    Overlap overlap(std::string_view name) {
        Overlap found;
        name_parts_.clear();
        splitter_.split_parts(name, [&](std::string_view part) {
            const size_t begin = name_parts_.find(part);
            // Words are kept as `one NUL two NUL`: a part is known if it is found as a whole word.
            for (size_t at = begin; at != std::string::npos; at = name_parts_.find(part, at + 1)) {
                if ((at == 0 || name_parts_[at - 1] == '\0') && name_parts_[at + part.size()] == '\0') return;
            }
            name_parts_.append(part).push_back('\0');
            ++found.parts;
            found.shared += contains(query_.parts, part);
        });
        return found;
    }

    void gather_files() {
        for (size_t i = 0; i < candidates_.size(); ++i) {
            file_of_.push_back(standing_of(candidates_[i].ref));
            FileStanding& file = files_[file_of_.back()];
            file.total += candidates_[i].score;
            if (candidates_[i].score > file.best_relevance) {
                file.best_relevance = candidates_[i].score;
                file.best = i;
            }
            top_total_ = std::max(top_total_, file.total);
        }
    }

    void apply_rules() {
        for (size_t i = 0; i < candidates_.size(); ++i) {
            const FileStanding& file = files_[file_of_[i]];
            const float rules = file.path_score + symbol_score(candidates_[i].ref);
            const float evidence = file.best == i && top_total_ > 0.0F ? kFileEvidence * file.total / top_total_ : 0.0F;
            candidates_[i].score += evidence + file.prior * rules;
        }
    }

    float symbol_score(ChunkRef ref) {
        if (query_.names.empty()) return 0.0F;
        // symbol NUL scope [NUL defined name]*
        std::string_view defined = chunks_.symbols(ref);
        for (int field = 0; field < 2; ++field) {
            const size_t end = defined.find('\0');
            if (end == std::string_view::npos) return 0.0F;
            defined.remove_prefix(end + 1);
        }
        while (!defined.empty()) {
            const size_t end = std::min(defined.find('\0'), defined.size());
            const std::string_view symbol = defined.substr(0, end);
            defined.remove_prefix(std::min(end + 1, defined.size()));
            if (contains(query_.names, last_component(symbol))) return definition_weight();
        }
        return 0.0F;
    }

    float definition_weight() const {
        switch (query_.form) {
            case QueryForm::kName:
                return kDefinesQuery;
            case QueryForm::kWord:
                return kDefinesWord;
            default:
                return kDefinesName;
        }
    }

    void spread_files() {
        std::vector<size_t> order(candidates_.size());
        for (size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::sort(order.begin(), order.end(),
                  [this](size_t a, size_t b) { return by_score(candidates_[a], candidates_[b]); });
        for (const size_t i : order) {
            FileStanding& file = files_[file_of_[i]];
            candidates_[i].score *= std::pow(kSameFileDecay, static_cast<float>(file.ranked));
            ++file.ranked;
        }
    }

    const RankedChunks& chunks_;
    const QueryWords& query_;
    std::vector<Candidate>& candidates_;
    Priors priors_;
    std::vector<FileStanding> files_;
    std::vector<size_t> file_of_;
    float top_total_ = 0.0F;
    TermSplitter splitter_;
    std::string name_parts_;
};

}  // namespace

QueryWords::QueryWords(std::string_view query) {
    query = query.substr(0, kMaxQueryBytes);
    std::vector<std::string> tokens;
    std::vector<std::string> content;
    TermSplitter::each_token(query, [&](std::string_view token) {
        add_once(tokens, token);
        const std::string low = lowered(token);
        if (!is_stop_word(low)) add_once(content, token);
        for (const AskingWord& asking : kAskingWords) {
            if (asking.word == low) asked = static_cast<FileClass>(asked | asking.asked);
        }
    });
    if (content.empty()) content = tokens;
    TermSplitter splitter;
    for (const std::string& token : content) {
        splitter.split(token, [this](std::string_view term) { add_once(terms, term); });
        splitter.split_parts(token, [this](std::string_view part) { add_once(parts, part); });
        if (is_spelt_like_name(token)) names.push_back(token);
    }
    const std::string_view whole = trimmed(query);
    if (is_one_name(whole)) {
        form = QueryForm::kName;
        names = {std::string(last_component(whole))};
    } else if (tokens.size() == 1) {
        form = QueryForm::kWord;
        names = tokens;
    }
}

Priors QueryWords::priors() const {
    return {kPriors, asked};
}

size_t definitions_kept() {
    return kDefinitions;
}

size_t candidates_for(size_t limit) {
    return std::max(kMinCandidates, kCandidatesPerResult * limit);
}

void rank(const RankedChunks& chunks, const QueryWords& query, std::vector<Candidate>& candidates, size_t limit) {
    Ranking(chunks, query, candidates).run(limit);
}

}  // namespace flyweight::search
