"""Phases: what a named stretch of code allocates and frees, in its own thread and asyncio task."""

from __future__ import annotations

import os
from _thread import RLock
from time import perf_counter_ns

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.packed import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

MAX_NAMES = 1000
OTHER = "(other)"  # what finished phases are kept under once there are that many names

_COROUTINE, _GENERATORS = 0x80, 0x20 | 0x200  # inspect.CO_COROUTINE, CO_GENERATOR | CO_ASYNC_GENERATOR
_NOTHING = dict.fromkeys(_memory.PHASE_COLUMNS, 0)

_totals: dict[str, PhaseTotals] = {}
_lock = RLock()  # a destructor may end a phase while this thread is adding one up
os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]


class track:
    """Accounts for the memory of a `with` block, or of every call of the function it decorates (`async` ones too).

    What counts is what this thread and asyncio task allocate and free in between; phases nest, and an outer one
    includes its inner ones. Read the figures during the phase or after it:

    elapsed_ms; allocated_bytes, allocation_count, freed_bytes, deallocation_count; net_bytes (allocated less freed);
    peak_net_bytes (the most net_bytes has been). In sampled mode they are estimates.

    Code may keep its phases when nothing is recorded: then `recorded` is False and all but elapsed_ms is 0.

    >>> with track("load") as phase:  # doctest: +SKIP
    ...     table = load()
    >>> phase.peak_net_bytes  # doctest: +SKIP
    12582912
    """

    __slots__ = ("_began_ns", "_ended_ns", "_figures", "_number", "name")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a phase is named by text, not {name!r}")
        self.name = name
        self._number: int | None = None
        self._figures: dict[str, int] | None = None
        self._began_ns = self._ended_ns = 0

    def __enter__(self) -> track:
        if self._began_ns and not self._ended_ns:
            raise TrackingError(f"phase {self.name!r} is open already: make another track() for the inner one")
        self._figures, self._ended_ns = None, 0
        self._began_ns = perf_counter_ns()
        try:
            self._number = _memory.phase_begin() if _memory.active() else None
        except RuntimeError:  # another thread has just stopped the recording, or thousands of phases are open
            self._number = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        number = self._number
        if number is not None:
            try:
                self._figures = record(_memory.phase_end(number), _memory.PHASE_COLUMNS)
            except LookupError:  # the recording it belonged to is over
                self._number = None
        self._ended_ns = perf_counter_ns()
        if self._figures is not None:
            _add(self)

    def __call__(self, function: Function) -> Function:
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        name = self.name
        if flags & _GENERATORS:
            raise ConfigError(
                f"a generator runs in pieces between which others allocate, so {function!r} cannot be a phase: "
                "put `with track(...)` around the loop that consumes it"
            )
        if flags & _COROUTINE:

            async def measured_async(*args: Any, **kwargs: Any) -> Any:
                with track(name):
                    return await function(*args, **kwargs)

            return _dressed_as(measured_async, function)

        def measured(*args: Any, **kwargs: Any) -> Any:
            with track(name):
                return function(*args, **kwargs)

        return _dressed_as(measured, function)

    @property
    def recorded(self) -> bool:
        """Whether the phase has figures of its own."""
        return self._number is not None

    @property
    def elapsed_ms(self) -> float:
        return ((self._ended_ns or perf_counter_ns()) - self._began_ns) / 1e6 if self._began_ns else 0.0

    @property
    def allocated_bytes(self) -> int:
        return self._current()["allocated_bytes"]

    @property
    def freed_bytes(self) -> int:
        return self._current()["freed_bytes"]

    @property
    def allocation_count(self) -> int:
        return self._current()["allocation_count"]

    @property
    def deallocation_count(self) -> int:
        return self._current()["deallocation_count"]

    @property
    def net_bytes(self) -> int:
        return self._current()["net_bytes"]

    @property
    def peak_net_bytes(self) -> int:
        return self._current()["peak_net_bytes"]

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {
            "name": self.name,
            "recorded": self.recorded,
            **self._current(),
            "elapsed_ms": self.elapsed_ms,
        }

    def _current(self) -> dict[str, int]:
        if self._figures is not None:
            return self._figures
        if self._number is not None:
            try:
                return record(_memory.phase_read(self._number), _memory.PHASE_COLUMNS)
            except LookupError:
                self._number = None
        return _NOTHING

    def __repr__(self) -> str:
        if not self.recorded:
            return f"<phase {self.name!r}, not recorded>"
        figures = self._current()
        return (
            f"<phase {self.name!r}: {self.elapsed_ms:.1f} ms, {figures['allocated_bytes']} bytes allocated, "
            f"{figures['net_bytes']} kept, {figures['peak_net_bytes']} at most>"
        )


class PhaseTotals:
    """All finished phases of one name, added up: count, elapsed_ms, allocated_bytes, freed_bytes, net_bytes,
    allocation_count, deallocation_count, and the largest max_net_bytes, max_peak_net_bytes and max_elapsed_ms."""

    __slots__ = (
        "allocated_bytes",
        "allocation_count",
        "count",
        "deallocation_count",
        "elapsed_ms",
        "freed_bytes",
        "max_elapsed_ms",
        "max_net_bytes",
        "max_peak_net_bytes",
        "name",
        "net_bytes",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.elapsed_ms = self.max_elapsed_ms = 0.0
        self.allocated_bytes = self.freed_bytes = self.net_bytes = 0
        self.allocation_count = self.deallocation_count = 0
        self.max_net_bytes = self.max_peak_net_bytes = 0

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return (
            f"<{self.count} phases {self.name!r}: {self.allocated_bytes} bytes allocated, {self.net_bytes} kept, "
            f"{self.max_peak_net_bytes} at most>"
        )


def phases() -> list[PhaseTotals]:
    """The finished phases by name, first the name that allocated most.

    The first 1,000 names are kept apart, later ones together under "(other)".
    """
    with _lock:
        return sorted(_totals.values(), key=lambda totals: -totals.allocated_bytes)


def _add(phase: track) -> None:
    figures = phase._current()
    with _lock:
        name = phase.name if phase.name in _totals or len(_totals) < MAX_NAMES else OTHER
        totals = _totals.setdefault(name, PhaseTotals(name))
        totals.count += 1
        totals.elapsed_ms += phase.elapsed_ms
        totals.max_elapsed_ms = max(totals.max_elapsed_ms, phase.elapsed_ms)
        for column in ("allocated_bytes", "freed_bytes", "net_bytes", "allocation_count", "deallocation_count"):
            setattr(totals, column, getattr(totals, column) + figures[column])
        if totals.count == 1 or figures["net_bytes"] > totals.max_net_bytes:
            totals.max_net_bytes = figures["net_bytes"]
        totals.max_peak_net_bytes = max(totals.max_peak_net_bytes, figures["peak_net_bytes"])


def _dressed_as(wrapper: Any, function: Function) -> Function:
    """functools.wraps without functools, which the resident does without."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(function, name):
            setattr(wrapper, name, getattr(function, name))
    wrapper.__dict__.update(getattr(function, "__dict__", {}))
    wrapper.__wrapped__ = function
    dressed: Function = wrapper
    return dressed
