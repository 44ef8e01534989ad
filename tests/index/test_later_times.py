from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from index_contents import expected_chunks, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats
from flyweight.index import checkup
from flyweight.index.compaction import MAX_SEGMENTS
from flyweight.index.later_times import SUFFIX, LaterTimes
from flyweight.index.manifest import read_manifest

BuildIndex = Callable[..., IndexStats]
FRESH_NS = 10**18  # some time in 2001: not as young as to be distrusted


def touch(tree: SourceTree, path: str, mtime_ns: int = FRESH_NS) -> None:
    os.utime(tree.root / path, ns=(mtime_ns, mtime_ns))


def times_files(index_path: Path) -> list[str]:
    return sorted(name for name in os.listdir(index_path) if name.endswith(SUFFIX))


def test_what_was_noted_is_known_and_the_rest_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "a.segment")
    LaterTimes(path, 5).note([(1, 7), (4, -(2**40))])
    LaterTimes(path, 5).note([(0, 2**62), (1, 8)])
    times = LaterTimes(path, 5)
    assert [times.of(index) for index in range(5)] == [2**62, 8, 0, 0, -(2**40)]


def test_a_file_of_another_length_is_not_believed(tmp_path: Path) -> None:
    path = str(tmp_path / "a.segment")
    LaterTimes(path, 5).note([(1, 7)])
    for count in (0, 4, 6):
        assert [LaterTimes(path, count).of(index) for index in range(count)] == [0] * count


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    path = str(tmp_path / "a.segment")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        LaterTimes(path, 5).note([(1, 7)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    LaterTimes(str(tmp_path / "nowhere" / "a.segment"), 5).note([(1, 7)])
    assert LaterTimes(path, 5).of(1) == 0


def test_a_touched_file_is_read_by_one_run_only(indexed: SourceTree, build_index: BuildIndex) -> None:
    touched = sorted(indexed.files)[::5]
    for path in touched:
        touch(indexed, path)
    assert build_index(indexed).bytes == sum(len(indexed.files[path]) for path in touched)
    stats = build_index(indexed)
    assert (stats.bytes, stats.unchanged) == (0, 40)


def test_a_touched_file_that_changes_is_noticed(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    path = sorted(indexed.files)[3]
    touch(indexed, path)
    build_index(indexed)
    indexed.write(path, indexed.files[path].swapcase())
    assert build_index(indexed).changed == 1
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_a_file_touched_again_is_read_again_and_noted_again(indexed: SourceTree, build_index: BuildIndex) -> None:
    path = sorted(indexed.files)[3]
    read = []
    for mtime_ns in (FRESH_NS, FRESH_NS, FRESH_NS + 1, FRESH_NS + 1, FRESH_NS, FRESH_NS):
        touch(indexed, path, mtime_ns)
        read.append(build_index(indexed).bytes)
    assert read == [len(indexed.files[path]), 0] * 3


def test_a_skipped_file_that_is_touched_is_read_by_one_run_only(indexed: SourceTree, build_index: BuildIndex) -> None:
    indexed.write("picture", b"\0\1\2\3")
    build_index(indexed)
    touch(indexed, "picture")
    assert [build_index(indexed).bytes for _ in range(2)] == [4, 0]
    assert build_index(indexed).skipped == {"binary": 1}


def test_a_file_that_was_too_fresh_to_trust_its_time_is_compared_once(
    tree: SourceTree, build_index: BuildIndex
) -> None:
    tree.grow(1)
    path = next(iter(tree.files))
    ahead_ns = 4 * 10**18  # in the future: as fresh as can be
    touch(tree, path, ahead_ns)
    assert build_index(tree).added == 1
    touch(tree, path)
    assert [build_index(tree).bytes for _ in range(2)] == [len(tree.files[path]), 0]


def test_merging_keeps_later_times(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    touched = sorted(indexed.files)[::3]
    for path in touched:
        touch(indexed, path)
    build_index(indexed)
    before = {entry.name for entry in read_manifest(str(index_path)).segments}
    for path in [path for path in sorted(indexed.files) if path not in touched][:18]:
        indexed.write(path, b"def other():\n    pass\n")
    build_index(indexed)
    assert not before & {entry.name for entry in read_manifest(str(index_path)).segments}, "nothing was merged"
    stats = build_index(indexed)
    assert (stats.bytes, stats.unchanged) == (0, 40)
    names = {entry.name + SUFFIX for entry in read_manifest(str(index_path)).segments}
    assert set(times_files(index_path)) <= names, "times of segments that are gone"


def test_many_small_runs_keep_later_times_through_all_their_merges(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    paths = sorted(indexed.files)
    for number in range(2 * MAX_SEGMENTS):
        indexed.write(paths[number], f"def number_{number}():\n    pass\n")
        for mtime_ns in (FRESH_NS, FRESH_NS + number + 1):
            touch(indexed, paths[number], mtime_ns)
            assert build_index(indexed).bytes == len(indexed.files[paths[number]])
    assert build_index(indexed).bytes == 0
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_a_rebuild_leaves_no_times_behind(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    touch(indexed, sorted(indexed.files)[0])
    build_index(indexed)
    assert times_files(index_path)
    build_index(indexed, rebuild=True)
    assert not times_files(index_path)
    assert build_index(indexed).bytes == 0


def test_the_doctor_knows_them(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    touch(indexed, sorted(indexed.files)[0])
    build_index(indexed)
    assert times_files(index_path)
    assert not [finding for finding in checkup.check_index(str(index_path)) if finding.check == "strays"]


@pytest.mark.parametrize("damage", [b"", b"\xff" * 320, b"\xff" * 17])
def test_damaged_times_cost_a_reading_and_nothing_else(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex, damage: bytes
) -> None:
    path = sorted(indexed.files)[0]
    touch(indexed, path)
    build_index(indexed)
    for name in times_files(index_path):
        (index_path / name).write_bytes(damage)
    stats = build_index(indexed)
    assert stats.unchanged == 40
    assert served_chunks(index_path) == expected_chunks(indexed.files)
    assert build_index(indexed).bytes == 0
