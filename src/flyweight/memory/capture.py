"""Captures: everything the profiler knows at one moment, as one JSON document that reports and exports are made of."""

from __future__ import annotations

import os
from time import time

from flyweight import _memory
from flyweight.memory.session import check_recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SITES = 5_000
LEAKS_WITH_HOLDERS = 10


class Moment:
    """The native module's answers, taken one right after another, the totals first.

    Nothing else of the profiler's has been loaded or allocated for the capture by then, so nothing of it is in them
    but the answers themselves, at lines of this file, which captures leave out (`is_own`).
    """

    __slots__ = ("counters", "own_memory", "samples", "series", "sites", "status", "taken_unix_s")

    def __init__(self) -> None:
        check_recorded()
        if _memory.active():
            _memory.probe()
        self.counters = _memory.counters()
        self.sites = _memory.sites()
        self.samples = _memory.samples()
        self.series = _memory.series()
        self.own_memory = _memory.own_memory()
        self.status = _memory.status()
        self.taken_unix_s = time()


def capture(
    top_n: int = MAX_SITES,
    holders_for: int = LEAKS_WITH_HOLDERS,
    *,
    leak_age_s: float | None = None,
    ranges: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> dict[str, object]:
    """Everything the profiler knows now, fit for JSON; with the recording stopped, what remains of it.

    Report, attribution of RSS, phases, timeline, sites, stacks with a table of their frames, leaks with their holders,
    verdict, budgets and queries: docs/profiler.md names the keys. The tracked figures are those from before the call.

    top_n: sites that are kept, those largest by live, peak or allocated bytes or by count; the others are added up in
    one row for each domain, "(other sites)". holders_for: leaks whose holders are looked for. leak_age_s: seconds from
    which on blocks are old, by default 60, in short recordings a quarter of their time. ranges: as for attribution().

    Raises TrackingError when nothing has been recorded, ConfigError.
    """
    moment = Moment()
    from flyweight.memory.capture_parts import Parts

    return Parts(moment, top_n, holders_for, leak_age_s, ranges).whole()


def save(
    path: str | os.PathLike[str],
    top_n: int = MAX_SITES,
    holders_for: int = LEAKS_WITH_HOLDERS,
    *,
    leak_age_s: float | None = None,
    ranges: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> None:
    """Writes a capture to a file, whose name says as what: .json is the capture itself, written piece by piece; .html,
    .md and .txt are reports, .pb.gz, .speedscope.json, .collapsed and .prom exports. All but .json are made of it by
    another process, so that this one does not grow. The file appears when it is complete.

    The other arguments, and errors, are those of `capture`; PathError when the file cannot be written or its name says
    nothing.
    """
    moment = Moment()
    from flyweight.memory.capture_file import write
    from flyweight.memory.capture_parts import Parts

    write(path, Parts(moment, top_n, holders_for, leak_age_s, ranges))


def is_own(file: str, function: str) -> bool:
    """Whether a site is the taking of a capture: it holds the answers."""
    code = Moment.__init__.__code__
    return file == code.co_filename and function == code.co_qualname
