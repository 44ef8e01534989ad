#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "search/index_view.h"

namespace flyweight::search {

// One result, complete but for its text: names and numbers are copied so that reading them later touches no page of the
// index; the text is read from the segment when asked for, so that a list of hits holds no snippets.
struct Hit {
    std::shared_ptr<const Segment> segment;
    uint32_t chunk = 0;
    uint32_t start_line = 0;
    uint32_t end_line = 0;
    float score = 0.0F;
    uint16_t path_length = 0;
    uint16_t language_length = 0;
    uint16_t kind_length = 0;
    uint16_t symbol_length = 0;
    std::string strings;  // path, language, kind, symbol, scope, one after the other

    std::string_view path() const { return part(0, path_length); }
    std::string_view language() const { return part(path_length, language_length); }
    std::string_view kind() const { return part(path_length + language_length, kind_length); }
    std::string_view symbol() const { return part(path_length + language_length + kind_length, symbol_length); }
    std::string_view scope() const {
        return part(path_length + language_length + kind_length + symbol_length, std::string::npos);
    }

  private:
    std::string_view part(size_t begin, size_t length) const { return std::string_view(strings).substr(begin, length); }
};

Hit make_hit(const IndexView& view, ChunkRef ref, float score);

}  // namespace flyweight::search
