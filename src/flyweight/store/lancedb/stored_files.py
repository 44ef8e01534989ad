"""Reads an index in a LanceDB table file by file, for a migration."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from flyweight.errors import StoreError
from flyweight.index.chunk import Chunk
from flyweight.store.lancedb.known_files import KnownFiles, write_known_files
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.object_storage import ObjectStorage
from flyweight.store.lancedb.predicates import of_files
from flyweight.store.lancedb.synchronous import LanceConnection
from flyweight.store.lancedb.table import FILE_ORDINAL, path_of
from flyweight.store.migration import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

# One look at the table for so many chunks: each reads the whole column of paths, and holds this many rows.
_CHUNKS_AT_ONCE = 4096
_FILES_AT_ONCE = 2048
_COLUMNS = [
    *("path", "raw_path", "file_hash", "language", "ordinal", "start_byte", "end_byte", "start_line", "end_line"),
    *("symbol", "scope", "kind", "defined", "text", "vector", "size_bytes", "mtime_ns", "skipped", "chunk_count"),
]


class TableSource:
    """The index in a table, in its newest version: what a writer changes meanwhile is not seen."""

    def __init__(self, spec: str, options: Mapping[str, object]) -> None:
        self._location = StoreLocation.parse(spec, options)
        self._connection = LanceConnection(self._location, ObjectStorage(self._location).options())
        self._table, info = self._connection.open_table()
        self.embedder = info.embedder
        self.dimensions = info.dimensions
        self.root = info.root
        self._blank = bytes(4 * info.dimensions)
        self._table.checkout(self._table.version())
        self._directory = tempfile.TemporaryDirectory(prefix="flyweight-migrate-")
        path = os.path.join(self._directory.name, "files")
        try:
            write_known_files(self._table, path)
        except BaseException:
            self._directory.cleanup()
            raise
        self._known = KnownFiles(path)
        self.file_count, self.size_bytes = self._known.totals()

    def files(self) -> Iterator[StoredFile]:
        paths: list[str] = []
        chunks = 0
        for path, count in self._known.chunk_counts():
            paths.append(path)
            chunks += count
            if chunks >= _CHUNKS_AT_ONCE or len(paths) >= _FILES_AT_ONCE:
                yield from self._read(paths)
                paths, chunks = [], 0
        if paths:
            yield from self._read(paths)

    def close(self) -> None:
        self._known.close()
        self._connection.close()
        self._directory.cleanup()

    def _read(self, paths: list[str]) -> Iterator[StoredFile]:
        rows: dict[str, dict[int, dict[str, Any]]] = {path: {} for path in paths}
        for batch in self._table.batches(_COLUMNS, of_files(paths)):
            for row in _rows(batch):
                rows[path_of(row["path"], row["raw_path"])][row["ordinal"]] = row
        for path in paths:
            yield self._file(path, rows.pop(path))

    def _file(self, path: str, rows: dict[int, dict[str, Any]]) -> StoredFile:
        file = rows.pop(FILE_ORDINAL)
        known = file["file_hash"], file["size_bytes"], file["mtime_ns"]
        if file["skipped"] is not None:
            return StoredFile(path, "", *known, file["skipped"])
        pieces = [rows[ordinal] for ordinal in sorted(rows)]
        text = _interleaved(pieces, file["text"])
        if len(pieces) != file["chunk_count"] or len(text) != file["size_bytes"]:
            raise StoreError(
                f"the table at {self._location.uri} is damaged: {path!r} lacks chunks; run 'flyweight index --rebuild'"
            )
        vectors = b"".join([row["vector"] or self._blank for row in pieces])
        return StoredFile(path, file["language"], *known, None, text, [_chunk(row) for row in pieces], vectors)


def _rows(batch: Any) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries; `vector` as bytes: floats as Python objects would be eight times the size."""
    column = batch.column("vector")
    width = 4 * column.type.list_size
    values = memoryview(column.values.buffers()[1])[4 * column.values.offset :].cast("B")
    for number, row in enumerate(batch.drop_columns(["vector"]).to_pylist()):
        at = (column.offset + number) * width
        row["vector"] = bytes(values[at : at + width]) if column[number].is_valid else None
        yield row


def _interleaved(chunks: list[dict[str, Any]], between: bytes) -> bytes:
    """The text of a file: its chunks at their places, and what lies between them around."""
    pieces = []
    at = used = 0
    for row in chunks:
        gap = row["start_byte"] - at
        pieces += [between[used : used + gap], row["text"]]
        used += gap
        at = row["end_byte"]
    return b"".join([*pieces, between[used:]])


def _chunk(row: dict[str, Any]) -> Chunk:
    place = row["start_byte"], row["end_byte"], row["start_line"], row["end_line"]
    return Chunk(*place, row["symbol"], row["scope"], row["kind"], tuple(row["defined"] or ()))
