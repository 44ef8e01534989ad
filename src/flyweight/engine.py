"""SemanticSearchEngine: the one object most users meet. Resident: imports nothing but `os` and our own."""

from __future__ import annotations

import os

from flyweight.config import (
    SEGMENTS,
    STATIC,
    SearchConfig,
    SearchFilters,
    checked_limit,
    checked_workers,
)
from flyweight.errors import ConfigError, FlyweightError, PathError, TrackingError
from flyweight.index.reader import IndexElsewhere
from flyweight.opened_index import OpenedIndex, store_location
from flyweight.results import SearchResults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from flyweight._search import SearchHit
    from flyweight.index.reader import IndexInfo
    from flyweight.index.stats import IndexProgress, IndexStats
    from flyweight.memory.attribution import Attribution
    from flyweight.memory.budget import Budget
    from flyweight.memory.leaks import Leak
    from flyweight.memory.phase_table import PhaseTable
    from flyweight.memory.query_memory import QueryMemory
    from flyweight.memory.report import Report
    from flyweight.memory.sites import Site
    from flyweight.memory.steady import Verdict

_NO_FILTERS = SearchFilters()


def _absolute(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise PathError(f"the path to index must be that of a directory or file, not {path!r}")
    return os.path.abspath(name)


_STEADY_LIMIT_BYTES = 3 * 1024 * 1024

# Open engines that share the recording the first of them began; the last to close stops it.
_recording_engines: set[int] = set()


class SemanticSearchEngine:
    """Indexes a tree and answers questions about it from memory-mapped files.

    The index is opened by the first search and followed from then on: when any process commits a change, the next
    search sees it. Safe to share between threads (the native query runs without the GIL) and across `fork`.

    >>> with SemanticSearchEngine(SearchConfig(index_path="index")) as engine:  # doctest: +SKIP
    ...     engine.index("src")
    ...     for hit in engine.search("where are retries handled"):
    ...         print(hit.path, hit.start_line)
    """

    def __init__(self, config: SearchConfig | None = None) -> None:
        self.config = SearchConfig() if config is None else config
        if not isinstance(self.config, SearchConfig):
            raise ConfigError(f"an engine is made from a SearchConfig, not {config!r}: SearchConfig(index_path=...)")
        # Absolute from the start: the process may change its directory.
        self._index_path = os.path.abspath(self.config.index_path)
        self._opened: dict[str, OpenedIndex] = {}
        self._closed = False
        self._asked = False  # since the last phase
        self._budget: Budget | None = None
        if self.config.track_memory:
            self._mark("Initial")
            self._start_recording()
            self._set_budget()
            self._open()
            self._mark("After Init")

    def index(
        self,
        path: str | os.PathLike[str],
        progress: Callable[[IndexProgress], object] | None = None,
        *,
        rebuild: bool = False,
        workers: int = 0,
    ) -> IndexStats:
        """Brings the index in line with the tree at `path`, in a child process that exits.

        Only files whose content changed are read again. `progress` is called about ten times a second.
        `rebuild` starts afresh; `workers` limits the processes (0: one per core, as far as the memory budget goes).
        Embeddings that were paid for are kept on disk, and none is asked for twice.

        Raises PathError, IndexLockedError, IndexMismatchError, IndexWriteError, IndexCorruptError, BuildError;
        EmbedderError and StoreError where a service embeds or stores.
        """
        from flyweight.index.spawn import run_builder

        self._check_open()
        self._mark_queries()
        config = self.config
        location = store_location(config, self._index_path)
        stats = run_builder(
            root=_absolute(path),
            index_path=self._index_path,
            embedder=_embedder_fields(config),
            store=SEGMENTS if location is None else location.spec,
            store_options={} if location is None else {**location.options, "table": location.table},
            embedding_cache=config.embedding_cache,
            max_requests=config.max_requests,
            max_tokens=config.max_tokens,
            batch_size=config.batch_size,
            memory_budget=config.memory_budget,
            rebuild=rebuild,
            workers=checked_workers(workers),
            progress=progress,
        )
        self._mark("After Index", stats.peak_private_bytes)
        return stats

    def search(self, query: str, limit: int | None = None, filters: SearchFilters | None = None) -> SearchResults:
        """The chunks that answer `query` best, best first: at most `limit` (default: the config's max_results).

        A hit has path, start_line, end_line, language, kind, symbol, scope, score and text; the text is read when it
        is asked for. An empty query finds nothing. When the service that embeds queries cannot be used, words alone
        decide and the results say so (degraded, reason), unless the config's when_unreachable is "raise".

        Raises ConfigError, IndexMissingError, IndexCorruptError, IndexVersionError, IndexMismatchError; EmbedderError
        and StoreError where a service embeds or stores.
        """
        if not isinstance(query, str):
            raise ConfigError(f"a query is text, not {type(query).__name__}")
        config = self.config
        chosen = _NO_FILTERS if filters is None else filters
        if not isinstance(chosen, SearchFilters):
            raise ConfigError(f"filters are a SearchFilters, not {filters!r}: SearchFilters(language=..., paths=[...])")
        count = checked_limit(limit, config.max_results)
        min_score = config.min_score if chosen.min_score is None else chosen.min_score
        self._asked = True
        opened = self._open()
        try:
            return opened.search(query, count, min_score, chosen, config.cache_size > 0)
        except IndexElsewhere:
            return self._opened_again(opened).search(query, count, min_score, chosen, config.cache_size > 0)

    def measure_query(self, query: str, limit: int | None = None, filters: SearchFilters | None = None) -> QueryMemory:
        """Asks as `search` does, lets the hits go, and returns what that took: time, bytes allocated and retained, and
        by how much the process has grown. What was allocated is known while memory is recorded.

        Raises what `search` raises.
        """
        from flyweight.memory.query_memory import measure

        def ask() -> tuple[SearchResults, bool]:
            found = self.search(query, limit, filters)
            return found, found.cached

        return measure(query, ask)

    def stream(self, query: str, limit: int | None = None, filters: SearchFilters | None = None) -> Iterator[SearchHit]:
        """As `search`, one hit after another; no text is held but the one in hand."""
        hits = self.search(query, limit, filters)
        hits.reverse()
        while hits:
            yield hits.pop()

    def close(self) -> None:
        """Lets go of the index. Hits that were returned keep working; searching again raises FlyweightError."""
        if self.config.track_memory and not self._closed:
            self._mark_queries()
            self._mark("Final")
        if self._budget is not None:
            self._budget.cancel()
        self._closed = True
        while self._opened:
            self._opened.popitem()[1].close()
        if id(self) in _recording_engines:
            _recording_engines.discard(id(self))
            if not _recording_engines:
                from flyweight.memory.session import stop

                stop()

    def cache_stats(self) -> dict[str, int]:
        """Counters of the query cache: hits, misses, evictions, expired, entries, capacity, pool_bytes."""
        return self._open().cache_counters()

    def clear_cache(self) -> None:
        self._open().clear_cache()

    def trim(self) -> int:
        """Gives back what the process can do without, and returns by how many bytes its RSS fell.

        That is the query cache, the mapped pages of index and model, scratch of queries, Python's free lists (by a full
        garbage collection) and what malloc keeps for later. The next queries make again what they need of it.
        """
        import gc

        from flyweight.memory.rollup import Rollup

        self._mark_queries()
        opened = self._open()
        before = Rollup().rss_bytes
        gc.collect()
        opened.trim()
        return max(0, before - Rollup().rss_bytes)

    def get_memory_attribution(self) -> Attribution:
        """Whose the RSS of this process is, row by row, recorded or not; the query cache has a row of its own, and what
        a store process holds stands beside it: flyweight.memory.attribution."""
        from flyweight.memory.attribution import attribution

        account = attribution(self._ranges())
        account.store_private_bytes = self._store_private_bytes()
        return account

    def get_memory_phases(self) -> PhaseTable:
        """The phases of this process so far; print it for a table. With track_memory=True the engine takes its own:
        Initial, After Init, After Index, After Queries, Final."""
        from flyweight.memory.phase_table import phase_table

        self._mark_queries()
        return phase_table()

    def get_memory_report(self) -> Report:
        """The account of what this process has allocated since recording began; print it, or read its fields.

        This method and the four after it raise TrackingError when nothing has been recorded.
        """
        from flyweight.memory.report import report

        self._check_recorded()
        return report()

    def detect_memory_leaks(self, min_age_s: float = 60.0, min_size: int = 1024) -> list[Leak]:
        """The sites that hold blocks older than `min_age_s` seconds, and ever more of them: flyweight.memory.leaks."""
        from flyweight.memory.leaks import leaks

        self._check_recorded()
        return leaks(min_age_s, min_size)

    def get_hot_paths(self, top_n: int = 10) -> list[Site]:
        """The `top_n` sites that have allocated the most bytes: flyweight.memory.hot_paths."""
        from flyweight.memory.sites import hot_paths

        self._check_recorded()
        return hot_paths(top_n)

    def print_memory_dashboard(self, top_n: int = 10) -> None:
        """Prints totals, whose the RSS is, the sites that matter most, phases and leaks."""
        from flyweight.memory.dashboard import dashboard

        self._check_recorded()
        self._mark_queries()
        print(dashboard(top_n, self._ranges()))

    def is_steady_state(self, limit_bytes: int = _STEADY_LIMIT_BYTES, window_s: float = 60.0) -> Verdict:
        """Whether use stays under `limit_bytes` without a trend over the last `window_s` seconds, and why."""
        from flyweight.memory.steady import is_steady_state

        self._check_recorded()
        return is_steady_state(limit_bytes, window_s)

    @property
    def manifest(self) -> IndexInfo:
        """The state of the index that searches see: embedder, dimensions, root, generation, live_chunks."""
        opened = self._open()
        try:
            return opened.info()
        except IndexElsewhere:
            return self._opened_again(opened).info()

    def __enter__(self) -> SemanticSearchEngine:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_recording(self) -> None:
        from flyweight.memory.session import is_active, start

        if not is_active():
            _recording_engines.clear()  # somebody else has stopped what they began
            start()
        elif not _recording_engines:
            return  # it is somebody else's to stop
        _recording_engines.add(id(self))

    def _set_budget(self) -> None:
        from flyweight.memory.budget import budget

        self._budget = budget(self.config.memory_budget, component="engine")

    def _mark(self, name: str, builder_peak_bytes: int = 0) -> None:
        """Ends a phase of the process, if the engine is to account for its memory."""
        if self.config.track_memory:
            from flyweight.memory.phase_table import phase

            phase(
                name,
                ranges=self._ranges(),
                builder_peak_bytes=builder_peak_bytes,
                store_private_bytes=self._store_private_bytes(),
                replace=True,
            )

    def _mark_queries(self) -> None:
        """When queries have come to an end: to take the phase at each would cost more than the query."""
        if self._asked:
            self._asked = False
            self._mark("After Queries")

    def _ranges(self) -> dict[str, list[tuple[int, int]]]:
        """Memory that only the engine can name."""
        opened = self._opened.get("current")
        return {} if opened is None else opened.ranges()

    def _store_private_bytes(self) -> int:
        opened = self._opened.get("current")
        return 0 if opened is None else opened.store_private_bytes()

    def _check_recorded(self) -> None:
        from flyweight.memory.session import status

        if status()["session"] == 0:
            raise TrackingError(
                "no memory has been recorded: make the engine from SearchConfig(track_memory=True), or call "
                "flyweight.memory.start()"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise FlyweightError("the engine is closed: make a new one")

    def _open(self) -> OpenedIndex:
        self._check_open()
        opened = self._opened.get("current")
        if opened is None:
            # Threads that get here together must end up with the same one: setdefault is one step under the GIL.
            opened = self._opened.setdefault("current", OpenedIndex(self.config, self._index_path))
        return opened

    def _opened_again(self, opened: OpenedIndex) -> OpenedIndex:
        """Where the index is now. Another thread may still ask the old, whose process ends with the last who does."""
        if self._opened.get("current") is opened:
            self._opened.pop("current", None)
        return self._open()


def _embedder_fields(config: SearchConfig) -> dict[str, str]:
    """The embedder as the builder takes it (flyweight.embed.settings)."""
    if config.embedder is None:
        raise ConfigError("indexing needs an embedder: SearchConfig(embedder=...); None is for searching alone")
    settings = config.embedder_settings
    if settings is not None:
        return settings.fields()
    return {"spec": STATIC, "dimensions": str(config.max_embedding_dim)}
