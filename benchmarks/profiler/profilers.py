"""The profilers that are compared, each behind the same two calls: begin and end.

They are imported in the child process that measures them.  ``begin`` returns a function that ends the recording
and says what was recorded, as proof that the profiler was at work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

Evidence = dict[str, int]
Ending = Callable[[], Evidence]

PLAIN = "plain"
EXACT = "exact, Python"
EXACT_NATIVE = "exact, Python + native"
SAMPLED = "sampled"
IDLE = "installed, not recording"
OURS = (EXACT, EXACT_NATIVE, SAMPLED, IDLE)

TRACEMALLOC = "tracemalloc, 1 frame"
MEMRAY = "memray"
MEMRAY_PYTHON = "memray, Python allocators"
MEMRAY_NATIVE = "memray, native stacks"
DDTRACE = "ddtrace memalloc, sampled"
# What each needs beyond the standard library.
PEERS = {TRACEMALLOC: "", MEMRAY: "memray", MEMRAY_PYTHON: "memray", MEMRAY_NATIVE: "memray", DDTRACE: "ddtrace"}
# Several times slower than plain Python: fewer rounds tell as much.
SLOW = frozenset({TRACEMALLOC, MEMRAY_PYTHON, MEMRAY_NATIVE})
# Ours looks at the import tables again at each of the eight ticks after a library was loaded.
_TICKS_TO_SETTLE = 12


def begin(profiler: str) -> Ending:
    """Start ``profiler`` in this process."""
    if profiler in OURS:
        return _begin_ours(profiler)
    return {
        PLAIN: lambda: dict,
        TRACEMALLOC: _begin_tracemalloc,
        MEMRAY: lambda: _begin_memray(python=False, native=False),
        MEMRAY_PYTHON: lambda: _begin_memray(python=True, native=False),
        MEMRAY_NATIVE: lambda: _begin_memray(python=True, native=True),
        DDTRACE: _begin_ddtrace,
    }[profiler]()


def _begin_ours(profiler: str) -> Ending:
    from flyweight import memory

    memory.start(mode="sampled" if profiler == SAMPLED else "exact", native=profiler != EXACT)
    if profiler == IDLE:
        memory.stop()
        return dict

    def end() -> Evidence:
        report = memory.report()
        memory.stop()
        return {"current_bytes": report.current_bytes, "allocation_count": report.allocation_count}

    return end


def settle(profiler: str) -> None:
    """Do at once what ``profiler`` would do over its first seconds, so that its steady cost can be measured."""
    if profiler not in OURS or profiler == IDLE:
        return
    from flyweight import _memory

    for _ in range(_TICKS_TO_SETTLE):
        _memory.tick()


def _begin_tracemalloc() -> Ending:
    import tracemalloc

    tracemalloc.start(1)

    def end() -> Evidence:
        current_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"current_bytes": current_bytes}

    return end


def _begin_memray(*, python: bool, native: bool) -> Ending:
    import tempfile

    import memray

    folder = tempfile.mkdtemp(prefix="memray-")
    path = os.path.join(folder, "capture.bin")
    tracker = memray.Tracker(path, trace_python_allocators=python, native_traces=native)
    tracker.__enter__()

    def end() -> Evidence:
        tracker.__exit__(None, None, None)
        size_bytes = os.path.getsize(path)
        os.unlink(path)
        os.rmdir(folder)
        return {"capture_bytes": size_bytes}

    return end


def _begin_ddtrace() -> Ending:
    from ddtrace.profiling.collector.memalloc import MemoryCollector

    collector = MemoryCollector()
    collector.start()

    def end() -> Evidence:
        collector.stop()
        return {"sample_interval_bytes": collector.heap_sample_size}

    return end


def find(site_packages: str) -> None:
    """Make the peers' packages importable, after all of our own."""
    if site_packages:
        sys.path.append(site_packages)
