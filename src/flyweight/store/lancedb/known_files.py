"""What a table held before a run, file by file, in a small database on disk: memory does not grow with the tree."""

from __future__ import annotations

import os
import sqlite3

from flyweight.store.lancedb.table import FILE_ORDINAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from flyweight.store.lancedb.synchronous import LanceTable

_COLUMNS = ["path", "raw_path", "file_hash", "language", "skipped", "size_bytes", "mtime_ns", "chunk_count"]


class KnownLanceFile:
    """A file as the table had it. See `flyweight.store.KnownFile`."""

    __slots__ = ("_files", "_path", "_seen", "chunk_count", "content_hash", "mtime_ns", "name", "size_bytes", "skipped")

    def __init__(self, files: KnownFiles, path: bytes, row: tuple[Any, ...]) -> None:
        self._files = files
        self._path = path
        self.content_hash, self.name, skipped, self.size_bytes, self.mtime_ns, self.chunk_count, seen = row
        self.skipped = bool(skipped)
        self._seen = bool(seen)

    @property
    def seen(self) -> bool:
        return self._seen

    @seen.setter
    def seen(self, seen: bool) -> None:
        self._seen = seen
        self._files.mark(self._path, seen)

    def was_touched(self, mtime_ns: int) -> None:
        """Nothing: a row updated is a version of the table, and costs more than reading a file."""


class KnownFiles:
    """The database, open for look-ups."""

    def __init__(self, path: str) -> None:
        self._database = _connect(path)

    def find(self, path: str) -> KnownLanceFile | None:
        raw = os.fsencode(path)
        row = self._database.execute(
            "SELECT content_hash, name, skipped, size_bytes, mtime_ns, chunk_count, seen FROM files WHERE path = ?",
            (raw,),
        ).fetchone()
        return None if row is None else KnownLanceFile(self, raw, row)

    def mark(self, path: bytes, seen: bool) -> None:
        self._database.execute("UPDATE files SET seen = ? WHERE path = ?", (seen, path))

    def unseen(self) -> Iterator[tuple[str, bool]]:
        """(path, whether it had been skipped) of what the walk did not meet."""
        for path, skipped in self._database.execute("SELECT path, skipped FROM files WHERE NOT seen ORDER BY path"):
            yield os.fsdecode(path), bool(skipped)

    def totals(self) -> tuple[int, int]:
        """Number of files, and bytes of those that were not skipped."""
        query = "SELECT count(*), total(CASE WHEN skipped THEN 0 ELSE size_bytes END) FROM files"
        files, size_bytes = self._database.execute(query).fetchone()
        return files, int(size_bytes)

    def chunk_counts(self) -> Iterator[tuple[str, int]]:
        """(path, number of chunks) of every file, in the order of paths."""
        for path, count in self._database.execute("SELECT path, chunk_count FROM files ORDER BY path"):
            yield os.fsdecode(path), count

    def close(self) -> None:
        self._database.close()


def write_known_files(table: LanceTable, path: str) -> None:
    """Lists the files of a LanceDB table in a new database at `path`."""
    database = _connect(path)
    database.execute(
        "CREATE TABLE files (path BLOB PRIMARY KEY, content_hash BLOB, name TEXT, skipped INTEGER, size_bytes INTEGER, "
        "mtime_ns INTEGER, chunk_count INTEGER, seen INTEGER) WITHOUT ROWID"
    )
    database.execute("BEGIN")
    for batch in table.batches(_COLUMNS, f"ordinal = {FILE_ORDINAL}"):
        database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, 0)", map(_record, batch.to_pylist())
        )
    database.execute("COMMIT")
    database.close()


def _record(row: dict[str, Any]) -> tuple[Any, ...]:
    raw = row["path"].encode() if row["raw_path"] is None else row["raw_path"]
    skipped = row["skipped"]
    name = row["language"] if skipped is None else skipped
    return raw, row["file_hash"], name, skipped is not None, row["size_bytes"], row["mtime_ns"], row["chunk_count"]


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    # A list of one run, thrown away with it: nothing to recover.
    database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1024")
    return database
