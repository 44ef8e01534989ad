"""LanceDB's core, called in turn: the connection and the table of a process that writes, or migrates.

As for reading (`core.py`), the package around the core is left out where that can be: it costs 60 MB and a second.
pyarrow is the real one here.
"""

from __future__ import annotations

import asyncio
import os
import types
from typing import TYPE_CHECKING

import pyarrow as pa

from flyweight.errors import FlyweightError, StoreConflictError, StoreError
from flyweight.store.lancedb.core import frugal_session, writing_core
from flyweight.store.lancedb.table import check_schema, is_index, is_missing, missing_table, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from flyweight.store.lancedb.location import StoreLocation
    from flyweight.store.lancedb.table import TableInfo

_BATCH_ROWS = 2048


class LanceConnection:
    """One location. Methods raise StoreError."""

    def __init__(self, location: StoreLocation, storage_options: dict[str, str]) -> None:
        self._location = location
        os.environ.setdefault("LANCEDB_LOG", "error")
        core = writing_core()
        self._runner = asyncio.Runner()
        session = frugal_session(core)
        self._core = self.run(core.connect, location.uri, storage_options=storage_options or None, session=session)

    def open_table(self) -> tuple[LanceTable, TableInfo]:
        """The table, checked. Raises IndexMissingError, IndexVersionError, StoreError."""
        table = LanceTable(self, self.run(self._core.open_table, self._location.table))
        return table, check_schema(self._location, table.schema())

    def holds_index(self) -> bool:
        """Whether the table is one of ours, in whatever state."""
        table = LanceTable(self, self.run(self._core.open_table, self._location.table))
        return is_index(table.schema())

    def create_table(self, info: TableInfo, rows: pa.RecordBatchReader) -> LanceTable:
        """A new table with these rows; the one that another has made meanwhile, if it is of the same kind."""
        try:
            return LanceTable(self, self.run(self._core.create_table, self._location.table, "create", rows))
        except StoreError as error:
            if "already exists" not in str(error.__cause__):
                raise
        table, theirs = self.open_table()
        if theirs.metadata() != info.metadata():
            raise StoreConflictError(f"another process has made another index at {self._location.uri} at this moment")
        return table

    def replace_table(self, rows: pa.RecordBatchReader) -> LanceTable:
        """A table with these rows, in place of what was there."""
        return LanceTable(self, self.run(self._core.create_table, self._location.table, "overwrite", rows))

    def run(self, function: Callable[..., Coroutine[Any, Any, Any]], *values: Any, **named: Any) -> Any:
        async def call() -> Any:
            return await function(*values, **named)

        try:
            return self._runner.run(call())
        except Exception as error:
            raise self.told(error) from error

    def told(self, error: Exception) -> FlyweightError:
        if isinstance(error, FlyweightError):
            return error
        return missing_table(self._location) if is_missing(error) else unusable(self._location, error)

    def close(self) -> None:
        self._runner.close()


class LanceTable:
    """One table. Methods raise StoreError; its cause is what LanceDB raised."""

    def __init__(self, connection: LanceConnection, table: Any) -> None:
        self._connection = connection
        self._run = connection.run
        self._table = table

    def schema(self) -> pa.Schema:
        return self._run(self._table.schema)

    def version(self) -> int:
        return int(self._run(self._table.version))

    def checkout(self, version: int) -> None:
        """Stays on this version, whatever others write."""
        self._run(self._table.checkout, version)

    def checkout_latest(self) -> None:
        self._run(self._table.checkout_latest)

    def count_rows(self, condition: str | None = None) -> int:
        return int(self._run(self._table.count_rows, condition))

    def fragment_count(self) -> int:
        return int(self._run(self._table.stats)["fragment_stats"]["num_fragments"])

    def add(self, rows: pa.RecordBatchReader) -> None:
        data = types.SimpleNamespace(schema=rows.schema, num_rows=None, reader=lambda: rows, rescannable=False)
        self._run(self._table.add, data, "append")

    def merge(self, rows: pa.RecordBatchReader, gone: str | None) -> None:
        """Rows take the place of those of the same id; of the others, those that `gone` holds for go."""
        settings = {
            "on": ["id"],
            "when_matched_update_all": True,
            "when_matched_update_all_condition": None,
            "when_not_matched_insert_all": True,
            "when_not_matched_by_source_delete": gone is not None,
            "when_not_matched_by_source_condition": gone,
            "when_not_matched_by_source_condition_expr": None,
            "timeout": None,
            "use_index": True,
            "use_lsm": None,
            "validate_single_shard": None,
        }
        self._run(self._table.execute_merge_insert, rows, settings)

    def delete(self, condition: str) -> None:
        self._run(self._table.delete, condition)

    def batches(self, columns: list[str], condition: str) -> Iterator[pa.RecordBatch]:
        """Rows for which `condition` holds, as they are read."""
        query = self._table.query()
        query.where(condition)
        query.select_columns(columns)
        stream = self._run(query.execute, _BATCH_ROWS, None)
        while True:
            try:
                batch = self._run(_next, stream)
            except _Exhausted:
                return
            yield batch

    def indexes(self) -> list[Any]:
        """Of each its `name`, `columns` and `index_type`."""
        return list(self._run(self._table.list_indices))

    def index_names(self) -> set[str]:
        return {index.name for index in self.indexes()}

    def unindexed_rows(self, index: str) -> int | None:
        """None when there is no such index."""
        statistics = self._run(self._table.index_stats, index)
        return None if statistics is None else int(statistics["num_unindexed_rows"])

    def create_index(self, column: str, name: str, settings: object, *, train: bool = True) -> None:
        self._run(self._table.create_index, column, index=settings, replace=True, name=name, train=train)

    def optimize(self, keep_versions_ms: int) -> None:
        """Merges fragments, brings indexes up to date and removes versions older than `keep_versions_ms`."""
        self._run(self._table.optimize, cleanup_since_ms=keep_versions_ms, delete_unverified=False)


class _Exhausted(FlyweightError):
    pass


async def _next(stream: Any) -> pa.RecordBatch:
    try:
        return await stream.__anext__()
    except StopAsyncIteration:
        raise _Exhausted from None
