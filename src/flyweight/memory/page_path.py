"""Where the shared pages of recorded processes lie, and clearing away those whose process has died."""

from __future__ import annotations

import os

DIRECTORY_VARIABLE = "FLYWEIGHT_RUNTIME_DIR"
_DEFAULT_DIRECTORY = "/dev/shm"


def page_prefix() -> str:
    """What the paths of this user's pages begin with; a dot and the process id follow, also for forked children."""
    directory = os.environ.get(DIRECTORY_VARIABLE) or _DEFAULT_DIRECTORY
    return os.path.join(os.path.abspath(directory), f"flyweight-memory.{os.getuid()}")


def page_path(pid: int) -> str:
    return f"{page_prefix()}.{pid}"


def page_pids() -> list[int]:
    """The process ids of this user's pages, ascending; the processes may be dead."""
    directory, _, name = page_prefix().rpartition("/")
    try:
        entries = os.listdir(directory)
    except OSError:
        return []
    endings = (entry[len(name) + 1 :] for entry in entries if entry.startswith(f"{name}."))
    return sorted(int(ending) for ending in endings if ending.isascii() and ending.isdigit())


def is_alive(pid: int) -> bool:
    """Whether a process exists, ours or not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def remove_stale_pages() -> None:
    """Removes this user's pages of processes that have died without taking their leave."""
    for pid in page_pids():
        if not is_alive(pid):
            try:
                os.unlink(page_path(pid))
            except OSError:
                pass  # somebody was faster
