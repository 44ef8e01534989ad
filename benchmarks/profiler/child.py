"""One measurement in a fresh process: ``python -P -m benchmarks.profiler.child JSON``; answers with a line of JSON.

The profiler is started before the workload is prepared, so that it knows every block the job touches, and only
the job is timed: processor time of all threads, the profiler's own included. What it takes to start is told apart.
"""

from __future__ import annotations

import gc
import json
import sys
from time import process_time

from benchmarks.profiler import profilers, workloads


def private_bytes() -> int:
    """Private_Clean + Private_Dirty of this process, from /proc/self/smaps_rollup."""
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))


class Prepared:
    """A workload under its profiler, run once, with all start-up work done and its processor time taken."""

    def __init__(self, request: dict[str, object]) -> None:
        places, rounds = request.get("places") or [], request["rounds"]
        assert isinstance(places, list) and isinstance(rounds, int)
        self.profiler, self.rounds = str(request["profiler"]), rounds
        start = process_time()
        self.end = profilers.begin(self.profiler)
        self.start_cpu_s = process_time() - start
        self.job = workloads.prepare(str(request["workload"]), places)

    def warm_up(self) -> None:
        self.job(1)
        start = process_time()
        profilers.settle(self.profiler)
        self.start_cpu_s += process_time() - start
        gc.collect()


def timed(request: dict[str, object]) -> dict[str, object]:
    prepared = Prepared(request)
    prepared.warm_up()
    start = process_time()
    prepared.job(prepared.rounds)
    cpu_s = process_time() - start
    return {"cpu_s": cpu_s, "start_cpu_s": prepared.start_cpu_s, "evidence": prepared.end()}


def counted(request: dict[str, object]) -> dict[str, object]:
    """As ``timed``, under callgrind, which writes the number of instructions itself."""
    from benchmarks.profiler.valgrind_switch import ValgrindSwitch

    prepared = Prepared(request)
    switch = ValgrindSwitch()
    prepared.warm_up()
    with switch:
        prepared.job(prepared.rounds)
    return {"evidence": prepared.end()}


def weighed(request: dict[str, object]) -> dict[str, object]:
    """What the process holds while the result of the job is alive, the profiler still at work."""
    prepared = Prepared(request)
    held = prepared.job(prepared.rounds)
    gc.collect()
    answer: dict[str, object] = {"private_bytes": private_bytes(), "evidence": prepared.end()}
    del held
    return answer


def macro(request: dict[str, object]) -> dict[str, object]:
    from benchmarks.profiler.pyperf_stand_in import run_script

    return run_script(request)


def accuracy(request: dict[str, object]) -> dict[str, object]:
    from benchmarks.profiler.known_allocations import compare

    return compare(request)


def main() -> None:
    request = json.loads(sys.argv[1])
    profilers.find(request.get("site_packages", ""))
    kinds = {"timed": timed, "counted": counted, "weighed": weighed, "macro": macro, "accuracy": accuracy}
    answer = kinds[request["kind"]](request)
    print("\n" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
