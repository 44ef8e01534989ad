"""Indexes a tree, asks it five questions and shows what that costs: `python examples/demo.py PATH`.

The engine lives in a process of its own (`resident.py`); this one only draws and measures. Needs Linux:
memory is read from /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import flyweight

QUERIES = (
    "error handling",
    "where is configuration loaded",
    "parse command line arguments",
    "write data to disk",
    "tests for edge cases",
)
INDEX = ".demo"
RESIDENT = Path(__file__).with_name("resident.py")
BARE = "import sys; sys.stdin.readline()"
SAMPLE_EVERY_S = 0.005


def main() -> int:
    parser = argparse.ArgumentParser(description="Index a tree, ask it five questions, show what that costs.")
    parser.add_argument("path", nargs="?", default=".", help="directory with source code (default: here)")
    parser.add_argument("--hold", action="store_true", help="keep the processes until Enter, to look at them")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    console.print(f"[bold]Flyweight {flyweight.__version__}[/bold] on Python {sys.version.split()[0]}")
    with start(str(RESIDENT), arguments.path, INDEX, *QUERIES) as resident, start("-c", BARE) as bare:
        if not show_conversation(console, resident):
            return 2
        show_memory(console, resident.pid, bare.pid)
        if arguments.hold:
            console.input("\nBoth processes wait. Press Enter to end them. ")
    again = f'{command()} search --index {INDEX} "your own question"'
    console.print(f"\nThe index stays: [bold]{again}[/bold]", soft_wrap=True)
    return 0


def command() -> str:
    """What to type for `flyweight`: the one of this environment, which need not be on the path."""
    installed = Path(sys.executable).with_name("flyweight")
    if shutil.which("flyweight") == str(installed):
        return "flyweight"
    return os.path.relpath(installed) if installed.is_file() else f"{sys.executable} -m flyweight"


def start(*arguments: str) -> subprocess.Popen[str]:
    """A Python process that ends when its standard input does."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


# What the resident says


def show_conversation(console: Console, resident: subprocess.Popen[str]) -> bool:
    """Draws index run and answers until the resident is ready; False when it failed."""
    with BuilderMemory(resident.pid) as builder, console.status("scanning") as status:
        for kind, *fields in messages(resident):
            if kind == "progress":
                phase, files, total, chunks = fields
                status.update(f"{phase}: {files} of {total} files, {chunks} chunks")
            elif kind == "indexed":
                status.stop()
                builder.stop()
                show_index_run(console, int(fields[0]), int(fields[1]), float(fields[2]), builder)
            elif kind == "opened":
                opened_ms = float(fields[0]) * 1e3
                console.print(f"\n[bold]Five questions[/bold] (index opened and checked in {opened_ms:.1f} ms)")
            elif kind == "answer":
                query, first_ms, again_us = fields[0], float(fields[1]) * 1e3, float(fields[2]) * 1e6
                console.print(f"\n  [bold yellow]{query}[/bold yellow]  {first_ms:.2f} ms, again {again_us:.0f} µs")
            elif kind == "hit":
                console.print(hit_line(*fields), soft_wrap=True)
            elif kind == "error":
                status.stop()
                console.print(f"[red]flyweight: {fields[0]}[/red]", soft_wrap=True)
                return False
            elif kind == "ready":
                return True
    return False


def messages(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n").split("\t")


def show_index_run(console: Console, files: int, chunks: int, seconds: float, builder: BuilderMemory) -> None:
    rate = f"{chunks / seconds:,.0f} chunks/s"
    console.print(f"\n[bold]Indexed[/bold] {files:,} files, {chunks:,} chunks in {seconds:.2f} s: {rate}")
    peak = f"{builder.peak_bytes / 1e6:.1f} MB of private memory at most, together"
    console.print(f"  by {builder.most_processes} processes with {peak}; they are gone")


def hit_line(score: str, path: str, start_line: str, end_line: str, language: str, symbol: str) -> Text:
    line = Text(f"    {float(score):.3f}  ")
    line.append(f"{path}:{start_line}-{end_line}", style="cyan")
    line.append(f"  {language}", style="dim")
    line.append(f"  {symbol}", style="magenta")
    return line


# What it costs


def show_memory(console: Console, resident: int, bare: int) -> None:
    """Both at once: pages they share, such as the interpreter's, are no cost of either."""
    table = Table(box=None, padding=(0, 2))
    table.add_column("process")
    table.add_column("RSS", justify="right")
    table.add_column("private", justify="right")
    rows = {"resident": memory_of(resident), "bare Python": memory_of(bare)}
    for name, (rss, private) in rows.items():
        table.add_row(name, f"{rss / 1e6:.2f} MB", f"{private / 1e6:.2f} MB")
    (rss, private), (bare_rss, bare_private) = rows.values()
    table.add_row(
        "[bold]more than bare[/bold]",
        f"{(rss - bare_rss) / 1e6:.2f} MB",
        f"[bold green]{(private - bare_private) / 1e6:.2f} MB[/bold green]",
    )
    console.print("\n[bold]The process that answered[/bold], beside a Python that does nothing\n")
    console.print(table)
    rollups = f"/proc/{resident}/smaps_rollup /proc/{bare}/smaps_rollup"
    console.print("\n  See for yourself: run this with --hold and, while it waits:")
    console.print(f"  grep -E '^(Rss|Private)' {rollups}", soft_wrap=True)


def memory_of(pid: int) -> tuple[int, int]:
    """Resident set and private memory (clean and dirty) of a process, in bytes; zeros when it is gone."""
    rss = private = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            for line in rollup:
                name, _, rest = line.partition(":")
                if name == "Rss":
                    rss = int(rest.split()[0]) * 1024
                elif name in ("Private_Clean", "Private_Dirty"):
                    private += int(rest.split()[0]) * 1024
    except OSError:
        return 0, 0
    return rss, private


class BuilderMemory:
    """Watches the processes below `pid`: how many they were and the most private memory they had together."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self.most_processes = 0
        self._pid = pid
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> BuilderMemory:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            pids = list(below(self._pid))
            self.most_processes = max(self.most_processes, len(pids))
            self.peak_bytes = max(self.peak_bytes, sum(memory_of(pid)[1] for pid in pids))
            time.sleep(SAMPLE_EVERY_S)


def below(pid: int) -> Iterator[int]:
    """The descendants of a process."""
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                for child in map(int, children.read().split()):
                    yield child
                    yield from below(child)
    except OSError:
        return  # gone meanwhile


if __name__ == "__main__":
    sys.exit(main())
