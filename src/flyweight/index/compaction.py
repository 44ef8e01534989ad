"""When segments are merged: few enough to search quickly, seldom enough to write little."""

from __future__ import annotations

from flyweight.index.manifest import SegmentEntry

# Each segment costs a query about 10 us of lexicon lookups.
MAX_SEGMENTS = 6
# A segment is rewritten when this share of its chunks is dead: scans pay for the dead.
MAX_DEAD_SHARE = 0.25


def segments_to_merge(entries: list[SegmentEntry], fresh: set[str]) -> list[SegmentEntry]:
    """The segments to replace by one, in the order they stand; fewer than two living ones merge only when
    something in them is dead.

    `fresh` names those written by the present run, which a builder with a small budget writes many of.
    """
    chosen = {entry.name for entry in entries if len(fresh) > 1 and entry.name in fresh}
    chosen |= {entry.name for entry in entries if entry.dead_chunks > MAX_DEAD_SHARE * entry.chunk_count}
    merged_chunks = sum(entry.live_chunks for entry in entries if entry.name in chosen)
    others = sorted((entry for entry in entries if entry.name not in chosen), key=lambda entry: entry.live_chunks)
    for entry in others:
        remaining = len(entries) - len(chosen) + (1 if chosen else 0)
        # Small ones join whatever is merged anyway; larger ones only when there are too many.
        if remaining > MAX_SEGMENTS or (chosen and 4 * entry.live_chunks <= merged_chunks):
            chosen.add(entry.name)
            merged_chunks += entry.live_chunks
    return [entry for entry in entries if entry.name in chosen]
