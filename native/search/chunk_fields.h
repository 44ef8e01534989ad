#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "search/bm25.h"
#include "search/terms.h"

namespace flyweight::search {

// What names a chunk, beside its text.
struct ChunkNames {
    std::string_view path;
    std::string_view symbol;
    std::string_view scope;
    std::string_view defined;  // names whose definitions begin here, NUL-separated
};

// Calls sink(field, weight) for what a chunk is filed under beside its text, which counts once: a chunk is also found
// by the words of its names and its path, which its text may not repeat.
template <typename Sink>
void each_name_field(const ChunkNames& chunk, Sink&& sink) {
    sink(chunk.defined, 2U);
    sink(chunk.scope, 1U);
    // What continues a definition is no definition of it.
    if (chunk.defined.empty()) sink(chunk.symbol, 1U);
    const size_t name_begin = chunk.path.rfind('/') + 1;  // 0 where there is no slash
    const std::string_view name = chunk.path.substr(name_begin);
    sink(name.substr(0, name.find('.', 1)), 3U);
    sink(chunk.path.substr(0, name_begin), 1U);
}

// Calls sink(term) for every definition the chunk is filed under.
template <typename Sink>
void each_definition(std::string_view defined, Sink&& sink) {
    while (!defined.empty()) {
        const size_t end = std::min(defined.find('\0'), defined.size());
        const std::string_view name = last_component(defined.substr(0, end));
        if (!name.empty()) sink(definition_term(name));
        defined.remove_prefix(std::min(end + 1, defined.size()));
    }
}

// The terms a segment would file the chunk under, as often as they count, with a space between; definitions last. For
// stores that have a full-text index of their own.
std::string chunk_terms(std::string_view text, const ChunkNames& names);

}  // namespace flyweight::search
