#include "search/chunk_fields.h"

namespace flyweight::search {

std::string chunk_terms(const ChunkFields& chunk, std::string_view path) {
    std::string all;
    TermSplitter splitter;
    const auto append = [&all](std::string_view term) {
        if (!all.empty()) all.push_back(' ');
        all.append(term);
    };
    each_field(chunk, PathParts(path), [&](std::string_view text, uint32_t weight) {
        for (uint32_t time = 0; time < weight; ++time) splitter.split(text, append);
    });
    each_definition(chunk.defined, append);
    return all;
}

}  // namespace flyweight::search
