from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import pytest
from bare_process import run_script
from index_contents import expected_chunks, live_files, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats, SearchConfig, SemanticSearchEngine
from flyweight._search import crc32c
from flyweight.embed.static import StaticEmbedder
from flyweight.errors import (
    FlyweightError,
    IndexCorruptError,
    IndexMismatchError,
    IndexMissingError,
    IndexVersionError,
    IndexWriteError,
    PathError,
)
from flyweight.index.build import build
from flyweight.index.manifest import MANIFEST_NAME, read_manifest
from flyweight.index.request import BuildRequest

BuildIndex = Callable[..., IndexStats]
QUERIES = ("record writer", "journal", "where is the cache flushed")


def engine_for(index_path: Path) -> SemanticSearchEngine:
    return SemanticSearchEngine(SearchConfig(index_path=index_path, cache_size=0))


def answers(index_path: Path) -> list[dict[str, object]]:
    with engine_for(index_path) as engine:
        return [hit.as_dict() for query in QUERIES for hit in engine.search(query, limit=20)]


@pytest.fixture
def indexed(tree: SourceTree, build_index: BuildIndex) -> SourceTree:
    tree.grow(40)
    build_index(tree)
    return tree


# The tree


def test_a_missing_path_is_named_and_leaves_no_index(tmp_path: Path, index_path: Path) -> None:
    with pytest.raises(PathError, match=r"nowhere.*does not exist"):
        engine_for(index_path).index(tmp_path / "nowhere")
    assert not index_path.exists()


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "/dev/null", "/proc/self/mem/x"])
def test_a_path_that_cannot_be_a_tree_is_refused(index_path: Path, path: str) -> None:
    with pytest.raises(FlyweightError):
        engine_for(index_path).index(path)


@pytest.mark.parametrize("path", [None, 3, 1.5, [], b"bytes"])
def test_a_path_of_the_wrong_type_is_refused(index_path: Path, path: object) -> None:
    with pytest.raises((FlyweightError, TypeError), match="path|PathLike"):
        engine_for(index_path).index(path)  # type: ignore[arg-type]


def test_a_socket_is_no_tree(memory_path: Path, index_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(memory_path / "socket"))
        with pytest.raises(PathError, match="neither a directory nor a file"):
            engine_for(index_path).index(memory_path / "socket")


def test_binary_minified_and_oversized_files_are_skipped_with_a_reason(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.write("good.py", "def good():\n    return 1\n")
    tree.write("program", b"\x7fELF" + random.Random(1).randbytes(5000))
    tree.write("app.js", "var a=1;" * 20_000)
    tree.write("jquery.min.js", "var a = 1;\n")
    tree.write("utf16.py", "x = 1\n".encode("utf-16"))
    tree.write("one_line.py", b"a" * (100 << 20))
    tree.write("half_a_megabyte.py", b"x = 1; " * 75_000)
    stats = build_index(tree)
    assert stats.files == 1
    assert stats.skipped == {"binary": 1, "minified": 3, "encoding": 1, "too large": 1}
    assert set(served_chunks(index_path)) == {("good.py", b"def good():\n    return 1")}


NESTED = {
    "parentheses.py": "x = " + "(" * 10_000 + "1" + ")" * 10_000 + "\n",
    "braces.c": "int main() " + "{" * 10_000 + "}" * 10_000 + "\n",
    "functions.js": "function f() {\n" * 10_000 + "}\n" * 10_000,
    "lists.json": "[\n" * 10_000 + "]\n" * 10_000,
    "modules.rs": "mod m {\n" * 10_000 + "}\n" * 10_000,
    "classes.rb": "class A\n" * 10_000 + "end\n" * 10_000,
    "unclosed.hs": "f = " + "(" * 10_000 + "\n",
    "substitutions.sh": "echo " + "$(echo " * 10_000 + ")" * 10_000 + "\n",
    "tags.html": "<div>\n" * 10_000 + "</div>\n" * 10_000,
    "quotes.md": "> " * 10_000 + "deep\n",
    "elses.java": "class A { void f() { " + "if (a) {} else " * 10_000 + "{} } }\n",
}


def test_source_nested_ten_thousand_deep_is_indexed(tree: SourceTree, index_path: Path, build_index: BuildIndex) -> None:
    for path, text in NESTED.items():
        tree.write(path, text)
    tree.write("good.py", "def good():\n    return 1\n")
    stats = build_index(tree)
    assert stats.files + sum(stats.skipped.values()) == len(NESTED) + 1
    assert "good.py" in live_files(index_path)
    assert answers(index_path) is not None


def test_directories_nested_ten_thousand_deep_are_survived(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.write("good.py", "def good():\n    return 1\n")
    (tree.root / "deep").mkdir()
    fd = os.open(tree.root / "deep", os.O_RDONLY)
    try:
        for _ in range(10_000):
            os.mkdir("d", dir_fd=fd)
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        stats = build_index(tree)
    finally:
        os.close(fd)
        subprocess.run(["rm", "-rf", tree.root / "deep"], check=True)
    assert stats.files == 1
    assert stats.skipped == {"path too long": 1}


def test_a_file_at_the_end_of_a_very_long_path_is_indexed(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    path = "/".join(["d" * 99] * 35) + "/deep.py"
    tree.write(path, "def deep_down():\n    return 1\n")
    assert build_index(tree).files == 1
    with engine_for(index_path) as engine:
        assert engine.search("deep down")[0].path == path


def test_contents_that_are_not_utf8_are_indexed_and_read_with_replacements(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    tree.write("latin.py", "# Gr\xfc\xdfe an alle\ndef gruesse():\n    return 'sch\xf6n'\n".encode("latin-1"))
    tree.write("mixed.py", b"def broken():\n    return '\xff\xfe\xc3\x28\xed\xa0\x80'\n")
    assert build_index(tree).files == 2
    assert served_chunks(index_path) == expected_chunks(tree.files)
    with engine_for(index_path) as engine:
        hit = engine.search("gruesse")[0]
        assert hit.path == "latin.py"
        assert "Gr\ufffd\ufffde" in hit.text
        assert engine.search("broken")[0].path == "mixed.py"


NAMES = [
    "new\nline.py", "carriage\rreturn.py", "tab\t.py", "caf\udce9.py", "\udcff\udcfe.py", "-rf.py", " .py", "a b.py", "quote'\".py",
    "back\\slash.py", "per%41cent.py", "émoji😀.py", "x" * 252 + ".py", "line\u2028separator.py", "\x01\x7f.py", "*?[a].py",
    "segment 1 2 3.py", "=.py", "#.py", "..py",
]  # fmt: skip


def test_any_file_name_is_indexed_found_and_followed(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    for number, name in enumerate(NAMES):
        tree.write(f"strange/{name}", f"def strange_{number}():\n    return {number}\n")
    assert build_index(tree).files == len(NAMES)
    assert build_index(tree).unchanged == len(NAMES)
    assert served_chunks(index_path) == expected_chunks(tree.files)
    with engine_for(index_path) as engine:
        found = {hit.path: hit for hit in engine.search("strange", limit=100)}
        assert found.keys() == tree.files.keys()
        for hit in found.values():
            assert hit.text.startswith("def strange")
            assert repr(hit)
            assert hit.as_dict()["path"] == hit.path
    for name in NAMES[::2]:
        tree.remove(f"strange/{name}")
    assert build_index(tree).removed == len(NAMES[::2])
    assert served_chunks(index_path) == expected_chunks(tree.files)


# A tree that changes under the builder


def test_files_that_vanish_or_change_between_walk_and_reading_are_survived(
    indexed: SourceTree, index_path: Path
) -> None:
    """After the walk, before the workers read: every kind of change at once."""
    tree = indexed
    tree.grow(60)
    for path in list(tree.files):
        tree.touch(path)
    paths = sorted(tree.files)
    kinds = ("unlink", "rewrite", "directory", "link", "fifo", "empty", "grow", "leave")
    asked = itertools.count()

    def change_once() -> bool:
        if next(asked) == len(tree.files):  # the walk has asked once a file
            for kind, path in zip(itertools.cycle(kinds), paths, strict=False):
                place = tree.root / path
                if kind == "rewrite":
                    tree.write(path, tree.files[path].replace(b"e", b"E"))
                elif kind == "empty":
                    tree.write(path, b"")
                elif kind == "grow":
                    tree.write(path, tree.files[path] * 50)
                elif kind != "leave":
                    place.unlink()
                if kind == "directory":
                    place.mkdir()
                elif kind == "link":
                    place.symlink_to("/etc/passwd")
                elif kind == "fifo":
                    os.mkfifo(place)
        return False

    request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=64 << 20, workers=2)
    stats = build(request, StaticEmbedder(64), lambda progress: None, change_once)
    assert stats.skipped["vanished"] >= len(paths[::8])
    assert_serves_only_versions_that_existed(index_path, tree)
    assert not any(b"root:" in text for _, text in served_chunks(index_path)), "a link was followed"
    build(request, StaticEmbedder(64), lambda progress: None)
    gone = {path for kind, path in zip(itertools.cycle(kinds), paths, strict=False) if kind in kinds[:1] + kinds[2:5]}
    kept = {path: data for path, data in tree.files.items() if path not in gone}
    assert served_chunks(index_path) == expected_chunks(kept)


def assert_serves_only_versions_that_existed(index_path: Path, tree: SourceTree) -> None:
    versions = {(path, blake2b(data, digest_size=16).digest()): data for path, data in tree.versions}
    for path, entry in live_files(index_path).items():
        data = versions[path, entry.content_hash]
        assert Counter(entry.texts) == Counter(text for _, text in expected_chunks({path: data}).elements())


def test_a_tree_in_constant_motion_is_indexed_again_and_again(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            indexed.change(5)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        with SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64)) as engine:
            for _ in range(4):
                engine.index(indexed.root)
                engine.search("record")
    finally:
        stop.set()
        mover.join()
    assert_serves_only_versions_that_existed(index_path, indexed)
    build_index(indexed)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


# The disk


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
        request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=64 << 20, workers=2)
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
        request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=64 << 20, workers=2)
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


# A damaged index


def test_flipped_bits_and_lost_tails_never_get_past_a_search(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    sound = answers(index_path)
    draw = random.Random(3)
    for path in (index_path / MANIFEST_NAME, index_path / read_manifest(str(index_path)).segments[0].name):
        intact = path.read_bytes()
        refused = 0
        for number in range(60):
            data = bytearray(intact)
            if number % 3:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            else:
                del data[draw.randrange(len(data)) :]
            path.unlink()  # never in place: another test's reader may have the file mapped
            path.write_bytes(data)
            try:
                assert answers(index_path) == sound
            except FlyweightError as error:
                assert str(index_path) in str(error) or "fails its checksum" in str(error)
                refused += 1
        assert refused > 40
        path.unlink()
        path.write_bytes(intact)
    assert answers(index_path) == sound


def test_a_missing_segment_is_an_error_for_readers_and_made_up_for_by_the_next_run(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    (index_path / read_manifest(str(index_path)).segments[0].name).unlink()
    with pytest.raises(IndexCorruptError, match=r"doctor.*flyweight index"):
        engine_for(index_path).search("record")
    build_index(indexed)
    assert served_chunks(index_path) == expected_chunks(indexed.files)


@pytest.mark.parametrize("missing", [MANIFEST_NAME, "everything"])
def test_searching_without_an_index_says_how_to_make_one(index_path: Path, indexed: SourceTree, missing: str) -> None:
    if missing == "everything":
        for entry in index_path.iterdir():
            entry.unlink()
        index_path.rmdir()
    else:
        (index_path / missing).unlink()
    engine = engine_for(index_path)
    for _ in range(2):
        with pytest.raises(IndexMissingError, match=r"no index at .*run 'flyweight index"):
            engine.search("record")


def test_an_index_in_another_format_is_refused_and_replaced_by_a_rebuild(
    indexed: SourceTree, index_path: Path
) -> None:
    path = index_path / MANIFEST_NAME
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first.rpartition(b" ")[0] + b" 99\n" + rest)
    engine = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64))
    with pytest.raises(IndexVersionError, match=r"format 99.*--rebuild"):
        engine.search("record")
    with pytest.raises(IndexVersionError, match=r"format 99.*--rebuild"):
        engine.index(indexed.root)
    assert engine.index(indexed.root, rebuild=True).files == 40
    assert engine.search("record")


def test_a_segment_in_another_format_is_refused_and_made_anew_by_the_next_run(
    indexed: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
    path = index_path / read_manifest(str(index_path)).segments[0].name
    data = bytearray(path.read_bytes())
    data[8:12] = (99).to_bytes(4, "little")
    data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(IndexVersionError, match="format 99"):
        engine_for(index_path).search("record")
    assert build_index(indexed).added == 40
    assert served_chunks(index_path) == expected_chunks(indexed.files)


def test_an_index_with_more_dimensions_than_allowed_is_refused(tree: SourceTree, index_path: Path) -> None:
    tree.grow(3)
    SemanticSearchEngine(SearchConfig(index_path=index_path)).index(tree.root)
    small = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64))
    with pytest.raises(IndexMismatchError, match=r"256 dimensions.*64.*max_embedding_dim"):
        small.search("record")
    with pytest.raises(IndexMismatchError, match=r"--rebuild"):
        small.index(tree.root)


def test_an_index_by_another_embedder_is_refused(indexed: SourceTree, index_path: Path) -> None:
    path = index_path / MANIFEST_NAME
    body = path.read_bytes().rpartition(b"end ")[0]
    embedder = body.partition(b"embedder ")[2].partition(b"\n")[0]
    body = body.replace(embedder, b"other-model")
    path.write_bytes(body + f"end {crc32c(body):08x}\n".encode())
    engine = SemanticSearchEngine(SearchConfig(index_path=index_path, max_embedding_dim=64))
    with pytest.raises(IndexMismatchError, match=r"other-model.*--rebuild"):
        engine.search("record")
    with pytest.raises(IndexMismatchError, match=r"other-model.*--rebuild"):
        engine.index(indexed.root)


def test_no_bad_input_shows_a_traceback_of_the_builder(
    tree: SourceTree, index_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree.grow(2)
    engine = engine_for(index_path)
    with suppress(FlyweightError):
        engine.index(tree.root / "nowhere")
    index_path.mkdir()
    (index_path / MANIFEST_NAME).mkdir()
    with pytest.raises(FlyweightError):
        engine.index(tree.root)
    assert capfd.readouterr().err == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
