"""Phases of a whole process: where its memory was at named moments, and what changed in between.

`track()` (phases.py) accounts for what one stretch of code allocates. A phase here is a moment of the process: all its
memory as the system counts it, by component, against the moment before. It works whether or not anything is recorded.
"""

from __future__ import annotations

from _thread import RLock
from os import register_at_fork
from time import time

from flyweight import _memory
from flyweight.errors import ConfigError
from flyweight.memory.packed import record, rows
from flyweight.memory.rollup import high_water_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_PHASES = 200  # some 1.5 kB each

_taken: list[Phase] = []
# When the last phase was taken: the high-water marks of the process and of the tracked total, and the recording.
_marks = [0, 0, 0]
_lock = RLock()  # a destructor may take a phase while this thread does
register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]


class Phase:
    """Memory of this process at one moment, bytes, and what has changed since the phase before.

    name; taken_unix_s; elapsed_s: since the phase before, for the first one since recording began.
    rss_bytes, private_bytes, pss_bytes: as the system counts them. components: RSS by component.
    python_bytes, native_bytes, mapped_bytes: live blocks of each domain; 0 when nothing is recorded.
    rss_delta_bytes, private_delta_bytes: against the phase before; 0 for the first one.
    peak_rss_bytes: the largest RSS since the phase before. The kernel keeps one high-water mark for the life of the
    process; where the phase raised it, the peak is exact (`peak_rss_exact`). Otherwise it is the largest of what was
    seen: both ends, and the timeline, which looks four times a second while recording.
    peak_tracked_bytes: of all domains together since the phase before; 0 when nothing is recorded.
    builder_peak_bytes: the most private memory that all builder processes together held; 0 when there were none.
    store_private_bytes: of the process that holds a LanceDB index, at that moment; 0 when there was none.
    """

    # Why the kernel's mark is not set back for each phase, which writing 5 to /proc/self/clear_refs would do: it is
    # also what getrusage() tells the program and wait4() its parent, and both would be told too little.

    __slots__ = (
        "builder_peak_bytes",
        "components",
        "elapsed_s",
        "mapped_bytes",
        "name",
        "native_bytes",
        "peak_rss_bytes",
        "peak_rss_exact",
        "peak_tracked_bytes",
        "private_bytes",
        "private_delta_bytes",
        "pss_bytes",
        "python_bytes",
        "rss_bytes",
        "rss_delta_bytes",
        "store_private_bytes",
        "taken_unix_s",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.taken_unix_s = time()
        self.elapsed_s = 0.0
        self.rss_bytes = self.private_bytes = self.pss_bytes = 0
        self.components: dict[str, int] = {}
        self.python_bytes = self.native_bytes = self.mapped_bytes = 0
        self.rss_delta_bytes = self.private_delta_bytes = 0
        self.peak_rss_bytes = self.peak_tracked_bytes = 0
        self.builder_peak_bytes = self.store_private_bytes = 0
        self.peak_rss_exact = False

    @property
    def at_s(self) -> float:
        """Seconds from the beginning of the recording; without one, from the first phase."""
        began = _recording_began_unix_s() or (_taken[0].taken_unix_s if _taken else self.taken_unix_s)
        return max(0.0, self.taken_unix_s - began)

    @property
    def tracked_bytes(self) -> int:
        """Live blocks of all domains."""
        return self.python_bytes + self.native_bytes + self.mapped_bytes

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {"at_s": self.at_s, **{name: getattr(self, name) for name in self.__slots__}}

    def __repr__(self) -> str:
        return f"<Phase {self.name!r}: {self.rss_bytes} bytes of RSS, {self.private_bytes} private>"


class PhaseTable(list[Phase]):
    """Phases in the order in which they were taken; as text, a table for people."""

    def __str__(self) -> str:
        from flyweight.memory.phase_text import phase_table_text

        return phase_table_text(self)


def phase(
    name: str,
    *,
    ranges: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    builder_peak_bytes: int = 0,
    store_private_bytes: int = 0,
    replace: bool = False,
) -> Phase:
    """Ends the phase that runs, under this name, and returns its account.

    ranges: memory to be counted to a component of that name, as [(address, bytes), ...]. builder_peak_bytes: what child
    processes held in this phase. store_private_bytes: what a store process holds now. replace: when the phase before
    has the same name, this one takes its place.

    Takes some milliseconds, more in a large process: it looks at every page. Of more than 200
    phases the second oldest is dropped for each new one.

    >>> from flyweight import memory
    >>> table = load()  # doctest: +SKIP
    >>> memory.phase("Table loaded")  # doctest: +SKIP
    <Phase 'Table loaded': 41943040 bytes of RSS, 33554432 private>
    >>> print(memory.phase_table())  # doctest: +SKIP

    Raises ConfigError for a name that is no text.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"a phase is named by text, not {name!r}")
    from flyweight.memory.attribution import attribution

    taken = Phase(name)
    session = record(_memory.status(), _memory.STATUS_COLUMNS)["session"]
    tracked_peak = _take_tracked(taken) if session else 0
    account = attribution(ranges or {})
    taken.rss_bytes, taken.private_bytes = account.rss_bytes, account.private_bytes
    taken.pss_bytes = account.pss_bytes
    taken.components = {component: row.rss_bytes for component, row in account.components().items()}
    taken.builder_peak_bytes = builder_peak_bytes
    taken.store_private_bytes = store_private_bytes
    high_water = high_water_bytes()
    with _lock:
        if replace and len(_taken) > 1 and _taken[-1].name == name:
            _continue(taken, _taken.pop())
        before = _taken[-1] if _taken else None
        began_unix_s = before.taken_unix_s if before is not None else _recording_began_unix_s()
        if began_unix_s:
            taken.elapsed_s = max(0.0, taken.taken_unix_s - began_unix_s)
        if before is not None:
            taken.rss_delta_bytes = taken.rss_bytes - before.rss_bytes
            taken.private_delta_bytes = taken.private_bytes - before.private_bytes
        if session != _marks[2]:
            _marks[1] = 0
        _take_peaks(taken, before, high_water, tracked_peak)
        _marks[:] = high_water, tracked_peak, session
        _taken.append(taken)
        if len(_taken) > MAX_PHASES:
            del _taken[1]
    return taken


def phase_table() -> PhaseTable:
    """The phases of this process so far, in their order; print it for a table."""
    with _lock:
        return PhaseTable(_taken)


def _take_tracked(taken: Phase) -> int:
    """Live bytes by domain; returns the highest the total has been."""
    counters = list(rows(_memory.counters(), len(_memory.COUNTER_COLUMNS)))
    current, peak = _memory.COUNTER_COLUMNS.index("current_bytes"), _memory.COUNTER_COLUMNS.index("peak_bytes")
    taken.python_bytes, taken.native_bytes, taken.mapped_bytes = (counters[domain][current] for domain in range(3))
    return counters[3][peak]


def _continue(taken: Phase, replaced: Phase) -> None:
    """A phase that takes the place of one before it covers that one's time as well."""
    taken.peak_rss_bytes, taken.peak_rss_exact = replaced.peak_rss_bytes, replaced.peak_rss_exact
    taken.peak_tracked_bytes = replaced.peak_tracked_bytes
    taken.builder_peak_bytes = max(taken.builder_peak_bytes, replaced.builder_peak_bytes)


def _take_peaks(taken: Phase, before: Phase | None, high_water: int, tracked_peak: int) -> None:
    seen_rss, seen_tracked = taken.rss_bytes, taken.tracked_bytes
    if before is not None:
        seen_rss, seen_tracked = max(seen_rss, before.rss_bytes), max(seen_tracked, before.tracked_bytes)
    if high_water > _marks[0]:
        # The mark is the kernel's own count, which may be a few pages behind what a walk over all pages finds.
        taken.peak_rss_bytes, taken.peak_rss_exact = max(high_water, seen_rss), True
    if tracked_peak > _marks[1]:
        taken.peak_tracked_bytes = tracked_peak
    if not taken.peak_rss_exact or tracked_peak <= _marks[1]:
        since_unix_s = taken.taken_unix_s - taken.elapsed_s
        timeline_rss, timeline_tracked = _highest_seen(since_unix_s, taken.taken_unix_s)
        if not taken.peak_rss_exact:
            taken.peak_rss_bytes = max(taken.peak_rss_bytes, seen_rss, timeline_rss)
        if tracked_peak <= _marks[1]:
            taken.peak_tracked_bytes = max(taken.peak_tracked_bytes, seen_tracked, timeline_tracked)


def _highest_seen(from_unix_s: float, to_unix_s: float) -> tuple[int, int]:
    """The largest RSS and tracked total that the timeline has of a stretch of time."""
    began_unix_s = _recording_began_unix_s()
    if not began_unix_s:
        return 0, 0
    columns = _memory.SERIES_COLUMNS
    highest_rss = highest_tracked = 0
    end, highest = columns.index("elapsed_ms"), columns.index("highest_bytes")
    rss = columns.index("rss_bytes") if "rss_bytes" in columns else highest
    row_began_s = began_unix_s
    for row in rows(_memory.series(), len(columns)):
        row_ended_s = began_unix_s + row[end] / 1000
        # Only rows that lie within: one that began before may have had its peak before.
        if row_began_s >= from_unix_s and row_ended_s <= to_unix_s:
            highest_tracked = max(highest_tracked, row[highest])
            if rss != highest:
                highest_rss = max(highest_rss, row[rss])
        row_began_s = row_ended_s
    return highest_rss, highest_tracked


def _recording_began_unix_s() -> float:
    """When the recording that runs or ran last began; 0.0 without one."""
    status = record(_memory.status(), _memory.STATUS_COLUMNS)
    return status["started_unix_ms"] / 1000 if status["session"] else 0.0
