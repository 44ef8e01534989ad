"""Exact mode counts what a line of Python allocates, to the byte: known objects, measured without any help."""

from __future__ import annotations

import pytest
from bare_process import run_script

# In front of each script: the row of a marked line of the script itself.
PRELUDE = """
import gc, sys
from flyweight import _memory
gc.disable()
LINE = 2

def start(native=False, **options):
    settings = dict(sampled=False, native=native, full_stacks=False, native_stacks=False,
                    sample_interval_bytes=524288, own_limit_bytes=0, limit_bytes=0, seed=1, page="")
    _memory.start(**{**settings, **options})

# With a function, the line below its first: where it allocates. With a name, all its lines.
def row(function, domain=0):
    name = getattr(function, "__qualname__", function)
    line = None if function is name else function.__code__.co_firstlineno + LINE
    columns = _memory.SITE_COLUMNS
    words = memoryview(_memory.sites()).cast("q")
    rows = [dict(zip(columns, words[at:at + len(columns)])) for at in range(0, len(words), len(columns))]
    found = [r for r in rows if _memory.string(r["function"]) == name and r["domain"] == domain]
    found = [r for r in found if line in (None, r["line"])]
    return {column: sum(r[column] for r in found) for column in columns}

def counted(function, domain=0):
    r = row(function, domain)
    return r["total_count"], r["total_bytes"], r["live_count"], r["live_bytes"]

def status(name):
    return memoryview(_memory.status()).cast("q")[_memory.STATUS_COLUMNS.index(name)]
"""


def run(script: str) -> str:
    return run_script(PRELUDE + script)


@pytest.mark.parametrize("native", [False, True])
def test_objects_of_known_sizes_are_counted_to_the_byte(native: bool) -> None:
    run(
        f"""
sizes = [2 + i * 37 % 3000 for i in range(20000)]
slots = [None] * 500
one = b"x"
def fill(pairs):
    for slot, size in pairs:
        slots[slot] = one * size
pairs = [(place % 500, size) for place, size in enumerate(sizes)]
start(native={native})
fill(pairs)
held = [sys.getsizeof(value) for value in slots]
assert counted(fill) == (20000, sum(33 + size for size in sizes), 500, sum(held)), counted(fill)
assert row(fill)["largest_bytes"] == 33 + max(sizes)
slots[:] = [None] * 500
assert counted(fill)[2:] == (0, 0)
_memory.stop()
"""
    )


def test_a_growing_buffer_is_one_block_that_is_taken_again() -> None:
    run(
        """
chunk = b"y" * 100
def grow(buffer, times):
    for _ in times:
        buffer += chunk
def capacities(times):
    buffer, seen, last = bytearray(), [], 0
    for _ in times:
        buffer += chunk
        if buffer.__alloc__() != last:
            last = buffer.__alloc__()
            seen.append(last)
    return seen
times = [None] * 5000
expected = capacities(times)
buffer = bytearray()
start()
grow(buffer, times)
total, size, live, held = counted(grow)
assert (total, size) == (len(expected), sum(expected)), (total, size, len(expected), sum(expected))
assert (live, held) == (1, buffer.__alloc__())
peak = row(grow)["peak_bytes"]
assert peak == max(expected), (peak, max(expected))
_memory.stop()
"""
    )


def test_what_fails_for_its_size_is_not_counted() -> None:
    run(
        """
def fail():
    try: bytearray(1 << 62)
    except MemoryError: pass
def fail_to_grow(buffer):
    try: buffer *= 1 << 45
    except MemoryError: pass
buffer = bytearray(b"z" * 1000)
fail(), fail_to_grow(buffer)
start(native=True)
for _ in range(100): fail(), fail_to_grow(buffer)
assert row("fail")["largest_bytes"] < 10000 and row("fail_to_grow")["largest_bytes"] < 10000
assert row("fail")["live_bytes"] == 0 == row("fail_to_grow")["live_bytes"]
_memory.stop()
"""
    )


def test_blocks_from_before_are_returned_and_counted_as_untracked() -> None:
    run(
        """
def make(): return [b"v" * (100 + i % 900) for i in range(10000)]
old = make()
start(native=True)
before = status("untracked_frees")
current = memoryview(_memory.counters()).cast("q")[3 * 7]
del old
assert status("untracked_frees") - before >= 10000
after = memoryview(_memory.counters()).cast("q")[3 * 7]
assert abs(after - current) < 5000, after - current
assert status("lost_frees") == 0
_memory.stop()
"""
    )


def test_destructors_and_collector_callbacks_may_allocate() -> None:
    run(
        """
import weakref
kept = []
one = b"w"
class Owner:
    def __init__(self): self.me = self
    def __del__(self): kept.append(one * 3000)
def on_collection(phase, info): kept.append(one * 5000)
def on_death(reference): kept.append(one * 7000)
kept.extend([None] * 1000); kept.clear()
start(native=True)
gc.callbacks.append(on_collection)
references = []
for _ in range(50):
    owner = Owner()
    references.append(weakref.ref(owner, on_death))
    del owner
    gc.collect()
gc.callbacks.clear()
for function, count, size in (("Owner.__del__", 50, 3033), ("on_collection", 100, 5033), ("on_death", 50, 7033)):
    found = [row(function)["largest_bytes"], row(function)["live_bytes"] // size]
    assert found == [size, count] or found[1] >= count, (function, found)
_memory.stop()
"""
    )


def test_mappings_of_a_line_are_counted_in_pages_and_follow_a_resize() -> None:
    run(
        """
import mmap
page = mmap.PAGESIZE
def make(size):
    return mmap.mmap(-1, size)
def grow(area, size):
    area.resize(size)
warm = make(page); grow(warm, 2 * page); warm.close()
start(native=True)
area = make(10 * page - 7)
assert counted("make", 2) == (1, 10 * page, 1, 10 * page), counted("make", 2)
try:
    grow(area, 100 * page)
except (SystemError, ValueError):  # no mremap
    pass
else:
    assert counted("make", 2)[2:] == (0, 0)
    assert counted("grow", 2) == (1, 100 * page, 1, 100 * page), counted("grow", 2)
area.close()
assert counted("grow", 2)[2:] == (0, 0) and counted("make", 2)[2:] == (0, 0)
_memory.stop()
"""
    )


def test_the_c_library_through_ctypes_is_counted_on_the_line_that_calls() -> None:
    run(
        """
import ctypes
libc = ctypes.CDLL(None)
malloc, realloc, free = libc.malloc, libc.realloc, libc.free
malloc.restype = realloc.restype = ctypes.c_void_p
malloc.argtypes, free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
def take(sizes): return [malloc(size) for size in sizes]
def resize(blocks, size): return [realloc(block, size) for block in blocks]
def give(blocks):
    for block in blocks: free(block)
sizes = [0, 1, 100, 70000] * 100
start(native=True)
# Found again after the start: the pointers that ctypes looked up before lead past the hooks.
libc = ctypes.CDLL(None)
malloc, realloc, free = libc.malloc, libc.realloc, libc.free
malloc.restype = realloc.restype = ctypes.c_void_p
malloc.argtypes, free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
name = lambda f: f + ".<locals>.<listcomp>" if sys.version_info < (3, 12) else f
blocks = take(sizes)
assert counted(name("take"), 1)[:2] == (400, sum(sizes)), counted(name("take"), 1)
blocks = resize(blocks, 333)
assert counted(name("take"), 1)[2:] == (0, 0), counted(name("take"), 1)
assert counted(name("resize"), 1) == (400, 400 * 333, 400, 400 * 333), counted(name("resize"), 1)
huge = [1 << 62]
assert realloc(blocks[0], huge[0]) is None
assert counted(name("resize"), 1)[2:] == (400, 400 * 333)
give(blocks)
assert counted(name("resize"), 1)[2:] == (0, 0)
_memory.stop()
"""
    )


def test_sums_of_sites_equal_the_totals() -> None:
    run(
        """
start(native=True)
import json
kept = [json.loads(json.dumps({str(i): [i] * 10})) for i in range(2000)]
def together():
    # Both answers exist before they are compared; reading the sites first leaves its own row out of neither.
    sites, counters = _memory.sites(), _memory.counters()
    return memoryview(sites).cast("q"), memoryview(counters).cast("q")
together()
words, counters = together()
columns = _memory.SITE_COLUMNS
here = row("together")
for domain in range(3):
    rows = [dict(zip(columns, words[at:at + len(columns)])) for at in range(0, len(words), len(columns))]
    rows = [r for r in rows if r["domain"] == domain and _memory.string(r["function"]) != "together"]
    totals = dict(zip(_memory.COUNTER_COLUMNS, counters[domain * 7:domain * 7 + 7]))
    if domain == 0: continue  # its own answer is in it: below
    assert totals["current_bytes"] == sum(r["live_bytes"] for r in rows)
    assert totals["allocation_count"] == sum(r["total_count"] for r in rows)
    assert totals["live_count"] == sum(r["live_count"] for r in rows)
_memory.stop()
# Stopped, nothing moves any more.
words, counters = together()
for domain in range(4):
    rows = [dict(zip(columns, words[at:at + len(columns)])) for at in range(0, len(words), len(columns))]
    rows = [r for r in rows if domain == 3 or r["domain"] == domain]
    totals = dict(zip(_memory.COUNTER_COLUMNS, counters[domain * 7:domain * 7 + 7]))
    assert totals["current_bytes"] == sum(r["live_bytes"] for r in rows)
    assert totals["allocated_bytes"] == sum(r["total_bytes"] for r in rows)
    assert totals["allocation_count"] == sum(r["total_count"] for r in rows)
    assert totals["live_count"] == sum(r["live_count"] for r in rows)
    assert totals["current_bytes"] == totals["allocated_bytes"] - totals["freed_bytes"]
assert sum(r["live_bytes"] for r in rows) > 1000000
"""
    )
