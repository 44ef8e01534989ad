"""A table open for reading: always its newest version, checked whenever that has changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from flyweight.errors import FlyweightError, IndexMismatchError
from flyweight.store.lancedb.candidates import Searches
from flyweight.store.lancedb.core import frugal_session
from flyweight.store.lancedb.object_storage import ObjectStorage
from flyweight.store.lancedb.table import check_schema, is_missing, missing_table, unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.store.lancedb.hit import HitFields
    from flyweight.store.lancedb.location import StoreLocation
    from flyweight.store.lancedb.table import TableInfo


class TableReader:
    """Every method raises StoreError, and what opening a table raises. `core`: see core.py."""

    def __init__(self, core: Any, location: StoreLocation) -> None:
        self._core = core
        self._location = location
        self._storage = ObjectStorage(location)
        self._table: Any = None
        self._searches: Searches | None = None
        self._info: TableInfo | None = None
        self._opened_directory: tuple[int, int] | None = None
        self.generation = -1

    async def info(self) -> dict[str, str | int]:
        """embedder, dimensions, root, generation (the table's version), live_chunks."""
        return await self._retried(self._described)  # type: ignore[no-any-return]

    async def search(
        self,
        embedder: str,
        query: str,
        vector: bytes,
        limit: int,
        min_score: float,
        languages: Sequence[str],
        include: Sequence[str],
        exclude: Sequence[str],
    ) -> tuple[int, list[HitFields]]:
        """(generation, hits). Raises IndexMismatchError when `embedder`, of which the vector is, is not the table's."""

        async def run() -> tuple[int, list[HitFields]]:
            info, searches = await self._current()
            if info.embedder != embedder or (vector and len(vector) != 4 * info.dimensions):
                raise IndexMismatchError(
                    f"the index at {self._location.uri} was made with {info.embedder} of {info.dimensions} dimensions, "
                    f"the query embedded with {embedder} of {len(vector) // 4}: it has been indexed anew; ask again"
                )
            hits = await searches.run(query, vector, limit, min_score, languages, include, exclude)
            return self.generation, hits

        return await self._retried(run)  # type: ignore[no-any-return]

    async def _described(self) -> dict[str, str | int]:
        info, searches = await self._current()
        return {
            "embedder": info.embedder,
            "dimensions": info.dimensions,
            "root": info.root,
            "generation": self.generation,
            "live_chunks": await searches.chunk_count(),
        }

    async def _retried(self, work: Any) -> Any:
        """Once more with a table opened afresh: it may have been replaced, cleaned up or its credentials changed."""
        was_open = self._table is not None
        try:
            return await work()
        except FlyweightError:
            self._close()
            raise
        except Exception as error:
            self._close()
            if not was_open:
                raise self._told(error) from None
        try:
            return await work()
        except FlyweightError:
            self._close()
            raise
        except Exception as error:
            self._close()
            raise self._told(error) from None

    async def _current(self) -> tuple[TableInfo, Searches]:
        if self._table is None or self._storage.expiring() or self._opened_directory != self._directory():
            await self._open()
        else:
            await self._table.checkout_latest()
        version = await self._table.version()
        if version != self.generation or self._info is None or self._searches is None:
            info = check_schema(self._location, await self._table.schema())
            if self._info is None or self._searches is None or info.metadata() != self._info.metadata():
                self._searches = Searches(self._table, info.dimensions)
            self._info = info
            self.generation = version
        return self._info, self._searches

    async def _open(self) -> None:
        self._close()
        self._opened_directory = self._directory()
        session = frugal_session(self._core)
        options = self._storage.options() or None
        connection = await self._core.connect(self._location.uri, storage_options=options, session=session)
        self._table = await connection.open_table(self._location.table)

    def _close(self) -> None:
        self._table = self._searches = self._info = None
        self.generation = -1

    def _directory(self) -> tuple[int, int] | None:
        """Which directory a local table is: one that was deleted and made again counts its versions from 1, and what
        LanceDB has cached of the old would pass for the new."""
        if not self._location.is_local:
            return None
        try:
            status = os.stat(self._location.table_directory)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _told(self, error: Exception) -> FlyweightError:
        return missing_table(self._location) if is_missing(error) else unusable(self._location, error)
