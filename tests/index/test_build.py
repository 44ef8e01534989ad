from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from index_contents import expected_chunks, live_files, served_chunks
from small_segments import SmallSegmentsWorker
from source_tree import SourceTree

from flyweight import IndexProgress, IndexStats, SearchConfig, SemanticSearchEngine
from flyweight.embed.static import StaticEmbedder
from flyweight.errors import BuildError, FlyweightError, IndexCorruptError, IndexMismatchError, PathError
from flyweight.index import team
from flyweight.index.build import build
from flyweight.index.manifest import MANIFEST_NAME, read_manifest
from flyweight.index.request import BuildRequest

BuildIndex = Callable[..., IndexStats]


def request_for(tree: SourceTree, index_path: Path, *, workers: int = 2) -> BuildRequest:
    # These builders are forked from a test run, which is larger than they should be.
    return BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=1 << 30, workers=workers)


def test_a_first_build_serves_every_chunk_of_every_file(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(120)
    stats = build_index(tree)
    assert served_chunks(index_path) == expected_chunks(tree.files)
    assert set(live_files(index_path)) == set(tree.files)
    assert (stats.files, stats.added, stats.changed, stats.unchanged, stats.removed) == (120, 120, 0, 0, 0)
    assert stats.chunks == stats.new_chunks == expected_chunks(tree.files).total()
    assert stats.bytes == sum(map(len, tree.files.values()))
    assert (stats.skipped, stats.interrupted) == ({}, False)
    assert stats.generation == read_manifest(str(index_path)).generation >= 1
    assert stats.seconds > 0


def test_a_finished_index_is_one_segment_and_says_what_it_is_of(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(30)
    build_index(tree, dimensions=128)
    manifest = read_manifest(str(index_path))
    assert (manifest.root, manifest.dimensions, manifest.complete) == (str(tree.root), 128, True)
    assert manifest.embedder == StaticEmbedder().name
    assert len(manifest.segments) == 1
    assert set(os.listdir(index_path)) == {MANIFEST_NAME, "lock", ".gitignore", manifest.segments[0].name}


def test_skipped_files_are_counted_by_reason(tree: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    tree.write("a.py", "x = 1\n")
    tree.write("b.dat", b"\0\1\2" * 50)
    tree.write("c.dat", b"\0\1\2" * 60)
    tree.write("blank.py", " \n")
    tree.write("logo.png", b"png")
    tree.write(".gitignore", "ignored/\n")
    tree.write("ignored/x.py", "x = 1\n")
    stats = build_index(tree)
    assert stats.skipped == {"binary": 2, "empty": 1, "binary extension": 1, "ignored": 1}
    assert stats.files == 2
    assert stats.chunks == served_chunks(index_path).total()


def test_skipped_files_are_counted_the_same_when_nothing_changed(tree: SourceTree, build_index: BuildIndex) -> None:
    tree.write("a.py", "x = 1\n")
    tree.write("b.dat", b"\0\1\2" * 50)
    first, second = build_index(tree), build_index(tree)
    assert second.skipped == first.skipped
    assert (second.files, second.unchanged, second.chunks) == (1, 1, first.chunks)


def test_an_empty_tree_gives_an_empty_index(tree: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    stats = build_index(tree)
    assert (stats.files, stats.chunks) == (0, 0)
    assert read_manifest(str(index_path)).complete
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        assert engine.search("anything") == []


def test_a_single_file_can_be_indexed(tree: SourceTree, index_path: Path) -> None:
    tree.write("lonely.py", "def lonely():\n    return 1\n")
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        assert engine.index(tree.root / "lonely.py").files == 1
        assert [hit.path for hit in engine.search("lonely")] == ["lonely.py"]


def test_an_index_inside_the_tree_is_not_indexed(tree: SourceTree) -> None:
    tree.grow(10)
    inside = tree.root / "here" / "my index"
    with SemanticSearchEngine(SearchConfig(index_path=inside)) as engine:
        assert engine.index(tree.root).files == 10
        assert engine.index(tree.root).files == 10
    assert set(live_files(inside)) == set(tree.files)


def test_a_build_in_many_segments_serves_the_same_as_one(
    tree: SourceTree, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.grow(150)
    monkeypatch.setattr(team, "Worker", SmallSegmentsWorker)
    names: set[str] = set()

    def note(progress: IndexProgress) -> None:
        names.update(name for name in os.listdir(index_path) if name.endswith(".segment"))

    build(request_for(tree, index_path), StaticEmbedder(64), note)
    assert len(names) > 4
    assert served_chunks(index_path) == expected_chunks(tree.files)
    assert len(read_manifest(str(index_path)).segments) == 1
    assert len([name for name in os.listdir(index_path) if name.endswith(".segment")]) == 1


def test_workers_that_have_grown_are_replaced_and_no_file_is_lost_or_taken_twice(
    tree: SourceTree, index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no memory to itself a worker is spent after one file and hands the others back."""
    tree.grow(30)
    started: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: started.append(pid := fork()) or pid)
    request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=13 << 20, workers=2)
    stats = build(request, StaticEmbedder(64), lambda progress: None)
    assert len(started) > 10
    assert (stats.added, stats.files, stats.skipped) == (30, 30, {})
    assert served_chunks(index_path) == expected_chunks(tree.files)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_makes_no_difference(tree: SourceTree, index_path: Path, workers: int) -> None:
    tree.grow(60)
    build(request_for(tree, index_path, workers=workers), StaticEmbedder(64), lambda progress: None)
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_progress_goes_through_the_phases_and_never_back(tree: SourceTree, index_path: Path) -> None:
    tree.grow(300)
    seen: list[tuple[str, int, int, int]] = []

    def note(progress: IndexProgress) -> None:
        assert 0 <= progress.files <= max(progress.total_files, progress.files if progress.phase == "scan" else 0)
        seen.append((progress.phase, progress.files, progress.chunks, progress.bytes))

    build(request_for(tree, index_path), StaticEmbedder(64), note)
    phases = [phase for phase, *_ in seen]
    assert phases == sorted(phases, key=["scan", "index", "merge"].index)
    assert {"index", "merge"} <= set(phases)
    indexing = [numbers for phase, *numbers in seen if phase == "index"]
    assert indexing == sorted(indexing)


def test_an_index_of_another_tree_is_not_overwritten(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(5)
    build_index(tree)
    other = SourceTree(tree.root.parent / "other")
    other.grow(3)
    with pytest.raises(IndexMismatchError, match=rf"{tree.root}.*{other.root}.*--rebuild"):
        build_index(other)
    assert set(live_files(index_path)) == set(tree.files)
    assert build_index(other, rebuild=True).files == 3
    assert set(live_files(index_path)) == set(other.files)


def test_an_index_of_other_dimensions_is_not_mixed(tree: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    tree.grow(5)
    build_index(tree, dimensions=64)
    with pytest.raises(IndexMismatchError, match=r"64 dimensions.*128.*--rebuild"):
        build_index(tree, dimensions=128)
    assert build_index(tree, dimensions=128, rebuild=True).files == 5
    assert read_manifest(str(index_path)).dimensions == 128


def test_a_rebuild_leaves_nothing_of_the_old_index(tree: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    tree.grow(20)
    build_index(tree)
    before = read_manifest(str(index_path))
    stats = build_index(tree, rebuild=True)
    after = read_manifest(str(index_path))
    assert (stats.added, stats.unchanged) == (20, 0)
    assert after.generation > before.generation
    assert not {entry.name for entry in before.segments} & set(os.listdir(index_path))
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_a_damaged_manifest_is_refused_and_rebuilt_on_demand(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(8)
    build_index(tree)
    (index_path / MANIFEST_NAME).write_bytes(b"rubbish")
    with pytest.raises(IndexCorruptError, match="--rebuild"):
        build_index(tree)
    assert build_index(tree, rebuild=True).files == 8
    assert served_chunks(index_path) == expected_chunks(tree.files)
    assert len([name for name in os.listdir(index_path) if name.endswith(".segment")]) == 1


def test_the_files_of_a_damaged_segment_are_indexed_again(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(8)
    build_index(tree)
    segment = index_path / read_manifest(str(index_path)).segments[0].name
    segment.write_bytes(segment.read_bytes()[:-1])
    stats = build_index(tree)
    assert (stats.added, stats.files) == (8, 8)
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_a_stopped_build_is_usable_and_the_next_goes_on_from_it(tree: SourceTree, index_path: Path) -> None:
    tree.grow(400)
    asked = itertools.count()
    stats = build(
        request_for(tree, index_path), StaticEmbedder(64), lambda progress: None, lambda: next(asked) > 400
    )  # asked once a file while scanning, then before each round of batches
    assert stats.interrupted
    assert not read_manifest(str(index_path)).complete
    partial = served_chunks(index_path)
    assert partial <= expected_chunks(tree.files)
    assert 0 < stats.files < 400
    assert stats.chunks == partial.total()
    rest = build(request_for(tree, index_path), StaticEmbedder(64), lambda progress: None)
    assert (rest.unchanged, rest.added, rest.interrupted) == (stats.files, 400 - stats.files, False)
    assert served_chunks(index_path) == expected_chunks(tree.files)
    assert read_manifest(str(index_path)).complete


def test_a_stopped_update_buries_nothing_it_has_not_seen(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(40)
    build_index(tree)
    before = served_chunks(index_path)
    tree.change(10)
    stats = build(request_for(tree, index_path), StaticEmbedder(64), lambda progress: None, lambda: True)
    assert stats.interrupted
    assert stats.removed == 0
    assert served_chunks(index_path) == before


def test_a_stopped_rebuild_leaves_the_old_index_in_service(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(400)
    build_index(tree)
    before = served_chunks(index_path)
    tree.change(10)
    request = request_for(tree, index_path)
    request.rebuild = True
    asked = itertools.count()
    stats = build(request, StaticEmbedder(64), lambda progress: None, lambda: next(asked) > 401)
    assert stats.interrupted
    assert served_chunks(index_path) == before
    build_index(tree)
    assert served_chunks(index_path) == expected_chunks(tree.files)


@pytest.mark.parametrize("place", [".", ".."])
def test_a_tree_is_not_its_own_index(tree: SourceTree, place: str) -> None:
    """The index hides itself from git; here it would hide the tree."""
    tree.grow(3)
    before = set(os.listdir(tree.root)), set(os.listdir(tree.root.parent))
    with pytest.raises(FlyweightError, match="index"):
        build(request_for(tree, tree.root / place), StaticEmbedder(64), lambda progress: None)
    assert (set(os.listdir(tree.root)), set(os.listdir(tree.root.parent))) == before


def test_a_directory_with_other_things_in_it_is_not_hidden_from_git(tree: SourceTree, memory_path: Path) -> None:
    tree.grow(3)
    shared = memory_path / "shared"
    shared.mkdir()
    (shared / "notes.txt").write_text("mine")
    with contextlib.suppress(FlyweightError):
        build(request_for(tree, shared), StaticEmbedder(64), lambda progress: None)
    assert not (shared / ".gitignore").exists()


def workers_of_this_process() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        return [int(pid) for pid in children.read().split()]


def test_a_worker_that_dies_is_reported_with_the_file_it_was_at(tree: SourceTree, index_path: Path) -> None:
    tree.grow(300)

    def kill_a_worker() -> bool:
        for pid in workers_of_this_process()[:1]:
            os.kill(pid, signal.SIGKILL)
        return False

    with pytest.raises(BuildError, match=r"signal 9 (at|between) .*run again.*\.flyweightignore"):
        build(request_for(tree, index_path), StaticEmbedder(64), lambda progress: None, kill_a_worker)
    assert workers_of_this_process() == []
    build(request_for(tree, index_path), StaticEmbedder(64), lambda progress: None)
    assert served_chunks(index_path) == expected_chunks(tree.files)


def test_a_failed_build_leaves_no_worker_behind(tree: SourceTree, index_path: Path) -> None:
    tree.grow(100)

    def fail() -> bool:
        if workers_of_this_process():
            raise FlyweightError("enough")
        return False

    with pytest.raises(FlyweightError, match="enough"):
        build(request_for(tree, index_path), StaticEmbedder(64), lambda progress: None, fail)
    assert workers_of_this_process() == []


def test_leftovers_of_killed_builds_are_removed_and_strangers_kept(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.grow(3)
    build_index(tree)
    for name in ("12ab-3-0-1.segment", "manifest.99.new", "spill-XYZ", "pending-abc"):
        (index_path / name).write_bytes(b"left over")
    (index_path / "notes.txt").write_text("mine")
    build_index(tree)
    segments = {entry.name for entry in read_manifest(str(index_path)).segments}
    assert set(os.listdir(index_path)) == {MANIFEST_NAME, "lock", ".gitignore", "notes.txt", *segments}


def test_a_missing_root_creates_no_index(tmp_path: Path) -> None:
    missing = SourceTree(tmp_path / "gone")
    missing.root.rmdir()
    with pytest.raises(PathError, match=r"gone.*does not exist"):
        build(request_for(missing, tmp_path / "index"), StaticEmbedder(64), lambda progress: None)
    assert not (tmp_path / "index").exists()


def test_a_file_changed_within_the_tick_of_its_time_stamp_is_noticed(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    """Same size, same time stamp, other content: a time that is not yet past is not trusted."""
    soon = time.time_ns() + 10**12
    for content in ("value = 1\n", "value = 2\n"):
        tree.write("a.py", content)
        os.utime(tree.root / "a.py", ns=(soon, soon))
        build_index(tree)
        assert served_chunks(index_path) == expected_chunks(tree.files)
