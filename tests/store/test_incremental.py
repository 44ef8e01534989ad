"""An index in a LanceDB table follows its tree: what changed is written, what did not is left alone."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from source_tree import SourceTree
from store.lance_index import LanceIndex
from store.table_peek import TablePeek, path_of, table_chunks

from flyweight.errors import (
    ConfigError,
    IndexLockedError,
    IndexMismatchError,
    IndexWriteError,
    StoreError,
)
from flyweight.index.lock import WriterLock
from flyweight.store.pointer import read_pointer

pytestmark = pytest.mark.skipif(find_spec("lancedb") is None, reason="lancedb is not installed")


@pytest.fixture
def index(tree: SourceTree, memory_path: Path, peek: TablePeek) -> LanceIndex:
    tree.grow(25)
    return LanceIndex(tree, memory_path, peek)


def rows_by_path(described: dict[str, object]) -> dict[str, list[int]]:
    placed: dict[str, list[int]] = {}
    for row in described["rows"]:  # type: ignore[attr-defined]
        placed.setdefault(path_of(row), []).append(row["_rowid"])
    return {path: sorted(rows) for path, rows in placed.items()}


def test_the_table_holds_every_chunk_with_its_vector_and_what_lies_between_them(index: LanceIndex) -> None:
    index.tree.write("odd/x' OR '1'='1.py", "def quoted():\n    return 1\n")
    index.tree.write("odd/caf\udce9.py", "def of_no_encoding():\n    return 2\n")
    index.tree.write("odd/caf\\xe9.py", "def of_the_same_spelling():\n    return 3\n")
    index.tree.write("odd/two\nlines.py", "\n\n\ndef between():\n    return 4\n\n\n\n")
    stats = index.build()
    described = index.check()
    assert (stats.files, stats.chunks) == (29, sum(row["ordinal"] >= 0 for row in described["rows"]))
    assert stats.store_private_bytes > 0
    assert stats.generation == described["version"]
    for row in described["rows"]:
        assert (row["vector"] is None) == (row["ordinal"] < 0)
        if row["vector"] is not None:
            assert math.isclose(math.hypot(*row["vector"]), 1.0, abs_tol=1e-3)
    for path, data in index.tree.files.items():
        file = [row for row in described["rows"] if path_of(row) == path and row["ordinal"] == -1]
        inside = sum(count for (of, _), count in table_bytes(described).items() if of == path)
        assert len(file[0]["text"]) + inside == len(data)
    assert read_pointer(str(index.index_path)) == (f"lancedb:{index.uri}", {})


def table_bytes(described: dict[str, object]) -> dict[tuple[str, bytes], int]:
    rows: list[dict[str, object]] = described["rows"]  # type: ignore[assignment]
    return {place: count * len(place[1]) for place, count in table_chunks(rows).items()}


def test_only_what_changed_is_written(index: LanceIndex) -> None:
    index.build()
    before = index.describe()
    assert index.build().unchanged == 25
    assert index.describe() == before, "a run over an unchanged tree commits nothing"

    paths = sorted(index.tree.files)
    index.tree.write(paths[0], "def entirely_new():\n    return 1\n")
    index.tree.remove(paths[1])
    index.tree.rename(paths[2], "moved/elsewhere.py")
    index.tree.touch(paths[3])
    index.tree.write("added/file.py", "def added():\n    return 2\n")
    stats = index.build()
    assert (stats.changed, stats.added, stats.removed, stats.unchanged) == (1, 2, 2, 22)
    after = index.check()
    kept, now = rows_by_path(before), rows_by_path(after)
    assert all(now[path] == kept[path] for path in paths[3:]), "rows of unchanged files were rewritten"


def test_the_table_follows_a_tree_through_many_changes(index: LanceIndex) -> None:
    draw = random.Random(5)
    for _ in range(2):
        for path in draw.sample(sorted(index.tree.files), 5):
            index.tree.remove(path) if draw.random() < 0.3 else index.tree.write(path, index.tree.code("py"))
        index.tree.grow(draw.randrange(4))
        index.build()
        index.check()


def test_a_rebuild_that_is_interrupted_changes_nothing_and_one_that_is_not_replaces_all(index: LanceIndex) -> None:
    index.build()
    before = index.describe()
    asked: list[int] = []

    def soon() -> bool:
        asked.append(1)
        return len(asked) > 12

    index.tree.grow(3)
    assert index.build(rebuild=True, stopped=soon).interrupted
    assert index.describe() == before
    index.build(rebuild=True, dimensions=128)
    described = index.check()
    assert described["metadata"]["flyweight.dimensions"] == "128"
    assert "terms_idx" in described["indexes"]
    assert not [name for name in os.listdir(index.index_path) if name.startswith("pieces-")]


def test_a_table_of_another_tree_or_embedder_is_refused(index: LanceIndex, tmp_path: Path) -> None:
    index.build()
    with pytest.raises(IndexMismatchError, match=r"64 dimensions, not .* in 256"):
        index.build(dimensions=256)
    stranger = LanceIndex(SourceTree(tmp_path / "other"), tmp_path, TablePeek(), uri=index.uri)
    stranger.tree.grow(1)
    with pytest.raises(IndexMismatchError, match=r"is of .*code, not of .*other"):
        stranger.build()
    index.check()


def test_a_place_that_cannot_hold_a_table_is_said_in_a_sentence(index: LanceIndex, peek: TablePeek) -> None:
    (index.index_path.parent / "file").write_text("no directory")
    for uri, said in ((index.index_path.parent / "file" / "below", "Not a directory"), ("/proc/none", "No such file")):
        index.uri = str(uri)
        with pytest.raises((StoreError, IndexWriteError), match=said):
            index.build()
    index.uri = str(index.index_path.parent / "foreign")
    peek.make_foreign(index.uri)
    for rebuild in (False, True):
        with pytest.raises(StoreError, match="is not a Flyweight index: choose another location"):
            index.build(rebuild=rebuild)
    with pytest.raises(ConfigError, match="unknown store option 'colour'"):
        index.options = {"colour": "blue"}
        index.build()


def test_a_second_writer_is_told_who_the_first_is(index: LanceIndex) -> None:
    os.makedirs(index.uri)
    lock = WriterLock(index.uri, "flyweight.lock")
    try:
        with pytest.raises(IndexLockedError, match=f"is being written by process {os.getpid()}"):
            index.build()
    finally:
        lock.release()


_MANY_RUNS = """
import sys
from flyweight.index.chunk import chunk
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.pour import TableWriter
from flyweight.store.lancedb.row_spool import RowSpool
from flyweight.store.lancedb.table import TableInfo

uri, spool_path, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
begun = []
for run in range(runs):
    if run % 50 == 0:
        writer = TableWriter(StoreLocation.parse(uri), TableInfo("model", 8, "/root"))
        writer.open(rebuild=False)
    text = b"def changed_%d():\\n    return 1\\n" % run
    spool = RowSpool(spool_path)
    chunks = chunk(text, "python")
    spool.add_file("one.py" if run % 2 else f"file_{run}.py", "python", b"h" * 16, run, text, chunks, bytes(32))
    spool.finish()
    writer.pour([spool_path], ["one.py"] if run % 2 else [])
    writer.keep(lambda: begun.append(run))
print(len(begun), writer.live_chunks())
"""


def test_a_hundred_and_forty_runs_of_one_file_leave_few_fragments(memory_path: Path, peek: TablePeek) -> None:
    uri = str(memory_path / "table")
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", _MANY_RUNS, uri, str(memory_path / "spool"), "140"],
        capture_output=True,
        check=True,
        text=True,
    )
    optimised, chunks = map(int, outcome.stdout.split())
    described = peek.describe(uri)
    assert described["fragments"] <= 64
    assert 0 < optimised <= 3, "each optimisation rewrites the table: it has to be rare"
    assert chunks == 71
    assert sum(row["ordinal"] == -1 for row in described["rows"]) == 71
    assert all(row["vector"] is None for row in described["rows"]), "vectors of zeros are none"


_GROWING = """
import random, sys
from array import array
from flyweight.index.chunk import Chunk
from flyweight.store.lancedb import upkeep
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.pour import TableWriter
from flyweight.store.lancedb.row_spool import RowSpool
from flyweight.store.lancedb.table import TableInfo

uri, spool_path = sys.argv[1:]
upkeep._ROWS_DUE_LEAST = 50
upkeep._VECTOR_BYTES_DUE = 500 * 64 * 4
draw = random.Random(1)
writer = TableWriter(StoreLocation.parse(uri), TableInfo("model", 64, "/root"))
writer.open(rebuild=False)
for number, chunks in enumerate((300, 300, 60, 700)):
    spool = RowSpool(spool_path)
    text = b"word " * chunks
    places = [Chunk(5 * i, 5 * i + 4, 1, 1, "", "", "", ()) for i in range(chunks)]
    vectors = array("f", (draw.gauss(0, 1) for _ in range(64 * chunks))).tobytes()
    spool.add_file(f"{number}.txt", "text", b"h" * 16, 1, text, places, vectors)
    spool.finish()
    writer.pour([spool_path], [])
    writer.keep(lambda: None)
    print(writer._table.unindexed_rows("vector_idx"))
"""


def test_a_vector_index_is_made_when_the_table_is_large_and_kept_up_with(memory_path: Path, peek: TablePeek) -> None:
    uri = str(memory_path / "table")
    command = [sys.executable, "-P", "-c", _GROWING, uri, str(memory_path / "spool")]
    outcome = subprocess.run(command, capture_output=True, check=True, text=True)
    assert outcome.stdout.split() == ["None", "0", "61", "0"]  # with the row of the file
    assert peek.describe(uri)["indexes"] == {"terms_idx": 0, "vector_idx": 0}
