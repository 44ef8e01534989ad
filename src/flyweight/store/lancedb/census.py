"""What a LanceDB table holds and how it is kept: for people who ask. Loads LanceDB into this process."""

from __future__ import annotations

import os

from flyweight.store.lancedb.object_storage import ObjectStorage
from flyweight.store.lancedb.synchronous import LanceConnection
from flyweight.store.lancedb.table import CHUNKS_ONLY, FILE_ORDINAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.store.lancedb.location import StoreLocation
    from flyweight.store.lancedb.synchronous import LanceTable

_COLUMNS = ["language", "skipped", "size_bytes"]


class SearchIndex:
    """An index of the table: what it is on ("terms", "vector"), its kind, and how many rows it does not have yet."""

    __slots__ = ("column", "kind", "missing_rows")

    def __init__(self, column: str, kind: str, missing_rows: int) -> None:
        self.column = column
        self.kind = kind
        self.missing_rows = missing_rows


class TableCensus:
    """A table, counted: files, chunks, source_bytes, languages and skipped (name to files), version, size_bytes on
    disk (None in object storage), indexes; and embedder, dimensions and root of what was indexed.

    Raises IndexMissingError, IndexVersionError, StoreError, CredentialsError.
    """

    def __init__(self, location: StoreLocation) -> None:
        self.files = 0
        self.source_bytes = 0
        self.languages: dict[str, int] = {}
        self.skipped: dict[str, int] = {}
        connection = LanceConnection(location, ObjectStorage(location).options())
        try:
            table, info = connection.open_table()
            self.embedder = info.embedder
            self.dimensions = info.dimensions
            self.root = info.root
            self.version = table.version()
            self.chunks = table.count_rows(CHUNKS_ONLY)
            self._count_files(table)
            self.indexes = _indexes(table)
        finally:
            connection.close()
        self.size_bytes = _bytes_in(location.table_directory) if location.is_local else None

    def _count_files(self, table: LanceTable) -> None:
        for batch in table.batches(_COLUMNS, f"ordinal = {FILE_ORDINAL}"):
            for row in batch.to_pylist():
                if row["skipped"] is not None:
                    self.skipped[row["skipped"]] = self.skipped.get(row["skipped"], 0) + 1
                    continue
                self.files += 1
                self.source_bytes += row["size_bytes"]
                self.languages[row["language"]] = self.languages.get(row["language"], 0) + 1


def _indexes(table: LanceTable) -> list[SearchIndex]:
    return [
        SearchIndex(",".join(index.columns), str(index.index_type), table.unindexed_rows(index.name) or 0)
        for index in table.indexes()
    ]


def _bytes_in(directory: str) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                pass  # a writer has tidied up
    return total
