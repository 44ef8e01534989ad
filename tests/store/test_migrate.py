"""`flyweight migrate`: an index moves between stores and answers as before."""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_process import run_flyweight
from index_contents import live_files, served_chunks
from source_tree import SourceTree
from store.table_peek import TablePeek, path_of, table_chunks

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight._build import Segment
from flyweight.embed.static import StaticEmbedder
from flyweight.index.build import build
from flyweight.index.manifest import read_manifest
from flyweight.index.request import BuildRequest
from flyweight.store.pointer import write_pointer

pytestmark = pytest.mark.skipif(find_spec("lancedb") is None, reason="lancedb is not installed")

QUERIES = ("wait with backoff", "acquire a database connection", "class ledger", "retry the request", "DecodeFrame")


class Moved:
    """An index of segments, the table it was moved to, and the segments it was moved back to."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tree = SourceTree(place / "code", seed=21)
        self.tree.grow(40)
        self.tree.write(
            "net/backoff.py", "\n\n\ndef wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n\n\n"
        )
        self.tree.write("odd/caf\udce9.py", "def of_no_encoding():\n    return 'caf\u00e9'\n".encode("latin-1"))
        self.tree.write("odd/minified.js", "var a=1;" * 4000)
        self.tree.write("odd/crlf.go", "package odd\r\n\r\nfunc Odd() int {\r\n\treturn 1\r\n}\r\n")
        self.first, self.table, self.second = place / "first", place / "table", place / "second"
        request = BuildRequest(str(self.tree.root), str(self.first), batch_size=32, memory_budget=1 << 30, workers=1)
        build(request, StaticEmbedder(256), lambda progress: None)
        self.there = self.migrate(str(self.first), f"lancedb:{self.table}", "--json")
        self.back = self.migrate(f"lancedb:{self.table}", str(self.second))

    def migrate(self, *arguments: str, status: int = 0) -> str:
        outcome = run_flyweight("migrate", *arguments, cwd=self.place, home=self.place)
        assert outcome.returncode == status, outcome.stderr
        assert "Traceback" not in outcome.stderr
        return outcome.stderr if status else outcome.stdout


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, peek: TablePeek) -> Iterator[Moved]:
    yield Moved(tmp_path_factory.mktemp("migrate"))


def test_there_and_back_every_text_is_the_same_byte_for_byte(moved: Moved, peek: TablePeek) -> None:
    assert served_chunks(moved.second) == served_chunks(moved.first)
    assert table_chunks(peek.describe(moved.table)["rows"]) == served_chunks(moved.first)
    first, second = live_files(moved.first), live_files(moved.second)
    assert list(first) != [] and sorted(first) == sorted(second)
    for path, file in first.items():
        other = second[path]
        for field in ("name", "content_hash", "size_bytes", "mtime_ns", "skipped", "texts"):
            assert getattr(other, field) == getattr(file, field), (path, field)
    assert whole_texts(moved.second) == whole_texts(moved.first)
    assert whole_texts(moved.first) == {
        path: data for path, data in moved.tree.files.items() if not first[path].skipped
    }


def whole_texts(index_path: Path) -> dict[str, bytes]:
    texts = {}
    for entry in read_manifest(str(index_path)).segments:
        segment = Segment.open(os.fsencode(index_path / entry.name))
        for number in range(segment.file_count):
            path, *_, skipped = segment.file(number)
            if not skipped:
                texts[path] = segment.file_text(number)
    return texts


def test_vectors_come_back_within_the_rounding_of_a_byte(moved: Moved) -> None:
    first, second = vectors(moved.first), vectors(moved.second)
    assert first.keys() == second.keys()
    for place, vector in first.items():
        assert math.fsum(x * y for x, y in zip(vector, second[place], strict=True)) > 0.999


def vectors(index_path: Path) -> dict[tuple[str, int], array[float]]:
    found = {}
    for entry in read_manifest(str(index_path)).segments:
        segment = Segment.open(os.fsencode(index_path / entry.name))
        for number in range(segment.chunk_count):
            of_file, start_line, *_ = segment.chunk(number)
            found[segment.file(of_file)[0], start_line] = array("f", segment.vector(number))
    return found


def test_what_was_moved_answers_as_before(moved: Moved) -> None:
    answers = []
    for path in (moved.first, moved.second):
        with SemanticSearchEngine(SearchConfig(index_path=str(path))) as engine:
            answers.append([engine.search(query, limit=5) for query in QUERIES])
    for before, after in zip(*answers, strict=True):
        assert before and [(hit.path, hit.start_line, hit.symbol) for hit in after] == [
            (hit.path, hit.start_line, hit.symbol) for hit in before
        ]
        assert all(abs(one.score - other.score) < 0.01 for one, other in zip(before, after, strict=True))


def test_what_was_moved_need_not_be_indexed_again(moved: Moved, peek: TablePeek) -> None:
    request = BuildRequest(
        str(moved.tree.root),
        str(moved.place / "pointing"),
        batch_size=32,
        memory_budget=1 << 30,
        store=f"lancedb:{moved.table}",
    )
    before = peek.describe(moved.table)["version"]
    stats = build(request, StaticEmbedder(256), lambda progress: None)
    assert (stats.added, stats.changed, stats.removed) == (0, 0, 0)
    assert stats.unchanged == 43
    assert peek.describe(moved.table)["version"] == before


def test_the_outcome_is_told_as_json_and_in_words(moved: Moved) -> None:
    told = json.loads(moved.there)
    assert (told["files"], told["skipped"]) == (43, 1)
    assert told["chunks"] == sum(served_chunks(moved.first).values())
    assert (told["root"], told["dimensions"]) == (str(moved.tree.root), 256)
    assert "43 files" in moved.back and "none embedded again" in moved.back
    assert f"flyweight index {moved.tree.root} --index {moved.second}" in moved.back


def test_an_index_is_not_overwritten_unless_that_is_said(moved: Moved, peek: TablePeek) -> None:
    before = peek.describe(moved.table)
    said = moved.migrate(str(moved.first), f"lancedb:{moved.table}", status=2)
    assert (
        f"there is an index at lancedb:{moved.table} already: choose another place, or overwrite it with --force"
        in said
    )
    assert peek.describe(moved.table) == before
    moved.migrate("--force", "--quiet", str(moved.first), f"lancedb:{moved.table}")
    after = peek.describe(moved.table)
    assert after["version"] > before["version"]
    assert table_chunks(after["rows"]) == table_chunks(before["rows"])
    assert sorted(os.listdir(moved.table)) == ["flyweight.lance", "flyweight.lock"]


def test_a_damaged_source_leaves_the_target_as_it_was(moved: Moved, peek: TablePeek, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in os.listdir(moved.first):
        data = (moved.first / name).read_bytes()
        if name.endswith(".segment"):
            middle = data.index(b"wait_with_backoff(attempt)")
            data = data[:middle] + b"WAIT" + data[middle + 4 :]
        (damaged / name).write_bytes(data)
    before = peek.describe(moved.table)
    said = moved.migrate("--force", str(damaged), f"lancedb:{moved.table}", status=2)
    assert "is damaged: run 'flyweight index' to index its files again" in said
    assert peek.describe(moved.table) == before


def test_a_source_that_points_to_a_table_is_that_table(moved: Moved, tmp_path: Path) -> None:
    pointing, target = tmp_path / "pointing", tmp_path / "target"
    pointing.mkdir()
    write_pointer(str(pointing), f"lancedb:{moved.table}", {})
    moved.migrate("-q", str(pointing), str(target))
    assert served_chunks(target) == served_chunks(moved.first)
    said = moved.migrate("--force", str(pointing), f"lancedb:{moved.table}", status=2)
    assert "to itself" in said


def test_a_source_that_is_not_there_is_said(moved: Moved, tmp_path: Path) -> None:
    assert "no index at" in moved.migrate(str(tmp_path / "none"), f"lancedb:{tmp_path}/table", status=2)
    assert "no index at" in moved.migrate(f"lancedb:{tmp_path}/none", str(tmp_path / "target"), status=2)
    assert "--to-option is NAME=VALUE, not 'x'" in moved.migrate(
        str(moved.first), f"lancedb:{tmp_path}/table", "--to-option", "x", status=2
    )


def test_paths_of_rows_are_those_of_the_tree(moved: Moved, peek: TablePeek) -> None:
    rows = peek.describe(moved.table)["rows"]
    assert {path_of(row) for row in rows} == set(moved.tree.files)
