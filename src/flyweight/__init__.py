"""Semantic code search from a process that weighs almost nothing, and the memory profiler that proves it.

The names below are loaded when first used, so that importing the package costs nothing by itself.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = [
    "FlyweightError",
    "IndexProgress",
    "IndexStats",
    "SearchConfig",
    "SearchFilters",
    "SearchHit",
    "SearchResults",
    "SemanticSearchEngine",
    "memory",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight import memory
    from flyweight._search import SearchHit
    from flyweight.config import SearchConfig, SearchFilters
    from flyweight.engine import SemanticSearchEngine
    from flyweight.errors import FlyweightError
    from flyweight.index.stats import IndexProgress, IndexStats
    from flyweight.results import SearchResults

_HOMES = {
    "FlyweightError": "flyweight.errors",
    "IndexProgress": "flyweight.index.stats",
    "IndexStats": "flyweight.index.stats",
    "SearchConfig": "flyweight.config",
    "SearchFilters": "flyweight.config",
    "SearchHit": "flyweight._search",
    "SearchResults": "flyweight.results",
    "SemanticSearchEngine": "flyweight.engine",
}


def __getattr__(name: str) -> object:
    if name == "memory":
        import flyweight.memory

        return flyweight.memory
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flyweight' has no attribute {name!r}")
    module = __import__(home, fromlist=[name])
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
