#include "search/hit.h"

#include <algorithm>

namespace flyweight::search {

Hit make_hit(const IndexView& view, ChunkRef ref, float score) {
    Hit hit;
    hit.segment = view.segments[ref.segment].segment;
    const Segment& segment = *hit.segment;
    const format::ChunkRecord& record = segment.chunk(ref.chunk);
    hit.chunk = ref.chunk;
    hit.start_line = record.start_line;
    hit.end_line = record.end_line;
    hit.score = score;
    const auto append = [&hit](std::string_view text) {
        const std::string_view kept = text.substr(0, UINT16_MAX);
        hit.strings.append(kept);
        return static_cast<uint16_t>(kept.size());
    };
    hit.path_length = append(segment.file_path(record.file));
    hit.language_length = append(segment.file_name(record.file));
    hit.kind_length = append(segment.names()[record.kind]);
    const std::string_view symbols = segment.symbols(ref.chunk);
    const size_t symbol_end = std::min(symbols.find('\0'), symbols.size());
    hit.symbol_length = append(symbols.substr(0, symbol_end));
    if (symbol_end < symbols.size()) {
        const std::string_view rest = symbols.substr(symbol_end + 1);
        append(rest.substr(0, rest.find('\0')));
    }
    return hit;
}

}  // namespace flyweight::search
