from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.index.compaction import MAX_DEAD_SHARE, MAX_SEGMENTS, segments_to_merge
from flyweight.index.manifest import SegmentEntry


@st.composite
def _segments(draw: st.DrawFn) -> list[SegmentEntry]:
    entries = []
    for number in range(draw(st.integers(0, 20))):
        chunks = draw(st.integers(0, 10_000))
        entries.append(SegmentEntry(f"{number}.segment", 1, 1, chunks, "0", draw(st.integers(0, chunks))))
    return entries


def fresh_of(entries: list[SegmentEntry], count: int) -> set[str]:
    return {entry.name for entry in entries[len(entries) - count :]} if count else set()


@given(_segments(), st.integers(0, 5))
def test_no_more_segments_remain_than_a_query_should_visit(entries: list[SegmentEntry], fresh: int) -> None:
    chosen = segments_to_merge(entries, fresh_of(entries, fresh))
    assert len(entries) - len(chosen) + (1 if chosen else 0) <= MAX_SEGMENTS


@given(_segments(), st.integers(0, 5))
def test_segments_with_many_dead_chunks_are_rewritten(entries: list[SegmentEntry], fresh: int) -> None:
    chosen = {entry.name for entry in segments_to_merge(entries, fresh_of(entries, fresh))}
    for entry in entries:
        if entry.dead_chunks > MAX_DEAD_SHARE * entry.chunk_count:
            assert entry.name in chosen


@given(_segments(), st.integers(0, 5))
def test_what_is_merged_keeps_its_order(entries: list[SegmentEntry], fresh: int) -> None:
    """The order decides which of two equal answers comes first."""
    chosen = segments_to_merge(entries, fresh_of(entries, fresh))
    names = [entry.name for entry in chosen]
    assert names == [entry.name for entry in entries if entry.name in set(names)]


@given(_segments(), st.integers(0, 5))
def test_a_segment_is_not_rewritten_for_nothing(entries: list[SegmentEntry], fresh: int) -> None:
    chosen = segments_to_merge(entries, fresh_of(entries, fresh))
    assert len(chosen) != 1 or chosen[0].dead_chunks > 0


@given(_segments(), st.integers(2, 5))
def test_what_one_run_wrote_becomes_one_segment(entries: list[SegmentEntry], fresh: int) -> None:
    names = fresh_of(entries, fresh)
    chosen = {entry.name for entry in segments_to_merge(entries, names)}
    assert len(names) < 2 or names <= chosen


def test_few_sound_segments_are_left_alone() -> None:
    entries = [SegmentEntry(f"{number}.segment", 1, 10, 100) for number in range(MAX_SEGMENTS)]
    assert segments_to_merge(entries, {entries[-1].name}) == []


def test_a_large_segment_is_not_rewritten_to_take_in_a_small_one() -> None:
    entries = [SegmentEntry("large.segment", 1, 1, 1_000_000)]
    entries += [SegmentEntry(f"{number}.segment", 1, 1, 10) for number in range(MAX_SEGMENTS)]
    chosen = {entry.name for entry in segments_to_merge(entries, {"5.segment"})}
    assert "large.segment" not in chosen
    assert len(chosen) >= 2


def test_small_segments_merge_up_to_where_the_next_is_large_in_proportion() -> None:
    sizes = [100_000, 900, 100, 10, 10, 10, 10]
    entries = [SegmentEntry(f"{number}.segment", 1, 1, chunks) for number, chunks in enumerate(sizes)]
    assert [entry.live_chunks for entry in segments_to_merge(entries, {"6.segment"})] == [10, 10, 10, 10]


def chunks_written(runs: int, change: Callable[[int], int], entries: list[SegmentEntry]) -> int:
    """By merges, while every run adds a segment of `change(run)` chunks."""
    written = 0
    for run in range(runs):
        entries.append(SegmentEntry(f"{run}.segment", 1, 1, change(run)))
        chosen = segments_to_merge(entries, {f"{run}.segment"})
        if chosen:
            chunks = sum(entry.live_chunks for entry in chosen)
            written += chunks
            names = {entry.name for entry in chosen}
            entries = [entry for entry in entries if entry.name not in names]
            entries.insert(0, SegmentEntry(f"{run}-merged.segment", 1, 1, chunks))
    return written


@pytest.mark.parametrize("before", [0, 100_000])
def test_a_thousand_small_runs_write_what_they_add_seven_times_more(before: int) -> None:
    """Joining each to what the one before had joined would be 80-fold, rewriting the whole index 500-fold."""
    entries = [SegmentEntry("before.segment", 1, 1, before)] if before else []
    assert chunks_written(1000, lambda run: 10, entries) <= 7 * 10_000


def test_runs_of_very_different_sizes_write_little_more() -> None:
    draw = random.Random(5)
    sizes = [int(10 ** (4 * draw.random())) for _ in range(1000)]
    assert chunks_written(1000, sizes.__getitem__, []) <= 7 * sum(sizes)
