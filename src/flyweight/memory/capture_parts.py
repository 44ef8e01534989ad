"""The parts of a capture, one after another, so that a writer need never hold them all."""

from __future__ import annotations

import os
import sys
from _collections_abc import Iterator

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.capture import LEAKS_WITH_HOLDERS, MAX_SITES, is_own
from flyweight.memory.components import OTHER
from flyweight.memory.packed import record, rows
from flyweight.memory.report import Report
from flyweight.memory.session import page_fault
from flyweight.memory.sites import ORDERS, Site
from flyweight.memory.stacks import StackSample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flyweight.memory.capture import Moment
    from flyweight.memory.stacks import Frame

    Ranges = Mapping[str, Sequence[tuple[int, int]]]

FORMAT = "flyweight-memory-capture"
VERSION = 1
OTHER_SITES, OTHER_STACKS = "(other sites)", "(other stacks)"
# Stacks that are kept, for each site that is; the others are added up.
STACKS_PER_SITE = 4
# Old is what has outlived this share of a recording shorter than four minutes.
_LEAK_AGE_S, _LEAK_AGE_SHARE = 60.0, 0.25
# Seconds that the search for all leaks' holders may take together.
_HOLDERS_TIME_S = 4.0
_STEADY_WINDOW_S = 60.0
_STACK_FIGURES = ("live_bytes", "live_count", "total_bytes", "total_count", "peak_live_bytes")

_SITE = {name: column for column, name in enumerate(_memory.SITE_COLUMNS)}
_SAMPLE = {name: column for column, name in enumerate(_memory.SAMPLE_COLUMNS)}


class Parts:
    """The members of a capture's JSON object: (name, value) pairs, where lists may be iterators, in the order in which
    they must be taken."""

    __slots__ = (
        "_components",
        "_frames",
        "_holders_for",
        "_leak_age_s",
        "_moment",
        "_places",
        "_ranges",
        "_report",
        "_status",
        "_top_n",
    )

    def __init__(
        self,
        moment: Moment,
        top_n: int = MAX_SITES,
        holders_for: int = LEAKS_WITH_HOLDERS,
        leak_age_s: float | None = None,
        ranges: Ranges | None = None,
    ) -> None:
        if isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 1:
            raise ConfigError(f"top_n must be a number from 1 on, not {top_n!r}")
        if isinstance(holders_for, bool) or not isinstance(holders_for, int) or holders_for < 0:
            raise ConfigError(f"holders_for must be a number from 0 on, not {holders_for!r}")
        self._moment = moment
        self._top_n = top_n
        self._holders_for = holders_for
        self._leak_age_s = leak_age_s
        self._ranges = ranges or {}
        self._status = record(moment.status, _memory.STATUS_COLUMNS)
        self._report = Report(
            self._status,
            list(rows(moment.counters, len(_memory.COUNTER_COLUMNS))),
            {
                name.removesuffix("_bytes"): size_bytes
                for name, size_bytes in record(moment.own_memory, _memory.OWN_COLUMNS).items()
            },
            page_fault(),
        )
        self._components = _memory.components()
        self._frames: dict[Frame, int] = {}
        self._places: dict[int, int] = {}  # position in "sites" by site number

    def whole(self) -> dict[str, object]:
        """All parts, in memory."""
        return {name: list(value) if isinstance(value, Iterator) else value for name, value in self}

    def __iter__(self) -> Iterator[tuple[str, object]]:
        yield "format", FORMAT
        yield "version", VERSION
        yield "program", self._program()
        yield "report", self._report.to_dict()
        yield "attribution", self._attribution()
        yield "phases", _told_by("phase_table", "phase_table")
        yield "tracked", _told_by("phases", "phases")
        yield "timeline", _timeline()
        yield "sites", self._sites()
        yield "leaks", self._leaks()
        yield "stacks", self._stacks()
        yield "frames", (list(frame) for frame in self._frames)
        yield "steady", self._steady()
        yield "budgets", _told_by("budget", "budgets")
        yield "queries", _told_by("query_memory", "measured_queries")

    def _program(self) -> dict[str, object]:
        return {
            "arguments": [str(argument) for argument in getattr(sys, "argv", ())],
            "python": ".".join(map(str, sys.version_info[:3])),
            "pid": os.getpid(),
            "taken_unix_s": self._moment.taken_unix_s,
            "elapsed_s": self._report.elapsed_s,
        }

    def _attribution(self) -> dict[str, object] | None:
        """None where the system does not tell whose pages are whose: the rest is worth having."""
        try:
            from flyweight.memory.attribution import attribution

            return attribution(self._ranges).to_dict()
        except (OSError, MemoryError, TrackingError):
            return None

    def _sites(self) -> Iterator[dict[str, object]]:
        """The sites that matter most by any order, first those that hold most, then a row of all others by domain."""
        values = memoryview(self._moment.sites).cast("q")
        width = len(_memory.SITE_COLUMNS)
        files, functions = values[_SITE["file"] :: width], values[_SITE["function"] :: width]
        own = {place for place in zip(files, functions, strict=True) if is_own(*map(_memory.string, place))}
        theirs = [row for row, place in enumerate(zip(files, functions, strict=True)) if place not in own]
        live = values[_SITE["live_bytes"] :: width]
        kept = self._most_important(values, theirs)
        kept.sort(key=lambda row: -live[row])
        for place, row in enumerate(kept):
            self._places[values[row * width]] = place
            yield self._site(values[row * width : (row + 1) * width].tolist())
        others: dict[int, list[int]] = {}
        for row in sorted(set(theirs).difference(kept)):
            site = values[row * width : (row + 1) * width].tolist()
            domain = site[_SITE["domain"]]
            others[domain] = list(map(int.__add__, others.get(domain, [0] * width), site))
            self._places[site[_SITE["site"]]] = len(kept) + list(others).index(domain)
        for domain, sums in others.items():
            # Their peaks need not have come together, so what they add up to is no peak; nor do their lines.
            for column in ("site", "file", "function", "line", "library", "component", "peak_bytes", "largest_bytes"):
                sums[_SITE[column]] = 0
            sums[_SITE["domain"]], sums[_SITE["first_seen_ms"]] = domain, 0
            yield {**self._site(sums), "file": "", "function": OTHER_SITES, "library": "", "component": OTHER}

    def _most_important(self, values: memoryview, theirs: Sequence[int]) -> list[int]:
        """The rows of at most `top_n` sites: the first by each order, the second by each order, ..."""
        if len(theirs) <= self._top_n:
            return list(theirs)
        width = len(_memory.SITE_COLUMNS)
        orders = []
        for column in ORDERS.values():
            keys = values[_SITE[column] :: width]
            orders.append(sorted(theirs, key=keys.__getitem__, reverse=True))
        chosen: dict[int, None] = {}
        for rank in range(len(theirs)):
            for order in orders:
                chosen[order[rank]] = None
                if len(chosen) == self._top_n:
                    return list(chosen)
        return list(chosen)

    def _site(self, row: list[int]) -> dict[str, object]:
        return {
            **Site(row, self._report.elapsed_s).to_dict(),
            "component": self._components[row[_SITE["component"]]],
            "at_peak_bytes": row[_SITE["at_peak_bytes"]],
        }

    def _stacks(self) -> Iterator[dict[str, object]]:
        """The stacks that hold or took most, outermost frame first, then one of all others by domain."""
        values = memoryview(self._moment.samples).cast("q")
        width = len(_memory.SAMPLE_COLUMNS)
        kept = [row for row, site in enumerate(values[_SAMPLE["site"] :: width]) if site in self._places]
        left: list[int] = []
        most = STACKS_PER_SITE * self._top_n
        if len(kept) > most:
            live, total = values[_SAMPLE["live_bytes"] :: width], values[_SAMPLE["total_bytes"] :: width]
            kept.sort(key=lambda row: max(live[row], total[row]), reverse=True)
            kept, left = kept[:most], kept[most:]
        for row in kept:
            figures = values[row * width : (row + 1) * width].tolist()
            sample = StackSample(figures, self._status["session"])
            frames = sample.mixed_frames
            frames.reverse()
            yield {
                "frames": [self._frames.setdefault(frame, len(self._frames)) for frame in _programs_own(frames)],
                "domain": sample.domain,
                "site": self._places[figures[_SAMPLE["site"]]],
                **{name: figures[_SAMPLE[name]] for name in _STACK_FIGURES},
                "live_bytes_error": sample.live_bytes_error,
                "total_bytes_error": sample.total_bytes_error,
            }
        others: dict[int, dict[str, int]] = {}
        for row in left:
            sums = others.setdefault(values[row * width + _SAMPLE["domain"]], dict.fromkeys(_STACK_FIGURES, 0))
            for name in _STACK_FIGURES:
                sums[name] += values[row * width + _SAMPLE[name]]
        for domain, sums in others.items():
            frame = self._frames.setdefault(("", 0, OTHER_STACKS), len(self._frames))
            place = {"frames": [frame], "domain": _memory.DOMAINS[domain], "site": -1}
            yield {**place, **sums, "live_bytes_error": 0, "total_bytes_error": 0}

    def _leaks(self) -> list[dict[str, object]] | None:
        if not _memory.active():  # single blocks are forgotten at stop()
            return None
        from flyweight.memory.holders import holders
        from flyweight.memory.leaks import leaks

        age_s = self._leak_age_s
        if age_s is None:
            age_s = min(_LEAK_AGE_S, _LEAK_AGE_SHARE * self._report.elapsed_s)
        found = leaks(min_age_s=age_s)
        searched = min(len(found), self._holders_for)
        return [
            {
                **leak.to_dict(),
                "site": self._places.get(leak.site, -1),
                "holders": holders(leak, time_limit_s=_HOLDERS_TIME_S / searched).to_dict()
                if rank < searched and leak.domain == "python"
                else None,
            }
            for rank, leak in enumerate(found)
        ]

    def _steady(self) -> dict[str, object]:
        """The verdict by the limit that is set; without one by twice the peak, so that the trend decides."""
        from flyweight.memory.steady import judge

        report = self._report
        limit_bytes = report.memory_limit or max(2 * report.peak_bytes, 1)
        window_s = min(_STEADY_WINDOW_S, max(report.elapsed_s, 1.0))
        width = len(_memory.SERIES_COLUMNS)
        series = list(rows(self._moment.series, width))
        return judge(series, report.current_bytes, limit_bytes, window_s).to_dict()


def _programs_own(frames: list[Frame]) -> list[Frame]:
    """Without the frames of `flyweight run` around the program."""
    runner = os.path.join(os.path.dirname(__file__), "run.py")
    last = max((place for place, frame in enumerate(frames[:4]) if frame[0] == runner), default=-1)
    return frames[last + 1 :]


def _timeline() -> dict[str, object]:
    from flyweight.memory.timeline import timeline

    return timeline().to_dict()


def _told_by(module: str, name: str) -> list[object]:
    """What a module of ours has kept; nothing when nobody has used it so far, and then it is not loaded either."""
    used = sys.modules.get(f"flyweight.memory.{module}")
    return [] if used is None else [kept.to_dict() for kept in getattr(used, name)()]
