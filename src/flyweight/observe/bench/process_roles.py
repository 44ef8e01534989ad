"""The processes an engine starts, told apart by what they are for."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from flyweight.observe.process_memory import Memory, descendants, of_processes

BUILDERS, GATEWAY, STORE = "builders", "gateway", "store"
_INTERVAL_S = 0.003
_MODULES = {b"flyweight.embed.gateway": GATEWAY, b"flyweight.store.lancedb": STORE}


def role_of(pid: int) -> str:
    """What a process below an engine is for, by its command line; "" when it has ended, or has only just begun.

    A forked worker has its coordinator's command line, and is a builder as that is.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            arguments = line.read().split(b"\0")
    except OSError:
        return ""
    for module, role in _MODULES.items():
        if any(argument.startswith(module) for argument in arguments):
            return role
    return BUILDERS if arguments[0] else ""


def memory_by_role(pid: int) -> dict[str, Memory]:
    """What the living processes below `pid` hold."""
    by_role: dict[str, list[int]] = {}
    for child in descendants(pid):
        by_role.setdefault(role_of(child), []).append(child)
    return {role: of_processes(children) for role, children in by_role.items() if role}


class RolePeaks:
    """Looks at the processes below `pid` every few milliseconds while the `with` block runs.

    peak_bytes: by role, the most private memory that its processes held together; most: the most builders at once.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._roles: dict[int, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self.peak_bytes: dict[str, int] = {}
        self.most = 0

    def __enter__(self) -> RolePeaks:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._look()
            time.sleep(_INTERVAL_S)

    def _look(self) -> None:
        by_role: dict[str, list[int]] = {}
        for pid in descendants(self._pid):
            # Kept once it is known for good: before it has been replaced, a child has its parent's command line.
            role = self._roles.get(pid) or role_of(pid)
            if role in (GATEWAY, STORE):
                self._roles[pid] = role
            if role:
                by_role.setdefault(role, []).append(pid)
        self.most = max(self.most, len(by_role.get(BUILDERS, ())))
        for role, pids in by_role.items():
            self.peak_bytes[role] = max(self.peak_bytes.get(role, 0), of_processes(pids).private_bytes)
