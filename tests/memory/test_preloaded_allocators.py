"""Other allocators in front of the C library's: what libraries take from them is recorded to the byte."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
#include <pthread.h>
#include <stdlib.h>

void *take(size_t size) { return malloc(size); }
void give(void *block) { free(block); }
static volatile int going;
static pthread_t threads[4];
static void *work(void *unused) {
    void *held[64] = {0};
    for (unsigned random = 1; going; random = random * 1664525u + 1013904223u) {
        void **at = &held[random >> 26];
        free(*at);
        *at = malloc(random >> 12 & 4095);
    }
    for (int i = 0; i < 64; ++i) free(held[i]);
    return unused;
}
void churn(void) {
    going = 1;
    for (int i = 0; i < 4; ++i) pthread_create(&threads[i], 0, work, 0);
}
void settle(void) {
    going = 0;
    for (int i = 0; i < 4; ++i) pthread_join(threads[i], 0);
}
"""

STEPS = """
import ctypes, os, random, sqlite3, sys, zlib
from ctypes import c_size_t, c_void_p
from flyweight import _memory, memory

assert sys.argv[2] in open("/proc/self/maps").read()
memory.start()
library, libc = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(None)
library.take.restype, library.give.argtypes = c_void_p, [c_void_p]
for name in ("calloc", "aligned_alloc", "realloc"):
    getattr(libc, name).restype = c_void_p
library.churn()
draw, live = random.Random(1), {}
for _ in range(10_000):
    what, size = draw.randrange(8), draw.choice([0, 1, 8, 15, 16, 17, 24, 5000, 70_000, draw.randrange(300)])
    if what < 4 or not live:
        if what == 0:
            block = libc.calloc(c_size_t(size), c_size_t(1))
        elif what == 1:
            block, size = libc.aligned_alloc(c_size_t(64), c_size_t(64 * size)), 64 * size
        elif what == 2:
            block = libc.realloc(None, c_size_t(size))
        else:
            block = library.take(c_size_t(size))
        assert block and block % 16 == 0 and block not in live, (what, size, block)
    elif what < 6:
        old = next(iter(live))
        del live[old]
        block, size = libc.realloc(c_void_p(old), c_size_t(size + 1)), size + 1
    else:
        block = draw.choice(list(live)[:50])
        del live[block]
        library.give(block)
        continue
    live[block] = size
library.settle()

def table(answer, columns):
    values = memoryview(answer).cast("q").tolist()
    return [dict(zip(columns, values[i : i + len(columns)])) for i in range(0, len(values), len(columns))]

recorded = {}
for row in table(_memory.sites(), _memory.SITE_COLUMNS):
    if _memory.DOMAINS[row["domain"]] == "native":
        blocks = memoryview(_memory.blocks(row["site"], 1 << 20)).cast("q").tolist()
        recorded.update(zip(blocks[0::3], blocks[1::3]))
wrong = {block: (size, recorded.get(block)) for block, size in live.items() if recorded.get(block) != size}
assert not wrong, (len(wrong), list(wrong.items())[:5])
of_threads = [site for site in memory.hot_paths(100_000) if site.file == site.library == sys.argv[1]]
assert of_threads and sum(site.live_count for site in of_threads) == 0
database = sqlite3.connect(":memory:")
database.execute("create table t (a)")
database.executemany("insert into t values (?)", ((number,) for number in range(2000)))
database.close()
assert zlib.decompress(zlib.compress(b"x" * 100_000)) == b"x" * 100_000
child = os.fork()
if child == 0:
    block = library.take(c_size_t(4321))
    sizes = [site.live_bytes for site in memory.hot_paths(100_000) if site.live_bytes == 4321]
    os._exit(0 if sizes else 1)
assert os.waitpid(child, 0)[1] == 0
assert table(_memory.status(), _memory.STATUS_COLUMNS)[0]["lost_frees"] == 0
memory.stop()
for block in live:
    library.give(block)
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc)")
    directory = tmp_path_factory.mktemp("preloaded")
    (directory / "native.c").write_text(SOURCE)
    command = ["cc", "-O1", "-fPIC", "-shared", "-pthread", "-fno-builtin", "native.c", "-o", "native.so"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return directory / "native.so"


@pytest.mark.parametrize("allocator", ["jemalloc", "tcmalloc_minimal", "mimalloc"])
def test_blocks_of_a_preloaded_allocator_are_recorded_to_the_byte(library: Path, allocator: str) -> None:
    name = ctypes.util.find_library(allocator)
    if name is None:
        pytest.skip(f"no {allocator} here")
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", STEPS, str(library), f"lib{allocator}"],
        env={**os.environ, "LD_PRELOAD": name},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outcome.returncode == 0, f"status {outcome.returncode}\n{outcome.stdout}\n{outcome.stderr}"
    assert "LD_PRELOAD" not in outcome.stderr, outcome.stderr
