"""Which library asked for a native block: exactly, for C and C++ libraries, whoever else works on the same line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_process import run_script

# Of each site in the native and mapped domains: (line, function, library), and its counts.
PRELUDE = """
import ctypes, os, random, sys
from ctypes import c_int, c_size_t, c_void_p
from flyweight import _memory, memory

def load(path):
    library = ctypes.CDLL(path)
    for name in TAKERS:
        if hasattr(library, name):
            getattr(library, name).restype, getattr(library, name).argtypes = c_void_p, [c_size_t]
    library.give.restype, library.give.argtypes = None, [c_void_p]
    return library

FORMS = ["take_new", "take_array", "take_nothrow", "take_array_nothrow", "take_aligned", "take_array_aligned",
         "take_aligned_nothrow", "take_array_aligned_nothrow"]
TAKERS = ["take", "take_copy", "take_pages", "take_on_a_thread", *FORMS]

def sites(domain="native"):
    return [site for site in memory.hot_paths(100_000) if site.domain == domain]

def by_library(domain="native"):
    live = {}
    for site in sites(domain):
        count, size = live.get(site.library, (0, 0))
        live[site.library] = count + site.live_count, size + site.live_bytes
    return live
"""

C_SOURCE = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *take(size_t size) { return malloc(size); }
void give(void *block) { free(block); }
void *take_copy(size_t size) {
    char text[1000];
    memset(text, 'x', size - 1), text[size - 1] = 0;
    return strdup(text);
}
void *take_pages(size_t size) { return mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void *leave(void *size) { return malloc((size_t)size); }
void *take_on_a_thread(size_t size) {
    pthread_t thread;
    void *block = 0;
    pthread_create(&thread, 0, leave, (void *)size);
    pthread_join(thread, &block);
    return block;
}
static volatile int going;
static pthread_t threads[4];
static void *work(void *unused) {
    while (going) free(malloc(100));
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

CPP_SOURCE = """
#include <cstdlib>
#include <new>
#include <stdexcept>
#define EXPORT extern "C" __attribute__((visibility("default"), noinline))

EXPORT void *take(size_t size) { return malloc(size); }
EXPORT void give(void *block) { free(block); }
EXPORT void *take_new(size_t size) { return operator new(size); }
EXPORT void *take_array(size_t size) { return operator new[](size); }
EXPORT void *take_nothrow(size_t size) { return operator new(size, std::nothrow); }
EXPORT void *take_array_nothrow(size_t size) { return operator new[](size, std::nothrow); }
constexpr std::align_val_t kLine{64};
EXPORT void *take_aligned(size_t size) { return operator new(size, kLine); }
EXPORT void *take_array_aligned(size_t size) { return operator new[](size, kLine); }
EXPORT void *take_aligned_nothrow(size_t size) { return operator new(size, kLine, std::nothrow); }
EXPORT void *take_array_aligned_nothrow(size_t size) { return operator new[](size, kLine, std::nothrow); }
EXPORT int refused(size_t size) {
    try {
        operator delete(operator new(size));
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}
static int thrown = 0;
EXPORT int throw_and_catch(int depth) {
    try {
        if (depth == 0) throw std::runtime_error("a text that is too long to lie in the object itself");
        throw_and_catch(depth - 1);
    } catch (const std::exception &) {
        ++thrown;
    }
    return thrown;
}
"""

# A library with an operator new of its own, which serves most blocks from a pool, and throws or jumps when told to.
POOL_SOURCE = """
#include <csetjmp>
#include <cstdlib>
#include <new>
#define EXPORT extern "C" __attribute__((visibility("default"), noinline))

static char pool[1 << 16];
static size_t used = 0;
static bool refuses = false, jumps = false;
static jmp_buf where;
EXPORT void refuse(int now) { refuses = now; }
EXPORT void *take(size_t size) { return malloc(size); }
EXPORT void give(void *block) { free(block); }
__attribute__((visibility("default"), noinline)) void *operator new(size_t size) {
    if (refuses) throw std::bad_alloc();
    if (jumps) longjmp(where, 1);
    if (size >= 1000) return malloc(size);
    return pool + (used += 1000);
}
EXPORT void *take_after_a_jump(void *(*user)(size_t), size_t size) {
    jumps = true;
    if (!setjmp(where)) user(7000);
    jumps = false;
    return malloc(size);
}
__attribute__((visibility("default"), noinline)) void operator delete(void *) noexcept {}
__attribute__((visibility("default"), noinline)) void operator delete(void *, size_t) noexcept {}
"""

SOURCES = {"c": (C_SOURCE, "cc", "c"), "c++": (CPP_SOURCE, "c++", "cpp"), "pool": (POOL_SOURCE, "c++", "cpp")}

Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    directory = tmp_path_factory.mktemp("named_libraries")

    def compile_as(kind: str, name: str, *flags: str) -> Path:
        text, compiler, suffix = SOURCES[kind]
        if shutil.which(compiler) is None:
            pytest.skip(f"no compiler ({compiler})")
        path = directory / f"lib{name}.so"
        if not path.exists():
            source = directory / f"{name}.{suffix}"
            source.write_text(text)
            standard = ["-std=c++17"] if suffix == "cpp" else []
            # Calls that end a function stay calls: a jump would hide who made it.
            command = [compiler, "-O1", "-fPIC", "-shared", "-pthread", "-fno-builtin", "-fno-optimize-sibling-calls"]
            subprocess.run([*command, *standard, str(source), "-o", str(path), *flags], check=True, capture_output=True)
        return path

    return compile_as


def run(script: str, *arguments: str | Path) -> str:
    return run_script(PRELUDE + script, *arguments)


def test_one_line_that_calls_two_libraries_has_a_site_for_each(compiled: Compile) -> None:
    run(
        """
one, two = load(sys.argv[1]), load(sys.argv[2])
memory.start()
def both():
    return one.take(1000), two.take(3000)
blocks = [both() for _ in range(500)]
found = {site.library: site for site in sites() if site.function == "both"}
assert set(found) == {sys.argv[1], sys.argv[2]}, found
assert len({(site.file, site.line) for site in found.values()}) == 1
for path, size in (sys.argv[1], 1000), (sys.argv[2], 3000):
    site = found[path]
    assert (site.total_count, site.total_bytes, site.largest_bytes) == (500, 500 * size, size)
    assert (site.live_count, site.live_bytes, site.peak_bytes) == (500, 500 * size, 500 * size)
    assert site.to_dict()["library"] == path
for first, second in blocks:
    two.give(first), one.give(second)
assert [(site.live_count, site.live_bytes) for site in found.values()] != [(0, 0)] * 2
assert [site.live_bytes for site in sites() if site.function == "both"] == [0, 0]
""",
        compiled("c", "one"),
        compiled("c", "two"),
    )


def test_python_s_own_blocks_name_no_library() -> None:
    run(
        """
memory.start()
kept = [bytes(1000) for _ in range(100)]
memory.stop()
assert {site.library for site in memory.hot_paths(100_000) if site.domain == "python"} == {""}
"""
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_form_of_operator_new_names_the_library_that_called_it(compiled: Compile, when: str) -> None:
    run(
        """
library = load(sys.argv[1]) if sys.argv[2] == "before" else None
memory.start()
library = library or load(sys.argv[1])
earlier = by_library()
def take(blocks):
    for number in range(24):
        blocks.append(getattr(library, FORMS[number % 8])(6400 + number % 8 * 64))
blocks = []
take(blocks)
site, = (site for site in sites() if site.function == "take")
assert site.library == sys.argv[1], site.library
assert (site.live_count, site.live_bytes) == (24, 24 * 6400 + 3 * 28 * 64)
for block in blocks:
    library.give(block)
assert all(counts == (0, 0) for path, counts in by_library().items() if path == sys.argv[1])
""",
        compiled("c++", "plusplus"),
        when,
    )


def test_exceptions_pass_through_and_leave_nothing_behind(compiled: Compile) -> None:
    """What the C++ library asks for on its own account after a refusal is not its last caller's."""
    run(
        """
library = load(sys.argv[1])
library.refused.argtypes = [c_size_t]
memory.start()
def refusals():
    count = 0
    for _ in range(100):
        count += library.refused(1 << 62)
    return count
def throws():
    return library.throw_and_catch(20)
assert refusals() == 100
assert library.refused(1000) == 0
throws()
throws()
of_refusals = [site for site in sites() if site.function == "refusals"]
assert [(os.path.basename(site.library).split(".")[0], site.live_count) for site in of_refusals] == [("libstdc++", 0)]
assert of_refusals[0].total_count == 100  # the exceptions themselves
block = library.take_new(777)
assert [site.library for site in sites() if site.live_bytes == 777] == [sys.argv[1]]
""",
        compiled("c++", "plusplus"),
    )


def test_an_operator_new_that_asks_for_nothing_is_not_taken_for_the_next_block(compiled: Compile) -> None:
    pool = compiled("pool", "pool")
    # The pool comes before the C++ library: its operator new is the one that this library is bound to.
    user = compiled("c++", "pool_user", f"-L{pool.parent}", "-lpool", f"-Wl,-rpath,{pool.parent}")
    run(
        """
user, pool = load(sys.argv[1]), load(sys.argv[2])
user.refused.argtypes = [c_size_t]
pool.refuse.argtypes = [c_int]
pool.take_after_a_jump.argtypes = [c_void_p, c_size_t]
taker = ctypes.cast(user.take_new, c_void_p).value
memory.start()
def from_the_pool():
    user.take_new(10)
    return pool.take(5000)
def from_malloc():
    return user.take_new(6000)
def thrown():
    pool.refuse(1)
    assert user.refused(7000) == 1
    pool.refuse(0)
    return pool.take(8000)
def left_by_a_jump():
    pool.take_after_a_jump(taker, 9000)
for _ in range(5):
    from_the_pool(), from_malloc(), thrown(), left_by_a_jump()
wanted = ("from_the_pool", "from_malloc", "thrown", "left_by_a_jump")
live = {(site.function, site.library): site.live_bytes for site in sites() if site.live_bytes}
live = {key: size for key, size in live.items() if key[0] in wanted}
assert live == {key: size for key, size in (
    (("from_the_pool", sys.argv[2]), 25_000), (("from_malloc", sys.argv[1]), 30_000),
    (("thrown", sys.argv[2]), 40_000), (("left_by_a_jump", sys.argv[2]), 45_000),
)}, live
""",
        user,
        pool,
    )


def test_what_the_c_library_copies_is_the_c_library_s(compiled: Compile) -> None:
    run(
        """
library = load(sys.argv[1])
memory.start()
def copies():
    for _ in range(10):
        library.take_copy(500)
copies()
site, = (site for site in sites() if site.function == "copies")
assert os.path.basename(site.library).startswith("libc") and site.live_bytes == 5000, site
""",
        compiled("c", "one"),
    )


def test_mappings_name_their_library(compiled: Compile) -> None:
    run(
        """
one, two = load(sys.argv[1]), load(sys.argv[2])
memory.start()
def both():
    return one.take_pages(1 << 16), two.take_pages(1 << 20)
for _ in range(3):
    both()
found = {site.library: (site.live_count, site.live_bytes) for site in sites("mapped") if site.function == "both"}
assert found == {sys.argv[1]: (3, 3 << 16), sys.argv[2]: (3, 3 << 20)}, found
""",
        compiled("c", "one"),
        compiled("c", "two"),
    )


def test_threads_without_python_are_their_library_in_both_fields(compiled: Compile) -> None:
    run(
        """
libraries = [load(path) for path in sys.argv[1:]]
memory.start()
for library in libraries:
    library.take_on_a_thread(12_345)
found = {(site.file, site.library): site.live_bytes for site in sites() if site.live_bytes == 12_345}
assert found == {(path, path): 12_345 for path in sys.argv[1:]}, found
""",
        compiled("c", "one"),
        compiled("c", "two"),
    )


def test_libraries_that_follow_each_other_at_an_address_keep_their_names(compiled: Compile) -> None:
    """Under threads that allocate all the time through a third."""
    run(
        """
import _ctypes
third = load(sys.argv[3])
memory.start()
third.churn()
def call(library, size):
    return library.take(size)
expected, addresses, reused = {}, {}, 0
for number in range(40):
    path = sys.argv[1 + number % 2]
    library = load(path)
    address = ctypes.cast(library.take, c_void_p).value
    reused += addresses.get(address, path) != path
    addresses[address] = path
    for _ in range(5):
        call(library, 100 + number)
    expected[path] = expected.get(path, 0) + 5 * (100 + number)
    _ctypes.dlclose(library._handle)
third.settle()
found = {site.library: site.live_bytes for site in sites() if site.function == "call"}
assert found == expected, (found, expected)
of_threads = [site for site in sites() if site.library == site.file == sys.argv[3]]
assert of_threads and sum(site.live_count for site in of_threads) == 0
print(reused)
""",
        compiled("c", "one"),
        compiled("c", "two"),
        compiled("c", "three"),
    )


def test_random_steps_through_many_lines_and_libraries_equal_a_reference(compiled: Compile) -> None:
    """A line knows a library, a library lines, and more of both than one slot of a cache could tell apart."""
    run(
        """
libraries = {path: load(path) for path in sys.argv[1:]}
lines = []
for number in range(300):
    names = {}
    code = compile("def call(take, size):\\n    return take(size)\\n", f"/steps/line_{number}.py", "exec")
    exec(code, names)
    lines.append(names["call"])
takers = [(path, getattr(library, name)) for path, library in libraries.items() for name in TAKERS
          if name not in ("take_copy", "take_pages", "take_on_a_thread") and hasattr(library, name)]
draw = random.Random(7)
memory.start()
expected, blocks = {}, []
for step in range(20_000):
    if draw.random() < 0.6 or not blocks:
        number, (path, take), size = draw.randrange(300), draw.choice(takers), 64 * draw.randrange(1, 80)
        blocks.append((number, path, size, lines[number](take, size)))
        key = number, path
        count, total = expected.get(key, (0, 0))
        expected[key] = count + 1, total + size
    else:
        at = draw.randrange(len(blocks))
        blocks[at], blocks[-1] = blocks[-1], blocks[at]
        number, path, size, block = blocks.pop()
        libraries[path].give(block)
        count, total = expected[number, path]
        expected[number, path] = count - 1, total - size
found = {}
for site in sites():
    if site.file.startswith("/steps/"):
        found[int(site.file[12:-3]), site.library] = site.live_count, site.live_bytes
assert found == expected, sorted(set(found.items()) ^ set(expected.items()))[:4]
""",
        compiled("c", "one"),
        compiled("c", "two"),
        compiled("c++", "plusplus"),
    )


def test_sampled_blocks_name_their_library(compiled: Compile) -> None:
    run(
        """
one, two = load(sys.argv[1]), load(sys.argv[2])
memory.start(mode="sampled")
def call(library):
    for _ in range(4000):
        library.take_new(5000) if library is two else library.take(5000)
call(one), call(two)
found = {site.library: site.live_bytes / 20_000_000 for site in sites() if site.function == "call"}
assert set(found) == set(sys.argv[1:]) and all(0.3 < share < 3 for share in found.values()), found
""",
        compiled("c", "one"),
        compiled("c++", "plusplus"),
    )


def test_a_table_of_sites_shows_the_library_where_it_says_more_than_the_file(compiled: Compile) -> None:
    run(
        """
from flyweight.memory.sites import sites_text
one = load(sys.argv[1])
memory.start()
def load_rows():
    return one.take(100_000), one.take_on_a_thread(200_000)
load_rows()
kept = bytes(300_000)
shown = sites_text([site for site in memory.hot_paths(10)]).splitlines()
in_line, = (line for line in shown if "load_rows [" in line)
assert in_line.endswith(" load_rows [libone]"), in_line
on_thread, = (line for line in shown if "200.0 kB" in line and "native" in line)
assert on_thread.endswith("libone.so <native>"), on_thread
assert not [line for line in shown if "300.0 kB" in line and "[" in line]
""",
        compiled("c", "one"),
    )
