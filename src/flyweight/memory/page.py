"""Reading the shared page of another process: counters, top sites, leak candidates, components, budgets and the last
minute, without its help.

The layout is that of native/memory/shared_page.h. The page's sequence number is odd while it is being written; a copy
counts when the number was even and the same before and after.
"""

from __future__ import annotations

import os
import struct
import time

from flyweight.errors import TrackingError
from flyweight.memory.page_path import is_alive, page_path, page_pids
from flyweight.memory.report import Counters

_MAGIC = b"FLYWMEM\0"
_VERSION = 2
_HEADER = struct.Struct("=8s4I5Q6I")
_SEQUENCE_OFFSET = 12
_COUNTERS = struct.Struct("=7Q")
_MORE = struct.Struct("=2Q10I")  # behind the counters
_MORE_OFFSET = _HEADER.size + 4 * _COUNTERS.size
_ROW = struct.Struct("=6Qq2I64s128s")
_COMPONENT = struct.Struct("=3Q40s")
_BUDGET = struct.Struct("=5Q40s")
_MOMENT = struct.Struct("=5Q")
_RECORDING, _SAMPLED, _NATIVE, _DEGRADED = 1, 2, 4, 8
_DOMAINS = ("python", "native", "mapped")
_MOST_BYTES = 1 << 20
# A write takes microseconds, and as long as a busy machine lets its thread wait in the middle of one. A page that stays
# odd for this long is of a process that was stopped there.
_PATIENCE_S = 1.0
_PAUSE_S = 0.0005

Moment = tuple[int, int, int, int, int]


class PageSite:
    """A site as the page has it: file, line, function, domain, live_count, live_bytes, peak_bytes, total_count,
    total_bytes, largest_bytes, and for leak candidates growth_bytes_per_s. Long names have lost their beginning."""

    __slots__ = (
        "domain",
        "file",
        "function",
        "growth_bytes_per_s",
        "largest_bytes",
        "line",
        "live_bytes",
        "live_count",
        "peak_bytes",
        "total_bytes",
        "total_count",
    )

    def __init__(self, content: bytes, offset: int) -> None:
        (
            self.live_count,
            self.live_bytes,
            self.peak_bytes,
            self.total_count,
            self.total_bytes,
            self.largest_bytes,
            self.growth_bytes_per_s,
            self.line,
            domain,
            function,
            file,
        ) = _ROW.unpack_from(content, offset)
        self.domain = _DOMAINS[domain]
        self.function = _text(function)
        self.file = _text(file)

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"PageSite({self.file}:{self.line} {self.function}, {self.domain}: {self.live_bytes} bytes live)"


class PageComponent:
    """A component as the page has it: name, live_bytes, live_count, and highest_bytes, the most at any tick. What is
    beyond the largest 32 is together "(other)"."""

    __slots__ = ("highest_bytes", "live_bytes", "live_count", "name")

    def __init__(self, content: bytes, offset: int) -> None:
        self.live_bytes, self.live_count, self.highest_bytes, name = _COMPONENT.unpack_from(content, offset)
        self.name = _text(name)

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"PageComponent({self.name}: {self.live_bytes} bytes in {self.live_count} blocks)"


class PageBudget:
    """A budget as the page has it: component (None: the whole process), limit_bytes, used_bytes at the last tick,
    highest_bytes, exceeded (how often), over (exceeded, and not under 95 % since)."""

    __slots__ = ("component", "exceeded", "highest_bytes", "limit_bytes", "over", "used_bytes")

    def __init__(self, content: bytes, offset: int) -> None:
        (
            self.limit_bytes,
            self.used_bytes,
            self.highest_bytes,
            self.exceeded,
            over,
            component,
        ) = _BUDGET.unpack_from(content, offset)
        self.over = bool(over)
        self.component = _text(component) or None

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"PageBudget({self.component or 'process'}: {self.used_bytes} of {self.limit_bytes} bytes)"


class Page:
    """What a process published at one moment; it does so four times a second.

    pid; recording, sampled (figures are estimates), degraded (sampled because own memory reached its limit),
    tracks_native; started_unix_s, updated_unix_s, elapsed_s; own_bytes of the profiler itself; rss_bytes of the
    process, 0 where the system does not tell; memory_limit, above which Python allocations fail, or None.
    python, native, mapped, all: Counters. sites: the largest by live bytes, first the largest; leaks: candidates by a
    coarse sieve, fastest growing first. The verdict on them is flyweight.memory.leaks in the process itself.
    components: the largest, first the largest, then "(other)"; budgets: those in force.
    moments: (elapsed_ms, lowest_bytes, highest_bytes, last_bytes, rss_bytes) of the last 256 ticks, oldest first, as
    flyweight.memory.steady.judge() takes them.
    """

    __slots__ = (
        "all",
        "budgets",
        "components",
        "degraded",
        "elapsed_s",
        "leaks",
        "mapped",
        "memory_limit",
        "moments",
        "native",
        "own_bytes",
        "pid",
        "process_start",
        "python",
        "recording",
        "rss_bytes",
        "sampled",
        "sites",
        "started_unix_s",
        "tracks_native",
        "updated_unix_s",
    )

    def __init__(self, content: bytes) -> None:
        (
            magic,
            version,
            _,
            self.pid,
            flags,
            self.process_start,
            started_ms,
            updated_ms,
            elapsed_ms,
            self.own_bytes,
            site_rows,
            leak_rows,
            site_offset,
            leak_offset,
            row_bytes,
            _,
        ) = _HEADER.unpack_from(content)
        if magic != _MAGIC:
            raise ValueError("it does not begin as one")
        if version != _VERSION:
            raise ValueError(f"it has version {version}, this build reads {_VERSION}")
        if row_bytes < _ROW.size:
            raise ValueError(f"its rows have {row_bytes} bytes")
        self.recording = bool(flags & _RECORDING)
        self.sampled = bool(flags & _SAMPLED)
        self.degraded = bool(flags & _DEGRADED)
        self.tracks_native = bool(flags & _NATIVE)
        self.started_unix_s = started_ms / 1000
        self.updated_unix_s = updated_ms / 1000
        self.elapsed_s = elapsed_ms / 1000
        offsets = range(_HEADER.size, _HEADER.size + 4 * _COUNTERS.size, _COUNTERS.size)
        counters = [Counters(_COUNTERS.unpack_from(content, offset)) for offset in offsets]
        self.python, self.native, self.mapped, self.all = counters
        self.sites = [PageSite(content, site_offset + row_bytes * row) for row in range(site_rows)]
        self.leaks = [PageSite(content, leak_offset + row_bytes * row) for row in range(leak_rows)]
        (
            self.rss_bytes,
            limit_bytes,
            component_rows,
            budget_rows,
            moment_rows,
            first_moment,
            component_offset,
            budget_offset,
            moment_offset,
            component_row_bytes,
            budget_row_bytes,
            moment_row_bytes,
        ) = _MORE.unpack_from(content, _MORE_OFFSET)
        self.memory_limit: int | None = limit_bytes or None
        for given, known in (
            (component_row_bytes, _COMPONENT),
            (budget_row_bytes, _BUDGET),
            (moment_row_bytes, _MOMENT),
        ):
            if given < known.size:
                raise ValueError(f"its rows have {given} bytes")
        at = range(component_offset, component_offset + component_rows * component_row_bytes, component_row_bytes)
        self.components = [PageComponent(content, offset) for offset in at]
        at = range(budget_offset, budget_offset + budget_rows * budget_row_bytes, budget_row_bytes)
        self.budgets = [PageBudget(content, offset) for offset in at]
        at = range(moment_offset, moment_offset + moment_rows * moment_row_bytes, moment_row_bytes)
        ring: list[Moment] = [_MOMENT.unpack_from(content, offset) for offset in at]
        self.moments = ring[first_moment:] + ring[:first_moment]

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        found: dict[str, object] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Counters):
                value = value.to_dict()
            if isinstance(value, list):
                value = [part if isinstance(part, tuple) else part.to_dict() for part in value]
            found[name] = value
        return found

    def __repr__(self) -> str:
        return f"<Page of process {self.pid}: {self.all.current_bytes} bytes in {self.all.live_count} blocks>"


def read_page(pid: int) -> Page:
    """What process `pid` of this user publishes now.

    Raises TrackingError when it publishes nothing, has died, or its page cannot be read.
    """
    path = page_path(pid)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        if not is_alive(pid):
            raise TrackingError(f"there is no process {pid}") from None
        raise TrackingError(
            f"process {pid} publishes no memory figures in {path}: start it with 'flyweight run', or call "
            "flyweight.memory.start() in it"
        ) from None
    try:
        page = Page(_copy(file))
    except (ValueError, IndexError, struct.error) as error:
        raise TrackingError(f"{path} is no page that this build can read: {error}") from None
    finally:
        os.close(file)
    if page.process_start != _process_start(pid):
        raise TrackingError(f"there is no process {pid} any more that published {path}")
    return page


def pages() -> list[Page]:
    """What the recorded processes of this user publish now, by process id."""
    found = []
    for pid in page_pids():
        try:
            found.append(read_page(pid))
        except TrackingError:
            continue  # it has just ended, or begins
    return found


def _copy(file: int) -> bytes:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        before = os.pread(file, 4, _SEQUENCE_OFFSET)
        content = os.pread(file, _MOST_BYTES, 0)
        after = os.pread(file, 4, _SEQUENCE_OFFSET)
        if len(content) < _HEADER.size:
            raise ValueError(f"it has {len(content)} bytes")
        if before == after and not before[0] & 1:
            return content
        if time.monotonic() > deadline:
            raise ValueError("it is being written without an end; the process may have been stopped, try again")
        time.sleep(_PAUSE_S)


def _process_start(pid: int) -> int:
    """Field 22 of /proc/PID/stat (proc(5)), which tells a process from a later one of the same number; 0 when gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _text(field: bytes) -> str:
    """UTF-8 up to the zero byte; cutting off the beginning may have left half a character."""
    text = field.partition(b"\0")[0]
    while text and text[0] & 0xC0 == 0x80:
        text = text[1:]
    return text.decode("utf-8", "replace")
