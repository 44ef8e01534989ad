#include "search/chunk_fields.h"

namespace flyweight::search {

std::string chunk_terms(std::string_view text, const ChunkNames& names) {
    std::string all;
    TermSplitter splitter;
    const auto append = [&all](std::string_view term) {
        if (!all.empty()) all.push_back(' ');
        all.append(term);
    };
    splitter.split(text, append);
    each_name_field(names, [&](std::string_view field, uint32_t weight) {
        for (uint32_t time = 0; time < weight; ++time) splitter.split(field, append);
    });
    each_definition(names.defined, append);
    return all;
}

}  // namespace flyweight::search
