"""What a segment gives back of what was put into it: for those who move an index elsewhere."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from made_segment import MadeFile, made_files, write_segment
from test_vector_scan import clustered_vectors, random_vectors, write

from flyweight._build import Segment, SegmentBuilder, chunk_terms, merge_segments, terms
from flyweight._search import definition_term
from flyweight.index.chunk import Chunk

# Powers of two are rotated by one transform, all others by two that overlap.
DIMENSIONS = [8, 24, 64, 256, 384, 512, 768, 1000, 1024, 1536, 2048, 2072, 3072, 4096]


def opened(path: Path) -> Segment:
    return Segment.open(os.fsencode(path))


def vector(segment: Segment, chunk: int) -> np.ndarray:
    return np.frombuffer(segment.vector(chunk), "<f4")


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_vector_comes_back_as_it_was_added_to_within_the_rounding_of_a_byte(tmp_path: Path, dimensions: int) -> None:
    vectors = random_vectors(20, dimensions, dimensions)
    segment = opened(write(tmp_path / "a.segment", vectors))
    for number, added in enumerate(vectors):
        found = vector(segment, number)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        # Rounding is to 1/127 of the largest component, evenly spread: its length is that of `dimensions` such errors.
        assert np.linalg.norm(found - added) < 0.02


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_vector_that_loses_nothing_to_rounding_comes_back_exactly(tmp_path: Path, dimensions: int) -> None:
    """What was written from a vector read back is read back the same: the rotation and its inverse cancel out."""
    first = opened(write(tmp_path / "a.segment", clustered_vectors(6, dimensions, 3)))
    read = np.vstack([vector(first, number) for number in range(6)])
    second = opened(write(tmp_path / "b.segment", read))
    for number in range(6):
        assert vector(second, number) == pytest.approx(read[number], abs=2e-6)


def test_a_vector_of_zeros_comes_back_as_zeros(tmp_path: Path) -> None:
    segment = opened(write_segment(tmp_path / "a.segment", [MadeFile("a.py", ["x"])]))
    assert segment.vector(0) == bytes(4 * 64)


def test_chunks_come_back_with_their_places_and_names(tmp_path: Path) -> None:
    text = b"# top\nclass A:\n    def b(self): ...\n\n# end"
    end = text.index(b"\n\n")
    chunks = [
        Chunk(6, end, 2, 3, "A", "mod", "class", ("A", "A.b")),
        Chunk(end, len(text), 4, 5, "A", "", "", ()),
        Chunk(0, 0, 1, 1, "", "", "", ()),
    ]
    builder = SegmentBuilder(os.fsencode(tmp_path / "a.segment"), 8, b"")
    builder.add_skipped("logo.png", "binary", bytes(16), 3, 1)
    builder.add_file("a.py", "python", blake2b(text, digest_size=16).digest(), 1, text, chunks, bytes(3 * 8 * 4))
    builder.finish()
    segment = opened(tmp_path / "a.segment")
    assert segment.chunk(0) == (1, 2, 3, 6, end, "A", "mod", b"A\0A.b", "class")
    assert segment.chunk(1) == (1, 4, 5, end, len(text), "A", "", b"", "")
    assert segment.chunk(2) == (1, 1, 1, 0, 0, "", "", b"", "")
    assert (segment.file_text(0), segment.file_text(1)) == (b"", text)


def test_files_keep_their_text_through_a_merge(tmp_path: Path) -> None:
    files = made_files(4, 30)
    parts = [write_segment(tmp_path / f"{number}.segment", files[number::2]) for number in range(2)]
    merge_segments([(str(parts[0]), ""), (str(parts[1]), "")], str(tmp_path / "merged.segment"), b"")
    merged = opened(tmp_path / "merged.segment")
    expected = {file.path: b"" if file.skipped else b"\n".join(file.texts) for file in files}
    assert {merged.file(number)[0]: merged.file_text(number) for number in range(merged.file_count)} == expected


def test_what_a_segment_does_not_have_is_an_index_error(tmp_path: Path) -> None:
    segment = opened(write_segment(tmp_path / "a.segment", [MadeFile("a.py", ["x"])]))
    for ask in (segment.chunk, segment.vector, segment.text, segment.file, segment.file_text):
        with pytest.raises(IndexError, match="fewer"):
            ask(1)


@pytest.mark.parametrize("dimensions", [0, 4, 100, 4104, 65536])
def test_vectors_that_cannot_be_sketched_are_refused(tmp_path: Path, dimensions: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        SegmentBuilder(os.fsencode(tmp_path / "a.segment"), dimensions, b"")


def test_terms_of_a_chunk_are_repeated_as_often_as_they_count() -> None:
    found = chunk_terms("src/net/back_off.test.py", "def wait(): pass", "Net.wait", "Net", b"Net.wait\0retryNow").split(
        " "
    )
    assert found[:3] == terms("def wait pass")
    for field, weight in (("Net.wait", 2), ("retryNow", 2), ("back_off", 3), ("src", 1)):
        for term in terms(field):
            assert found.count(term) >= weight
    assert found.count("retrynow") == 2
    assert found.count("backoff") == 3
    assert found[-2:] == ["=wait", "=retryNow"]


def test_a_chunk_that_continues_a_definition_is_filed_under_its_name_but_not_as_its_definition() -> None:
    assert chunk_terms("a", "", "wait", "", b"") == "wait a a a"


def test_definitions_are_filed_under_the_term_that_a_query_for_them_looks_up() -> None:
    name = "x" * 100
    assert chunk_terms("", "", "", "", name).split(" ")[-1] == definition_term(name)
    assert len(definition_term(name)) == 64


def test_terms_of_a_chunk_can_be_told_apart_whatever_its_bytes_are() -> None:
    found = chunk_terms(b"\xff/\xfe.c", b"caf\xe9 \xff\xfe x", b"\xff", b"\xfe", b"\xfd\0\xfc")
    assert found == chunk_terms(b"\xff/\xfe.c", b"caf\xe9 \xff\xfe x", b"\xff", b"\xfe", b"\xfd\0\xfc")
    assert found.split(" ")[2] == "x"
    assert "  " not in found
