"""Random steps through every allocator, beside a reference of what the profiler must have counted.

    python tests/soak/allocation_model.py --seconds 600          for as long as told, every configuration in turn
    python tests/soak/allocation_model.py --rounds 64 --steps 2000 --seed 1 --native --threads 100

The steps are made by a small extension (tests/native/steps), compiled when needed. Each place is a line of its own that
does nothing but call the extension, so its row must equal the reference to the byte and the count.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "native" / "steps" / "allocation_steps.c"
PLACES = 64
# Of each place: Python's domain, the native one, mappings, and what the C library asked of malloc on its own account.
KINDS = ("python", "native", "mapped", "native, by the C library")
ROW = 6
# CPython keeps a radix tree of its arenas (Objects/obmalloc.c, arena_map_get). When a new arena comes to lie in 16 GiB
# of addresses where none was, Python asks for a node of the lowest level; of the middle level, twice the size, hardly
# ever. Nodes are named after the interpreter.
ARENA_MAP_NODE = 131_072
MOST_NODES = 3


def missing_tool() -> str | None:
    """Why the extension cannot be built here, or None."""
    if shutil.which("cc") is None:
        return "no C compiler (cc)"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "Python's headers are not installed"
    return None


def built_steps() -> Path:
    """The compiled extension, built once for each source and interpreter."""
    mark = hashlib.sha256(SOURCE.read_bytes() + sys.version.encode()).hexdigest()[:16]
    directory = Path(tempfile.gettempdir(), f"flyweight-steps-{os.getuid()}")
    directory.mkdir(mode=0o700, exist_ok=True)
    target = directory / f"allocation_steps-{mark}.so"
    if not target.exists():
        fresh = directory / f"{target.name}.{os.getpid()}"
        include = sysconfig.get_paths()["include"]
        command = ["cc", "-O1", "-fno-builtin", "-Wno-free-nonheap-object", "-shared", "-fPIC", f"-I{include}"]
        subprocess.run([*command, str(SOURCE), "-o", str(fresh), "-lpthread"], check=True)
        fresh.replace(target)
    return target


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("allocation_steps", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _is_libc(path: str) -> bool:
    return os.path.basename(path).startswith(("libc.", "libc-"))


class Model:
    """One recording and its reference."""

    def __init__(self, steps: Any, options: argparse.Namespace) -> None:
        from flyweight import _memory

        self._memory = _memory
        self._steps = steps
        self._options = options
        self._plan = bytearray(24)
        self._words = memoryview(self._plan).cast("q")
        self._calls: list[Any] = []
        self._failures: list[str] = []
        for place in range(PLACES):
            names: dict[str, Any] = {}
            exec(compile("def call(take, plan):\n    take(plan)\n", f"/model/place_{place}.py", "exec"), names)
            self._calls.append(names["call"])

    def start(self) -> None:
        options = self._options
        self._memory.start(
            sampled=False,
            native=options.native,
            full_stacks=options.full_stacks,
            native_stacks=False,
            sample_interval_bytes=options.interval,
            own_limit_bytes=0,
            limit_bytes=0,
            seed=options.seed,
            page="",
        )

    def steps(self, place: int, steps: int, detached: bool = False) -> None:
        self._words[0], self._words[1], self._words[2] = place, steps, 0
        take = self._steps.take_detached if detached else self._steps.take
        self._calls[place](take, self._plan)
        if self._words[2] != 0:
            raise AssertionError(f"step failed in place {place}: {self._words[2]}")

    def _found(self) -> dict[tuple[str, str, int], dict[str, int]]:
        columns = self._memory.SITE_COLUMNS
        words = memoryview(self._memory.sites()).cast("q")
        found: dict[tuple[str, str, int], dict[str, int]] = {}
        for at in range(0, len(words), len(columns)):
            row = dict(zip(columns, words[at : at + len(columns)], strict=True))
            kind = row["domain"]
            if kind == KINDS.index("native") and _is_libc(self._memory.string(row["library"])):
                kind = KINDS.index("native, by the C library")
            name = (self._memory.string(row["file"]), self._memory.string(row["function"]), kind)
            kept = found.setdefault(name, dict.fromkeys(columns, 0))
            for column in columns:
                kept[column] += row[column]
        return found

    def check(self, peaks: bool = True) -> None:
        """Every place's rows against the reference."""
        expected = memoryview(self._steps.expected()).cast("q")
        threads = memoryview(self._steps.expected_of_threads()).cast("q")
        found = self._found()
        for place in range(PLACES):
            for kind, name in enumerate(KINDS):
                if kind > 0 and not self._options.native:
                    continue
                at = (place * len(KINDS) + kind) * ROW
                count, size, freed, freed_bytes, peak, largest = expected[at : at + ROW]
                row = found.pop((f"/model/place_{place}.py", "call", kind), None)
                if row is None:
                    row = dict.fromkeys(self._memory.SITE_COLUMNS, 0)
                wanted = {
                    "total_count": count,
                    "total_bytes": size,
                    "live_count": count - freed,
                    "live_bytes": size - freed_bytes,
                    "largest_bytes": largest,
                }
                if peaks:
                    wanted["peak_bytes"] = peak
                self._compare(f"place {place}, {name}", row, wanted)
        for domain in range(2):
            if domain > 0 and not self._options.native:
                continue
            count, size, freed, freed_bytes = threads[domain * 4 : domain * 4 + 4]
            wanted = {
                "total_count": count,
                "total_bytes": size,
                "live_count": count - freed,
                "live_bytes": size - freed_bytes,
            }
            native = dict.fromkeys(self._memory.SITE_COLUMNS, 0)
            for (_, function, of_domain), row in found.items():
                if function == "<native>" and of_domain == domain:
                    for column in native:
                        native[column] += row[column]
            if domain == 0:
                _allow_arena_map_nodes(native, wanted)
            self._compare(f"native threads, {self._memory.DOMAINS[domain]}", native, wanted)
        status = dict(zip(self._memory.STATUS_COLUMNS, memoryview(self._memory.status()).cast("q"), strict=True))
        if status["lost_frees"] != 0:
            self._failures.append(f"{status['lost_frees']} blocks were returned unseen")
        if self._failures:
            raise AssertionError("\n".join(self._failures[:20]))

    def _compare(self, name: str, row: dict[str, int], wanted: dict[str, int]) -> None:
        for column, value in wanted.items():
            if row[column] != value:
                self._failures.append(
                    f"{name}: {column} is {row[column]}, not {value} (off by {row[column] - value:+})"
                )

    def run(self) -> None:
        options = self._options
        self._steps.seed(options.seed)
        self._steps.make_room()
        self.start()
        try:
            forks = {options.rounds * (i + 1) // (options.forks + 1) for i in range(options.forks)}
            for number in range(options.rounds):
                place = number * 7 % PLACES
                self.steps(place, options.steps)
                if options.detached and number % 4 == 3:
                    self.steps((place + 1) % PLACES, options.steps // 4, detached=True)
                if number in forks:
                    self._fork(number)
            if options.threads:
                self._steps.run_threads(options.threads, options.thread_steps, options.seed)
            # Races between two kinds of writers may move a peak by a step; counts they may not.
            peaks = not options.detached and not options.threads
            self.check(peaks)
            self._steps.give_all()
            self.check(peaks)
        finally:
            self._memory.stop()
        self._steps.forget()

    def _fork(self, number: int) -> None:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                self._steps.seed(self._options.seed + number + 1)
                for place in range(0, PLACES, 8):
                    self.steps(place, self._options.steps)
                self.check(peaks=not self._options.detached)
                status = 0
            except BaseException as error:
                print(f"in the child of round {number}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise AssertionError(f"the child of round {number} ended with status {status}")


def _allow_arena_map_nodes(row: dict[str, int], wanted: dict[str, int]) -> None:
    """A few more blocks, live for good and of the sizes of nodes, are Python's own."""
    count = row["total_count"] - wanted["total_count"]
    size = row["total_bytes"] - wanted["total_bytes"]
    larger, rest = divmod(size - count * ARENA_MAP_NODE, ARENA_MAP_NODE)
    if not 0 < count <= MOST_NODES or rest != 0 or not 0 <= larger <= count:
        return
    for column in ("total_count", "live_count"):
        wanted[column] += count
    for column in ("total_bytes", "live_bytes"):
        wanted[column] += size


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="run every configuration in turn for so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=128, help="stretches of steps from one place")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each")
    parser.add_argument("--forks", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="native threads afterwards, up to 256")
    parser.add_argument("--thread-steps", type=int, default=2000)
    parser.add_argument("--native", action="store_true", help="track the native heap as well")
    parser.add_argument("--detached", action="store_true", help="some steps without the GIL")
    parser.add_argument("--full-stacks", action="store_true")
    parser.add_argument("--interval", type=int, default=524288, help="bytes between samples of whole stacks")
    return parser.parse_args(arguments)


# What a soak goes through: arguments, and the environment of the interpreter.
CONFIGURATIONS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("--native", "--forks", "3"), {}),
    (("--forks", "3"), {}),
    (("--native", "--detached", "--forks", "2"), {}),
    (("--native", "--interval", "4096"), {}),
    (("--native", "--threads", "100"), {}),
    (("--threads", "100"), {}),
    (("--native", "--full-stacks"), {}),
    (("--native", "--detached", "--threads", "16", "--interval", "65536"), {}),
    (("--native",), {"PYTHONMALLOC": "malloc"}),
    (("--native",), {"PYTHONMALLOC": "debug"}),
    (("--native", "--threads", "16"), {"PYTHONMALLOC": "malloc_debug"}),
)


def soak(seconds: float, first_seed: int) -> int:
    """Every configuration in turn, each with a new seed. The number of runs that failed."""
    end = time.monotonic() + seconds
    runs = failed = seed = 0
    while time.monotonic() < end:
        for arguments, environment in CONFIGURATIONS:
            if time.monotonic() >= end:
                break
            seed = first_seed + runs
            command = [sys.executable, __file__, "--seed", str(seed), "--rounds", "512", "--steps", "4000", *arguments]
            outcome = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
            runs += 1
            if outcome.returncode != 0:
                failed += 1
                print("FAILED", environment, " ".join(command[2:]), outcome.stderr, sep="\n", flush=True)
    print(f"{runs} runs, {runs * 512 * 4000 / 1e6:,.0f} million steps, {failed} failed; last seed {seed}")
    return failed


def main() -> int:
    options = parse()
    if (reason := missing_tool()) is not None:
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    if options.seconds is not None:
        return 1 if soak(options.seconds, options.seed) else 0
    steps = load(built_steps())
    gc.disable()
    Model(steps, options).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
