"""What a user may set, checked when it is set. Read by the resident: imports nothing."""

from __future__ import annotations

from flyweight._search import glob_fault
from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from flyweight.embed.settings import EmbedderSettings
    from flyweight.store.lancedb.location import StoreLocation

MAX_CACHE_ENTRIES = 10_000
MAX_LIMIT = 10_000
MAX_WORKERS = 256
DEFAULT_MEMORY_BUDGET = 64 * 1024 * 1024
MIN_MEMORY_BUDGET = 48 * 1024 * 1024
MODEL_DIMENSIONS = (256, 128, 64)
MAX_WAIT_S = 3600.0
STATIC = "static"
SEGMENTS = "segments"
LEXICAL = "lexical"
RAISE = "raise"


class SearchConfig:
    """Settings of an engine. All have defaults; a value that cannot work raises ConfigError.

    index_path: directory of the index.
    cache_size: queries whose results are kept (0: none); the pool is allocated once.
    cache_ttl: seconds a kept result may be served.
    batch_size: chunks embedded together while indexing.
    max_results: results of a search that names no limit.
    min_score: results that score lower are left out; scores lie between 0 and about 1.
    max_embedding_dim: most dimensions a vector may have; None: as many as the embedder makes. Fewer make a smaller
    index and a faster scan. The static embedder makes 256, 128 or 64.
    memory_budget: private bytes all builder processes may use together; with track_memory also what the engine itself
    may hold before a BudgetWarning says so (flyweight.memory.budget).
    track_memory: record every allocation of the process while the engine is open, and take phases of its memory
    (flyweight.memory).

    embedder: what turns text into vectors: "static", the table that ships with the package; "titan", "titan:v1" and
    "bedrock:<model id>" on Amazon Bedrock; "openai:<base-url>#<model>" (flyweight.embed.settings). None: for searching
    alone, the one that the index remembers.
    embedder_options: region, profile, endpoint_url, ca_bundle, proxy, fips, dualstack, dimensions, normalize,
    embedding_type, timeout_s, max_in_flight, max_requests_per_s, price_per_million_tokens, api_key. What is not given
    comes from the environment and the files of the AWS command line.
    query_timeout_s: seconds a search waits for the vector of its query. Where nobody answers, two searches wait that
    long; others not at all, but for one at a time, after 1 s, 2, 4 and so on up to 30 s, until there is an answer.
    when_unreachable: what a search does that gets none: "lexical", to answer by words alone and say so (degraded), or
    "raise".
    embedding_cache: directory that keeps every embedding that was paid for; None: one in the user's cache directory.
    max_requests, max_tokens: what one indexing run may ask of a service before it stops in good order; None: no limit.

    store: where the index is kept: "segments", mapped files in index_path, or "lancedb:<uri>", a LanceDB table in a
    directory or in object storage (s3://, gs://, az://). None: where the index is that index_path holds or points to.
    store_options: table, region, profile, endpoint_url, and what LanceDB's object storage understands.
    store_idle_s: seconds without a query after which the process that holds LanceDB ends.
    in_process: whether LanceDB is loaded into this process instead.
    """

    __slots__ = (
        "batch_size",
        "cache_size",
        "cache_ttl",
        "embedder",
        "embedder_options",
        "embedder_settings",
        "embedding_cache",
        "in_process",
        "index_path",
        "max_embedding_dim",
        "max_requests",
        "max_results",
        "max_tokens",
        "memory_budget",
        "min_score",
        "query_timeout_s",
        "store",
        "store_idle_s",
        "store_location",
        "store_options",
        "track_memory",
        "when_unreachable",
    )

    def __init__(
        self,
        index_path: str | os.PathLike[str] = ".flyweight",
        cache_size: int = 50,
        cache_ttl: float = 30.0,
        batch_size: int = 32,
        max_results: int = 10,
        min_score: float = 0.0,
        max_embedding_dim: int | None = None,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        track_memory: bool = False,
        embedder: str | None = STATIC,
        embedder_options: Mapping[str, object] | None = None,
        query_timeout_s: float = 5.0,
        when_unreachable: str = LEXICAL,
        embedding_cache: str | os.PathLike[str] | None = None,
        max_requests: int | None = None,
        max_tokens: int | None = None,
        store: str | None = None,
        store_options: Mapping[str, object] | None = None,
        store_idle_s: float = 60.0,
        in_process: bool = False,
    ) -> None:
        self.index_path = _path("index_path", index_path, "a directory")
        self.cache_size = _integer("cache_size", cache_size, 0, MAX_CACHE_ENTRIES)
        self.cache_ttl = _number("cache_ttl", cache_ttl)
        self.batch_size = _integer("batch_size", batch_size, 1, 4096)
        self.max_results = _integer("max_results", max_results, 1, MAX_LIMIT)
        self.min_score = _number("min_score", min_score)
        self.memory_budget = _integer("memory_budget", memory_budget, MIN_MEMORY_BUDGET, 1 << 50)
        self.track_memory = _flag("track_memory", track_memory)
        self.query_timeout_s = _seconds("query_timeout_s", query_timeout_s)
        if when_unreachable not in (LEXICAL, RAISE):
            raise ConfigError(f'when_unreachable must be "{LEXICAL}" or "{RAISE}", not {when_unreachable!r}')
        self.when_unreachable = when_unreachable
        self.embedding_cache = (
            None if embedding_cache is None else _path("embedding_cache", embedding_cache, "a directory")
        )
        self.max_requests = None if max_requests is None else _integer("max_requests", max_requests, 1, 1 << 50)
        self.max_tokens = None if max_tokens is None else _integer("max_tokens", max_tokens, 1, 1 << 50)
        self._set_embedder(embedder, _mapping("embedder_options", embedder_options), max_embedding_dim)
        self.store_idle_s = _seconds("store_idle_s", store_idle_s)
        self.in_process = _flag("in_process", in_process)
        self._set_store(store, _mapping("store_options", store_options))

    def _set_embedder(self, embedder: str | None, options: dict[str, object], most: int | None) -> None:
        self.embedder = embedder
        self.embedder_options = options
        self.max_embedding_dim = most if most is None else _integer("max_embedding_dim", most, 1, 1 << 16)
        self.embedder_settings: EmbedderSettings | None = None  # of one that is not static
        if embedder == STATIC and not options:
            self.max_embedding_dim = MODEL_DIMENSIONS[0] if most is None else most
            if self.max_embedding_dim not in MODEL_DIMENSIONS:
                known = ", ".join(map(str, MODEL_DIMENSIONS))
                raise ConfigError(f"max_embedding_dim of the static embedder must be one of {known}, not {most}")
        elif embedder is not None:
            from flyweight.embed.settings import EmbedderSettings

            settings = EmbedderSettings.parse(embedder, options, most)
            if settings.is_remote:
                self.embedder_settings = settings
            else:
                self.max_embedding_dim = settings.dimensions

    def _set_store(self, store: str | None, options: dict[str, object]) -> None:
        self.store = store
        self.store_options = options
        self.store_location: StoreLocation | None = None  # of one that is not of segments
        if store == SEGMENTS and options:
            raise ConfigError(f'the store "{SEGMENTS}" has no options: leave out {", ".join(sorted(options))}')
        if store is None or store == SEGMENTS:
            return
        from flyweight.store.lancedb.location import PREFIX, StoreLocation

        if not isinstance(store, str) or not store.startswith(PREFIX):
            raise ConfigError(f'store must be "{SEGMENTS}" or "{PREFIX}<uri>", not {store!r}')
        self.store_location = StoreLocation.parse(store, options)
        self.store = self.store_location.spec  # absolute: the process may change its directory

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__slots__ if name not in _DERIVED}
        # Options may hold keys and passwords: those are shown that are known to hold none.
        embedder, store = self.embedder_settings, self.store_location
        public = {} if embedder is None else embedder.public_options
        shown["embedder_options"] = {**dict.fromkeys(self.embedder_options, "***"), **public}
        public = {} if store is None else {**store.public_options()}
        shown["store_options"] = {**dict.fromkeys(self.store_options, "***"), **public}
        return "SearchConfig(" + ", ".join(f"{name}={value!r}" for name, value in shown.items()) + ")"


_DERIVED = ("embedder_settings", "store_location")


class SearchFilters:
    """Narrows a search.

    language: one language or several ("rust", or ["c", "cpp"]); common aliases such as "py" are understood.
    paths: globs, at least one of which a path must match; exclude: globs, none of which it may match. As in
    .gitignore: `*` stays within a name, `**` crosses directories, a pattern without a slash matches at any depth,
    a directory stands for all beneath it.
    min_score: overrides the engine's.
    """

    __slots__ = ("exclude", "languages", "min_score", "paths")

    def __init__(
        self,
        language: str | Iterable[str] | None = None,
        paths: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        min_score: float | None = None,
    ) -> None:
        self.languages = [_language(name) for name in _strings("language", () if language is None else language)]
        self.paths = [_glob(pattern) for pattern in _strings("paths", paths)]
        self.exclude = [_glob(pattern) for pattern in _strings("exclude", exclude)]
        self.min_score = None if min_score is None else _number("min_score", min_score)


def checked_limit(limit: int | None, default: int) -> int:
    """The number of results to return; ConfigError when it is not a positive number."""
    return default if limit is None else _integer("limit", limit, 1, MAX_LIMIT)


def checked_workers(workers: int) -> int:
    """The number of builder processes; 0 stands for one per core. ConfigError when it is not from 0 to 256."""
    return _integer("workers", workers, 0, MAX_WORKERS)


def _path(name: str, value: str | os.PathLike[str], what: str) -> str:
    path = value if isinstance(value, str) else getattr(value, "__fspath__", lambda: None)()
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"{name} must be the path of {what}, not {value!r}")
    return path


def _flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {value!r}")
    return value


def _seconds(name: str, value: float) -> float:
    seconds = _number(name, value)
    if not 0 < seconds <= MAX_WAIT_S:
        raise ConfigError(f"{name} must be a number of seconds above 0 and up to {MAX_WAIT_S:g}, not {value!r}")
    return seconds


def _mapping(name: str, value: Mapping[str, object] | None) -> dict[str, object]:
    try:
        options = dict(value or {})
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be a dict of options") from None
    for key in options:
        if not isinstance(key, str):
            raise ConfigError(f"{name} must have names for keys, not {key!r}")
    return options


def _integer(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return value


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 0 or value > 1e18:
        raise ConfigError(f"{name} must be a number that is not negative, not {value!r}")
    return float(value)


def _strings(name: str, value: str | Iterable[str]) -> list[str]:
    try:
        values = [value] if isinstance(value, str) else list(value)
    except TypeError:
        raise ConfigError(f"{name} must be text or a list of texts, not {value!r}") from None
    for item in values:
        if not isinstance(item, str):
            raise ConfigError(f"{name} must be text or a list of texts, not {item!r}")
    return values


def _glob(pattern: str) -> str:
    fault = glob_fault(pattern)
    if fault:
        raise ConfigError(f"bad path pattern {pattern!r}: {fault}")
    return pattern


def _language(name: str) -> str:
    from flyweight.index.language_names import canonical

    known = canonical(name)
    if known is None:
        raise ConfigError(f"unknown language {name!r}: 'flyweight status' lists those of an index")
    return known
