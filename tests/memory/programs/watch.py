"""Runs one labelled program under the profiler and prints its verdicts as JSON: watch.py PROGRAM SECONDS [MODE]"""

import array
import importlib
import itertools
import json
import os
import sys
import time

PARTS = 10


class StepClock:
    """Time as a program sees it: its own sleeps. What it does within a second is the same on a busy machine, where that
    second takes longer. uneven: so much longer at some time than at others that it was another program, or one that
    stood still for as long as a window of its history."""

    def __init__(self, seconds):
        self._now = 0.0
        self._part_s = seconds / PARTS
        self._marks = array.array("d", [time.monotonic()] * (PARTS + 1))  # no object that would stay
        self._next = 1
        self._last = array.array("d", [self._marks[0], 0.0])  # when it woke, and the longest it took

    def monotonic(self):
        return self._now

    def sleep(self, seconds):
        time.sleep(seconds)
        self._now += seconds
        now = time.monotonic()
        self._last[1] = max(self._last[1], now - self._last[0])
        self._last[0] = now
        if self._next <= PARTS and self._now >= self._next * self._part_s - 1e-6:
            self._marks[self._next] = now
            self._next += 1

    @property
    def elapsed_s(self):
        return self._marks[self._next - 1] - self._marks[0]

    @property
    def uneven(self):
        parts = [later - earlier for earlier, later in itertools.pairwise(self._marks)]
        return max(parts) > self.elapsed_s / 4 or self._last[1] > self.elapsed_s / 20


def main(name: str, seconds: float, mode: str = "exact") -> None:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    program = importlib.import_module(name)
    # Loaded before, as they would be in a program that is watched for hours.
    from flyweight import memory
    from flyweight.memory.holders import holders
    from flyweight.memory.leaks import leaks
    from flyweight.memory.steady import is_steady_state

    memory.start(mode=mode, publish=False, **({"sample_interval": 1024, "seed": 1} if mode == "sampled" else {}))
    clock = program.time = StepClock(seconds)
    program.run(seconds)
    elapsed_s = clock.elapsed_s
    verdicts = leaks(min_age_s=elapsed_s / 3, min_size=1024, include_steady=True)
    steady = is_steady_state(limit_bytes=1024 * 1024, window_s=0.6 * elapsed_s)
    held = [
        holders(leak).to_dict()
        for leak in verdicts
        if leak.verdict == "growing" and leak.domain == "python" and leak.file == program.__file__
    ]
    memory.stop()
    found = {"leaks": [leak.to_dict() for leak in verdicts], "steady": steady.to_dict(), "held": held}
    print(json.dumps({**found, "elapsed_s": elapsed_s, "uneven": clock.uneven}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
