"""One writer at a time: a lock the kernel drops when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from flyweight.errors import IndexLockedError, IndexWriteError

LOCK_NAME = "lock"

# A child forked by a writer that was killed may hold the lock until the kernel is done with it, and a look at who
# holds it takes it for a moment: neither is another writer.
_PATIENCE_S = 0.5
# Longer when whoever took it is dead: what still holds it is a process of his that is about to notice.
_PATIENCE_WITH_THE_DEAD_S = 20.0


class WriterLock:
    """Held from construction to `release()`. Raises IndexLockedError when another live process holds it.

    An flock belongs to the open file, so every forked child must call `forget()`: a child that outlives a killed
    writer would otherwise keep the index locked.
    """

    def __init__(self, index_path: str, name: str = LOCK_NAME) -> None:
        path = os.path.join(index_path, name)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise IndexWriteError(f"cannot write to {index_path}: {error.strerror}") from None
        if not self._taken():
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise IndexLockedError(
                f"the index at {index_path} is being written by process {holder}: wait for it, or stop it"
            ) from None
        with contextlib.suppress(OSError):  # who holds it is a courtesy; a full disk is reported by what needs it
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def _taken(self) -> bool:
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                waited_s = time.monotonic() - began
                if waited_s > (_PATIENCE_WITH_THE_DEAD_S if self._holder_is_dead() else _PATIENCE_S):
                    return False
                time.sleep(0.01)
            else:
                return True

    def _holder_is_dead(self) -> bool:
        holder = os.pread(self._fd, 32, 0).strip()
        return holder.isdigit() and not os.path.exists(f"/proc/{holder.decode()}")

    @property
    def fd(self) -> int:
        """For a process that shall hold the lock as well."""
        return self._fd

    def forget(self) -> None:
        """In a forked child: closes this copy without unlocking."""
        os.close(self._fd)

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)
