"""What is measured side by side: ways to set up an engine. A new embedder or store is one entry of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

Setting = int | float | str


@dataclass(frozen=True, slots=True)
class Backend:
    """An embedder or a store: the settings that choose it, and the packages it needs besides Flyweight."""

    settings: Mapping[str, Setting] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        return all(find_spec(package) is not None for package in self.packages)


EMBEDDERS: dict[str, Backend] = {"static": Backend()}
STORES: dict[str, Backend] = {"segments": Backend()}
DEFAULT_EMBEDDER, DEFAULT_STORE = "static", "segments"

# The dimensions are the fewest that the model has (config.MODEL_DIMENSIONS).
MINIMAL: dict[str, Setting] = {"cache_size": 10, "cache_ttl": 30.0, "batch_size": 1, "max_embedding_dim": 64}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings of a SearchConfig by name; what is not named is the default."""

    name: str
    embedder: str
    store: str
    settings: Mapping[str, Setting]

    def code(self) -> str:
        """As a user would write it."""
        return f"SearchConfig({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"


def installed(backends: Mapping[str, Backend]) -> list[str]:
    """Names of the backends whose packages are there."""
    return [name for name, backend in backends.items() if backend.installed]


def configurations(embedders: Sequence[str] = (), stores: Sequence[str] = ()) -> list[Configuration]:
    """Minimal and default for each pair of the embedders and stores named; without names, of those installed.

    >>> [each.name for each in configurations()]
    ['minimal', 'default']
    """
    found = []
    for embedder in embedders or installed(EMBEDDERS):
        for store in stores or installed(STORES):
            chosen = {**EMBEDDERS[embedder].settings, **STORES[store].settings}
            plain = (embedder, store) == (DEFAULT_EMBEDDER, DEFAULT_STORE)
            suffix = "" if plain else f", {embedder} + {store}"
            found.append(Configuration(f"minimal{suffix}", embedder, store, {**MINIMAL, **chosen}))
            found.append(Configuration(f"default{suffix}", embedder, store, chosen))
    return found
