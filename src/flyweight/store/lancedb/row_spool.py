"""What workers hand to the store process: files with their chunks and vectors, in a file beside the index.

Marshalled tuples, one a file of the tree. Workers know nothing of Arrow, whose import alone costs 60 MB.
"""

from __future__ import annotations

import marshal
import os

from flyweight._build import chunk_terms
from flyweight.errors import IndexWriteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from flyweight.index.chunk import Chunk

_BUFFER_BYTES = 128 * 1024


class SpooledChunk:
    """A chunk as the table holds it. `terms` is what full-text search finds it by."""

    __slots__ = (
        "end_byte",
        "end_line",
        "kind",
        "scope",
        "start_byte",
        "start_line",
        "symbol",
        "symbols",
        "terms",
        "text",
    )

    def __init__(
        self,
        start_byte: int,
        end_byte: int,
        start_line: int,
        end_line: int,
        symbol: str,
        scope: str,
        kind: str,
        symbols: tuple[str, ...],
        terms: str,
        text: bytes,
    ) -> None:
        self.start_byte = start_byte
        self.end_byte = end_byte
        self.start_line = start_line
        self.end_line = end_line
        self.symbol = symbol
        self.scope = scope
        self.kind = kind
        self.symbols = symbols
        self.terms = terms
        self.text = text


class SpooledFile:
    """A file as the table holds it: `between` is what lies between its chunks, in order; `skipped` a reason or None.

    vectors: float32 little-endian, one row a chunk.
    """

    __slots__ = (
        "between",
        "chunks",
        "content_hash",
        "language",
        "mtime_ns",
        "path",
        "size_bytes",
        "skipped",
        "vectors",
    )

    def __init__(
        self,
        path: str,
        language: str,
        content_hash: bytes,
        size_bytes: int,
        mtime_ns: int,
        skipped: str | None,
        between: bytes,
        vectors: bytes,
        chunks: list[SpooledChunk],
    ) -> None:
        self.path = path
        self.language = language
        self.content_hash = content_hash
        self.size_bytes = size_bytes
        self.mtime_ns = mtime_ns
        self.skipped = skipped
        self.between = between
        self.vectors = vectors
        self.chunks = chunks


class RowSpool:
    """A piece of an index on its way to a table. See `flyweight.store.Piece`."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = open(path, "wb", buffering=_BUFFER_BYTES)  # noqa: SIM115 - until `finish`
        except OSError as error:
            raise self._failed(error) from None
        self._size_bytes = 0
        self.file_count = 0
        self.chunk_count = 0

    @property
    def buffered_bytes(self) -> int:
        """All that was written: the memory that pouring the piece takes is in proportion to it."""
        return self._size_bytes

    def add_file(
        self,
        path: str,
        language: str,
        content_hash: bytes,
        mtime_ns: int,
        text: bytes,
        chunks: list[Chunk],
        vectors: bytes,
    ) -> None:
        rows = []
        between = bytearray()
        end = 0
        for piece in chunks:
            body = text[piece.start_byte : piece.end_byte]
            between += text[end : piece.start_byte]
            end = piece.end_byte
            terms = chunk_terms(path, body, piece.symbol, piece.scope, "\0".join(piece.symbols))
            place = piece.start_byte, piece.end_byte, piece.start_line, piece.end_line
            rows.append((*place, piece.symbol, piece.scope, piece.kind, tuple(piece.symbols), terms, body))
        between += text[end:]
        self._write((path, language, content_hash, len(text), mtime_ns, None, bytes(between), vectors, rows))
        self.chunk_count += len(rows)

    def add_skipped(self, path: str, reason: str, content_hash: bytes, size_bytes: int, mtime_ns: int) -> None:
        self._write((path, "", content_hash, size_bytes, mtime_ns, reason, b"", b"", []))

    def finish(self) -> int:
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None
        return self._size_bytes

    def _write(self, record: tuple[Any, ...]) -> None:
        data = marshal.dumps(record)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from None
        self._size_bytes += len(data)
        self.file_count += 1

    def _failed(self, error: OSError) -> IndexWriteError:
        return IndexWriteError(f"cannot write {self._path}: {error.strerror}")


def read_spool(path: str) -> Iterator[SpooledFile]:
    """The files of a finished spool, one at a time."""
    end = os.path.getsize(path)
    with open(path, "rb") as file:
        while file.tell() < end:
            name, language, content_hash, size_bytes, mtime_ns, *more, rows = marshal.load(file)
            skipped, between, vectors = more
            chunks = [SpooledChunk(*row) for row in rows]
            yield SpooledFile(name, language, content_hash, size_bytes, mtime_ns, skipped, between, vectors, chunks)
