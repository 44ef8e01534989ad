"""The builder's own memory: how much it has, and giving back what it no longer needs."""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_libc = ctypes.CDLL(None)


def private_bytes(pid: int | str = "self") -> int:
    """Private clean and dirty bytes of a process (what it alone costs the machine); 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return sum(
                int(line.split()[1]) * 1024 for line in file if line.startswith((b"Private_Clean:", b"Private_Dirty:"))
            )
    except OSError:
        return 0


class PeakMemory:
    """The most private memory that the processes of a build were seen to hold. The store's is no part of `together`."""

    __slots__ = ("gateway", "store", "together")

    def __init__(self) -> None:
        self.together = self.gateway = self.store = 0

    def look(self, workers: Iterable[int] = (), gateway: int | None = None, store_bytes: int = 0) -> None:
        """Takes in the present state: pids of the workers and of the gateway."""
        gateway_bytes = 0 if gateway is None else private_bytes(gateway)
        together = private_bytes() + gateway_bytes + sum(private_bytes(pid) for pid in workers)
        self.together = max(self.together, together)
        self.gateway = max(self.gateway, gateway_bytes)
        self.store = max(self.store, store_bytes)


def return_free_memory() -> None:
    """Asks malloc to give free pages back to the system (glibc; elsewhere nothing happens)."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
