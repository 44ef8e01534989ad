"""The store of segments as a build uses it, step by step; builds as a whole are tested in tests/index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest
from index_contents import live_files

from flyweight.errors import ConfigError, IndexLockedError, IndexMismatchError, IndexMissingError
from flyweight.index.chunk import chunk
from flyweight.index.manifest import read_manifest
from flyweight.index.request import BuildRequest
from flyweight.store import store_for
from flyweight.store.segments import SegmentStore

DIMENSIONS = 64


class Session:
    """One build over an index, in this process: what the coordinator and a worker ask of the store."""

    def __init__(self, index_path: Path, *, rebuild: bool = False, embedder: str = "made", root: str = "/code") -> None:
        index_path.mkdir(exist_ok=True)
        self.store = SegmentStore()
        self._pieces = 0
        request = BuildRequest(root, str(index_path), batch_size=32, memory_budget=1 << 30, rebuild=rebuild)
        try:
            self.store.open(request, embedder, DIMENSIONS)
        except BaseException:
            self.store.close()
            raise

    def write(self, **files: str) -> None:
        """A worker's piece with these files, taken in."""
        self._pieces += 1
        name = f"{os.getpid():x}-{id(self):x}-{self._pieces}"
        piece = self.store.piece(name)
        replaced = [path for path in files if self.store.find(path) is not None]
        for path, text in files.items():
            data = text.encode()
            chunks = chunk(data, "text")
            digest = blake2b(data, digest_size=16).digest()
            piece.add_file(path, "text", digest, 7, data, chunks, bytes(4 * DIMENSIONS * len(chunks)))
        counts = piece.file_count, piece.chunk_count
        self.store.take(name, piece.finish(), *counts, replaced)

    def see(self, *paths: str) -> None:
        for path in paths:
            known = self.store.find(path)
            assert known is not None
            known.seen = True

    def end(self) -> None:
        self.store.kill_unseen()
        self.store.publish(complete=True)
        self.store.finish(lambda phase: None)
        self.store.close()


@pytest.fixture
def path(memory_path: Path) -> Iterator[Path]:
    """An index of two files."""
    session = Session(memory_path / "index")
    session.write(a="the first file", b="the second file")
    session.end()
    yield memory_path / "index"


def test_what_was_taken_is_known_to_the_next_build(path: Path) -> None:
    session = Session(path)
    known = session.store.find("a")
    assert known is not None
    assert (known.name, known.size_bytes, known.mtime_ns, known.skipped) == ("text", 14, 7, False)
    assert known.content_hash == blake2b(b"the first file", digest_size=16).digest()
    assert session.store.find("c") is None
    assert (session.store.live_chunks, session.store.private_bytes) == (2, 0)
    session.store.close()


def test_a_piece_is_seen_by_readers_once_it_is_published(path: Path) -> None:
    session = Session(path)
    session.see("a", "b")
    session.write(c="the third file")
    assert set(live_files(path)) == {"a", "b"}
    session.store.publish(complete=False)
    assert set(live_files(path)) == {"a", "b", "c"}
    assert not read_manifest(str(path)).complete
    session.end()
    assert read_manifest(str(path)).complete


def test_replaced_and_unseen_files_die(path: Path) -> None:
    session = Session(path)
    session.see("a")
    session.write(a="another text")
    assert session.store.kill_unseen() == 1
    session.end()
    assert {name: entry.texts for name, entry in live_files(path).items()} == {"a": [b"another text"]}


def test_publishing_nothing_new_writes_nothing(path: Path) -> None:
    session = Session(path)
    session.see("a", "b")
    before = os.stat(path / "manifest")
    session.end()
    assert os.stat(path / "manifest") == before


def test_generations_grow_and_never_come_back(path: Path) -> None:
    seen = [read_manifest(str(path)).generation]
    for number in range(3):
        session = Session(path, rebuild=number == 1)
        session.write(**{f"more{number}": "text"})
        session.end()
        seen.append(session.store.generation)
        assert seen[-1] == read_manifest(str(path)).generation
    assert seen == sorted(set(seen))


def test_a_rebuild_shows_nothing_before_it_is_complete(path: Path) -> None:
    session = Session(path, rebuild=True)
    assert session.store.find("a") is None
    session.write(c="the third file")
    session.store.publish(complete=False)
    assert set(live_files(path)) == {"a", "b"}
    session.end()
    assert set(live_files(path)) == {"c"}
    assert len([name for name in os.listdir(path) if name.endswith(".segment")]) == 1


def test_an_abandoned_rebuild_leaves_what_was_there(path: Path) -> None:
    before = sorted(os.listdir(path))
    session = Session(path, rebuild=True)
    session.write(c="the third file")
    session.store.abandon_rebuild()
    assert session.store.live_chunks == 2
    session.store.close()
    assert sorted(os.listdir(path)) == before
    assert set(live_files(path)) == {"a", "b"}


def test_many_pieces_become_one(path: Path) -> None:
    session = Session(path)
    session.see("a", "b")
    for number in range(9):
        session.write(**{f"c{number}": f"text {number}"})
    phases: list[str] = []
    session.store.publish(complete=True)
    session.store.finish(phases.append)
    session.store.close()
    assert phases == ["merge"]
    assert len(read_manifest(str(path)).segments) == 1
    assert len(live_files(path)) == 11


def test_what_a_killed_build_left_is_removed_by_the_next(path: Path) -> None:
    session = Session(path)
    session.write(c="the third file")  # and never published
    session.store.close()
    session = Session(path)
    session.see("a", "b")
    session.end()
    assert set(live_files(path)) == {"a", "b"}
    assert len([name for name in os.listdir(path) if name.endswith(".segment")]) == 1


def test_a_second_writer_is_refused_until_the_first_is_done(path: Path) -> None:
    session = Session(path)
    with pytest.raises(IndexLockedError, match=str(os.getpid())):
        Session(path)
    session.store.close()
    Session(path).store.close()


@pytest.mark.parametrize(
    ("settings", "complaint"), [({"embedder": "other"}, "made with made"), ({"root": "/elsewhere"}, "is of /code")]
)
def test_an_index_of_something_else_is_refused_and_can_be_rebuilt(
    path: Path, settings: dict[str, str], complaint: str
) -> None:
    with pytest.raises(IndexMismatchError, match=complaint):
        Session(path, **settings)  # type: ignore[arg-type]
    Session(path, rebuild=True, **settings).end()  # type: ignore[arg-type]
    assert live_files(path) == {}


def test_closing_is_harmless_twice_and_before_opening() -> None:
    store = SegmentStore()
    store.close()
    store.close()


def test_an_interrupted_first_rebuild_leaves_no_index(memory_path: Path) -> None:
    session = Session(memory_path / "index", rebuild=True)
    session.write(a="text")
    session.store.abandon_rebuild()
    session.store.close()
    with pytest.raises(IndexMissingError):
        read_manifest(str(memory_path / "index"))


@pytest.mark.parametrize("spec", ["", "segment", "lancedb", "lancedb:", "sqlite:x", "Segments"])
def test_an_unknown_store_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="unknown store"):
        store_for(spec, {}, "/index")


def test_the_store_of_segments_takes_no_options() -> None:
    with pytest.raises(ConfigError, match="leave out region"):
        store_for("segments", {"region": "x"}, "/index")
