"""The resident's side of a LanceDB store: starts the store process, asks it, and does without it when nobody asks.

Resident: imports `os`, `marshal` and, with the first question, `_socket`.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from flyweight.errors import IndexMismatchError, StoreError, error_named
from flyweight.store.lancedb.hit import StoredHit
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.result_cache import ResultCache
from flyweight.store.lancedb.store_process import Gone, Late, StoreProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from flyweight.config import SearchFilters

_MAX_QUERY_BYTES = 4096  # as the native search: what is longer is a pasted file


class StoreInfo:
    """What a store says of its index. generation grows with every change; live_chunks are those that are searched."""

    __slots__ = ("dimensions", "embedder", "generation", "live_chunks", "root")

    def __init__(self, embedder: str, dimensions: int, root: str, generation: int, live_chunks: int) -> None:
        self.embedder = embedder
        self.dimensions = dimensions
        self.root = root
        self.generation = generation
        self.live_chunks = live_chunks


class StoreClient:
    """Asks a LanceDB table for hits. Safe to share between threads and across `fork`: a child starts a process of its
    own.

    spec, options: where the table is (`StoreLocation.parse`). idle_s: the store process ends when nobody has asked for
    so long. in_process: LanceDB is loaded into this process instead, with all its memory; not to be forked then.
    cache_entries, cache_ttl_s: results kept here, so that a repeat costs microseconds and needs no store process.
    """

    def __init__(
        self,
        spec: str,
        options: Mapping[str, object] | None = None,
        idle_s: float = 60.0,
        in_process: bool = False,
        cache_entries: int = 0,
        cache_ttl_s: float = 30.0,
    ) -> None:
        self._location = StoreLocation.parse(spec, options)
        # Changes with every version of a local table.
        self._versions = os.path.join(self._location.table_directory, "_versions") if self._location.is_local else ""
        self._idle_s = idle_s
        self._in_process = in_process
        self._store: Any = None  # StoreProcess or LocalStore
        self._info: StoreInfo | None = None
        self._info_stamp: Any = None
        self._cache = ResultCache(cache_entries, cache_ttl_s)
        self._lock = allocate_lock()
        self._cache_lock = allocate_lock()
        self._pid = os.getpid()
        self._in_process_lost = False

    @property
    def spec(self) -> str:
        return self._location.spec

    def is_at(self, location: StoreLocation) -> bool:
        return self._location.fields() == location.fields()

    def manifest(self) -> StoreInfo:
        """What the store says of its index; asked once, and again when the index has changed since.

        Raises IndexMissingError, IndexVersionError, StoreError, CredentialsError.
        """
        info, stamp = self._info, self._stamp()
        if info is None or stamp != self._info_stamp:
            info = self._info = StoreInfo(**self._ask("info"))
            self._info_stamp = stamp
        return info

    def find_cached(self, query: str, limit: int, min_score: float, filters: SearchFilters) -> list[StoredHit] | None:
        """The hits of the same question, if they are kept and still hold; no process is asked."""
        with self._own_lock(cache=True):
            return self._cache.find(_key(query, limit, min_score, filters), self._stamp())

    def search(
        self,
        query: str,
        vector: bytes,
        limit: int,
        min_score: float,
        filters: SearchFilters,
        keep: bool = True,
    ) -> list[StoredHit]:
        """The best hits for `query`, whose embedding (float32) is `vector`; of zeros: by full-text search alone.

        keep: whether the result may be found again by `find_cached`. Raises what `manifest` raises, and
        IndexMismatchError when the index has meanwhile been made anew with another embedder.
        """
        stamp = self._stamp()
        info = self.manifest()
        words = query.encode("utf-8", "surrogatepass")[:_MAX_QUERY_BYTES].decode("utf-8", "ignore")
        try:
            generation, found = self._ask(
                "search",
                info.embedder,
                words,
                vector,
                limit,
                min_score,
                filters.languages,
                filters.paths,
                filters.exclude,
            )
        except IndexMismatchError:
            self._info = None
            raise
        if generation != info.generation:
            self._info = None
        hits = [StoredHit(fields) for fields in found]
        if keep:
            with self._own_lock(cache=True):
                self._cache.store(_key(query, limit, min_score, filters), stamp, hits)
        return hits

    def cache_counters(self) -> dict[str, int]:
        return self._cache.counters()

    def clear_cache(self) -> None:
        with self._own_lock(cache=True):
            self._cache.clear()

    def private_bytes(self) -> int:
        """Private memory of the store process at this moment; 0 when none runs."""
        store = self._store
        return 0 if store is None or self._pid != os.getpid() else int(store.private_bytes())

    def close(self) -> None:
        """Ends the store process. The next question starts one again."""
        with self._own_lock():
            if self._store is not None:
                self._store.close()
                self._store = None

    def _ask(self, *question: Any) -> Any:
        with self._own_lock():
            answer = self._answer(question)
        if answer[0] == "ok":
            return answer[1]
        _, class_name, message = answer
        raise error_named(class_name, message, StoreError)

    def _answer(self, question: tuple[Any, ...]) -> tuple[Any, ...]:
        """Asks the process that runs, or a new one; another new one if that dies while it answers."""
        died: list[str] = []
        while len(died) < 2:
            fresh = self._store is None or not self._store.is_alive()
            if fresh:
                self._store = self._started()
            try:
                return self._store.ask(question)  # type: ignore[no-any-return]
            except Late:
                raise StoreError(
                    f"the LanceDB store at {self._location.uri} has not answered within "
                    f"{self._location.timeout_s:g} s (timeout_s): ask again, or give it longer with that store option"
                ) from None
            except Gone as gone:
                self._store = None
                if fresh or not gone.idle:
                    died.append(str(gone))
        raise StoreError(
            f"the store process for {self._location.spec} died while it answered, and so did the next one "
            f"({died[-1]}): FLYWEIGHT_DEBUG=1 shows what it says"
        )

    def _started(self) -> Any:
        if self._in_process_lost:
            raise StoreError(
                "LanceDB's threads have not come along into this child process: open the index after the fork, or "
                "without in_process=True"
            )
        if self._in_process:
            from flyweight.store.lancedb.local_store import LocalStore

            return LocalStore(self._location)
        return StoreProcess(self._location, self._idle_s)

    def _own_lock(self, cache: bool = False) -> Any:
        """The lock; in a child of a fork new ones, and no process yet: what the parent held stays the parent's."""
        if self._pid != os.getpid():
            self._in_process_lost = self._in_process and self._store is not None
            self._store = None  # the parent's: closing it here does not end it
            self._lock, self._cache_lock = allocate_lock(), allocate_lock()
            self._pid = os.getpid()
        return self._cache_lock if cache else self._lock

    def _stamp(self) -> Any:
        """Changes with a local table, so that what is kept is not served for longer than it holds; tables in object
        storage are trusted for the cache's time to live."""
        if not self._versions:
            return None
        try:
            status = os.stat(self._versions)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino


def _key(query: str, limit: int, min_score: float, filters: SearchFilters) -> Any:
    return query, limit, min_score, (*filters.languages,), (*filters.paths,), (*filters.exclude,)
