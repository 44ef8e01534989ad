"""Moves an index between stores without embedding again.

Files come out of one store as they went in, with chunks and vectors, and go into the other as pieces of a rebuild: so
the target shows nothing until it is whole, and then all of it at once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time

from flyweight.errors import IndexMissingError, IndexWriteError, StoreError
from flyweight.index.manifest import manifest_path
from flyweight.index.own_directory import make_own_directory
from flyweight.index.request import BuildRequest
from flyweight.index.stats import IndexProgress
from flyweight.store import SEGMENTS, store_for
from flyweight.store.lancedb.location import PREFIX, StoreLocation
from flyweight.store.pointer import read_pointer, remove_pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from flyweight.index.chunk import Chunk
    from flyweight.store import BuildStore, Piece

    class Source(Protocol):
        """An index as it stands, to be read once from beginning to end."""

        embedder: str
        dimensions: int
        root: str
        file_count: int
        size_bytes: int

        def files(self) -> Iterator[StoredFile]: ...
        def close(self) -> None: ...


_PIECE_BYTES = 32 * 1024 * 1024
_REPORT_EVERY_S = 0.1


class StoredFile:
    """A file as a store has it. `skipped`: why it was not indexed; it has neither text nor chunks then.

    vectors: float32 little-endian, one row a chunk, of length one or zero.
    """

    __slots__ = ("chunks", "content_hash", "language", "mtime_ns", "path", "size_bytes", "skipped", "text", "vectors")

    def __init__(
        self,
        path: str,
        language: str,
        content_hash: bytes,
        size_bytes: int,
        mtime_ns: int,
        skipped: str | None,
        text: bytes = b"",
        chunks: list[Chunk] | None = None,
        vectors: bytes = b"",
    ) -> None:
        self.path = path
        self.language = language
        self.content_hash = content_hash
        self.size_bytes = size_bytes
        self.mtime_ns = mtime_ns
        self.skipped = skipped
        self.text = text
        self.chunks = chunks or []
        self.vectors = vectors


class Place:
    """One end of a migration: an index directory, or a LanceDB table.

    Given as a path or as `lancedb:<uri>`; an index directory that points to another store stands for that store as a
    source, and is overwritten as a target.
    """

    def __init__(self, given: str, options: Mapping[str, object]) -> None:
        self.options = dict(options)
        self.is_table = given.startswith(PREFIX)
        self.spec = given if self.is_table else SEGMENTS
        self.directory = "" if self.is_table else os.path.realpath(given)

    @property
    def name(self) -> str:
        return self.spec if self.is_table else self.directory

    def followed(self) -> Place:
        """Where the index is that this place leads to."""
        pointer = None if self.is_table else read_pointer(self.directory)
        return self if pointer is None else Place(pointer[0], {**pointer[1], **self.options})

    def source(self) -> Source:
        """Opens the index. Raises IndexMissingError, IndexCorruptError, StoreError."""
        if self.is_table:
            from flyweight.store.lancedb.stored_files import TableSource

            return TableSource(self.spec, self.options)
        from flyweight.store.stored_segments import SegmentSource

        return SegmentSource(self.directory)

    def is_taken(self) -> bool:
        """Whether there is an index. Raises StoreError where that cannot be told."""
        if not self.is_table:
            return os.path.lexists(manifest_path(self.directory)) or read_pointer(self.directory) is not None
        try:
            self.source().close()
        except IndexMissingError:
            return False
        return True


class Migrated:
    """What was moved: files and chunks, bytes of source text; `seconds` of wall time."""

    __slots__ = ("chunks", "dimensions", "embedder", "files", "root", "seconds", "size_bytes", "skipped")

    def __init__(self, source: Source) -> None:
        self.root = source.root
        self.embedder = source.embedder
        self.dimensions = source.dimensions
        self.files = self.chunks = self.skipped = self.size_bytes = 0
        self.seconds = 0.0

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def migrate(
    given_source: Place,
    target: Place,
    *,
    force: bool = False,
    progress: Callable[[IndexProgress], object] | None = None,
) -> Migrated:
    """Copies the index at `given_source` to `target`, which is written in one step at the end; the source stays.

    Raises StoreError when the target holds an index already, unless `force`; else what reading the one and writing the
    other raises. Whatever is raised, the target is as it was before.
    """
    place = given_source.followed()
    if place.name == target.name and place.options.get("table") == target.options.get("table"):
        raise StoreError(f"cannot migrate {place.name} to itself: name another target")
    source = place.source()
    try:
        if not force and target.is_taken():
            raise StoreError(
                f"there is an index at {target.name} already: choose another place, or overwrite it with --force"
            )
        return _Move(source, target, progress).run()
    finally:
        source.close()


class _Move:
    def __init__(self, source: Source, target: Place, progress: Callable[[IndexProgress], object] | None) -> None:
        self._source = source
        self._target = target
        self._report = progress
        self._started = time.monotonic()
        self._reported = 0.0
        self._progress = IndexProgress("move", total_files=source.file_count, total_bytes=source.size_bytes)
        self._outcome = Migrated(source)
        self._run_name = f"{time.time_ns():x}-{os.getpid():x}"
        self._pieces = 0

    def run(self) -> Migrated:
        work_path = _work_directory(self._target)
        store = store_for(self._target.spec, self._target.options, work_path)
        request = BuildRequest(self._source.root, work_path, batch_size=1, memory_budget=_PIECE_BYTES, rebuild=True)
        whole = False
        try:
            store.open(request, self._source.embedder, self._source.dimensions)
            try:
                self._fill(store)
                store.publish(complete=True)
                whole = True
            finally:
                if not whole:
                    store.abandon_rebuild()
            store.finish(self._begin_phase)
        except OSError as error:
            raise IndexWriteError(f"cannot write to {self._target.name}: {error.strerror}") from None
        finally:
            store.close()
            if self._target.is_table:
                shutil.rmtree(work_path, ignore_errors=True)
        if not self._target.is_table:
            remove_pointer(self._target.directory)
        self._outcome.seconds = time.monotonic() - self._started
        return self._outcome

    def _fill(self, store: BuildStore) -> None:
        piece: Piece | None = None
        name = ""
        outcome = self._outcome
        for file in self._source.files():
            if piece is None:
                self._pieces += 1
                name = f"{self._run_name}-{self._pieces}"
                piece = store.piece(name)
            if file.skipped is not None:
                piece.add_skipped(file.path, file.skipped, file.content_hash, file.size_bytes, file.mtime_ns)
                outcome.skipped += 1
            else:
                content = file.text, file.chunks, file.vectors
                piece.add_file(file.path, file.language, file.content_hash, file.mtime_ns, *content)
                outcome.files += 1
                outcome.chunks += len(file.chunks)
                outcome.size_bytes += file.size_bytes
            if piece.buffered_bytes >= _PIECE_BYTES:
                _hand_over(store, name, piece)
                piece = None
            self._tell(outcome)
        if piece is not None:
            _hand_over(store, name, piece)

    def _begin_phase(self, phase: str) -> None:
        self._progress.phase = phase
        self._reported = 0.0
        self._tell(self._outcome)

    def _tell(self, outcome: Migrated) -> None:
        now = time.monotonic()
        if self._report is not None and now - self._reported >= _REPORT_EVERY_S:
            self._reported = now
            progress = self._progress
            progress.files, progress.chunks = outcome.files + outcome.skipped, outcome.chunks
            progress.bytes, progress.seconds = outcome.size_bytes, now - self._started
            self._report(progress)


def _hand_over(store: BuildStore, name: str, piece: Piece) -> None:
    files, chunks = piece.file_count, piece.chunk_count
    store.take(name, piece.finish(), files, chunks, [])


def _work_directory(target: Place) -> str:
    """Where pieces lie until the target takes them: the target itself, or beside the table, where there is room."""
    try:
        if not target.is_table:
            make_own_directory(target.directory)
            return target.directory
        location = StoreLocation.parse(target.spec, target.options)
        if not location.is_local:
            return tempfile.mkdtemp(prefix="flyweight-migrate-")
        path = os.path.join(location.uri, f"{location.table}.migrating")
        os.makedirs(path, exist_ok=True)
        return path
    except OSError as error:
        raise IndexWriteError(f"cannot write to {target.name}: {error.strerror}") from None
