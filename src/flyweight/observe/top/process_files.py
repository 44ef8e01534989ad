"""What the kernel says about a process in /proc/PID/stat and cmdline (proc(5)): cheap enough to ask every second."""

from __future__ import annotations

import os
from dataclasses import dataclass

from flyweight.memory.run_settings import CODE, MODULE, RunSettings

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LONGEST_COMMAND = 4096
_GONE = (b"Z", b"X")
_KIND = 2 + RunSettings.__slots__.index("kind")


@dataclass(frozen=True)
class ProcessState:
    """One line of /proc/PID/stat. Reading it takes microseconds and nothing of the process.

    start: field 22, which tells a process from a later one of the same number; cpu_s: processor time of all its
    threads, user and system; rss_bytes: as the kernel counts it, a few pages behind.
    """

    parent: int
    start: int
    cpu_s: float
    rss_bytes: int


def process_state(pid: int) -> ProcessState | None:
    """The state of a process; None when there is none, or only its exit status is left."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        if fields[0] in _GONE:
            return None
        ticks = int(fields[11]) + int(fields[12])
        return ProcessState(int(fields[1]), int(fields[19]), ticks / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES)
    except (OSError, IndexError, ValueError):
        return None


def command_line(pid: int) -> list[str]:
    """The arguments a process was started with; a program under `flyweight run` as if under python."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            content = file.read(_LONGEST_COMMAND)
    except OSError:
        return []
    if not content:  # between its birth and its program's
        return []
    return as_under_python([os.fsdecode(word) for word in content.rstrip(b"\0").split(b"\0")])


def as_under_python(arguments: list[str]) -> list[str]:
    """Arguments without those by which `flyweight run` tells the measured process what was asked for.

    >>> as_under_python(["python3", *RunSettings(kind="module").command(["shop", "--fast"])])
    ['python3', '-m', 'shop', '--fast']
    """
    told = RunSettings().command([])
    for place in range(1, len(arguments) - len(told)):
        if arguments[place : place + 2] == told[:2]:
            kind = {MODULE: ["-m"], CODE: ["-c"]}.get(arguments[place + _KIND], [])
            return [*arguments[:place], *kind, *arguments[place + len(told) :]]
    return arguments


def short_name(arguments: list[str]) -> str:
    """What a process is called in a list: its script or module, else its program.

    >>> short_name(["/usr/bin/python3", "-X", "dev", "/srv/app.py", "--port", "1"]), short_name(["python", "-m", "a.b"])
    ('app.py', 'a.b')
    >>> short_name(["python", "-c", "import shop"]), short_name(["./server"]), short_name([])
    ('python -c', 'server', '?')
    """
    if not arguments:
        return "?"
    program = os.path.basename(arguments[0]) or "?"
    if not program.startswith("python"):
        return program
    words = iter(arguments[1:])
    for word in words:
        if word == "-m":
            return next(words, program)
        if word == "-c":
            return f"{program} -c"
        if word in ("-X", "-W"):
            next(words, "")
        elif not word.startswith("-"):
            return os.path.basename(word) or program
    return program
