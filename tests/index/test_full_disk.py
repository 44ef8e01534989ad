from __future__ import annotations

import os
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from answered_questions import answers, engine_for
from bare_process import run_script
from index_contents import expected_chunks, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats, SearchConfig, SemanticSearchEngine
from flyweight.embed.static import StaticEmbedder
from flyweight.errors import (
    IndexMissingError,
    IndexWriteError,
)
from flyweight.index.build import build
from flyweight.index.request import BuildRequest

BuildIndex = Callable[..., IndexStats]


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int], None]]:
    """A file system in memory at `place`; yields what sets its size in KiB."""
    place.mkdir(exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place]).returncode:
        pytest.skip("only root can mount a small file system; the test with a limit on file sizes stands in for it")
    try:
        yield lambda size_kib: subprocess.run(["mount", "-o", f"remount,size={size_kib}k", place], check=True) and None
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_reported_and_damages_nothing(tree: SourceTree, memory_path: Path) -> None:
    tree.grow(80)
    with small_disk(memory_path / "disk") as resize:
        index_path = memory_path / "disk" / "index"
        request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=1 << 30, workers=2)
        outcomes = Counter[str]()
        for size_kib in [4, 8, 12, 16, *range(24, 400, 24), 100_000]:
            resize(size_kib)
            try:
                build(request, StaticEmbedder(64), lambda progress: None)
                outcomes["built"] += 1
            except IndexWriteError as error:
                assert "No space left on device" in str(error)
                assert "disk" in str(error)
                outcomes["refused"] += 1
            with suppress(IndexMissingError):
                assert served_chunks(index_path) <= expected_chunks(tree.files)
        assert served_chunks(index_path) == expected_chunks(tree.files)
        assert outcomes["refused"] > 5
        assert outcomes["built"] > 1


def test_an_index_survives_a_disk_that_fills_up_under_an_update(tree: SourceTree, memory_path: Path) -> None:
    tree.grow(60)
    with small_disk(memory_path / "disk") as resize:
        resize(10_000)
        index_path = memory_path / "disk" / "index"
        request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=1 << 30, workers=2)
        build(request, StaticEmbedder(64), lambda progress: None)
        refused = 0
        for spare_kib in (0, 4, 8, 16, 32, 64):
            before, old_files = served_chunks(index_path), dict(tree.files)
            tree.change(20)
            used_kib = sum(-(-entry.stat().st_size // 4096) * 4 for entry in index_path.iterdir())
            resize(used_kib + spare_kib)
            try:
                build(request, StaticEmbedder(64), lambda progress: None)
                assert served_chunks(index_path) == expected_chunks(tree.files)
            except IndexWriteError:
                refused += 1
                assert served_chunks(index_path) in (before, expected_chunks(tree.files))
            assert answers(index_path)
            resize(10_000)
            build(request, StaticEmbedder(64), lambda progress: None)
            assert served_chunks(index_path) == expected_chunks(tree.files)
            assert old_files != tree.files
        assert refused > 1


LIMITED = """
import os, resource, sys
from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import IndexWriteError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
with SemanticSearchEngine(SearchConfig(index_path=sys.argv[2], max_embedding_dim=64)) as engine:
    try:
        engine.index(sys.argv[1])
        print("built")
    except IndexWriteError as error:
        print(error)
"""


def test_a_limit_on_file_sizes_is_reported_and_damages_nothing(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    """What a quota does; needs no privilege."""
    before = served_chunks(index_path)
    indexed.grow(40)
    for limit_bytes in (0, 100, 5_000, 30_000):
        message = run_script(LIMITED, indexed.root, index_path, str(limit_bytes))
        assert "File too large" in message
        assert str(index_path) in message
        assert served_chunks(index_path) == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    build_index(indexed)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        place.chmod(0o555)
        yield
        place.chmod(0o755)
        return
    if subprocess.run(["mount", "--bind", place, place]).returncode:
        pytest.skip("permission bits do not bind root, and this root cannot mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_read_only_index_is_searched_and_not_written(indexed: SourceTree, index_path: Path) -> None:
    before = answers(index_path)
    indexed.change(10)
    with read_only(index_path):
        assert answers(index_path) == before
        with pytest.raises(IndexWriteError, match=str(index_path)):
            SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64)).index(indexed.root)
        assert answers(index_path) == before


def test_a_read_only_place_for_a_new_index_is_named(tree: SourceTree, memory_path: Path) -> None:
    tree.grow(2)
    place = memory_path / "locked"
    place.mkdir()
    with read_only(place), pytest.raises(IndexWriteError, match="locked"):
        engine_for(place / "index").index(tree.root)


def test_a_read_only_tree_is_indexed(tree: SourceTree, index_path: Path) -> None:
    tree.grow(5)
    with read_only(tree.root):
        assert engine_for(index_path).index(tree.root).files == 5


@pytest.mark.parametrize("kind", ["file", "dangling link", "below a file"])
def test_an_index_path_that_is_no_directory_is_named(tree: SourceTree, memory_path: Path, kind: str) -> None:
    tree.grow(2)
    place = memory_path / "place"
    if kind == "dangling link":
        place.symlink_to(memory_path / "nowhere" / "at all")
    else:
        place.write_text("mine")
    with pytest.raises(IndexWriteError, match="place"):
        engine_for(place / "index" if kind == "below a file" else place).index(tree.root)
    if kind == "file":
        assert place.read_text() == "mine"
    with pytest.raises(IndexMissingError, match="place"):
        engine_for(place).search("anything")
