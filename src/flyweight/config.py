"""What a user may set, checked when it is set. Read by the resident: imports nothing."""

from __future__ import annotations

from flyweight._search import glob_fault
from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

MAX_CACHE_ENTRIES = 10_000
MAX_LIMIT = 10_000
MAX_WORKERS = 256
DEFAULT_MEMORY_BUDGET = 64 * 1024 * 1024
MIN_MEMORY_BUDGET = 48 * 1024 * 1024
MODEL_DIMENSIONS = (256, 128, 64)


class SearchConfig:
    """Settings of an engine. All have defaults; a value that cannot work raises ConfigError.

    index_path: directory of the index.
    cache_size: queries whose results are kept (0: none); the pool is allocated once.
    cache_ttl: seconds a kept result may be served.
    batch_size: chunks embedded together while indexing.
    max_results: results of a search that names no limit.
    min_score: results that score lower are left out; scores lie between 0 and about 1.
    max_embedding_dim: most dimensions a vector may have: 256, 128 or 64. Fewer make a smaller index and a faster scan.
    memory_budget: private bytes all builder processes may use together; with track_memory also what the engine itself
    may hold before a BudgetWarning says so (flyweight.memory.budget).
    track_memory: record every allocation of the process while the engine is open, and take phases of its memory
    (flyweight.memory).
    """

    __slots__ = (
        "batch_size",
        "cache_size",
        "cache_ttl",
        "index_path",
        "max_embedding_dim",
        "max_results",
        "memory_budget",
        "min_score",
        "track_memory",
    )

    def __init__(
        self,
        index_path: str | os.PathLike[str] = ".flyweight",
        cache_size: int = 50,
        cache_ttl: float = 30.0,
        batch_size: int = 32,
        max_results: int = 10,
        min_score: float = 0.0,
        max_embedding_dim: int = 256,
        memory_budget: int = DEFAULT_MEMORY_BUDGET,
        track_memory: bool = False,
    ) -> None:
        path = index_path if isinstance(index_path, str) else getattr(index_path, "__fspath__", lambda: None)()
        if not isinstance(path, str) or not path or "\0" in path:
            raise ConfigError(f"index_path must be the path of a directory, not {index_path!r}")
        self.index_path = path
        self.cache_size = _integer("cache_size", cache_size, 0, MAX_CACHE_ENTRIES)
        self.cache_ttl = _number("cache_ttl", cache_ttl)
        self.batch_size = _integer("batch_size", batch_size, 1, 4096)
        self.max_results = _integer("max_results", max_results, 1, MAX_LIMIT)
        self.min_score = _number("min_score", min_score)
        self.max_embedding_dim = _integer("max_embedding_dim", max_embedding_dim, 1, 1 << 16)
        if max_embedding_dim not in MODEL_DIMENSIONS:
            raise ConfigError(
                f"max_embedding_dim must be one of {', '.join(map(str, MODEL_DIMENSIONS))}, not {max_embedding_dim}"
            )
        self.memory_budget = _integer("memory_budget", memory_budget, MIN_MEMORY_BUDGET, 1 << 50)
        if not isinstance(track_memory, bool):
            raise ConfigError(f"track_memory must be True or False, not {track_memory!r}")
        self.track_memory = track_memory

    def __repr__(self) -> str:
        return "SearchConfig(" + ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__) + ")"


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
