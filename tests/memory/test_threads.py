"""Threads that return each other's blocks, outlive a recording, or fork in the middle of it."""

from __future__ import annotations

import pytest
from bare_process import run_script

# Workers put blocks into slots that any of them may empty; `allocate` is the only line that allocates them.
EXCHANGE = """
import gc, os, sys, threading, random
from flyweight import _memory
gc.disable()
sys.setswitchinterval(1e-5)
one = b"x"
slots = [None] * 997
def allocate(pairs):
    for slot, size in pairs:
        slots[slot] = one * size
def start(native):
    _memory.start(sampled=False, native=native, full_stacks=False, native_stacks=False, sample_interval_bytes=65536,
                  own_limit_bytes=0, limit_bytes=0, seed=1, page="")
def row(function):
    line = function.__code__.co_firstlineno + 2  # where it allocates
    columns = _memory.SITE_COLUMNS
    words = memoryview(_memory.sites()).cast("q")
    rows = [dict(zip(columns, words[at:at + len(columns)])) for at in range(0, len(words), len(columns))]
    found = [r for r in rows if _memory.string(r["function"]) == function.__qualname__]
    found = [r for r in found if r["domain"] == 0 and r["line"] == line]
    return {column: sum(r[column] for r in found) for column in columns}
def pairs(seed, count):
    generator = random.Random(seed)
    return [(generator.randrange(len(slots)), generator.randrange(2, 2000)) for _ in range(count)]
def held():
    values = [value for value in slots if value is not None]
    return len(values), sum(map(sys.getsizeof, values))
"""


@pytest.mark.parametrize("native", [False, True])
def test_a_hundred_threads_of_python_lose_nothing(native: bool) -> None:
    run_script(
        EXCHANGE
        + f"""
work = [pairs(seed, 2000) for seed in range(100)]
start({native})
threads = [threading.Thread(target=allocate, args=(each,)) for each in work]
for thread in threads: thread.start()
for thread in threads: thread.join()
found = row(allocate)
assert found["total_count"] == 200000, found
assert found["total_bytes"] == sum(33 + size for each in work for _, size in each), found
assert (found["live_count"], found["live_bytes"]) == held(), (found, held())
slots[:] = [None] * len(slots)
assert row(allocate)["live_bytes"] == 0
_memory.stop()
"""
    )


def test_threads_may_outlive_a_recording_and_meet_the_next() -> None:
    run_script(
        EXCHANGE
        + """
import zlib
ending = False
def churn(seed):
    work = pairs(seed, 500)
    while not ending:
        allocate(work)
        zlib.compress(b"text" * 5000)  # without the GIL, from the native heap
threads = [threading.Thread(target=churn, args=(seed,), daemon=True) for seed in range(12)]
for thread in threads: thread.start()
for recording in range(12):
    start(native=recording % 2 == 0)
    _memory.sites(), _memory.ages(0, 0), _memory.own_memory(), _memory.tick()
    _memory.stop()
ending = True
for thread in threads: thread.join()
start(True)
slots[:] = [None] * len(slots)
allocate(pairs(1, 1000))
found = row(allocate)
assert (found["live_count"], found["live_bytes"]) == held(), (found, held())
_memory.stop()
"""
    )


def test_reports_are_read_while_threads_allocate() -> None:
    run_script(
        EXCHANGE
        + """
start(True)
threads = [threading.Thread(target=allocate, args=(pairs(seed, 20000),)) for seed in range(8)]
for thread in threads: thread.start()
reads = 0
while any(thread.is_alive() for thread in threads):
    count = memoryview(_memory.ages(0, 0)).cast("q")
    number = memoryview(_memory.sites()).cast("q")
    _memory.counters(), _memory.samples(), _memory.series(), _memory.histories(), _memory.own_memory()
    reads += 1
assert reads > 0
found = row(allocate)
assert (found["total_count"], found["live_count"], found["live_bytes"]) == (160000, *held()), (found, held())
_memory.stop()
"""
    )


def test_a_fork_in_the_middle_gives_the_child_a_correct_picture() -> None:
    run_script(
        EXCHANGE
        + """
import warnings
warnings.simplefilter("ignore")  # of forks with threads: what is tested here
start(True)
ending = False
others = [None] * 100
def churn():
    while not ending:
        for i in range(100): others[i] = one * (100 + i)
threads = [threading.Thread(target=churn, daemon=True) for _ in range(6)]
for thread in threads: thread.start()
allocate(pairs(1, 5000))
for number in range(8):
    child = os.fork()
    if child == 0:
        allocate(pairs(number + 2, 5000))
        found = row(allocate)
        good = found["total_count"] == 5000 * 2 and (found["live_count"], found["live_bytes"]) == held()
        os.write(2, b"" if good else repr((found, held())).encode())
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ending = True
for thread in threads: thread.join()
found = row(allocate)
assert (found["total_count"], found["live_count"], found["live_bytes"]) == (5000, *held()), (found, held())
_memory.stop()
"""
    )
