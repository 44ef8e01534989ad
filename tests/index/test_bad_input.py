from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest
from answered_questions import answers, engine_for
from index_contents import expected_chunks, live_files, served_chunks
from source_tree import SourceTree

from flyweight import IndexStats, SearchConfig, SemanticSearchEngine
from flyweight.embed.static import StaticEmbedder
from flyweight.errors import (
    FlyweightError,
    PathError,
)
from flyweight.index.build import build
from flyweight.index.request import BuildRequest

BuildIndex = Callable[..., IndexStats]


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
    with pytest.raises((FlyweightError, TypeError), match=r"path|PathLike"):
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


def test_source_nested_ten_thousand_deep_is_indexed(
    tree: SourceTree, index_path: Path, build_index: BuildIndex
) -> None:
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
    "new\nline.py",
    "carriage\rreturn.py",
    "tab\t.py",
    "caf\udce9.py",
    "\udcff\udcfe.py",
    "-rf.py",
    " .py",
    "a b.py",
    "quote'\".py",
    "back\\slash.py",
    "per%41cent.py",
    "émoji😀.py",
    "x" * 252 + ".py",
    "line\u2028separator.py",
    "\x01\x7f.py",
    "*?[a].py",
    "segment 1 2 3.py",
    "=.py",
    "#.py",
    "..py",
]


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

    request = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=1 << 30, workers=2)
    stats = build(request, StaticEmbedder(64), lambda progress: None, change_once)
    assert stats.skipped["vanished"] >= len(paths[::8])
    assert_serves_only_versions_that_existed(index_path, tree)
    assert not set(paths[::8]) & set(live_files(index_path)), "a file that is gone is served"
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
