from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from made_segment import MadeFile, made_files, searcher_over, write_segment

from flyweight._build import Segment
from flyweight._search import crc32c
from flyweight.errors import FlyweightError, IndexCorruptError, IndexMissingError, IndexVersionError

QUERIES = ("account archive", "record", "zone writer token")


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segment(tmp_path_factory.mktemp("sound") / "sound.segment", made_files(4, 60))


def everything(path: Path) -> list[object]:
    """All that can be asked of a segment: its tables, its texts, and answers to queries."""
    segment = Segment.open(str(path))
    found: list[object] = [segment.meta, segment.dimensions, segment.term_count]
    for number in range(segment.file_count):
        record = segment.file(number)
        found += [record, segment.find_file(record[0])]
    found += [segment.text(chunk) for chunk in range(segment.chunk_count)]
    searcher = searcher_over(path)
    for query in QUERIES:
        hits, _ = searcher.search(query, 20, 0.0, [], [], [], bytes(4 * 64), False)
        found += [hit.as_dict() for hit in hits]
    found += searcher.vector_scan(struct.pack("<64f", *([0.125] * 64)), 20)
    return found


def test_any_flipped_bit_is_an_error_or_makes_no_difference(tmp_path: Path, segment: Path) -> None:
    sound, intact = everything(segment), segment.read_bytes()
    damaged = tmp_path / "damaged.segment"
    draw = random.Random(5)
    # Header and table of contents in full, the rest by sample.
    (toc_offset,) = struct.unpack_from("<Q", intact, 40)
    positions = [*range(64), *range(toc_offset, len(intact)), *draw.sample(range(64, toc_offset), 600)]
    harmless = 0
    for position in positions:
        data = bytearray(intact)
        data[position] ^= 1 << draw.randrange(8)
        damaged.write_bytes(data)
        try:
            found = everything(damaged)
        except (IndexCorruptError, IndexVersionError) as error:
            assert "damaged.segment" in str(error)
            continue
        assert found == sound, f"a flip in byte {position} went unnoticed"
        harmless += 1
    assert harmless < len(positions) / 20  # only the few bytes that align sections carry nothing


def test_a_segment_cut_off_anywhere_is_refused(tmp_path: Path, segment: Path) -> None:
    intact = segment.read_bytes()
    cut = tmp_path / "cut.segment"
    draw = random.Random(6)
    lengths = {0, 1, 7, 8, 63, 64, 65, len(intact) - 1, len(intact) - 32, *draw.sample(range(len(intact)), 300)}
    for length in sorted(lengths):
        cut.write_bytes(intact[:length])
        with pytest.raises(IndexCorruptError, match=r"cut\.segment"):
            Segment.open(str(cut))


def test_a_segment_with_more_behind_it_is_refused(tmp_path: Path, segment: Path) -> None:
    longer = tmp_path / "longer.segment"
    longer.write_bytes(segment.read_bytes() + b"\0" * 64)
    with pytest.raises(IndexCorruptError):
        Segment.open(str(longer))


def test_overwritten_stretches_are_refused(tmp_path: Path, segment: Path) -> None:
    """A disk that lost a page gives zeros, or another file's bytes."""
    intact = segment.read_bytes()
    damaged = tmp_path / "damaged.segment"
    sound = everything(segment)
    draw = random.Random(7)
    for filler in (bytes(512), draw.randbytes(512)):
        for position in range(0, len(intact) - 512, 997):
            damaged.write_bytes(intact[:position] + filler + intact[position + 512 :])
            try:
                found = everything(damaged)
            except FlyweightError:
                continue
            assert found == sound, f"512 bytes at {position} were replaced unnoticed"


def test_a_segment_of_another_format_version_is_refused_by_name(tmp_path: Path, segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    (version,) = struct.unpack_from("<I", data, 8)
    struct.pack_into("<I", data, 8, version + 8)
    struct.pack_into("<I", data, 60, crc32c(bytes(data[:60])))
    other = tmp_path / "other.segment"
    other.write_bytes(data)
    with pytest.raises(IndexVersionError, match=rf"other\.segment.*format {version + 8}.*reads {version}"):
        Segment.open(str(other))


@pytest.mark.parametrize("content", [b"", b"x", b"flyweight-manifest 1\n", b"\0" * 4096, b"\x7fELF" + b"\1" * 4096])
def test_a_file_that_is_no_segment_is_refused(tmp_path: Path, content: bytes) -> None:
    stranger = tmp_path / "stranger.segment"
    stranger.write_bytes(content)
    with pytest.raises(IndexCorruptError, match=r"stranger\.segment"):
        Segment.open(str(stranger))


def test_a_missing_segment_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.segment", tmp_path):
        with pytest.raises(FlyweightError, match=path.name):
            Segment.open(str(path))
        with pytest.raises(IndexMissingError, match=path.name):
            searcher_over(path)


def test_altered_text_is_noticed_when_it_is_read_and_not_before(tmp_path: Path) -> None:
    """Checking all text on opening would read the whole index."""
    path = write_segment(tmp_path / "a.segment", [MadeFile("a.py", ["first sound chunk", "second sound chunk"])])
    data = bytearray(path.read_bytes())
    data[data.index(b"second")] ^= 0x20
    path.write_bytes(data)
    segment = Segment.open(str(path))
    assert not segment.text_intact()
    assert segment.text(0) == b"first sound chunk"
    with pytest.raises(IndexCorruptError, match=r"text of a\.py"):
        segment.text(1)
    hits, _ = searcher_over(path).search("sound", 5, 0.0, [], [], [], bytes(4 * 64), False)
    assert len(hits) == 2
    second = next(hit for hit in hits if hit.start_line == 2)
    with pytest.raises(IndexCorruptError, match=r"text of a\.py"):
        _ = second.text


@pytest.mark.parametrize("number", [-1, 3, 2**31, 2**32])
def test_a_number_outside_the_segment_is_refused(tmp_path: Path, number: int) -> None:
    """Never a read past the end of the mapping."""
    path = write_segment(tmp_path / "a.segment", [MadeFile(f"{i}.py", ["x"]) for i in range(3)])
    segment = Segment.open(str(path))
    with pytest.raises((IndexError, TypeError, ValueError, FlyweightError)):
        segment.file(number)
    with pytest.raises((IndexError, TypeError, ValueError, FlyweightError)):
        segment.text(number)


def test_an_unfinished_segment_is_refused(tmp_path: Path) -> None:
    """The header is written last: what a killed builder leaves never looks like a segment."""
    from flyweight._build import SegmentBuilder

    path = tmp_path / "unfinished.segment"
    builder = SegmentBuilder(str(path), 64, b"made")
    builder.add_skipped("a.bin", "binary", bytes(16), 5, 7)
    del builder
    with pytest.raises(IndexCorruptError, match=r"unfinished\.segment"):
        Segment.open(str(path))
