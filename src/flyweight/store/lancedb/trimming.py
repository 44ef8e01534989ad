"""Gives back what a store process can do without between questions."""

from __future__ import annotations

import ctypes
import gc

_DONTNEED = 4  # MADV_DONTNEED


def trim() -> None:
    """Freed memory that malloc keeps, and pages of the core's code: those come back from the page cache when they run
    again. Code is mapped from a file and never written, so nothing is lost."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for begin, end in _code("_lancedb"):
        libc.madvise(begin, end - begin, _DONTNEED)


def _code(library: str) -> list[tuple[int, int]]:
    found = []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[1] == "r-xp" and library in fields[5].rpartition("/")[2]:
                begin, _, end = fields[0].partition("-")
                found.append((int(begin, 16), int(end, 16)))
    return found
