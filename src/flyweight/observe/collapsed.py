"""A capture as collapsed stacks, which flame graph tools read: outermost first, semicolons between, then a number."""

from __future__ import annotations

from flyweight.observe.call_chains import LIVE_BYTES, PEAK_BYTES, TOTAL_BYTES, TOTAL_COUNT, call_chains
from flyweight.observe.document import Document, Frame

# What may be measured, as hot_paths() calls it.
MEASURE_OF = {"live": LIVE_BYTES, "peak": PEAK_BYTES, "bytes": TOTAL_BYTES, "count": TOTAL_COUNT}
# Names that say nothing without their directory's.
_SAME_EVERYWHERE = ("__init__.py", "__main__.py")


def collapsed(document: Document, by: str = "live") -> str:
    """One line a call chain. by: live, peak, bytes (allocated in all) or count (allocations)."""
    measure = MEASURE_OF[by]
    frames, chains = call_chains(document)
    names = [_frame_text(frame) for frame in frames]
    sums: dict[str, int] = {}
    for chain in chains:
        line = ";".join(names[number] for number in chain.frames)
        sums[line] = sums.get(line, 0) + chain.values[measure]
    return "".join(f"{line} {value}\n" for line, value in sums.items() if value > 0)


def _frame_text(frame: Frame) -> str:
    file, line, function = frame
    *_, directory, name = "", *file.split("/")
    if name in _SAME_EVERYWHERE and directory:
        name = f"{directory}/{name}"
    place = f" ({name}:{line})" if line > 0 else f" ({name})" if name else ""
    # A semicolon would end the frame, a line break the stack.
    text = f"{function or '?'}{place}".replace(";", ":")
    return "".join(char if char.isprintable() else " " for char in text)
