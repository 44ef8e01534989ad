"""Shared pages made by hand, of processes that are really there, in the layout of native/memory/shared_page.h."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flyweight.memory.page import _process_start
from flyweight.memory.page_path import page_path

MB = 1_000_000
_SITES = 4096
_LEAKS = _SITES + 64 * 256
_COMPONENTS = _LEAKS + 16 * 256
_BUDGETS = _COMPONENTS + 33 * 64
_MOMENTS = _BUDGETS + 32 * 80
_END = _MOMENTS + 256 * 40
RECORDING, SAMPLED, NATIVE, DEGRADED = 1, 2, 4, 8


@dataclass
class MadeSite:
    live_bytes: int
    file: str = "/srv/shop/cart.py"
    line: int = 12
    function: str = "Cart.add"
    live_count: int = 10
    peak_bytes: int = 0
    total_count: int = 100
    total_bytes: int = 0
    largest_bytes: int = 64
    growth_bytes_per_s: int = 0
    domain: int = 0

    def packed(self) -> bytes:
        figures = (self.live_count, self.live_bytes, self.peak_bytes or self.live_bytes, self.total_count)
        rest = (
            self.total_bytes or self.live_bytes,
            self.largest_bytes,
            self.growth_bytes_per_s,
            self.line,
            self.domain,
        )
        return struct.pack("=6Qq2I64s128s", *figures, *rest, self.function.encode(), self.file.encode())


def page_bytes(
    pid: int,
    *,
    current_bytes: int = 30 * MB,
    sites: Sequence[MadeSite] = (),
    leaks: Sequence[MadeSite] = (),
    components: Sequence[tuple[str, int]] = (("program", 20 * MB), ("python", 10 * MB)),
    budgets: Sequence[tuple[str, int, int, bool]] = (),
    moments: Sequence[tuple[int, int, int, int, int]] = (),
    elapsed_s: float = 75.0,
    updated_unix_s: float | None = None,
    started_unix_s: float = 1.0,
    flags: int = RECORDING | NATIVE,
    memory_limit: int = 0,
    version: int = 2,
    sequence: int = 2,
) -> bytes:
    """budgets: (component or "", limit, used, over)."""
    updated_ms = round((time.time() if updated_unix_s is None else updated_unix_s) * 1000)
    times = (_process_start(pid), round(started_unix_s * 1000), updated_ms, round(elapsed_s * 1000))
    offsets = (len(sites), len(leaks), _SITES, _LEAKS, 256, 0)
    content = struct.pack("=8s4I5Q6I", b"FLYWMEM\0", version, sequence, pid, flags, *times, 2 * MB, *offsets)
    for share in (current_bytes, 0, 0, current_bytes):
        content += struct.pack("=7Q", share, share + MB, 5 * share, 4 * share, 5000, 4000, 1000)
    rows = (len(components), len(budgets), len(moments), 0)
    content += struct.pack("=2Q10I", 50 * MB, memory_limit, *rows, _COMPONENTS, _BUDGETS, _MOMENTS, 64, 80, 40)
    for offset, packed in (
        (_SITES, [site.packed() for site in sites]),
        (_LEAKS, [site.packed() for site in leaks]),
        (_COMPONENTS, [struct.pack("=3Q40s", size, 5, size, name.encode()) for name, size in components]),
        (_BUDGETS, [struct.pack("=5Q40s", most, used, used, 1, over, n.encode()) for n, most, used, over in budgets]),
        (_MOMENTS, [struct.pack("=5Q", *moment) for moment in moments]),
        (_END, []),
    ):
        content = content.ljust(offset, b"\0") + b"".join(packed)
    return content


def moments(levels: Sequence[int], rss_bytes: int = 50 * MB) -> list[tuple[int, int, int, int, int]]:
    """A level at each quarter of a second."""
    return [(250 * (n + 1), level, level, level, rss_bytes) for n, level in enumerate(levels)]


def publish(pid: int, content: bytes) -> Path:
    """Makes a page what process `pid` publishes, all at once."""
    path = Path(page_path(pid))
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content)
    os.replace(fresh, path)
    return path


def wait_until(condition: Callable[[], object]) -> None:
    """Waits for what must come sooner or later; fails when it has not come for very long."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


class Sleeper:
    """A process that does nothing until it is killed; it is recorded when a page is published for it."""

    def __init__(self) -> None:
        code = "import sys; print(flush=True); sys.stdin.read()"
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Sleeper:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
