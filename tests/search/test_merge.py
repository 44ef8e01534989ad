from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_segment import MadeFile, made_files, searcher_over, write_segment
from source_tree import WORDS

from flyweight._build import Segment, merge_segments
from flyweight.errors import FlyweightError, IndexCorruptError, IndexMissingError, IndexWriteError

DIMENSIONS = 64


def merge(parts: list[tuple[Path, str]], path: Path) -> Path:
    counts = merge_segments([(str(part), dead) for part, dead in parts], str(path), b"made")
    segment = Segment.open(str(path))
    assert counts == (segment.size_bytes, segment.file_count, segment.chunk_count)
    assert segment.size_bytes == path.stat().st_size
    return path


def table(path: Path) -> list[tuple[object, ...]]:
    """Every file with the texts of its chunks, in the order of the segment; checks the index by path on the way."""
    segment = Segment.open(str(path))
    assert segment.text_intact()
    rows, first = [], 0
    for number in range(segment.file_count):
        record = segment.file(number)
        assert segment.find_file(record[0]) == number
        rows.append((*record, *(segment.text(chunk) for chunk in range(first, first + record[5]))))
        first += record[5]
    assert first == segment.chunk_count
    return rows


def answers(path: Path, query: str, vector: bytes, limit: int) -> list[tuple[object, ...]]:
    hits, _ = searcher_over(path).search(query, limit, 0.0, [], [], [], vector, False)
    return [(h.path, h.start_line, h.end_line, h.language, h.kind, h.symbol, h.scope, h.text, h.score) for h in hits]


def assert_same_index(merged: Path, at_once: Path, *, all_living: bool) -> None:
    """Same files in the same order, same lexicon, same answers from words and from vectors."""
    assert table(merged) == table(at_once)
    assert Segment.open(str(merged)).term_count == Segment.open(str(at_once)).term_count
    draw = np.random.default_rng(1)
    for word in (*WORDS[::12], "account archive", "writer zone token"):
        ours, theirs = (answers(path, word, bytes(4 * DIMENSIONS), 500) for path in (merged, at_once))
        if all_living:
            assert ours == theirs
        else:  # the average length of a chunk is known to within 2.2 % then: near-equal chunks may trade places
            assert {row[:-1] for row in ours} == {row[:-1] for row in theirs}
        vector = draw.standard_normal(DIMENSIONS).astype("<f4")
        vector /= np.linalg.norm(vector)
        ours, theirs = (answers(path, word, vector.tobytes(), 500) for path in (merged, at_once))
        assert {row[:-1] for row in ours} == {row[:-1] for row in theirs}
        scanned = searcher_over(merged).vector_scan(vector.tobytes(), 20)
        assert scanned == searcher_over(at_once).vector_scan(vector.tobytes(), 20)


@pytest.mark.parametrize("seed", range(3))
def test_merged_segments_are_the_segment_that_would_have_been_built_at_once(tmp_path: Path, seed: int) -> None:
    files = made_files(seed, 120)
    cuts = sorted(random.Random(seed).sample(range(121), 3))
    pieces = [files[a:b] for a, b in zip([0, *cuts], [*cuts, 120], strict=True)]
    parts = [(write_segment(tmp_path / f"{i}.segment", piece), "") for i, piece in enumerate(pieces)]
    merged = merge(parts, tmp_path / "merged.segment")
    assert_same_index(merged, write_segment(tmp_path / "one.segment", files), all_living=True)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), parts=st.integers(1, 4))
def test_dead_files_are_gone_after_a_merge(scratch_path: Path, seed: int, share: float, parts: int) -> None:
    directory = scratch_path / "merge"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    draw = random.Random(seed)
    inputs, living = [], []
    for part in range(parts):
        files = made_files(seed + part, draw.randrange(60), first=1000 * part)
        dead = [number for number in range(len(files)) if draw.random() < share]
        path = write_segment(directory / f"{part}.segment", files)
        inputs.append((path, ",".join(map(str, dead))))
        living += [file for number, file in enumerate(files) if number not in dead]
    merged = merge(inputs, directory / "merged.segment")
    assert_same_index(merged, write_segment(directory / "one.segment", living), all_living=False)


def test_merging_is_associative(tmp_path: Path) -> None:
    pieces = [made_files(seed, 40, first=100 * seed) for seed in range(3)]
    a, b, c = (write_segment(tmp_path / f"{i}.segment", files) for i, files in enumerate(pieces))
    left = merge([(merge([(a, ""), (b, "")], tmp_path / "ab.segment"), ""), (c, "")], tmp_path / "left.segment")
    right = merge([(a, ""), (merge([(b, ""), (c, "")], tmp_path / "bc.segment"), "")], tmp_path / "right.segment")
    assert_same_index(left, right, all_living=True)


def test_a_merge_of_nothing_living_is_an_empty_segment(tmp_path: Path) -> None:
    part = write_segment(tmp_path / "a.segment", made_files(1, 10))
    merged = merge([(part, "0-9")], tmp_path / "merged.segment")
    assert table(merged) == []
    assert answers(merged, "account", bytes(4 * DIMENSIONS), 10) == []


def test_empty_segments_merge_with_full_ones(tmp_path: Path) -> None:
    files = made_files(2, 30)
    empty = write_segment(tmp_path / "empty.segment", [])
    full = write_segment(tmp_path / "full.segment", files)
    merged = merge([(empty, ""), (full, ""), (empty, "")], tmp_path / "merged.segment")
    assert_same_index(merged, full, all_living=True)


def test_postings_of_a_term_in_thousands_of_chunks_survive(tmp_path: Path) -> None:
    files = [MadeFile(f"f{i}.py", [f"common word{i % 7}"] * 10) for i in range(300)]
    parts = [(write_segment(tmp_path / f"{i}.segment", files[i::3]), "0,5-9") for i in range(3)]
    merged = merge(parts, tmp_path / "merged.segment")
    hits, _ = searcher_over(merged).search("common", 10_000, 0.0, [], [], [], bytes(4 * 64), False)
    assert len(hits) == (300 - 3 * 6) * 10


def test_segments_of_different_dimensions_are_not_merged(tmp_path: Path) -> None:
    a = write_segment(tmp_path / "a.segment", [MadeFile("a.py", ["x"])], 64)
    b = write_segment(tmp_path / "b.segment", [MadeFile("b.py", ["x"])], 128)
    with pytest.raises(FlyweightError, match="dimensions"):
        merge([(a, ""), (b, "")], tmp_path / "merged.segment")
    with pytest.raises(FlyweightError, match="dimensions"):
        searcher_over(a, b)


@pytest.mark.parametrize("dead", ["10", "3-10", "5-3", "x", "1,,2", "-", "1-", "-1", "1;2", "99999999999", " 1"])
def test_a_list_of_dead_files_that_makes_no_sense_is_refused(tmp_path: Path, dead: str) -> None:
    part = write_segment(tmp_path / "a.segment", made_files(1, 10))
    with pytest.raises(IndexCorruptError, match="dead file"):
        searcher_over((part, dead))
    with pytest.raises(IndexCorruptError, match="dead file"):
        merge([(part, dead)], tmp_path / "merged.segment")


def test_a_merge_of_a_damaged_segment_is_refused(tmp_path: Path) -> None:
    part = write_segment(tmp_path / "a.segment", made_files(1, 10))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(IndexCorruptError, match=r"a\.segment"):
        merge([(part, "")], tmp_path / "merged.segment")


def test_a_merge_does_not_make_altered_text_look_sound(tmp_path: Path) -> None:
    part = write_segment(tmp_path / "a.segment", [MadeFile("a.py", ["one sound chunk", "another sound chunk"])])
    data = bytearray(part.read_bytes())
    data[data.index(b"another")] ^= 0x20
    part.write_bytes(data)
    try:
        merged = merge([(part, "")], tmp_path / "merged.segment")
    except IndexCorruptError:
        return
    segment = Segment.open(str(merged))
    assert segment.text(0) == b"one sound chunk"
    with pytest.raises(IndexCorruptError):
        segment.text(1)


def test_a_missing_input_or_output_directory_is_named(tmp_path: Path) -> None:
    part = write_segment(tmp_path / "a.segment", made_files(1, 10))
    with pytest.raises((IndexMissingError, IndexWriteError), match=r"gone\.segment"):
        merge([(tmp_path / "gone.segment", "")], tmp_path / "merged.segment")
    with pytest.raises(IndexWriteError, match="nowhere"):
        merge([(part, "")], tmp_path / "nowhere" / "merged.segment")
