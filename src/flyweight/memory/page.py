"""Reading the shared page of another process: counters, top sites and leak candidates, without its help.

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
_VERSION = 1
_HEADER = struct.Struct("=8s4I5Q6I")
_SEQUENCE_OFFSET = 12
_COUNTERS = struct.Struct("=7Q")
_ROW = struct.Struct("=6Qq2I64s128s")
_RECORDING, _SAMPLED, _NATIVE, _DEGRADED = 1, 2, 4, 8
_DOMAINS = ("python", "native", "mapped")
_MOST_BYTES = 1 << 20
# A write takes microseconds. A page that stays odd for this long is of a process that was stopped in the middle of one.
_PATIENCE_S = 0.2
_PAUSE_S = 0.0005


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


class Page:
    """What a process published at one moment; it does so four times a second.

    pid; recording, sampled (figures are estimates), degraded (sampled because own memory reached its limit),
    tracks_native; started_unix_s, updated_unix_s, elapsed_s; own_bytes of the profiler itself.
    python, native, mapped, all: Counters. sites: the largest by live bytes, first the largest; leaks: candidates by a
    coarse sieve, fastest growing first. The verdict on them is flyweight.memory.leaks in the process itself.
    """

    __slots__ = (
        "all",
        "degraded",
        "elapsed_s",
        "leaks",
        "mapped",
        "native",
        "own_bytes",
        "pid",
        "process_start",
        "python",
        "recording",
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

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        found: dict[str, object] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Counters):
                value = value.to_dict()
            found[name] = [site.to_dict() for site in value] if isinstance(value, list) else value
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
