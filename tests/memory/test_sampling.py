"""Sampled mode estimates without bias, within the error it states. A thousand seeds: test_sampler.cpp."""

from __future__ import annotations

import subprocess
import sys

from bare_process import run_script

from tests.soak import sampled_estimates


def test_intervals_of_a_hundred_seeds_hold_the_truth_as_often_as_they_say() -> None:
    outcome = subprocess.run(
        [sys.executable, sampled_estimates.__file__, "--seeds", "100"], capture_output=True, text=True, timeout=300
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


SAMPLED = """
import gc
from flyweight import memory, _memory
gc.disable()
one = b"x"
def allocate(sizes):
    return [one * size for size in sizes]
def estimate(seed, sizes):
    memory.start("sampled", native=False, sample_interval=4096, seed=seed, publish=False)
    kept = allocate(sizes)
    found = memoryview(_memory.counters()).cast("q")[3 * 7]
    del kept
    left = memoryview(_memory.counters()).cast("q")[3 * 7]
    memory.stop()
    return found, left
sizes = [200] * 20000
estimate(1, sizes)
"""


def test_live_estimates_fall_to_nothing_when_everything_is_returned() -> None:
    run_script(
        SAMPLED
        + """
for seed in range(5):
    found, left = estimate(seed, sizes)
    truth = 233 * len(sizes)
    assert abs(found - truth) < 0.25 * truth, (found, truth)
    assert left < 0.05 * truth, left
"""
    )


def test_other_seeds_give_other_samples() -> None:
    run_script(SAMPLED + "assert len({estimate(seed, sizes)[0] for seed in range(5)}) > 1\n")


def test_a_thread_that_lived_through_another_session_is_sampled_at_once() -> None:
    run_script(
        """
import threading
from flyweight import memory, _memory
one, go, done, kept = b"x", threading.Event(), threading.Event(), []
def work():
    for round in range(2):
        go.wait(); go.clear()
        kept.extend([one * 1000 for _ in range(5000)])
        done.set()
thread = threading.Thread(target=work)
thread.start()
def round():
    go.set(); done.wait(); done.clear()
memory.start("exact", stacks="full", native=False, publish=False)
round()
memory.stop()
memory.start("sampled", sample_interval=4096, native=False, publish=False)
round()
found = memoryview(_memory.counters()).cast("q")[3 * 7]
memory.stop()
thread.join()
assert 4e6 < found < 7e6, found
"""
    )
