"""The bound that the system keeps: what `flyweight run --memory-limit` sets besides the profiler's own limit.

The profiler's limit refuses Python's allocations, exactly and in good time. What a library takes past Python only the
system can refuse. It counts everything, so its bound is higher: the interpreter and the profiler's records do not come
out of what the program was granted.
"""

from __future__ import annotations

import os

from flyweight.memory.rollup import data_bytes

# A record has 4 bytes for every 16 of a block; the interpreter, the profiler's tables and code take the rest.
_INTERPRETER_BYTES = 32 << 20
# RLIMIT_DATA counts address space: shadow is reserved 16 MiB at a time, and a thread's stack whole, 8 MiB as a rule,
# when it starts. A library may start one for each core in an instant.
_RESERVED_BYTES = 1 << 30

_before: list[tuple[int, int]] = []


def hard_limit_bytes(limit_bytes: int) -> int:
    """The private memory at which a program under this limit is stopped by the system.

    >>> hard_limit_bytes(200 << 20) >> 20
    282
    """
    return limit_bytes + limit_bytes // 4 + _INTERPRETER_BYTES


def wall_bytes(data_bytes: int, held_bytes: int, hard_bytes: int) -> int:
    """Where RLIMIT_DATA has to be for a process with so much address space, of which it holds so much: as far away as
    it may still grow, and further, since much is reserved and never filled; right here when it holds all that it may.
    """
    return data_bytes if held_bytes >= hard_bytes else data_bytes + hard_bytes - held_bytes + _RESERVED_BYTES


def bound_address_space(hard_bytes: int) -> None:
    """Bounds this process by RLIMIT_DATA (Linux 4.7 and later: heap and private writable mappings). Whoever watches it
    moves the bound along (supervisor.py).

    It is the soft limit, which the process may lift again.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = wall_bytes(data_bytes(), 0, hard_bytes)
    for other in (soft, hard):
        if other != resource.RLIM_INFINITY:
            wanted = min(wanted, other)
    _before.append((soft, hard))
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def lift_bounds(control_group: str) -> None:
    """Takes the bounds away: saying what was held when one was reached takes memory."""
    if _before:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, _before.pop())
    if control_group:
        try:
            with open(os.path.join(control_group, "memory.max"), "w") as file:
                file.write("max")
        except OSError:
            pass  # then it must do with what there is
