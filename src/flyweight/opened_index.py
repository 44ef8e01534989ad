"""The index of an engine, wherever it is kept, and the way of a query through it. Resident.

Over segments with the static embedder, the native search does all of it. Otherwise: cache, then the query's vector,
then the search; so a question that was asked before goes to no service and wakes no process.
"""

from __future__ import annotations

import os

from flyweight.config import STATIC
from flyweight.index.reader import SegmentReader, check_static
from flyweight.results import SearchResults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.config import SearchConfig, SearchFilters
    from flyweight.index.reader import IndexInfo
    from flyweight.store.lancedb.client import StoreClient
    from flyweight.store.lancedb.location import StoreLocation

_POINTER_NAME = "store"  # flyweight.store.pointer, which is not loaded to look for it


class OpenedIndex:
    """Opened by the first question and followed from then on. Safe to share between threads and across `fork`."""

    def __init__(self, config: SearchConfig, index_path: str) -> None:
        location = store_location(config, index_path)
        self._config = config
        self._index_path = index_path
        self._max_dimensions = config.max_embedding_dim
        self._segments: SegmentReader | None = None
        self._store: StoreClient | None = None
        self._native: SegmentReader | None = None  # where the native search embeds; elsewhere _vectors do
        self._checked: IndexInfo | None = None
        if location is None:
            self._where = index_path
            self._segments = SegmentReader(
                index_path,
                with_model=config.embedder == STATIC,
                cache_entries=config.cache_size,
                hits_per_entry=config.max_results,
                ttl_s=config.cache_ttl,
            )
        else:
            from flyweight.store.lancedb.client import StoreClient

            self._where = location.spec
            self._store = StoreClient(
                location.spec,
                {**location.options, "table": location.table},
                idle_s=config.store_idle_s,
                in_process=config.in_process,
                cache_entries=config.cache_size,
                cache_ttl_s=config.cache_ttl,
            )
        if location is None and config.embedder == STATIC:
            self._native = self._segments
        else:
            from flyweight.embed.query_vectors import QueryVectors

            self._vectors = QueryVectors(config, self._where)

    def info(self) -> IndexInfo:
        """The state of the index that the next search sees. Raises what a search raises, but for EmbedderError."""
        native = self._native
        if native is None:
            info = self._reader.manifest()
            self._vectors.check(info)
            self._checked = info
            return info
        manifest = native.manifest()
        if manifest is not self._checked:
            check_static(manifest, native.model_id, self._max_dimensions, self._where)
            self._checked = manifest
        return manifest

    def has_moved(self) -> bool:
        """Whether the index that was looked for in the directory, and never found, is now said to be in a table."""
        if self._checked is not None or self._segments is None:
            return False
        return store_location(self._config, self._index_path) is not None

    def search(self, query: str, limit: int, min_score: float, filters: SearchFilters, keep: bool) -> SearchResults:
        """`keep`: whether the cache is asked, and gets the answer."""
        native = self._native
        if native is not None:
            self.info()
            hits, cached = native.answer(query, limit, min_score, filters, keep)
            return SearchResults(hits, cached=cached)
        reader = self._reader
        found = reader.find_cached(query, limit, min_score, filters) if keep else None
        if found is not None:
            return SearchResults(found, cached=True)
        vector, reason = self._vectors.of(query, self.info())
        kept = keep and not reason  # an answer by words alone is not to outlive the outage
        return SearchResults(reader.search(query, vector, limit, min_score, filters, kept), reason=reason)

    def cache_counters(self) -> dict[str, int]:
        return self._reader.cache_counters()

    def clear_cache(self) -> None:
        self._reader.clear_cache()

    def trim(self) -> None:
        """Gives back what can be made again; a store process ends."""
        if self._native is None:
            self._vectors.drop_idle()
        if self._store is not None:
            self._store.clear_cache()
            self._store.close()
        if self._segments is not None:
            self._segments.trim()

    def ranges(self) -> dict[str, list[tuple[int, int]]]:
        """Memory that only the index can name."""
        return {} if self._segments is None else {"cache": [self._segments.cache_pool()]}

    def store_private_bytes(self) -> int:
        """Private memory of the store process; 0 when there is none."""
        return 0 if self._store is None else self._store.private_bytes()

    def close(self) -> None:
        """Ends processes and connections. Maps of segments go with the last hit."""
        if self._store is not None:
            self._store.close()
        if self._native is None:
            self._vectors.drop_idle()

    @property
    def _reader(self) -> SegmentReader | StoreClient:
        reader = self._store or self._segments
        assert reader is not None
        return reader


def store_location(config: SearchConfig, index_path: str) -> StoreLocation | None:
    """The LanceDB table that the config names, or that the index path points to; None where segments are.

    Raises ConfigError and IndexCorruptError.
    """
    if config.store is not None or not os.path.exists(os.path.join(index_path, _POINTER_NAME)):
        return config.store_location
    from flyweight.store.lancedb.location import StoreLocation
    from flyweight.store.pointer import read_pointer

    pointed = read_pointer(index_path)
    if pointed is None:
        return None
    spec, options = pointed
    return StoreLocation.parse(spec, {**options, **config.store_options})
