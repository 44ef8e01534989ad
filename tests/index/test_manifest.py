from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight._search import crc32c
from flyweight.errors import FlyweightError, IndexCorruptError, IndexMissingError, IndexVersionError, IndexWriteError
from flyweight.index.manifest import MANIFEST_NAME, Manifest, SegmentEntry, read_manifest, write_manifest

# Whatever a file system allows in a path: all bytes but NUL, seen through os.fsdecode.
_roots = st.one_of(
    st.binary(max_size=200).map(lambda raw: "/" + os.fsdecode(raw.replace(b"\0", b""))),
    st.text("ab%/ \n\r\t\v\x1c\x85\u2028=é\udcff", max_size=30).map(lambda text: "/" + text),
)
_counts = st.integers(0, 2**40)
_dead = st.lists(st.integers(0, 10**6), max_size=5).map(lambda numbers: ",".join(map(str, sorted(numbers))))
_entries = st.builds(
    SegmentEntry,
    st.from_regex(r"[0-9a-f]{1,20}-[0-9a-f]+-(1|merged)\.segment", fullmatch=True),
    _counts,
    _counts,
    _counts,
    _dead,
    _counts,
)
_manifests = st.builds(
    Manifest,
    generation=_counts,
    root=_roots,
    embedder=st.text(max_size=30).filter(lambda name: name.isprintable()),
    dimensions=st.sampled_from([64, 128, 256]),
    complete=st.booleans(),
    segments=st.lists(_entries, max_size=5),
)


def fields(manifest: Manifest) -> tuple[object, ...]:
    segments = [tuple(getattr(entry, name) for name in sorted(SegmentEntry.__slots__)) for entry in manifest.segments]
    return (*(getattr(manifest, name) for name in sorted(Manifest.__slots__) if name != "segments"), segments)


def example() -> Manifest:
    segments = [SegmentEntry("a-1.segment", 1000, 10, 40, "3-5,7", 9), SegmentEntry("b-2.segment", 2000, 20, 80)]
    return Manifest(generation=7, root="/home/ä b\n", embedder="m", dimensions=64, complete=True, segments=segments)


@settings(deadline=None)
@given(_manifests)
def test_a_manifest_reads_as_it_was_written(scratch_path: Path, manifest: Manifest) -> None:
    directory = str(scratch_path)
    write_manifest(directory, manifest)
    assert fields(read_manifest(directory)) == fields(manifest)


def test_nothing_but_the_manifest_is_left_after_writing(tmp_path: Path) -> None:
    for _ in range(3):
        write_manifest(str(tmp_path), example())
    assert os.listdir(tmp_path) == [MANIFEST_NAME]


def test_live_chunks_leave_out_the_dead(tmp_path: Path) -> None:
    assert example().live_chunks == 40 - 9 + 80


def test_any_flipped_bit_is_an_error(memory_path: Path) -> None:
    write_manifest(str(memory_path), example())
    path = memory_path / MANIFEST_NAME
    intact = path.read_bytes()
    for position in range(len(intact)):
        for bit in range(8):
            data = bytearray(intact)
            data[position] ^= 1 << bit
            path.write_bytes(data)
            with pytest.raises((IndexCorruptError, IndexVersionError), match=MANIFEST_NAME):
                read_manifest(str(memory_path))


def test_a_manifest_cut_off_anywhere_is_an_error(tmp_path: Path) -> None:
    write_manifest(str(tmp_path), example())
    path = tmp_path / MANIFEST_NAME
    intact = path.read_bytes()
    for length in range(len(intact)):
        path.write_bytes(intact[:length])
        with pytest.raises(IndexCorruptError, match=r"damaged.*doctor"):
            read_manifest(str(tmp_path))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_good_order(scratch_path: Path, data: bytes) -> None:
    (scratch_path / MANIFEST_NAME).write_bytes(data)
    with pytest.raises(FlyweightError):
        read_manifest(str(scratch_path))


@pytest.mark.parametrize(
    "body",
    [
        "generation x\n",
        "segment too few\n",
        "segment a b c d e f\n",
        "generation 1\nroot %\n",
        "generation 1\nroot %zz\n",
        "",
    ],
)
def test_a_body_that_makes_no_sense_is_refused_though_its_checksum_holds(tmp_path: Path, body: str) -> None:
    data = f"flyweight-manifest 1\n{body}".encode()
    (tmp_path / MANIFEST_NAME).write_bytes(data + f"end {crc32c(data):08x}\n".encode())
    with pytest.raises(IndexCorruptError):
        read_manifest(str(tmp_path))


def test_another_format_version_is_named_with_the_way_out(tmp_path: Path) -> None:
    write_manifest(str(tmp_path), example())
    path = tmp_path / MANIFEST_NAME
    first, rest = path.read_bytes().split(b"\n", 1)
    version = int(first.split()[1])
    path.write_bytes(first.replace(str(version).encode(), b"9") + b"\n" + rest)
    with pytest.raises(IndexVersionError, match=rf"format 9, this build reads {version}.*--rebuild"):
        read_manifest(str(tmp_path))


def test_no_manifest_is_no_index(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(IndexMissingError, match=r"no index at .*flyweight index"):
            read_manifest(str(directory))


def test_a_directory_in_place_of_a_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).mkdir()
    with pytest.raises(FlyweightError, match=str(tmp_path)):
        read_manifest(str(tmp_path))


def test_a_write_that_fails_leaves_the_old_manifest(tmp_path: Path) -> None:
    with pytest.raises(IndexWriteError, match="nowhere"):
        write_manifest(str(tmp_path / "nowhere"), example())
    occupied = tmp_path / "occupied"
    (occupied / MANIFEST_NAME).mkdir(parents=True)
    with pytest.raises(IndexWriteError, match="occupied"):
        write_manifest(str(occupied), example())
    assert os.listdir(occupied) == [MANIFEST_NAME], "a temporary file was left behind"


def test_a_reader_never_sees_half_a_manifest(memory_path: Path) -> None:
    """Sizes alternate, so a mixture of two would fail its checksum."""
    directory = str(memory_path)
    draw = random.Random(1)
    write_manifest(directory, example())
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for generation in range(300):
                entry = SegmentEntry("a-1.segment", 1, 1, 1, ",".join("9" * draw.randrange(400)))
                write_manifest(
                    directory,
                    Manifest(
                        generation=generation, root="/", embedder="m", dimensions=64, complete=True, segments=[entry]
                    ),
                )
            status = 0
        finally:
            os._exit(status)
    seen = set()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        seen.add(read_manifest(directory).generation)
    assert len(seen) > 1
