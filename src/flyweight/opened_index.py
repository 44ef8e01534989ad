"""The index of an engine, wherever it is kept, and the way of a query through it. Resident.

Over segments with the static embedder, the native search does all of it. Otherwise: cache, then the query's vector,
then the search; so a question that was asked before goes to no service and wakes no process.
"""

from __future__ import annotations

from flyweight.config import STATIC
from flyweight.index.reader import IndexElsewhere, SegmentReader, check_static, pointer_path, pointer_stamp
from flyweight.results import SearchResults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.config import SearchConfig, SearchFilters
    from flyweight.index.reader import IndexInfo
    from flyweight.store.lancedb.client import StoreClient
    from flyweight.store.lancedb.location import StoreLocation


class OpenedIndex:
    """Opened by the first question and followed from then on, until it is said to be in another store: `info` and
    `search` raise IndexElsewhere then. Safe to share between threads and across `fork`."""

    def __init__(self, config: SearchConfig, index_path: str) -> None:
        # Before the pointer is read, so that one that comes in between is not taken for the one that was.
        self._pointer_path = pointer_path(index_path) if config.store is None else ""
        self._pointer = pointer_stamp(self._pointer_path) if self._pointer_path else None
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
                follows=config.store is None,
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
            self._follow()
            info = self._reader.manifest()
            self._vectors.check(info)
            self._checked = info
            return info
        manifest = native.manifest()
        if manifest is not self._checked:
            check_static(manifest, native.model_id, self._max_dimensions, self._where)
            self._checked = manifest
        return manifest

    def search(self, query: str, limit: int, min_score: float, filters: SearchFilters, keep: bool) -> SearchResults:
        """`keep`: whether the cache is asked, and gets the answer."""
        native = self._native
        if native is not None:
            self.info()
            hits, cached = native.answer(query, limit, min_score, filters, keep)
            return SearchResults(hits, cached=cached)
        reader = self._reader
        self._follow()
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
            self._vectors.close()

    def _follow(self) -> None:
        """Raises IndexElsewhere when the pointer that led to this table leads elsewhere, or is gone."""
        store = self._store
        if store is None or not self._pointer_path:
            return
        stamp = pointer_stamp(self._pointer_path)
        if stamp == self._pointer:
            return
        location = store_location(self._config, self._index_path)
        if location is None or not store.is_at(location):
            raise IndexElsewhere(self._index_path)
        self._pointer = stamp  # every build writes it anew

    @property
    def _reader(self) -> SegmentReader | StoreClient:
        reader = self._store or self._segments
        assert reader is not None
        return reader


def store_location(config: SearchConfig, index_path: str) -> StoreLocation | None:
    """The LanceDB table that the config names, or that the index path points to; None where segments are.

    Raises ConfigError and IndexCorruptError.
    """
    if config.store is not None or pointer_stamp(pointer_path(index_path)) is None:
        return config.store_location
    from flyweight.store.lancedb.location import StoreLocation
    from flyweight.store.pointer import read_pointer

    pointed = read_pointer(index_path)
    if pointed is None:
        return None
    spec, options = pointed
    return StoreLocation.parse(spec, {**options, **config.store_options})
