"""A control group of version 2 whose memory the kernel bounds (Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import os

_PREFIX = "flyweight-"


class ControlGroup:
    """A group for one program, made below a group that this user may write to and that hands the memory controller
    down. Raises OSError where there is none: the usual case outside a user session and as root."""

    __slots__ = ("_home", "path")

    def __init__(self, limit_bytes: int, process: str = "/proc/self") -> None:
        self._home = _own_group(process)
        above = _parent_with_memory(self._home, _mount(process)[1])
        _remove_abandoned(above)
        self.path = os.path.join(above, f"{_PREFIX}{os.getpid()}")
        os.mkdir(self.path)
        try:
            _write(self.path, "memory.max", str(limit_bytes))
        except OSError:
            self.remove()
            raise
        try:
            _write(self.path, "memory.swap.max", "0")  # else the limit would only be the beginning of swapping
        except OSError:
            pass  # a kernel without swap accounting

    def enter(self) -> None:
        """Moves this process in; what it starts then is born there."""
        _write(self.path, "cgroup.procs", "0")

    def leave(self) -> None:
        """Moves this process back to where it was."""
        _write(self._home, "cgroup.procs", "0")

    def kill_count(self) -> int:
        """How many processes the kernel has killed to keep the limit."""
        for line in _read(self.path, "memory.events").splitlines():
            key, _, count = line.partition(" ")
            if key == "oom_kill":
                return int(count)
        return 0

    def remove(self) -> None:
        """Removes the group, unless processes are left in it."""
        try:
            os.rmdir(self.path)
        except OSError:
            pass


def _mount(process: str) -> tuple[str, str]:
    """What part of the hierarchy is mounted, and where."""
    for line in _read(process, "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            _, _, _, root, mount_point, *_ = before.split()
            return root, mount_point.replace("\\040", " ")
    raise FileNotFoundError("no control groups of version 2 are mounted")


def _own_group(process: str) -> str:
    root, mount_point = _mount(process)
    for line in _read(process, "cgroup").splitlines():
        if line.startswith("0::"):
            path = line[3:]
            inside = path.removeprefix(root) if root != "/" else path
            return os.path.normpath(os.path.join(mount_point, inside.lstrip("/")))
    raise FileNotFoundError("this process is in no control group of version 2")


def _parent_with_memory(home: str, mount_point: str) -> str:
    """Groups below this process's own are possible only where processes may be beside groups, at the root; a sibling
    is what a user session allows."""
    candidates = [home] if home == mount_point else [os.path.dirname(home), home]
    for candidate in candidates:
        if "memory" in _read(candidate, "cgroup.subtree_control").split() and os.access(candidate, os.W_OK):
            return candidate
    raise PermissionError(f"{home} has no neighbourhood in which memory may be limited")


def _remove_abandoned(above: str) -> None:
    """Groups of runs that were killed before they could take them away."""
    for name in os.listdir(above):
        if name.startswith(_PREFIX) and not os.path.exists(f"/proc/{name.removeprefix(_PREFIX)}"):
            try:
                os.rmdir(os.path.join(above, name))
            except OSError:
                pass  # somebody is still in it


def _read(directory: str, name: str) -> str:
    with open(os.path.join(directory, name)) as file:
        return file.read()


def _write(directory: str, name: str, content: str) -> None:
    with open(os.path.join(directory, name), "w") as file:
        file.write(content)
