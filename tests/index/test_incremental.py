from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from index_contents import expected_chunks, live_files, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats, SearchConfig, SemanticSearchEngine
from flyweight.index import reader
from flyweight.index.compaction import MAX_DEAD_SHARE, MAX_SEGMENTS
from flyweight.index.manifest import Manifest, read_manifest

BuildIndex = Callable[..., IndexStats]


def state_of(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, size and modification time of all that lies in an index but its lock."""
    states = {}
    for name in os.listdir(directory):
        status = os.stat(directory / name)
        if name != "lock":  # it names its last holder
            states[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return states


@pytest.fixture
def indexed(tree: SourceTree, index_path: Path, build_index: BuildIndex) -> SourceTree:
    tree.grow(40)
    build_index(tree)
    return tree


def test_a_run_over_an_unchanged_tree_writes_nothing(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    before = state_of(index_path)
    for _ in range(2):
        stats = build_index(indexed)
        assert (stats.unchanged, stats.added, stats.changed, stats.removed) == (40, 0, 0, 0)
        assert (stats.bytes, stats.new_chunks) == (0, 0)
    assert state_of(index_path) == before


def test_only_a_changed_file_is_read_again(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    path = sorted(indexed.files)[3]
    indexed.write(path, "def entirely_new():\n    pass\n")
    stats = build_index(indexed)
    assert (stats.changed, stats.unchanged, stats.added, stats.removed) == (1, 39, 0, 0)
    assert stats.bytes == len(indexed.files[path])
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_a_change_that_keeps_size_but_not_time_is_noticed(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    path = sorted(indexed.files)[0]
    indexed.write(path, indexed.files[path].swapcase())
    assert build_index(indexed).changed == 1
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_deleted_files_are_no_longer_served(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    for path in sorted(indexed.files)[:3]:
        indexed.remove(path)
    assert build_index(indexed).removed == 3
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_a_renamed_file_is_served_under_its_new_name_only(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    path = sorted(indexed.files)[5]
    indexed.rename(path, "elsewhere/renamed.py")
    stats = build_index(indexed)
    assert (stats.added, stats.removed, stats.unchanged) == (1, 1, 39)
    assert path not in live_files(index_path)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_a_renamed_directory_moves_all_its_files(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    directory = sorted(indexed.files)[0].split("/")[0]
    moved = [path for path in indexed.files if path.startswith(directory + "/")]
    for path in moved:
        indexed.rename(path, "moved/" + path)
    stats = build_index(indexed)
    assert (stats.added, stats.removed) == (len(moved), len(moved))
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_two_files_that_trade_names_trade_contents(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    first, second = sorted(path for path in indexed.files if path.endswith(".py"))[:2]
    indexed.rename(first, "aside.py")
    indexed.rename(second, first)
    indexed.rename("aside.py", second)
    build_index(indexed)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_files_touched_but_the_same_are_compared_and_left(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    for path in list(indexed.files)[:7]:
        indexed.touch(path)
    before = state_of(index_path)
    stats = build_index(indexed)
    assert (stats.unchanged, stats.changed) == (40, 0)
    assert stats.bytes == sum(len(indexed.files[path]) for path in list(indexed.files)[:7])
    after = state_of(index_path)
    assert before.items() <= after.items()
    assert {os.path.splitext(name)[1] for name in after.keys() - before.keys()} == {".times"}


def test_files_may_turn_binary_and_back(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    path = next(path for path in indexed.files if path.endswith(".py"))
    text = indexed.files[path]
    indexed.write(path, b"\0\1\2\3")
    stats = build_index(indexed)
    assert stats.skipped == {"binary": 1}
    assert stats.files == 39
    assert served_chunks(index_path) == expected_chunks(indexed.files)
    assert build_index(indexed).skipped == {"binary": 1}
    indexed.write(path, text)
    build_index(indexed)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_files_that_become_ignored_are_removed(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    indexed.write(".flyweightignore", "*.rs\n")
    stats = build_index(indexed)
    gone = [path for path in indexed.files if path.endswith(".rs")]
    assert stats.removed == len(gone) > 0
    kept = {path: data for path, data in indexed.files.items() if path not in gone}
    assert served_chunks(index_path) == expected_chunks(kept)


def test_all_files_may_go(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    for path in list(indexed.files):
        indexed.remove(path)
    assert build_index(indexed).removed == 40
    assert served_chunks(index_path).total() == 0
    assert read_manifest(str(index_path)).segments == []
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        assert engine.search("record") == []
    indexed.grow(2)
    assert build_index(indexed).files == 2


def test_many_runs_end_where_a_fresh_build_would(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    """Forty rounds of random changes: same files, same chunks, few segments, few dead."""
    for _ in range(40):
        indexed.change(6)
        stats = build_index(indexed)
        manifest = read_manifest(str(index_path))
        assert served_chunks(index_path) == expected_chunks(indexed.files)
        assert stats.chunks == manifest.live_chunks == expected_chunks(indexed.files).total()
        assert len(manifest.segments) <= MAX_SEGMENTS
        for entry in manifest.segments:
            assert entry.dead_chunks <= MAX_DEAD_SHARE * entry.chunk_count
        names = {name for name in os.listdir(index_path) if name.endswith(".segment")}
        assert names == {entry.name for entry in manifest.segments}


def test_an_updated_index_answers_as_a_fresh_one(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    for _ in range(6):
        indexed.change(8)
        build_index(indexed)

    def answers() -> list[set[tuple[object, ...]]]:
        with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
            return [
                {(hit.path, hit.start_line, hit.symbol, hit.text) for hit in engine.search(query, limit=1000)}
                for query in ("record writer", "cache", "where is the journal flushed")
            ]

    updated = answers()
    build_index(indexed, rebuild=True)
    assert answers() == updated


def test_generations_count_up(indexed: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    seen = [read_manifest(str(index_path)).generation]
    for _ in range(5):
        indexed.change(1)
        indexed.grow(1)
        build_index(indexed)
        seen.append(read_manifest(str(index_path)).generation)
    assert seen == sorted(set(seen))


def test_a_commit_between_reading_the_manifest_and_opening_its_segments_is_followed(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most unlucky moment: the segments just read of are gone when they are opened, three times in a row."""
    commits = iter(range(3))

    def read_and_be_overtaken(path: str) -> Manifest:
        manifest = read_manifest(path)
        if next(commits, None) is not None:
            build_index(indexed, rebuild=True)
        return manifest

    monkeypatch.setattr(reader, "read_manifest", read_and_be_overtaken)
    with SemanticSearchEngine(SearchConfig(index_path=index_path)) as engine:
        assert engine.search("record")
        assert next(commits, None) is None
        assert engine.manifest.generation == read_manifest(str(index_path)).generation


READER = """
import os, sys
from flyweight import SearchConfig, SemanticSearchEngine
index_path, versions = sys.argv[1], int(sys.argv[2])
seen, searches = set(), 0
with SemanticSearchEngine(SearchConfig(index_path=index_path, cache_size=8)) as engine:
    print("reading", flush=True)
    while os.getppid() == int(sys.argv[3]):
        found = {}
        for hit in engine.search("marker version", limit=100):
            version = hit.text.partition("version_")[2].partition("(")[0]
            if version:
                found.setdefault(hit.path, set()).add(int(version))
        versions_found = set().union(*found.values())
        assert len(found) == 3 and len(versions_found) == 1, found
        seen |= versions_found
        searches += 1
        if max(seen) == versions:
            break
assert min(seen) >= 0 and max(seen) <= versions, seen
print(searches, len(seen), flush=True)
"""


def test_readers_see_one_version_or_the_next_while_the_index_is_rebuilt(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    """Two reader processes search without a pause; a writer commits twenty times, rebuilding now and then."""

    def write(version: int) -> None:
        for name in ("one", "two", "three"):
            indexed.write(f"markers/{name}.py", f"def marker_{name}_version_{version}():\n    return {version}\n")

    write(0)
    build_index(indexed)
    command = [sys.executable, "-c", READER, str(index_path), "20", str(os.getpid())]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
        for version in range(1, 21):
            write(version)
            indexed.grow(2)
            indexed.remove(next(path for path in indexed.files if not path.startswith("markers/")))
            build_index(indexed, rebuild=version % 5 == 0)
        for reader in readers:
            output, _ = reader.communicate(timeout=300)
            assert reader.returncode == 0
            searches, versions = map(int, output.split())
            assert searches >= versions > 1
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
            if reader.stdout is not None:
                reader.stdout.close()
