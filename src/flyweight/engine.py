"""SemanticSearchEngine: the one object most users meet. Resident: imports nothing but `os` and our own."""

from __future__ import annotations

import os

from flyweight._search import Searcher
from flyweight.config import SearchConfig, SearchFilters, checked_limit, checked_workers
from flyweight.embed.static import model_path
from flyweight.errors import (
    ConfigError,
    FlyweightError,
    IndexCorruptError,
    IndexMismatchError,
    IndexMissingError,
    PathError,
    TrackingError,
)
from flyweight.index.manifest import Manifest, manifest_path, read_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from flyweight._search import SearchHit
    from flyweight.index.stats import IndexProgress, IndexStats
    from flyweight.memory.leaks import Leak
    from flyweight.memory.report import Report
    from flyweight.memory.sites import Site
    from flyweight.memory.steady import Verdict

_NO_FILTERS = SearchFilters()


def _absolute(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    if not isinstance(name, str) or not name or "\0" in name:
        raise PathError(f"the path to index must be that of a directory or file, not {path!r}")
    return os.path.abspath(name)


# A reader may have read a manifest whose segments a writer has just replaced; the next one is there at once.
_LOAD_ATTEMPTS = 5
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
        self._manifest_path = manifest_path(self._index_path)
        self._manifest: Manifest | None = None
        self._searcher: Searcher | None = None
        self._searchers: dict[str, Searcher] = {}
        self._closed = False
        if self.config.track_memory:
            self._start_recording()

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

        Raises PathError, IndexLockedError, IndexMismatchError, IndexWriteError, IndexCorruptError, BuildError.
        """
        from flyweight.index.spawn import run_builder

        self._check_open()
        stats = run_builder(
            root=_absolute(path),
            index_path=self._index_path,
            dimensions=self.config.max_embedding_dim,
            batch_size=self.config.batch_size,
            memory_budget=self.config.memory_budget,
            rebuild=rebuild,
            workers=checked_workers(workers),
            progress=progress,
        )
        return stats

    def search(self, query: str, limit: int | None = None, filters: SearchFilters | None = None) -> list[SearchHit]:
        """The chunks that answer `query` best, best first: at most `limit` (default: the config's max_results).

        A hit has path, start_line, end_line, language, kind, symbol, scope, score and text; the text is read when it
        is asked for. An empty query finds nothing.

        Raises ConfigError, IndexMissingError, IndexCorruptError, IndexVersionError, IndexMismatchError.
        """
        hits, _ = self._search(query, limit, filters)
        return hits

    def stream(self, query: str, limit: int | None = None, filters: SearchFilters | None = None) -> Iterator[SearchHit]:
        """As `search`, one hit after another; no text is held but the one in hand."""
        hits, _ = self._search(query, limit, filters)
        hits.reverse()
        while hits:
            yield hits.pop()

    def close(self) -> None:
        """Lets go of the index. Hits that were returned keep working; searching again raises FlyweightError."""
        self._searcher = None
        self._searchers.clear()
        self._manifest = None
        self._closed = True
        if id(self) in _recording_engines:
            _recording_engines.discard(id(self))
            if not _recording_engines:
                from flyweight.memory.session import stop

                stop()

    def cache_stats(self) -> dict[str, int]:
        """Counters of the query cache: hits, misses, evictions, expired, entries, capacity, pool_bytes."""
        return self._open_searcher().cache_counters()

    def clear_cache(self) -> None:
        self._open_searcher().clear_cache()

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
        """Prints totals, the sites that matter most, phases and leaks."""
        from flyweight.memory.dashboard import dashboard

        self._check_recorded()
        print(dashboard(top_n))

    def is_steady_state(self, limit_bytes: int = _STEADY_LIMIT_BYTES, window_s: float = 60.0) -> Verdict:
        """Whether use stays under `limit_bytes` without a trend over the last `window_s` seconds, and why."""
        from flyweight.memory.steady import is_steady_state

        self._check_recorded()
        return is_steady_state(limit_bytes, window_s)

    @property
    def manifest(self) -> Manifest:
        """The state of the index that searches see."""
        self._refresh()
        return self._manifest or read_manifest(self._index_path)

    def __enter__(self) -> SemanticSearchEngine:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _search(self, query: str, limit: int | None, filters: SearchFilters | None) -> tuple[list[SearchHit], bool]:
        if not isinstance(query, str):
            raise ConfigError(f"a query is text, not {type(query).__name__}")
        config = self.config
        chosen = _NO_FILTERS if filters is None else filters
        if not isinstance(chosen, SearchFilters):
            raise ConfigError(f"filters are a SearchFilters, not {filters!r}: SearchFilters(language=..., paths=[...])")
        count = checked_limit(limit, config.max_results)
        searcher = self._refresh()
        min_score = config.min_score if chosen.min_score is None else chosen.min_score
        return searcher.search(
            query, count, min_score, chosen.languages, chosen.paths, chosen.exclude, None, config.cache_size > 0
        )

    def _start_recording(self) -> None:
        from flyweight.memory.session import is_active, start

        if not is_active():
            _recording_engines.clear()  # somebody else has stopped what they began
            start()
        elif not _recording_engines:
            return  # it is somebody else's to stop
        _recording_engines.add(id(self))

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

    def _open_searcher(self) -> Searcher:
        self._check_open()
        searcher = self._searcher
        if searcher is None:
            config = self.config
            made = Searcher(os.fsencode(model_path()), config.cache_size, config.max_results, config.cache_ttl)
            # Threads that get here together must end up with the same one: setdefault is one step under the GIL.
            searcher = self._searcher = self._searchers.setdefault("current", made)
        return searcher

    def _refresh(self) -> Searcher:
        """Follows the manifest: one stat call when nothing has changed."""
        searcher = self._open_searcher()
        for attempt in range(_LOAD_ATTEMPTS):
            try:
                status = os.stat(self._manifest_path)
            except OSError:
                read_manifest(self._index_path)  # says what is wrong
                raise
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if searcher.is_current(stamp):
                return searcher
            manifest = read_manifest(self._index_path)
            self._check_matches(manifest, searcher)
            try:
                searcher.load(
                    stamp,
                    [
                        (os.fsencode(os.path.join(self._index_path, segment.name)), segment.dead)
                        for segment in manifest.segments
                    ],
                )
                self._manifest = manifest
                break
            except IndexMissingError:
                if attempt + 1 == _LOAD_ATTEMPTS:
                    raise IndexCorruptError(
                        f"the index at {self._index_path} names a segment that cannot be opened: "
                        "run 'flyweight doctor', or 'flyweight index' to index the files again"
                    ) from None
        return searcher

    def _check_matches(self, manifest: Manifest, searcher: Searcher) -> None:
        if manifest.dimensions > self.config.max_embedding_dim:
            raise IndexMismatchError(
                f"the index at {self._index_path} has vectors of {manifest.dimensions} dimensions, the config allows "
                f"{self.config.max_embedding_dim}: raise max_embedding_dim, or index again with rebuild=True"
            )
        if manifest.embedder != searcher.model_id:
            raise IndexMismatchError(
                f"the index at {self._index_path} was made with {manifest.embedder}, this engine embeds with "
                f"{searcher.model_id}: run 'flyweight index --rebuild'"
            )
