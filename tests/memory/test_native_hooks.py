"""The native heap's hooks: what libraries take from malloc and mmap, whoever calls and however they are bound."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_process import run_script

# In every script: the sizes of recorded native blocks by address, and live bytes and blocks of a domain.
PRELUDE = """
import ctypes, errno, os, sys, time
from ctypes import c_char_p, c_int, c_long, c_size_t, c_void_p
from flyweight import _memory

def start(sampled=False):
    _memory.start(sampled=sampled, native=True, full_stacks=False, native_stacks=False, sample_interval_bytes=1 << 19,
                  own_limit_bytes=0, limit_bytes=0, seed=1, page="")

def table(answer, columns):
    values = memoryview(answer).cast("q").tolist()
    return [dict(zip(columns, values[i : i + len(columns)])) for i in range(0, len(values), len(columns))]

def live(domain):
    row = table(_memory.counters(), _memory.COUNTER_COLUMNS)[_memory.DOMAINS.index(domain)]
    return row["live_count"], row["current_bytes"]

def status():
    return table(_memory.status(), _memory.STATUS_COLUMNS)[0]

def sites(domain):
    number = _memory.DOMAINS.index(domain)
    return [row for row in table(_memory.sites(), _memory.SITE_COLUMNS) if row["domain"] == number]

def recorded():
    sizes = {}
    for row in sites("native"):
        blocks = memoryview(_memory.blocks(row["site"], 1 << 20)).cast("q").tolist()
        sizes.update(zip(blocks[0::3], blocks[1::3]))
    return sizes

def declare(library):
    for name, result, *arguments in (
        ("malloc", c_void_p, c_size_t), ("free", None, c_void_p), ("calloc", c_void_p, c_size_t, c_size_t),
        ("realloc", c_void_p, c_void_p, c_size_t), ("reallocarray", c_void_p, c_void_p, c_size_t, c_size_t),
        ("posix_memalign", c_int, c_void_p, c_size_t, c_size_t), ("aligned_alloc", c_void_p, c_size_t, c_size_t),
        ("memalign", c_void_p, c_size_t, c_size_t), ("valloc", c_void_p, c_size_t), ("pvalloc", c_void_p, c_size_t),
        ("strdup", c_void_p, c_char_p), ("dlopen", c_void_p, c_char_p, c_int), ("dlclose", c_int, c_void_p),
        ("mmap", c_void_p, c_void_p, c_size_t, c_int, c_int, c_int, c_long), ("munmap", c_int, c_void_p, c_size_t),
        ("mremap", c_void_p, c_void_p, c_size_t, c_size_t, c_int),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library

def load(path):
    library = ctypes.CDLL(path, use_errno=True)
    for name in ("take", "take_by_table", "bound", "slot"):
        getattr(library, name).restype = c_void_p
    library.take.argtypes = library.take_by_table.argtypes = [c_size_t]
    library.give.argtypes = library.give_by_table.argtypes = [c_void_p]
    library.errno_after.argtypes = library.churn.argtypes = [c_int]
    library.open_by_name.argtypes, library.open_by_name.restype = [c_char_p], c_void_p
    return library

PAGE = os.sysconf("SC_PAGESIZE")
ANONYMOUS, FIXED, MAY_MOVE = 0x22, 0x10, 1
FAILED = c_void_p(-1).value
"""

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

void *(*table_malloc)(size_t) = malloc;
void (*const table_free)(void *) = free;

void *take(size_t size) { return malloc(size); }
void give(void *block) { free(block); }
void *take_by_table(size_t size) { return table_malloc(size); }
void give_by_table(void *block) { table_free(block); }
void *bound(void) { return (void *)malloc; }
void *open_by_name(const char *name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL); }

int errno_after(int value) {
    errno = value;
    void *block = malloc(10);
    block = realloc(block, 100000);
    free(block);
    return errno;
}

static void *own(size_t size) { return calloc(1, size); }
void set_table(void) { table_malloc = own; }
int table_is_own(void) { return table_malloc == own; }

#if defined(__x86_64__)
void **slot(void) {
    void **address;
    __asm__("lea malloc@GOTPCREL(%%rip), %0" : "=r"(address));
    return address;
}
void steal(void) { *slot() = own; }
#else
void *slot(void) { return 0; }
void steal(void) {}
#endif

#define THREADS 4
static volatile int going;
static int rounds;
static pthread_t threads[THREADS];
static volatile long turns[THREADS];
static void *work(void *number) {
    void *held[64] = {0};
    unsigned random = (unsigned)(size_t)number * 7919 + 1;
    for (int i = 0; rounds ? i < rounds : going; ++i) {
        ++turns[(size_t)number];
        random = random * 1664525u + 1013904223u;
        void **at = &held[random >> 26];
        if (random & 256) {
            *at = realloc(*at, (random >> 12 & 4095) + 1);
        } else {
            free(*at);
            *at = malloc(random >> 12 & 4095);
        }
    }
    for (int i = 0; i < 64; ++i) free(held[i]);
    return 0;
}
void churn(int count) {
    going = 1;
    rounds = count;
    for (size_t i = 0; i < THREADS; ++i) pthread_create(&threads[i], 0, work, (void *)i);
}
void let_all_go_on(void) { /* until each has left the call it was in */
    for (int i = 0; i < THREADS; ++i)
        for (long seen = turns[i]; turns[i] - seen < 2;) usleep(100);
}
void settle(void) {
    going = 0;
    for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], 0);
}
static void *leave(void *size) { return malloc((size_t)size); }
void *take_on_a_thread(size_t size) {
    pthread_t thread;
    void *block = 0;
    pthread_create(&thread, 0, leave, (void *)size);
    pthread_join(thread, &block);
    return block;
}
"""

Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compiles the library above with more flags, under a name."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("libraries")
    source = directory / "native.c"
    source.write_text(SOURCE)

    def compile_as(name: str, *flags: str) -> Path:
        path = directory / f"{name}.so"
        if not path.exists():
            command = [compiler, "-O1", "-fPIC", "-shared", "-pthread", source, "-o", path, *flags, "-ldl"]
            subprocess.run(command, check=True, capture_output=True)
        return path

    return compile_as


def run(script: str, *arguments: str | Path) -> str:
    return run_script(PRELUDE + script, *arguments)


BINDINGS = {
    "lazy": ["-Wl,-z,lazy", "-Wl,-z,norelro"],
    "lazy_relro": ["-Wl,-z,lazy", "-Wl,-z,relro"],
    "now": ["-Wl,-z,now", "-Wl,-z,relro"],
    "without_plt": ["-fno-plt", "-Wl,-z,now", "-s"],
    "gnu_hash": ["-Wl,--hash-style=gnu", "-Wl,-z,lazy"],
}


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_library_is_recorded_however_it_is_bound_and_whenever_it_was_loaded(compiled: Compile, binding: str) -> None:
    before = compiled(f"{binding}_before", *BINDINGS[binding])
    after = compiled(f"{binding}_after", *BINDINGS[binding])
    run(
        """
first = load(sys.argv[1])
start()
second = load(sys.argv[2])
for library in first, second:
    direct, by_table = library.take(1000), library.take_by_table(2000)
    assert recorded()[direct] == 1000 and recorded()[by_table] == 2000
    library.give(by_table)
    library.give_by_table(direct)
    assert not {direct, by_table} & recorded().keys()
_memory.stop()
real = first.bound()
assert real == second.bound() == ctypes.cast(ctypes.CDLL(None).malloc, c_void_p).value
start()
assert first.bound() == second.bound() != real
_memory.stop()
assert first.bound() == second.bound() == real
""",
        before,
        after,
    )


def test_every_function_of_the_heap_records_the_size_that_was_asked_for() -> None:
    run(
        """
start()
libc = declare(ctypes.CDLL(None))
before = live("native")
aligned = c_void_p()
assert libc.posix_memalign(ctypes.addressof(aligned), 256, 9) == 0
blocks = {
    libc.malloc(100): 100, libc.calloc(7, 11): 77, libc.realloc(None, 5): 5, libc.reallocarray(None, 3, 50): 150,
    libc.aligned_alloc(64, 128): 128, libc.aligned_alloc(8, 8): 8, libc.memalign(4096, 1): 1, libc.valloc(3): 3,
    libc.strdup(b"hello"): 6, aligned.value: 9, libc.malloc(40_000_000): 40_000_000,
}
sizes = recorded()
assert {block: sizes.get(block) for block in blocks} == blocks
count, total = live("native")
assert (count - before[0], total - before[1]) == (len(blocks), sum(blocks.values()))
for block in blocks:
    libc.free(block)
assert live("native") == before
assert aligned.value % 256 == 0
"""
    )


def test_a_block_of_no_bytes_is_a_block() -> None:
    run(
        """
start()
libc = declare(ctypes.CDLL(None))
before = live("native")
blocks = [libc.malloc(0), libc.calloc(0, 8), libc.realloc(None, 0), libc.aligned_alloc(16, 0)]
assert live("native") == (before[0] + 4, before[1])
assert [recorded()[block] for block in blocks] == [0] * 4
for block in blocks:
    libc.free(block)
libc.free(None)
assert live("native") == before
"""
    )


def test_a_failed_realloc_leaves_the_old_record_and_one_to_nothing_frees() -> None:
    run(
        """
start()
libc = declare(ctypes.CDLL(None, use_errno=True))
before = live("native")
block = libc.malloc(1000)
ctypes.memset(block, 0x5A, 1000)
assert libc.realloc(block, 1 << 62) is None and ctypes.get_errno() == errno.ENOMEM
ctypes.set_errno(0)
assert libc.reallocarray(block, 1 << 62, 8) is None and ctypes.get_errno() == errno.ENOMEM
assert recorded()[block] == 1000 and ctypes.string_at(block, 1000) == b"\\x5a" * 1000
assert libc.calloc(1 << 62, 8) is None
assert libc.malloc(1 << 62) is None
assert live("native") == (before[0] + 1, before[1] + 1000)
block = libc.realloc(block, 100_000)
assert recorded()[block] == 100_000 and ctypes.string_at(block, 1000) == b"\\x5a" * 1000
nothing = libc.realloc(block, 0)
if nothing is not None:  # an allocator other than the C library's
    assert recorded()[nothing] == 0
    libc.free(nothing)
assert live("native") == before
"""
    )


def test_hooks_leave_errno_alone(compiled: Compile) -> None:
    run("library = load(sys.argv[1])\nstart()\nassert library.errno_after(77) == 77", compiled("plain"))


def test_blocks_from_before_are_freed_and_counted_as_untracked(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
blocks = [library.take(100) for _ in range(50)]
start()
before, untracked = live("native"), status()["untracked_frees"]
for block in blocks:
    library.give(block)
assert live("native") == before
assert status()["untracked_frees"] >= untracked + 50
""",
        compiled("plain"),
    )


def test_a_thread_without_python_is_recorded_under_its_library(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
library.take_on_a_thread.restype, library.take_on_a_thread.argtypes = c_void_p, [c_size_t]
start()
block = library.take_on_a_thread(12345)
site, = (row for row in sites("native") if row["live_bytes"] == 12345)
assert _memory.string(site["file"]) == sys.argv[1], _memory.string(site["file"])
assert (site["live_count"], site["largest_bytes"]) == (1, 12345)
library.give(block)
""",
        compiled("plain"),
    )


def test_threads_without_python_are_counted_exactly(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
start()
library.churn(20_000)
library.settle()
rows = [row for row in sites("native") if _memory.string(row["file"]) == sys.argv[1]]
assert sum(row["total_count"] for row in rows) > 60_000
assert [(row["live_count"], row["live_bytes"]) for row in rows] == [(0, 0)] * len(rows)
assert status()["lost_frees"] == 0
""",
        compiled("plain"),
    )


def test_hooks_come_and_go_under_running_threads(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
library.churn(0)
for _ in range(40):
    start()
    _memory.tick()
    _memory.stop()
library.let_all_go_on()  # calls that are inside a hook across a stop and a start may be counted by halves
start()
library.settle()
rows = [row for row in sites("native") if _memory.string(row["file"]) == sys.argv[1]]
assert [(row["live_count"], row["live_bytes"]) for row in rows] == [(0, 0)] * len(rows)
""",
        compiled("plain"),
    )


def test_a_library_that_was_closed_and_opened_again_is_recorded_again(compiled: Compile) -> None:
    run(
        """
import _ctypes
start()
for _ in range(20):
    library = load(sys.argv[1])
    block = library.take(777)
    assert recorded()[block] == 777
    library.give(block)
    _ctypes.dlclose(library._handle)
""",
        compiled("now_after", *BINDINGS["now"]),
    )


@pytest.mark.parametrize("tag", ["--enable-new-dtags", "--disable-new-dtags"])
def test_a_library_that_opens_another_by_name_finds_it_where_its_own_search_path_says(
    compiled: Compile, tag: str
) -> None:
    neighbour = compiled("libflyweight_neighbour")
    opener = compiled(f"opener{tag}", f"-Wl,{tag}", "-Wl,-rpath,$ORIGIN")
    stranger = compiled("plain")
    run(
        """
start()
opener, stranger = load(sys.argv[1]), load(sys.argv[2])
name = sys.argv[3].encode()
assert stranger.open_by_name(name) is None
assert opener.open_by_name(name)
assert opener.open_by_name(b"libm.so.6")
assert opener.open_by_name(b"libflyweight_nowhere.so") is None
assert opener.open_by_name(None)
opened = load(sys.argv[4])
block = opened.take(4321)
assert recorded()[block] == 4321
opened.give(block)
""",
        opener,
        stranger,
        neighbour.name,
        neighbour,
    )


def test_a_library_s_own_function_in_a_table_stays(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
library.set_table()
start()
assert library.table_is_own()
_memory.probe()
assert not status()["displaced_native"]
_memory.stop()
assert library.table_is_own()
""",
        compiled("plain"),
    )


def test_a_slot_that_another_tool_took_is_left_to_it_and_reported(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
if library.slot() is None:
    sys.exit()
start()
for _ in range(3):
    _memory.tick()
_memory.probe()
assert not status()["displaced_native"]
library.steal()
taken = c_void_p.from_address(library.slot()).value
_memory.probe()
_memory.tick()
assert status()["displaced_native"]
assert c_void_p.from_address(library.slot()).value == taken
_memory.stop()
assert c_void_p.from_address(library.slot()).value == taken
""",
        compiled("without_relro", "-fno-plt", "-Wl,-z,norelro"),
    )


def test_a_library_that_is_met_before_it_is_relocated_is_recorded_afterwards(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
if library.slot() is None:
    sys.exit()
slot = c_void_p.from_address(library.slot())
real = slot.value
for _ in range(5):  # what looks unfinished for two seconds is taken for finished
    slot.value = 0x1036  # as in the file: where the stub is, from the beginning of the library
    begun = time.monotonic()
    start()
    for _ in range(3):
        _memory.tick()
        _memory.probe()
    slot.value = real
    _memory.tick()
    patched, in_time = slot.value != real, time.monotonic() - begun < 1.5
    if patched:
        block = library.take(1000)
        assert recorded()[block] == 1000
        library.give(block)
    _memory.stop()
    assert slot.value == real
    if in_time:
        assert patched
        break
""",
        compiled("without_relro", "-fno-plt", "-Wl,-z,norelro"),
    )


def test_anonymous_mappings_are_counted_in_whole_pages_through_every_change() -> None:
    run(
        """
start()
libc = declare(ctypes.CDLL(None))
count, total = live("mapped")
def pages():
    now = live("mapped")
    assert (now[1] - total) % PAGE == 0
    return now[0] - count, (now[1] - total) // PAGE
start_of = libc.mmap(None, 10 * PAGE - 5, 3, ANONYMOUS, -1, 0)
assert pages() == (1, 10)
assert libc.munmap(start_of + 3 * PAGE, PAGE) == 0
assert pages() == (2, 9)
assert libc.mmap(start_of + 5 * PAGE, PAGE, 3, ANONYMOUS | FIXED, -1, 0) == start_of + 5 * PAGE
assert pages() == (4, 9)
assert libc.munmap(start_of + 1, PAGE) == -1
assert pages() == (4, 9)
assert libc.munmap(start_of, 10 * PAGE) == 0
assert pages() == (0, 0)
block = libc.mmap(None, 4 * PAGE, 3, ANONYMOUS, -1, 0)
block = libc.mremap(block, 4 * PAGE, 1000 * PAGE, MAY_MOVE)
assert pages() == (1, 1000)
assert libc.mremap(block, 1000 * PAGE, 1 << 60, MAY_MOVE) == FAILED
assert pages() == (1, 1000)
assert libc.mremap(block, 1000 * PAGE, PAGE, 0) == block
assert pages() == (1, 1)
libc.munmap(block, PAGE)
assert pages() == (0, 0)
"""
    )


def test_mapped_files_are_not_charged(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(100_000))
    run(
        """
import mmap
start()
before, files = live("mapped"), status()["file_mapping_bytes"]
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
    assert live("mapped") == before
    assert status()["file_mapping_bytes"] - files == -(-100_000 // PAGE) * PAGE
    anonymous = mmap.mmap(-1, 5 * PAGE)
    assert live("mapped") == (before[0] + 1, before[1] + 5 * PAGE)
    anonymous.close()
assert (live("mapped"), status()["file_mapping_bytes"]) == (before, files)
""",
        path,
    )


def test_an_array_is_counted_whichever_allocator_numpy_uses() -> None:
    run(
        """
import numpy as np
start()
np.ones(10).sum()
def both():
    return live("python")[1] + live("native")[1]
before = both()
array = np.empty(1_000_000)
assert 0 <= both() - before - array.nbytes < 5000
del array
assert both() - before < 5000
"""
    )


def test_databases_and_compressors_give_back_what_they_took() -> None:
    run(
        """
import sqlite3, zlib
start()
before = live("native")[1]
database = sqlite3.connect(":memory:")
database.execute("create table t (a, b)")
database.executemany("insert into t values (?, ?)", ((i, str(i)) for i in range(5000)))
assert live("native")[1] - before > 50_000
database.close()
assert abs(live("native")[1] - before) < 10_000
everywhere = live("native")[1] + live("python")[1]
compressors = [zlib.compressobj() for _ in range(10)]
assert live("native")[1] + live("python")[1] - everywhere > 1_000_000
"""
    )


def test_sampled_recording_leaves_most_blocks_as_they_were(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
start(sampled=True)
blocks = [library.take(5000) for _ in range(4000)]
chosen = recorded().keys() & set(blocks)
assert 5 < len(chosen) < 200
for block in blocks:
    library.give(block)
assert not recorded().keys() & chosen
library.churn(20_000)
library.settle()
""",
        compiled("plain"),
    )


def test_a_child_of_a_fork_goes_on_recording(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
start()
kept = library.take(1234)
library.churn(0)
for _ in range(4):
    child = os.fork()
    if child == 0:
        block = library.take(4321)
        sizes = recorded()
        right = sizes[kept] == 1234 and sizes[block] == 4321
        library.give(kept)
        library.give(block)
        late = load(sys.argv[2]).take(99)
        sizes = recorded()
        right = right and not sizes.keys() & {kept, block} and sizes[late] == 99
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
library.settle()
assert recorded()[kept] == 1234
""",
        compiled("plain"),
        compiled("now_after", *BINDINGS["now"]),
    )
