"""An index of segments as a resident has it open: follows the manifest, answers from the mapped files.

Resident: imports nothing but `os` and our own.
"""

from __future__ import annotations

import os

from flyweight._search import Searcher
from flyweight.embed.static import model_path
from flyweight.errors import IndexCorruptError, IndexMismatchError, IndexMissingError
from flyweight.index.manifest import Manifest, manifest_path, read_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from flyweight._search import SearchHit
    from flyweight.config import SearchFilters

    class IndexInfo(Protocol):
        """What is known of an index before it is searched. A manifest is one."""

        @property
        def embedder(self) -> str: ...
        @property
        def dimensions(self) -> int: ...
        @property
        def root(self) -> str: ...
        @property
        def generation(self) -> int: ...
        @property
        def live_chunks(self) -> int: ...


POINTER_NAME = "store"  # what is in it: flyweight.store.pointer, which is not loaded to look for it
# A reader may have read a manifest whose segments a writer has just replaced; the next one is there at once.
_LOAD_ATTEMPTS = 5


class IndexElsewhere(IndexMissingError):
    """The index is in another store by now: it has to be opened again."""

    def __init__(self, index_path: str) -> None:
        super().__init__(f"the index at {index_path} has moved to another store meanwhile: ask again")


class SegmentReader:
    """Safe to share between threads, and across `fork`.

    follows: whether word that the index is in another store is heeded.
    model_id: what the static model is called, which embeds queries that bring no vector; "" when it is not loaded.
    """

    def __init__(
        self,
        index_path: str,
        *,
        follows: bool,
        with_model: bool,
        cache_entries: int,
        hits_per_entry: int,
        ttl_s: float,
    ) -> None:
        self._index_path = index_path
        self._pointer_path = pointer_path(index_path) if follows else ""
        self._manifest_path = manifest_path(index_path)
        self._seen: tuple[tuple[int, int, int], Manifest] | None = None
        model = os.fsencode(model_path()) if with_model else None
        self._searcher = Searcher(model, cache_entries, hits_per_entry, ttl_s)
        self.model_id = self._searcher.model_id

    def manifest(self) -> Manifest:
        """The state of the index that the next search sees: one stat call when nothing has changed.

        Raises IndexMissingError, IndexCorruptError, IndexVersionError, and IndexElsewhere.
        """
        for attempt in range(_LOAD_ATTEMPTS):
            try:
                status = os.stat(self._manifest_path)
            except OSError:
                self._look_elsewhere()
                read_manifest(self._index_path)  # says what is wrong
                raise
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            seen = self._seen
            if seen is not None and seen[0] == stamp and self._searcher.is_current(stamp):
                return seen[1]
            self._look_elsewhere()  # a pointer comes with a new time of the manifest
            manifest = read_manifest(self._index_path)
            try:
                self._searcher.load(
                    stamp,
                    [
                        (os.fsencode(os.path.join(self._index_path, segment.name)), segment.dead)
                        for segment in manifest.segments
                    ],
                )
                self._seen = (stamp, manifest)
                return manifest
            except IndexMissingError:
                if attempt + 1 == _LOAD_ATTEMPTS:
                    break
        raise IndexCorruptError(
            f"the index at {self._index_path} names a segment that cannot be opened: "
            "run 'flyweight doctor', or 'flyweight index' to index the files again"
        )

    def _look_elsewhere(self) -> None:
        if self._pointer_path and pointer_stamp(self._pointer_path) is not None:
            raise IndexElsewhere(self._index_path)

    def answer(
        self, query: str, limit: int, min_score: float, filters: SearchFilters, keep: bool
    ) -> tuple[list[SearchHit], bool]:
        """The hits, and whether they came from the cache. The static model embeds the query."""
        return self._searcher.search(
            query, limit, min_score, filters.languages, filters.paths, filters.exclude, None, keep
        )

    def find_cached(self, query: str, limit: int, min_score: float, filters: SearchFilters) -> list[SearchHit] | None:
        """The hits that are kept for this request, while the index has not changed."""
        self.manifest()
        return self._searcher.find_cached(query, limit, min_score, filters.languages, filters.paths, filters.exclude)

    def search(
        self, query: str, vector: bytes, limit: int, min_score: float, filters: SearchFilters, keep: bool
    ) -> list[SearchHit]:
        """`vector` of zeros: words alone. `keep`: whether the answer goes into the cache, which is not asked here."""
        try:
            return self._searcher.search(
                query, limit, min_score, filters.languages, filters.paths, filters.exclude, vector, keep
            )[0]
        except ValueError:
            # While the query was being embedded, another thread has seen an index that replaced this one.
            raise IndexMismatchError(
                f"the index at {self._index_path} was replaced by one of other dimensions meanwhile: ask again"
            ) from None

    def cache_counters(self) -> dict[str, int]:
        return self._searcher.cache_counters()

    def clear_cache(self) -> None:
        self._searcher.clear_cache()

    def trim(self) -> None:
        self._searcher.trim()

    def cache_pool(self) -> tuple[int, int]:
        """Where the query cache lies: address and bytes."""
        return self._searcher.cache_pool()


def pointer_path(index_path: str) -> str:
    """Where an index directory says that the index is in another store."""
    return os.path.join(index_path, POINTER_NAME)


def pointer_stamp(path: str) -> tuple[int, int, int] | None:
    """Changes with the file at a `pointer_path`; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def check_static(index: IndexInfo, model_id: str, most: int | None, where: str) -> None:
    """Raises IndexMismatchError unless the static embedder, of at most `most` dimensions, can answer for the index."""
    if index.embedder != model_id:
        raise mismatch(index, model_id, where)
    if most is not None and index.dimensions > most:
        raise IndexMismatchError(
            f"the index at {where} has vectors of {index.dimensions} dimensions, the config allows {most}: raise "
            "max_embedding_dim, or index again with rebuild=True"
        )


def mismatch(index: IndexInfo, ours: str, where: str) -> IndexMismatchError:
    return IndexMismatchError(
        f"the index at {where} was made with {index.embedder}, {index.dimensions} dimensions; this engine embeds with "
        f"{ours}: give the config that embedder, or None for the index's own, or run 'flyweight index --rebuild'"
    )
