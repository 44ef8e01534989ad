from __future__ import annotations

import random
import shutil
from hashlib import blake2b
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from index_contents import dead_files
from made_segment import MadeFile, write_segment

from flyweight._build import Segment
from flyweight.index.catalogue import Catalogue
from flyweight.index.manifest import SegmentEntry


def made(path: Path, files: list[MadeFile], dead: str = "") -> SegmentEntry:
    write_segment(path, files)
    segment = Segment.open(str(path))
    counts = [segment.file(number)[5] for number in dead_files(dead)]
    return SegmentEntry(path.name, segment.size_bytes, segment.file_count, segment.chunk_count, dead, sum(counts))


def files(*names: str, text: str = "some text") -> list[MadeFile]:
    return [MadeFile(name, [text]) for name in names]


def test_a_file_is_found_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    entry = made(
        tmp_path / "a.segment", [MadeFile("src/é\udcff.py", ["one", "two"]), MadeFile("b", ["x"], skipped="binary")]
    )
    catalogue = Catalogue(str(tmp_path), [entry])
    known = catalogue.find("src/é\udcff.py")
    assert known is not None
    assert (known.name, known.skipped, known.chunk_count, known.size_bytes, known.mtime_ns) == (
        "python",
        False,
        2,
        7,
        7,
    )
    assert known.content_hash == blake2b(b"one\ntwo", digest_size=16).digest()
    skipped = catalogue.find("b")
    assert skipped is not None
    assert (skipped.name, skipped.skipped, skipped.chunk_count) == ("binary", True, 0)
    assert catalogue.find("src") is None
    assert catalogue.find("") is None


def test_the_living_version_of_a_file_is_the_one_found(tmp_path: Path) -> None:
    old = made(tmp_path / "old.segment", files("a.py", "b.py", text="old"), dead="0")
    new = made(tmp_path / "new.segment", files("a.py", text="new text"))
    catalogue = Catalogue(str(tmp_path), [old, new])
    for path, size_bytes in (("a.py", 8), ("b.py", 3)):
        known = catalogue.find(path)
        assert known is not None
        assert known.size_bytes == size_bytes


def test_replaced_files_die_and_their_chunks_are_counted(tmp_path: Path) -> None:
    old = made(
        tmp_path / "old.segment",
        [MadeFile("a.py", ["1", "2", "3"]), MadeFile("b.py", ["1"]), MadeFile("c.py", ["1", "2"])],
    )
    catalogue = Catalogue(str(tmp_path), [old])
    catalogue.add(made(tmp_path / "new.segment", files("a.py", "c.py")), ["a.py", "c.py", "unknown.py"])
    first, second = catalogue.entries()
    assert (first.dead, first.dead_chunks, first.live_chunks) == ("0,2", 5, 1)
    assert (second.name, second.dead) == ("new.segment", "")


def test_files_that_the_walk_did_not_meet_are_buried(tmp_path: Path) -> None:
    entry = made(
        tmp_path / "a.segment",
        [*files(*(f"{number}.py" for number in range(10))), MadeFile("x", ["x"], skipped="binary")],
    )
    catalogue = Catalogue(str(tmp_path), [entry])
    for number in (0, 1, 5, 9):
        known = catalogue.find(f"{number}.py")
        assert known is not None
        assert not known.seen
        known.seen = True
    assert catalogue.kill_unseen() == 6  # the skipped one was never indexed
    assert catalogue.entries()[0].dead == "2-4,6-8,10"
    assert catalogue.kill_unseen() == 0


def test_a_segment_without_living_files_leaves_the_manifest(tmp_path: Path) -> None:
    kept, gone = made(tmp_path / "kept.segment", files("a.py")), made(tmp_path / "gone.segment", files("b.py"))
    catalogue = Catalogue(str(tmp_path), [kept, gone])
    known = catalogue.find("a.py")
    assert known is not None
    known.seen = True
    assert catalogue.kill_unseen() == 1
    assert [entry.name for entry in catalogue.entries()] == ["kept.segment"]


def test_a_damaged_segment_is_left_out_so_that_its_files_are_indexed_again(tmp_path: Path) -> None:
    sound, damaged = made(tmp_path / "sound.segment", files("a.py")), made(tmp_path / "damaged.segment", files("b.py"))
    path = tmp_path / "damaged.segment"
    path.write_bytes(path.read_bytes()[:-10])
    missing = SegmentEntry("missing.segment", 1, 1, 1)
    catalogue = Catalogue(str(tmp_path), [sound, damaged, missing])
    assert [entry.name for entry in catalogue.entries()] == ["sound.segment"]
    assert catalogue.find("b.py") is None


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 80), seed=st.integers(0, 1000), first=st.floats(0, 1), second=st.floats(0, 1))
def test_dead_files_are_written_and_read_back_as_the_same_set(
    scratch_path: Path, count: int, seed: int, first: float, second: float
) -> None:
    directory = scratch_path / "catalogue"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    draw = random.Random(seed)
    entry = made(
        directory / "a.segment", [MadeFile(f"{number:03}", ["x"] * draw.randrange(3)) for number in range(count)]
    )
    dead: set[int] = set()
    for share in (first, second):  # the second time on top of what the manifest said after the first
        catalogue = Catalogue(str(directory), [entry])
        assert {number for number in range(count) if catalogue.find(f"{number:03}") is None} == dead
        dying = {number for number in range(count) if draw.random() < share}
        catalogue.add(SegmentEntry("b.segment", 1, 0, 0), [f"{number:03}" for number in sorted(dying - dead)])
        dead |= dying
        if len(dead) == count:
            assert [entry.name for entry in catalogue.entries()] == ["b.segment"]
            return
        entry = catalogue.entries()[0]
        assert dead_files(entry.dead) == dead
        segment = Segment.open(str(directory / "a.segment"))
        assert entry.dead_chunks == sum(segment.file(number)[5] for number in dead)
