"""What the system counts for this process, and giving back what it no longer needs. Imports nothing but `os`."""

from __future__ import annotations

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_KEYS = {
    b"Rss:": "rss_bytes",
    b"Pss:": "pss_bytes",
    b"Private_Clean:": "private_bytes",
    b"Private_Dirty:": "private_bytes",
}


class Rollup:
    """Bytes of this process by /proc/self/smaps_rollup (proc(5)): rss_bytes, pss_bytes, and private_bytes (clean and
    dirty pages that no other process maps). All 0 where the system does not tell."""

    __slots__ = ("private_bytes", "pss_bytes", "rss_bytes")

    def __init__(self) -> None:
        self.rss_bytes = self.pss_bytes = self.private_bytes = 0
        try:
            file = os.open("/proc/self/smaps_rollup", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # before Linux 4.14, or /proc is not mounted
            self.rss_bytes = resident_bytes()
            return
        try:
            content = os.read(file, 8192)
        finally:
            os.close(file)
        for line in content.splitlines():
            key, _, rest = line.partition(b" ")
            name = _KEYS.get(key)
            if name is not None:
                setattr(self, name, getattr(self, name) + int(rest.split()[0]) * 1024)


def resident_bytes() -> int:
    """RSS by /proc/self/statm: quick, and on kernels before 6.17 off by up to a few pages for each core."""
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(file, 256).split()[1]) * _PAGE_BYTES
    finally:
        os.close(file)


def high_water_bytes() -> int:
    """The largest RSS this process has had so far (VmHWM of /proc/self/status)."""
    return _status_bytes(b"VmHWM:")


def data_bytes() -> int:
    """Address space of heap and private writable mappings, which RLIMIT_DATA is compared with (VmData)."""
    return _status_bytes(b"VmData:")


def _status_bytes(key: bytes) -> int:
    try:
        file = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        content = os.read(file, 16384)
    finally:
        os.close(file)
    _, found, rest = content.partition(b"\n" + key)
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def trim() -> int:
    """Gives back to the system what Python and malloc keep for later, and returns by how many bytes RSS fell.

    A full garbage collection empties Python's free lists; then malloc returns its free pages (glibc; elsewhere it
    keeps them). Nothing that is in use is touched. Takes about as long as a full garbage collection.
    """
    import gc

    from flyweight import _memory

    before = Rollup().rss_bytes
    gc.collect()
    _memory.return_free_memory()
    return max(0, before - Rollup().rss_bytes)
