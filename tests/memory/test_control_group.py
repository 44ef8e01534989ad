"""Control groups of version 2, on directories that look like theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyweight.memory import control_group
from flyweight.memory.control_group import ControlGroup

LIMIT = 200 << 20


class Hierarchy:
    """A mounted hierarchy and a process in one of its groups, as files."""

    def __init__(self, top: Path, group: str, *, root: str = "/") -> None:
        self.mount = top / "cgroup"
        self.process = top / "self"
        self.process.mkdir(parents=True)
        inside = group.removeprefix(root) if root != "/" else group
        self.home = self.mount / inside.lstrip("/")
        self.home.mkdir(parents=True)
        (self.process / "cgroup").write_text(f"4:memory:/elsewhere\n0::{group}\n")
        (self.process / "mountinfo").write_text(
            "21 26 0:20 / /proc rw,nosuid - proc proc rw\n"
            f"30 26 0:26 {root} {self.mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
        )
        for directory in [self.mount, *self.mount.rglob("*")]:
            (directory / "cgroup.subtree_control").write_text("cpu pids\n")
            (directory / "cgroup.procs").write_text("")

    def hand_down_memory(self, directory: Path) -> None:
        (directory / "cgroup.subtree_control").write_text("cpu memory pids\n")

    def limit(self) -> ControlGroup:
        return ControlGroup(LIMIT, str(self.process))


@pytest.fixture(autouse=True)
def directories_go_with_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel's do, and these do not by themselves."""

    def remove(path: str) -> None:
        if (Path(path) / "busy").exists():
            raise OSError("still in use")
        for file in Path(path).iterdir():
            file.unlink()
        really(path)

    really = os.rmdir
    monkeypatch.setattr("flyweight.memory.control_group.os.rmdir", remove)


def test_a_sibling_of_the_own_group_gets_the_limit(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/user.slice/app.slice/terminal.scope")
    system.hand_down_memory(system.home.parent)
    group = system.limit()
    assert Path(group.path) == system.home.parent / f"flyweight-{os.getpid()}"
    assert (Path(group.path) / "memory.max").read_text() == str(LIMIT)
    assert (Path(group.path) / "memory.swap.max").read_text() == "0"


def test_at_the_root_of_a_container_the_group_is_below(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/")
    system.hand_down_memory(system.mount)
    assert Path(system.limit().path).parent == system.mount


def test_a_part_of_the_hierarchy_may_be_mounted(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/docker/abc/inner", root="/docker/abc")
    system.hand_down_memory(system.mount)
    assert system.home == system.mount / "inner"
    assert Path(system.limit().path).parent == system.mount


def test_the_process_goes_in_and_out(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/a/b")
    system.hand_down_memory(system.mount / "a")
    group = system.limit()
    group.enter()
    assert (Path(group.path) / "cgroup.procs").read_text() == "0"
    group.leave()
    assert (system.home / "cgroup.procs").read_text() == "0"
    group.remove()
    assert not os.path.exists(group.path)


def test_kills_are_counted(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/a/b")
    system.hand_down_memory(system.mount / "a")
    group = system.limit()
    (Path(group.path) / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n")
    assert group.kill_count() == 1


def test_where_memory_is_not_handed_down_there_is_no_group(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/a/b")
    with pytest.raises(OSError, match="no neighbourhood"):
        system.limit()
    assert sorted(path.name for path in system.home.parent.iterdir() if path.is_dir()) == ["b"]


def test_without_version_two_there_is_no_group(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/a/b")
    (system.process / "mountinfo").write_text("33 26 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
    with pytest.raises(OSError, match="version 2"):
        system.limit()


def test_a_limit_that_is_refused_leaves_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = Hierarchy(tmp_path, "/a/b")
    system.hand_down_memory(system.mount / "a")

    def refuse(directory: str, name: str, content: str) -> None:
        raise PermissionError(name)

    monkeypatch.setattr(control_group, "_write", refuse)
    with pytest.raises(PermissionError):
        system.limit()
    assert list(system.mount.rglob("flyweight-*")) == []


def test_groups_of_runs_that_were_killed_are_cleared_away(tmp_path: Path) -> None:
    system = Hierarchy(tmp_path, "/a/b")
    system.hand_down_memory(system.mount / "a")
    gone, busy = system.mount / "a/flyweight-4194305", system.mount / "a/flyweight-4194306"  # above any process id
    living = system.mount / f"a/flyweight-{os.getppid()}"
    for path in (gone, busy, living):
        path.mkdir()
    (busy / "busy").touch()
    system.limit()
    assert (gone.exists(), busy.exists(), living.exists()) == (False, True, True)
