"""Files of a spool as rows of the table: Arrow record batches of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from flyweight.store.lancedb.table import COLUMNS, FILE_ORDINAL, row_id, stored_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from flyweight.store.lancedb.row_spool import SpooledChunk, SpooledFile

_BATCH_ROWS = 2048
_BATCH_BYTES = 8 * 1024 * 1024
_WRITER_ID = "writer"
_WRITER_ORDINAL = -2  # neither a chunk nor a file
WRITER_ONLY = f"ordinal = {_WRITER_ORDINAL}"


def batches(files: Iterable[SpooledFile], schema: pa.Schema, *, first: dict[str, Any] | None = None) -> Iterator[Any]:
    """RecordBatches: for each file one row for it and one for each of its chunks. `first` is a row to begin with."""
    batch = _Batch(schema)
    if first is not None:
        batch.add(first, None)
    for file in files:
        for row, vector in _rows_of(file, batch.vector_bytes):
            batch.add(row, vector)
            if batch.is_full():
                yield batch.finished()
                batch = _Batch(schema)
    if batch.rows:
        yield batch.finished()


def writer_row(run: str, serial: int) -> dict[str, Any]:
    """The row that every commit on object storage changes, so that of two at the same time one has to be done again."""
    return {"id": _WRITER_ID, "path": "", "ordinal": _WRITER_ORDINAL, "symbol": run, "mtime_ns": serial}


class _Batch:
    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._columns: dict[str, list[Any]] = {name: [] for name, _ in COLUMNS if name != "vector"}
        self._dimensions = schema.field("vector").type.list_size
        self.vector_bytes = 4 * self._dimensions
        self._blank = bytes(self.vector_bytes)
        self._vectors: list[bytes] = []
        self._known: list[bool] = []
        self._size_bytes = 0

    @property
    def rows(self) -> int:
        return len(self._vectors)

    def is_full(self) -> bool:
        return self.rows >= _BATCH_ROWS or self._size_bytes >= _BATCH_BYTES

    def add(self, row: dict[str, Any], vector: bytes | None) -> None:
        for name, column in self._columns.items():
            column.append(row.get(name))
        # A chunk that is not embedded has a vector of zeros, whose cosine with anything is no number: it has none.
        known = vector is not None and vector != self._blank
        self._known.append(known)
        self._vectors.append(vector if known and vector is not None else self._blank)
        self._size_bytes += self.vector_bytes + 256 + len(row.get("text") or b"") + len(row.get("terms") or "")

    def finished(self) -> pa.RecordBatch:
        values = pa.Array.from_buffers(
            pa.float32(), self.rows * self._dimensions, [None, pa.py_buffer(b"".join(self._vectors))]
        )
        absent = pa.array([not known for known in self._known], pa.bool_())
        vectors = pa.FixedSizeListArray.from_arrays(values, self._dimensions, mask=absent)
        arrays = [
            vectors if field.name == "vector" else pa.array(self._columns[field.name], field.type)
            for field in self._schema
        ]
        return pa.record_batch(arrays, schema=self._schema)


def _rows_of(file: SpooledFile, vector_bytes: int) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    path, raw_path = stored_path(file.path)
    of_all = {"path": path, "raw_path": raw_path, "file_hash": file.content_hash, "language": file.language}
    yield (
        {
            **of_all,
            "id": row_id(file.path, FILE_ORDINAL),
            "ordinal": FILE_ORDINAL,
            "text": file.between,
            "size_bytes": file.size_bytes,
            "mtime_ns": file.mtime_ns,
            "skipped": file.skipped,
            "chunk_count": len(file.chunks),
        },
        None,
    )
    for ordinal, chunk in enumerate(file.chunks):
        vector = file.vectors[ordinal * vector_bytes : (ordinal + 1) * vector_bytes]
        yield {**of_all, "id": row_id(file.path, ordinal), "ordinal": ordinal, **_chunk_columns(chunk)}, vector


def _chunk_columns(chunk: SpooledChunk) -> dict[str, Any]:
    return {
        "kind": _utf8(chunk.kind),
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "start_byte": chunk.start_byte,
        "end_byte": chunk.end_byte,
        "symbol": _utf8(chunk.symbol),
        "scope": _utf8(chunk.scope),
        "defined": [_utf8(name) for name in chunk.symbols],
        "terms": _utf8(chunk.terms),
        "text": chunk.text,
    }


def _utf8(text: str) -> str:
    """A name out of a file of another encoding holds what is no text to Arrow."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
