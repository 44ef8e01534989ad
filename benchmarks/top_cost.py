"""What `flyweight top` costs the processes it watches: processor time and memory, with it and without, in pairs.

Four recorded programs run: one sleeps and one works, each with a twin that is not watched. The real command looks at
the first two every second, on a terminal of its own. It is stopped and continued every few seconds, so that each
stretch with it has one without it beside it; the figure is the median of the differences.
"""

from __future__ import annotations

import fcntl
import os
import pty
import random
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Report, print_rows
from benchmarks.settings import Settings
from flyweight.memory.page import read_page
from flyweight.memory.page_path import DIRECTORY_VARIABLE
from flyweight.observe.process_memory import Memory, of_process

TARGET_PERCENT = 0.2
# A page more or less is the kernel's counting, not growth.
TARGET_GROWTH_KB = 16.0
_PAIRS, _QUICK_PAIRS = 26, 6
_STRETCH_S = 2.5
_WARM_UP_S, _QUICK_WARM_UP_S = 20.0, 6.0
_SLEEPS = "import time\nwhile True: time.sleep(0.25)\n"
_WORKS = """
import json, time
rows = [{"number": n, "text": "x" * (n % 40)} for n in range(60)]
due = time.monotonic()
while True:
    kept = [json.loads(json.dumps(rows)) for _ in range(6)]
    due += 0.05
    time.sleep(max(0.0, due - time.monotonic()))
"""


@dataclass
class Cost:
    """A watched program: processor time that watching adds, in percent of one processor, with its quartiles; its own
    use; what private memory grew by, and that of its twin which was not watched, in bytes."""

    added_percent: float
    quartiles: tuple[float, float]
    own_percent: float
    growth_bytes: int
    twin_growth_bytes: int


def run(settings: Settings) -> Report:
    """The figures, for ``make bench``."""
    pairs, warm_up_s = (_QUICK_PAIRS, _QUICK_WARM_UP_S) if settings.quick else (_PAIRS, _WARM_UP_S)
    costs, top_percent = measure(pairs, warm_up_s)
    how = f"median of {pairs} pairs of {_STRETCH_S:g} s with and without flyweight top at 1 s, CPU time of all threads"
    report = Report("top_cost")
    for name, cost in costs.items():
        low, high = cost.quartiles
        grown_kb = (cost.growth_bytes - cost.twin_growth_bytes) / 1e3
        report.figures.append(
            Figure(
                f"CPU that watching adds to a program that {name}",
                max(cost.added_percent, 0.0),
                "%",
                how,
                TARGET_PERCENT,
                peer=f"quartiles {low:+.3f} to {high:+.3f} %; the program itself takes {cost.own_percent:.2f} %",
            )
        )
        report.figures.append(
            Figure(
                f"growth of a watched program that {name}",
                max(grown_kb, 0.0),
                "kB",
                "private memory after and before, less that of a twin which is not watched",
                TARGET_GROWTH_KB,
                peer=f"{cost.growth_bytes / 1e3:+.1f} kB watched, {cost.twin_growth_bytes / 1e3:+.1f} kB not",
            )
        )
    report.figures.append(Figure("CPU of flyweight top itself, two processes", top_percent, "%", how))
    report.detail = {name: vars(cost) for name, cost in costs.items()}
    rows = [
        (name, f"{cost.own_percent:.3f}", f"{cost.added_percent:+.4f}", f"{cost.growth_bytes / 1e3:+.1f}")
        for name, cost in costs.items()
    ]
    print_rows("A watched program", ("it", "CPU %", "added %", "growth kB"), rows, settings.console)
    return report


def measure(pairs: int = _PAIRS, warm_up_s: float = _WARM_UP_S) -> tuple[dict[str, Cost], float]:
    """Costs by what the program does, and the processor time of the dashboard itself in percent."""
    with TemporaryDirectory(prefix="flyweight-top-") as directory:
        environment = {**os.environ, DIRECTORY_VARIABLE: directory, "TERM": "xterm-256color"}
        os.environ[DIRECTORY_VARIABLE] = directory  # for read_page here
        started: list[subprocess.Popen[bytes]] = []
        try:
            programs = {}
            for name, code in (("sleeps", _SLEEPS), ("works", _WORKS)):
                pair = [_recorded(code, environment) for _ in range(2)]
                started += pair
                programs[name] = pair
            for process in started:
                _wait_for_page(process.pid)
            watched = [pair[0].pid for pair in programs.values()]
            top = _Top(watched, environment)
            started.append(top.process)
            time.sleep(warm_up_s)
            before = {process.pid: of_process(process.pid) for process in started}
            taken, top_percent = _paired(watched, top, pairs)
            return {
                name: _cost(taken[pair[0].pid], *(_growth(before, process.pid) for process in pair))
                for name, pair in programs.items()
            }, top_percent
        finally:
            del os.environ[DIRECTORY_VARIABLE]
            for process in reversed(started):
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


def _paired(watched: list[int], top: _Top, pairs: int) -> tuple[dict[int, list[tuple[float, float]]], float]:
    """For each process the shares of a processor in stretches with the watcher and without, pair by pair."""
    dice = random.Random(4)
    taken: dict[int, list[tuple[float, float]]] = {pid: [] for pid in watched}
    top_s = watched_s = 0.0
    for _ in range(pairs):
        shares: dict[bool, dict[int, float]] = {}
        for with_top in dice.sample((True, False), 2):
            top.go_on() if with_top else top.hold()
            begin, own, before = time.monotonic(), cpu_s(top.process.pid), {pid: cpu_s(pid) for pid in watched}
            time.sleep(_STRETCH_S)
            after, elapsed_s = {pid: cpu_s(pid) for pid in watched}, time.monotonic() - begin
            shares[with_top] = {pid: (after[pid] - before[pid]) / elapsed_s for pid in watched}
            if with_top:
                top_s += cpu_s(top.process.pid) - own
                watched_s += elapsed_s
        for pid in watched:
            taken[pid].append((shares[True][pid], shares[False][pid]))
    top.go_on()
    return taken, 100 * top_s / watched_s


def _cost(taken: list[tuple[float, float]], growth_bytes: int, twin_growth_bytes: int) -> Cost:
    differences = [100 * (there - not_there) for there, not_there in taken]
    low, middle, high = statistics.quantiles(differences, n=4)
    own = statistics.median(100 * not_there for _, not_there in taken)
    return Cost(middle, (low, high), own, growth_bytes, twin_growth_bytes)


def _growth(before: dict[int, Memory], pid: int) -> int:
    return (of_process(pid) - before[pid]).private_bytes


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process, to the nanosecond: /proc/PID/task/*/schedstat, first field."""
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


def _recorded(code: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flyweight", "run", "--quiet", "-c", code]
    return subprocess.Popen(command, env=environment)


def _wait_for_page(pid: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            read_page(pid)
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class _Top:
    """The command on a terminal of 120 by 40 that somebody reads."""

    def __init__(self, pids: list[int], environment: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        command = [sys.executable, "-m", "flyweight", "top", "--interval", "1", *map(str, pids)]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        threading.Thread(target=_drain, args=(ours,), daemon=True).start()

    def hold(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        if self.process.poll() is not None:
            raise RuntimeError("flyweight top has ended")


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:  # Linux: the other end is closed
        pass
