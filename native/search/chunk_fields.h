#pragma once

#include <cstdint>
#include <string_view>

#include "search/bm25.h"
#include "search/terms.h"

namespace flyweight::search {

// How often a term counts, by where it stands. A chunk is also found by the words of its names and its path,
// which its text may not repeat.
struct FieldWeights {
    uint32_t text = 1;
    uint32_t symbol = 2;
    uint32_t scope = 1;
    uint32_t file_stem = 3;
    uint32_t directory = 1;
};

struct PathParts {
    explicit PathParts(std::string_view path) {
        const size_t slash = path.rfind('/');
        const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
        directory = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
        stem = name.substr(0, name.find('.', 1));
    }
    std::string_view directory;
    std::string_view stem;
};

// What a chunk is filed under, wherever the index is kept.
struct ChunkFields {
    std::string_view text;
    std::string_view symbol;
    std::string_view scope;
    std::string_view defined;  // names whose definitions begin here, NUL-separated
};

// Calls sink(text, weight) for every field whose terms the chunk is filed under.
template <typename Sink>
void each_field(const ChunkFields& chunk, const PathParts& path, Sink&& sink) {
    constexpr FieldWeights kWeights;
    sink(chunk.text, kWeights.text);
    sink(chunk.defined, kWeights.symbol);
    sink(chunk.scope, kWeights.scope);
    // What continues a definition is no definition of it.
    if (chunk.defined.empty()) sink(chunk.symbol, kWeights.scope);
    sink(path.stem, kWeights.file_stem);
    sink(path.directory, kWeights.directory);
}

// Calls sink(term) for every definition the chunk is filed under.
template <typename Sink>
void each_definition(std::string_view defined, Sink&& sink) {
    while (!defined.empty()) {
        const size_t end = defined.find('\0') == std::string_view::npos ? defined.size() : defined.find('\0');
        const std::string_view name = last_component(defined.substr(0, end));
        if (!name.empty()) sink(definition_term(name));
        defined.remove_prefix(end < defined.size() ? end + 1 : end);
    }
}

// All of that as text: terms with a space between, as often as they count, definitions last. For stores that have a
// full-text index of their own.
std::string chunk_terms(const ChunkFields& chunk, std::string_view path);

}  // namespace flyweight::search
