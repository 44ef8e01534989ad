"""Runs a benchmark script of pyperformance in this process, with a stand-in for the pyperf it imports.

pyperf itself starts processes of its own and times by the wall clock; the stand-in offers the part of its interface
that the scripts use, takes processor time and runs each benchmark a given number of times.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import runpy
import sys
import types
from collections.abc import Awaitable, Callable
from time import process_time

from benchmarks.profiler import profilers

# Doubling stops here: some benchmarks take next to no processor time.
_MOST_LOOPS = 1 << 20


class Unsupported(Exception):
    """The script asks for something that cannot be measured inside one process."""


class Runner:
    """What a script sees as pyperf.Runner; ``loops`` by benchmark name, found out for names it lacks."""

    loops: dict[str, int]
    least_s = 0.1
    seconds: dict[str, float]
    profiler: str

    def __init__(self, **options: object) -> None:
        self.metadata: dict[str, object] = {}
        self.argparser = argparse.ArgumentParser()
        self.args = argparse.Namespace()

    def parse_args(self) -> argparse.Namespace:
        self.args = self.argparser.parse_args()
        return self.args

    def bench_time_func(
        self, name: str, time_func: Callable[..., float], *args: object, inner_loops: int = 1, metadata: object = None
    ) -> None:
        self._measure(name, lambda loops: time_func(loops, *args))

    def bench_func(
        self, name: str, func: Callable[..., object], *args: object, inner_loops: int = 1, metadata: object = None
    ) -> None:
        def time_func(loops: int) -> float:
            start = process_time()
            for _ in range(loops):
                func(*args)
            return process_time() - start

        self._measure(name, time_func)

    def bench_async_func(
        self,
        name: str,
        func: Callable[..., Awaitable[object]],
        *args: object,
        inner_loops: int = 1,
        metadata: object = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        async def repeated(loops: int) -> float:
            start = process_time()
            for _ in range(loops):
                await func(*args)
            return process_time() - start

        def time_func(loops: int) -> float:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(repeated(loops))

        self._measure(name, time_func)

    def bench_command(self, name: str, command: object, **options: object) -> None:
        raise Unsupported("starts another program")

    def _measure(self, name: str, time_func: Callable[[int], float]) -> None:
        loops = self.loops.get(name)
        if loops is None:
            loops = 1
            while time_func(loops) < self.least_s and loops < _MOST_LOOPS:
                loops *= 2
            self.loops[name] = loops
        if loops > 1:
            time_func(1)
        profilers.settle(self.profiler)
        gc.collect()
        self.seconds[name] = time_func(loops)


def run_script(request: dict[str, object]) -> dict[str, object]:
    """Processor seconds of all benchmarks of ``script`` together, and the loops of each."""
    script, arguments, loops = request["script"], request["arguments"], request["loops"]
    assert isinstance(script, str) and isinstance(arguments, list) and isinstance(loops, dict)
    Runner.loops, Runner.seconds, Runner.least_s = dict(loops), {}, request["least_s"]  # type: ignore[assignment]
    pyperf = types.ModuleType("pyperf")
    pyperf.Runner = Runner  # type: ignore[attr-defined]
    pyperf.perf_counter = process_time  # type: ignore[attr-defined]
    pyperf.python_implementation = lambda: "cpython"  # type: ignore[attr-defined]
    sys.modules["pyperf"] = pyperf
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    Runner.profiler = str(request["profiler"])
    end = profilers.begin(Runner.profiler)
    runpy.run_path(script, run_name="__main__")
    evidence = end()
    if not Runner.seconds:
        raise Unsupported("ran no benchmark")
    return {"cpu_s": sum(Runner.seconds.values()), "loops": Runner.loops, "evidence": evidence}
