"""What a process, or a tree of processes, costs the machine, read from /proc/PID/smaps_rollup.

All sizes are bytes.  *private* is Private_Clean + Private_Dirty: the pages that no other process maps, hence
what would be given back if the process ended.  *anonymous* leaves out mapped files, *pss* shares them out
among those that map them.  Figures are printed in MB of 10**6 bytes, which is the stricter reading of a limit
given in MB.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, fields

_FIELD_OF_KEY = {
    "Rss": "rss_bytes",
    "Pss": "pss_bytes",
    "Private_Clean": "private_clean_bytes",
    "Private_Dirty": "private_dirty_bytes",
    "Anonymous": "anonymous_bytes",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes; subtraction and addition work field by field."""

    rss_bytes: int = 0
    pss_bytes: int = 0
    private_clean_bytes: int = 0
    private_dirty_bytes: int = 0
    anonymous_bytes: int = 0

    @property
    def private_bytes(self) -> int:
        return self.private_clean_bytes + self.private_dirty_bytes

    def __add__(self, other: Memory) -> Memory:
        return Memory(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Memory) -> Memory:
        return Memory(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def as_megabytes(self) -> dict[str, float]:
        """The same figures in MB (10**6 bytes), for a result file."""
        return {
            "rss_mb": round(self.rss_bytes / 1e6, 3),
            "private_mb": round(self.private_bytes / 1e6, 3),
            "private_clean_mb": round(self.private_clean_bytes / 1e6, 3),
            "private_dirty_mb": round(self.private_dirty_bytes / 1e6, 3),
            "anonymous_mb": round(self.anonymous_bytes / 1e6, 3),
            "pss_mb": round(self.pss_bytes / 1e6, 3),
        }


def parse_smaps_rollup(text: str) -> Memory:
    """Read the text of a smaps_rollup file (proc(5)); the kernel counts in KiB."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        field = _FIELD_OF_KEY.get(key)
        if field is not None:
            values[field] = int(rest.split()[0]) * 1024
    return Memory(**values)


def of_process(pid: int) -> Memory:
    """Memory of one live process.  Raises OSError when it is gone or is not ours to read."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return parse_smaps_rollup(rollup.read())


def descendants(pid: int) -> list[int]:
    """Process ids below ``pid``, without it, parents first; processes that end meanwhile are left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop())
        found.extend(children)
        waiting.extend(children)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return children
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as listing:
                children.extend(int(child) for child in listing.read().split())
        except OSError:
            continue
    return children


def of_processes(pids: list[int]) -> Memory:
    """Sum over several processes; those that have ended count as nothing."""
    total = Memory()
    for pid in pids:
        try:
            total += of_process(pid)
        except (OSError, ValueError):
            continue
    return total


class PeakSampler:
    """Samples a process tree every few milliseconds and keeps the largest sum of private memory.

    ``include_root`` says whether ``pid`` itself counts or only its descendants.  A peak shorter than the
    interval can be missed, which is why the number of samples is kept beside it.
    """

    def __init__(self, pid: int, *, include_root: bool, interval_s: float = 0.003) -> None:
        self._pid = pid
        self._include_root = include_root
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self.samples = 0
        self.most_processes = 0
        self.peak = Memory()
        self.peak_rss_bytes = 0

    def __enter__(self) -> PeakSampler:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pids = descendants(self._pid)
            if self._include_root:
                pids.insert(0, self._pid)
            memory = of_processes(pids)
            self.samples += 1
            self.most_processes = max(self.most_processes, len(pids))
            self.peak_rss_bytes = max(self.peak_rss_bytes, memory.rss_bytes)
            if memory.private_bytes > self.peak.private_bytes:
                self.peak = memory
            time.sleep(self._interval_s)
