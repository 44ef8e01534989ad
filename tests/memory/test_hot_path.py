"""Recording an allocation from a known place takes no lock and allocates nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bare_process import run_script

from tests.soak import allocation_model

WORK = """
import gc, sys
from flyweight import _memory
gc.disable()
one = b"x"
slots = [None] * 100
pairs = [(i % 100, 2 + i * 31 % 400) for i in range(100000)]
def allocate():
    for slot, size in pairs:
        slots[slot] = one * size
def start(native):
    # Samples take the slow path by design: one in a gigabyte is none.
    _memory.start(sampled=False, native=native, full_stacks=False, native_stacks=False,
                  sample_interval_bytes=1 << 40, own_limit_bytes=0, limit_bytes=0, seed=1, page="")
def locks_taken():
    return memoryview(_memory.status()).cast("q")[_memory.STATUS_COLUMNS.index("slow_lock_taken")]
"""

# Counts, for the calling thread, what it asks of the C library; everything is passed on.
COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
static __thread long calls __attribute__((tls_model("initial-exec")));
long calls_so_far(void) { return calls; }
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t size) { ++calls; return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { ++calls; return __libc_calloc(count, size); }
void *realloc(void *block, size_t size) { ++calls; return __libc_realloc(block, size); }
#define PASS(type, name, parameters, arguments)                                      \
    type name parameters {                                                           \
        static type (*real) parameters;                                              \
        if (!real) real = (type (*) parameters)dlsym(RTLD_NEXT, #name);              \
        ++calls;                                                                     \
        return real arguments;                                                       \
    }
PASS(void *, mmap, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))
PASS(int, madvise, (void *a, size_t b, int c), (a, b, c))
PASS(int, pthread_mutex_lock, (pthread_mutex_t *a), (a))
PASS(int, pthread_mutex_trylock, (pthread_mutex_t *a), (a))
PASS(int, pthread_cond_timedwait, (pthread_cond_t *a, pthread_mutex_t *b, const struct timespec *c), (a, b, c))
"""


@pytest.mark.parametrize("native", [False, True])
def test_a_hundred_thousand_allocations_from_known_places_take_no_lock(native: bool) -> None:
    run_script(
        WORK
        + f"""
start({native})
allocate()
# The ticker takes the lock four times a second: the best of a few runs is without it.
taken = []
for _ in range(20):
    before = locks_taken()
    allocate()
    taken.append(locks_taken() - before)
assert min(taken) == 0, taken
_memory.stop()
"""
    )


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (reason := allocation_model.missing_tool()) is not None:
        pytest.skip(f"the counting library is compiled: {reason}")
    directory = tmp_path_factory.mktemp("counter")
    source, library = directory / "counter.c", directory / "counter.so"
    source.write_text(COUNTER)
    command = ["cc", "-O1", "-w", "-fno-builtin", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.mark.parametrize("native", [False, True])
def test_a_hundred_thousand_allocations_ask_the_c_library_for_nothing(counter: Path, native: bool) -> None:
    script = (
        WORK
        + f"""
import ctypes
calls_so_far = ctypes.PyDLL(sys.argv[1]).calls_so_far
calls_so_far.restype = ctypes.c_long
def calls():
    before = calls_so_far()
    allocate()
    return calls_so_far() - before
calls()
plain = min(calls() for _ in range(3))
start({native})
calls()
recorded = min(calls() for _ in range(5))
_memory.stop()
assert recorded == plain, (recorded, plain)
assert plain < 100  # small objects: Python itself asks for nothing either
"""
    )
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", script, str(counter)],
        env={**os.environ, "LD_PRELOAD": str(counter)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_profilers_own_data_does_not_grow_with_what_is_returned() -> None:
    run_script(
        WORK
        + """
start(True)
allocate()
names = _memory.OWN_COLUMNS
before = dict(zip(names, memoryview(_memory.own_memory()).cast("q")))
for _ in range(5): allocate()
after = dict(zip(names, memoryview(_memory.own_memory()).cast("q")))
for name in ("site_bytes", "stack_bytes", "sample_bytes"):
    assert after[name] - before[name] <= 4096, (name, before, after)
assert after["shadow_bytes"] - before["shadow_bytes"] <= 65536, (before, after)
_memory.stop()
"""
    )
