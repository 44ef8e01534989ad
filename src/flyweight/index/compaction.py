"""When segments are merged: few enough to search quickly, seldom enough to write little.

Nothing is merged while there is room for another segment. When there is none, the smallest are merged up to where the
next is largest in proportion to them. So sizes grow from segment to segment like binomial coefficients, and a chunk is
written again only together with others of about its number: with k segments and n runs of one size some k n^(1/k) / e
times (the "binomial" policy of Mathieu, Staelin, Young and Yousefi, "Bigtable Merge Compaction", 2014, which no policy
for k segments undercuts by much). `docs/index-format.md` has what was measured.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.index.manifest import SegmentEntry

# Each costs a query 15 to 40 us and the resident 7 KB. Two more would save a fifth of what merging writes.
MAX_SEGMENTS = 6
# A segment is rewritten when this share of its chunks is dead: scans pay for the dead.
MAX_DEAD_SHARE = 0.25
# A segment joins whatever is merged anyway if it makes that this share larger at most.
_JOINING_SHARE = 0.25


def segments_to_merge(entries: list[SegmentEntry], fresh: set[str]) -> list[SegmentEntry]:
    """The segments to replace by one, in the order they stand; fewer than two living ones merge only when
    something in them is dead.

    `fresh` names those written by the present run, which a builder with a small budget writes many of.
    """
    chosen = {entry.name for entry in entries if len(fresh) > 1 and entry.name in fresh}
    chosen |= {entry.name for entry in entries if entry.dead_chunks > MAX_DEAD_SHARE * entry.chunk_count}
    merged_chunks = sum(entry.live_chunks for entry in entries if entry.name in chosen)
    others = sorted((entry for entry in entries if entry.name not in chosen), key=lambda entry: entry.live_chunks)
    joining = _joining_count([entry.live_chunks for entry in others], merged_chunks, bool(chosen))
    chosen |= {entry.name for entry in others[:joining]}
    return [entry for entry in entries if entry.name in chosen]


def _joining_count(ascending: list[int], merged_chunks: int, merging: bool) -> int:
    """How many of the segments outside a merge, by their chunks, are to be part of it."""
    least = len(ascending) + 1 - MAX_SEGMENTS  # so many at least, or too many remain
    if not merging and len(ascending) <= MAX_SEGMENTS:
        return 0
    best, best_share = 0, float("inf")
    for count, chunks in enumerate(ascending, 1):
        share = chunks / max(1, merged_chunks)  # by which this one makes what it joins larger
        merged_chunks += chunks
        if least <= 0:
            if share <= _JOINING_SHARE:
                best = count
        elif count >= least and (merging or count > 1) and share <= best_share:
            best, best_share = count, share
    return best
