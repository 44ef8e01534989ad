"""pyperformance's own benchmarks under our profiler: which are taken, which are left out and why."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.child_process import ChildFailed
from benchmarks.profiler import profilers
from benchmarks.profiler.measurement import Times, interleaved, run_child

# Everything that pyperformance brings and that runs inside one process is taken, except for these.
LEFT_OUT = {
    "2to3": "starts another program",
    "hg_startup": "starts another program",
    "python_startup": "starts another program",
    "asyncio_tcp": "waits for sockets",
    "asyncio_websockets": "waits for sockets",
    "tornado_http": "waits for sockets",
    "fastapi": "waits for sockets",
    "concurrent_imap": "works in other processes",
    "dask": "works in other processes",
    "coverage": "installs a trace function of its own",
    "bpe_tokeniser": "one loop takes six seconds",
}
# Benchmarks that want to be told which of theirs to run.
_ARGUMENTS = {
    "argparse": ["many_optionals"],
    "async_tree": ["none"],
    "networkx": ["shortest_path"],
    "pickle": ["pickle"],
    "sqlglot_v2": ["normalize"],
}
MEASURED = (profilers.PLAIN, profilers.EXACT, profilers.EXACT_NATIVE)


@dataclass(slots=True)
class MacroSet:
    """Times of each benchmark that was taken; the reason for each that was not."""

    taken: dict[str, Times] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def data_files(site_packages: list[str]) -> Path | None:
    """Where pyperformance keeps its benchmarks, in the first of the folders that has it."""
    for folder in site_packages:
        found = Path(folder, "pyperformance", "data-files", "benchmarks")
        if found.is_dir():
            return found
    return None


def measure(
    folder: Path,
    site_packages: str,
    rounds: int,
    least_s: float,
    every: int = 1,
    say: Callable[[str], None] = lambda text: None,
) -> MacroSet:
    """Benchmarks below ``folder``, one in ``every``, at least ``least_s`` seconds of plain time, ``rounds`` times."""
    result = MacroSet(left_out=dict(LEFT_OUT))
    found = [one for one in sorted(folder.glob("bm_*")) if one.name.removeprefix("bm_") not in LEFT_OUT]
    for number, benchmark in enumerate(found):
        name = benchmark.name.removeprefix("bm_")
        if number % every:
            result.left_out[name] = f"one benchmark in {every} is taken with --quick"
            continue
        say(f"pyperformance {number + 1}/{len(found)}: {name}")
        request: dict[str, Any] = {
            "kind": "macro",
            "script": str(benchmark / "run_benchmark.py"),
            "arguments": _ARGUMENTS.get(name, []),
            "site_packages": site_packages,
            "least_s": least_s,
        }
        try:
            loops = run_child(request | {"loops": {}, "profiler": profilers.PLAIN})["loops"]
        except ChildFailed as error:
            result.left_out[name] = _reason(benchmark, str(error))
            continue
        # A script of several benchmarks shall not take several times as long.
        loops = {one: max(1, count // len(loops)) for one, count in loops.items()}
        result.taken[name] = interleaved(MEASURED, rounds, rounds, request | {"loops": loops})
    return result


def _reason(benchmark: Path, error: str) -> str:
    described = tomllib.loads((benchmark / "pyproject.toml").read_text())
    wanted = [name for name in described["project"].get("dependencies", []) if name != "pyperf"]
    return f"needs {', '.join(wanted)}" if wanted and "ModuleNotFoundError" in error else error
