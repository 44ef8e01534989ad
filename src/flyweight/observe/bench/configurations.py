"""What is measured side by side: ways to set up an engine. A new embedder or store is one entry of its table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from flyweight.observe.bench.certificate import MISSING, can_make_certificates, make_certificate
from flyweight.observe.bench.own_libraries import own_libraries
from flyweight.observe.bench.titan_stand_in import TitanStandIn

Setting = int | float | str
Variables = Mapping[str, str]
TARGET_BYTES = 3_000_000


@contextmanager
def _nothing(folder: Path) -> Iterator[Variables]:
    yield {}


@dataclass(frozen=True, slots=True)
class Backend:
    """An embedder or a store: the settings that choose it, and the packages it needs besides Flyweight.

    surroundings: while the measured process runs, what it needs around it, of which the process hears by environment
    variables; what they keep lies in the folder given. target_bytes: private memory over a bare interpreter that an
    engine with it may have. why_not: "" or the reason it cannot be measured on this machine.
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    surroundings: Callable[[Path], AbstractContextManager[Variables]] = _nothing
    target_bytes: int = TARGET_BYTES
    why_not: Callable[[], str] = str

    @property
    def missing(self) -> str:
        """Why it cannot be measured here; empty when it can."""
        absent = [package for package in self.packages if find_spec(package) is None]
        return f"{' and '.join(absent)} not installed" if absent else self.why_not()


@contextmanager
def titan_service(folder: Path) -> Iterator[Variables]:
    """Titan over TLS on loopback, with a certificate of its own. Raises CertificateMissing."""
    folder.mkdir(parents=True, exist_ok=True)
    with TitanStandIn(make_certificate(folder)) as server:
        yield {**server.environment(folder / "cache"), **own_libraries(folder / "libraries")}


def _titan(settings: Mapping[str, Setting]) -> Backend:
    return Backend(
        settings,
        surroundings=titan_service,
        target_bytes=10_000_000,
        why_not=lambda: "" if can_make_certificates() else MISSING,
    )


EMBEDDERS: dict[str, Backend] = {
    "static": Backend(),
    "titan": _titan({"embedder": "titan"}),
    "titan:v1": _titan({"embedder": "titan:v1"}),
}
# The path is relative to the folder in which the measured process runs.
STORES: dict[str, Backend] = {
    "segments": Backend(),
    "lancedb": Backend({"store": "lancedb:lance"}, ("lancedb",), target_bytes=4_000_000),
}
DEFAULT_EMBEDDER, DEFAULT_STORE = "static", "segments"
# What is measured when nothing is named: the plain ones with their minimal settings too. Version 1 of Titan is what
# the starting report used.
_UNNAMED = (("static", "segments"), ("titan:v1", "segments"), ("static", "lancedb"), ("titan:v1", "lancedb"))

MINIMAL: dict[str, Setting] = {"cache_size": 10, "cache_ttl": 30.0, "batch_size": 1}
# The fewest that the model has (config.MODEL_DIMENSIONS); other embedders have their own.
_MINIMAL_STATIC: dict[str, Setting] = {"max_embedding_dim": 64}


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

    @property
    def is_plain(self) -> bool:
        """Whether nothing runs beside the engine."""
        return (self.embedder, self.store) == (DEFAULT_EMBEDDER, DEFAULT_STORE)

    @property
    def missing(self) -> str:
        """Why it cannot be measured here; empty when it can."""
        return EMBEDDERS[self.embedder].missing or STORES[self.store].missing

    @property
    def target_bytes(self) -> int:
        return max(EMBEDDERS[self.embedder].target_bytes, STORES[self.store].target_bytes)

    @contextmanager
    def environment(self, folder: Path) -> Iterator[dict[str, str]]:
        """The environment of the measured process while that runs; where there is a service, only that."""
        with ExitStack() as stack:
            variables: dict[str, str] = {}
            for backend in (EMBEDDERS[self.embedder], STORES[self.store]):
                variables.update(stack.enter_context(backend.surroundings(folder / "surroundings")))
            yield {**(without_services(os.environ) if variables else os.environ), **variables}


def without_services(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what the user has set for AWS and for proxies."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith("AWS_") and not name.upper().endswith("_PROXY")
    }


def configurations(embedders: Sequence[str] = (), stores: Sequence[str] = ()) -> list[Configuration]:
    """Minimal and default for each pair of the embedders and stores named. Where neither is named, those of static
    embedder and segments, and the default of the other pairs; what cannot be measured here is among them.

    >>> [each.name for each in configurations(["static"], ["segments"])]
    ['minimal', 'default']
    >>> [each.name for each in configurations()][2:4]
    ['default, titan:v1 + segments', 'default, static + lancedb']
    """
    named = bool(embedders or stores)
    pairs = (
        [(embedder, store) for embedder in embedders or EMBEDDERS for store in stores or STORES] if named else _UNNAMED
    )
    found = []
    for embedder, store in pairs:
        chosen = {**EMBEDDERS[embedder].settings, **STORES[store].settings}
        default = Configuration("default", embedder, store, chosen)
        suffix = "" if default.is_plain else f", {embedder} + {store}"
        if named or default.is_plain:
            minimal = {**MINIMAL, **(_MINIMAL_STATIC if embedder == DEFAULT_EMBEDDER else {}), **chosen}
            found.append(Configuration(f"minimal{suffix}", embedder, store, minimal))
        found.append(Configuration(f"default{suffix}", embedder, store, chosen))
    return found
