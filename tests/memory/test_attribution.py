"""Whose the resident memory is: rows that sum to the kernel's figures, and planted allocations found where they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bare_process import run_script

PRELUDE = """
import json, mmap, os, sys
from flyweight import memory

SUMS = ("rss_bytes", "private_bytes", "shared_bytes", "dirty_bytes", "pss_bytes", "swap_bytes")

def account(ranges=None):
    found = memory.attribution(ranges)
    for name in SUMS:
        assert sum(getattr(row, name) for row in found.rows) == getattr(found, name) == found.rollup[name], (
            name, getattr(found, name), found.rollup[name])
    for row in found.rows:
        assert row.rss_bytes == row.private_bytes + row.shared_bytes, row
        assert row.private_bytes <= row.pss_bytes <= row.rss_bytes, row
        assert 0 <= row.dirty_bytes <= row.rss_bytes, row
    return found

def total(found, kind, name=None):
    return sum(row.rss_bytes for row in found.rows if row.kind == kind and name in (None, row.name))

def planted(found, kind, name):
    rows = [row for row in found.rows if row.kind == kind and row.name == name]
    assert len(rows) == 1, (kind, name, [(row.kind, row.name) for row in found.rows])
    return rows[0]

def held(*lists):
    return sum(sys.getsizeof(item) for members in lists for item in [members, *members])

def near(found, wanted, share=0.01):
    assert abs(found - wanted) <= share * wanted, (found, wanted)
"""

PLANTED_C = """
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void **grow(long count, long size) {
    void **blocks = malloc(count * sizeof *blocks);
    for (long i = 0; i < count; ++i) memset(blocks[i] = malloc(size), 1, size);
    return blocks;
}
void shrink(void **blocks, long count, long step) {
    for (long i = 0; i < count; i += step) free(blocks[i]);
}
static char *root;  /* as allocators have one */
char *map(long size) {
    root = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(root, size, MADV_NOHUGEPAGE);
    memset(root, 1, size / 2);
    return root;
}
void churn(long count, long size) {
    void **blocks = grow(count, size);
    shrink(blocks, count, 1);
    free(blocks);
}
char *split(long size) {
    char *block = malloc(size);
    memset(block, 1, size);
    madvise((char *)(((unsigned long)block + 65536) & ~4095ul), size / 2, MADV_HUGEPAGE);
    return block;
}
"""

PLANTED_PY = """
import ctypes, os
library = ctypes.CDLL(os.path.join(os.path.dirname(__file__), "_core.so"))
for name in ("grow", "map", "split"):
    getattr(library, name).restype = ctypes.c_void_p
library.grow.argtypes = library.churn.argtypes = (ctypes.c_long, ctypes.c_long)
library.shrink.argtypes = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long)
library.map.argtypes = library.split.argtypes = (ctypes.c_long,)

def small(count):
    return [bytes(200) for _ in range(count)]

def large(count):
    return [bytearray(100_000) for _ in range(count)]
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site-packages with a package whose Python and whose library allocate what they are told."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    site = tmp_path_factory.mktemp("venv") / "lib" / "site-packages"
    package = site / "plantedlib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLANTED_PY)
    source = package / "core.c"
    source.write_text(PLANTED_C)
    # Without a builtin malloc: the compiler may otherwise leave out what nobody reads.
    command = [compiler, "-O1", "-fno-builtin", "-shared", "-fPIC", "-o", str(package / "_core.so"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return site


def _with_planted(site: Path, script: str, **environment: str) -> str:
    # The types of syntax trees are made once, for the first source that is compiled: 0.2 MB that would be plantedlib's.
    script = f"{PRELUDE}\ncompile('0', '<string>', 'eval')\nsys.path.insert(0, sys.argv[1])\n{script}"
    if not environment:
        return run_script(script, site)
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", script, str(site)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert outcome.returncode == 0, f"{outcome.stdout}\n{outcome.stderr}"
    return outcome.stdout


def test_rows_sum_to_the_rollup_whether_recording_is_off_on_sampled_or_stopped() -> None:
    run_script(
        PRELUDE
        + """
off = account()
assert not off.tracked and off.named_share >= 0.95, off
for mode in ("exact", "sampled"):
    memory.start(mode, sample_interval=16_384, seed=1)
    import argparse, decimal, email.message
    keep = [(number, str(number)) for number in range(20_000)]
    on = account()
    assert on.tracked and on.estimated == (mode == "sampled") and on.named_share >= 0.99, on
    assert total(on, "python heap") > 1_000_000, on
    memory.stop()
    stopped = account()
    assert not stopped.tracked and stopped.named_share >= 0.95, stopped
"""
    )


def test_the_account_is_that_of_the_kernel() -> None:
    # Read apart from the account: what differs is what reading it allocates.
    run_script(
        PRELUDE
        + """
def rss_by_kernel():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))
account()
before, found, after = rss_by_kernel(), account(), rss_by_kernel()
assert min(before, after) - 500_000 <= found.rss_bytes <= max(before, after) + 1_500_000, (before, found, after)
"""
    )


def test_planted_blocks_and_mappings_are_charged_to_their_package(planted: Path) -> None:
    _with_planted(
        planted,
        """
memory.start()
import plantedlib
small, large = plantedlib.small(50_000), plantedlib.large(60)
blocks = plantedlib.library.grow(20_000, 1000)
mapped = plantedlib.library.map(16_000_000)
found = account()
python = planted(found, "python heap", "plantedlib")
near(python.rss_bytes, held(small, large))
near(python.live_bytes, held(small, large))
assert python.component == "plantedlib", python
native = planted(found, "native heap", "plantedlib")
near(native.rss_bytes, 20_000 * 1000 + 20_000 * 8)
near(native.live_bytes, 20_000 * 1000 + 20_000 * 8)
near(planted(found, "mapped memory", "plantedlib").rss_bytes, 8_000_000)
assert planted(found, "library", "plantedlib").rss_bytes > 0
totals = found.components()
assert totals["plantedlib"].rss_bytes == sum(row.rss_bytes for row in found.rows if row.component == "plantedlib")
assert sum(total.rss_bytes for total in totals.values()) == found.rss_bytes
assert found.named_share >= 0.99, found
""",
    )


def test_what_the_account_itself_touches_is_taken_from_no_other_row(planted: Path) -> None:
    _with_planted(
        planted,
        """
memory.start()
import plantedlib
blocks = plantedlib.library.grow(200, 100_000)  # by far the largest row, and every byte of it written
found = account()
row = planted(found, "native heap", "plantedlib")
assert row.live_bytes - 16_384 <= row.rss_bytes + found.swap_bytes, row
assert row.rss_bytes <= row.live_bytes, row
""",
    )


def test_without_recording_planted_memory_is_in_the_heaps(planted: Path) -> None:
    _with_planted(
        planted,
        """
import plantedlib
before = account()
small = plantedlib.small(50_000)
blocks = plantedlib.library.grow(20_000, 1000)
pieces = plantedlib.library.split(8_000_000)  # one block, several mappings to the kernel
after = account()
rounded = (sys.getsizeof(b"") + 200 + 15) // 16 * 16
near(total(after, "python heap") - total(before, "python heap"), 50_000 * rounded, 0.03)
near(total(after, "native heap") - total(before, "native heap"), 20_000 * 1008 + 160_000 + 8_000_000, 0.02)
assert after.named_share >= 0.95, after
mapped = plantedlib.library.map(16_000_000)
found = account()
near(planted(found, "mapped memory", "plantedlib").rss_bytes, 8_000_000)  # known by the pointer in its data
""",
    )


def test_freed_blocks_are_free_memory(planted: Path) -> None:
    for start in ("", "memory.start()"):
        _with_planted(
            planted,
            f"""
{start}
import plantedlib
blocks = plantedlib.library.grow(20_000, 1000)
before = account()
plantedlib.library.shrink(blocks, 20_000, 2)
after = account()
near(total(after, "free", "native heap") - total(before, "free", "native heap"), 10_000 * 1008, 0.05)
""",
        )


@pytest.mark.parametrize("allocator", ["malloc", "debug", "malloc_debug"])
def test_other_allocators_below_python_are_accounted_for(planted: Path, allocator: str) -> None:
    _with_planted(
        planted,
        """
memory.start()
import plantedlib
small = plantedlib.small(30_000)
found = account()
near(planted(found, "python heap", "plantedlib").rss_bytes, held(small))
assert found.named_share >= 0.99, found
memory.stop()
assert account().named_share >= 0.95
""",
        PYTHONMALLOC=allocator,
    )


def test_estimates_of_samples_share_out_what_the_heaps_hold(planted: Path) -> None:
    _with_planted(
        planted,
        """
memory.start("sampled", sample_interval=4096, seed=1)
import plantedlib
small = plantedlib.small(60_000)
found = account()
row = planted(found, "python heap", "plantedlib")
assert row.estimated, row
near(row.rss_bytes, held(small), 0.15)
assert found.named_share >= 0.99, found
""",
    )


def test_fifty_threads_have_their_stacks_named() -> None:
    for start in ("", "memory.start()"):
        run_script(
            PRELUDE
            + f"""
import threading
{start}
wait, ready = threading.Event(), threading.Barrier(51)
def work():
    keep = [bytes(100) for _ in range(1000)]
    ready.wait()
    wait.wait()
threads = [threading.Thread(target=work) for _ in range(50)]
for thread in threads:
    thread.start()
ready.wait()
found = account()
wait.set()
for thread in threads:
    thread.join()
assert total(found, "thread stack", "threads") >= 50 * 4096, found
assert found.named_share >= 0.99, found
"""
        )


def test_the_account_holds_while_threads_allocate_and_return(planted: Path) -> None:
    _with_planted(
        planted,
        """
import threading
import plantedlib
done = False
def work():
    while not done:
        plantedlib.library.churn(300, 3000)  # without the GIL
        plantedlib.library.churn(5, 300_000)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
try:
    for number in range(12):
        account()
        if number == 5:
            memory.start()
finally:
    done = True
    for thread in threads:
        thread.join()
""",
    )


def test_a_forked_child_accounts_for_itself(planted: Path) -> None:
    _with_planted(
        planted,
        """
memory.start()
import plantedlib
small = plantedlib.small(30_000)
child = os.fork()
if child == 0:
    try:
        more = plantedlib.small(10_000)
        found = account()
        row = planted(found, "python heap", "plantedlib")
        near(row.live_bytes, held(small, more))
        near(row.rss_bytes, held(small, more))
        assert row.shared_bytes > 0 and row.private_bytes > 0, row
        assert found.named_share >= 0.99, found
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
account()
""",
    )


@pytest.mark.parametrize("heap", ["main", "of a thread"])
def test_a_block_that_begins_in_what_a_child_inherited_and_ends_in_what_it_added_is_one(
    planted: Path, heap: str
) -> None:
    _with_planted(
        planted,
        f"""
import threading
memory.start()
import plantedlib
def grow(count, size):
    if {heap == "main"}:
        return plantedlib.library.grow(count, size)
    thread = threading.Thread(target=plantedlib.library.grow, args=(count, size))
    thread.start()
    thread.join()
plantedlib.library.churn(1, 10_000_000)  # from now on the C library puts blocks of that size into its heaps
grow(1, 1000)
child = os.fork()
if child == 0:
    try:
        grow(1, 8_000_000)
        row = planted(account(), "native heap", "plantedlib")
        near(row.live_bytes, 8_000_000)
        near(row.rss_bytes, 8_000_000)
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
""",
    )


def test_mappings_of_all_kinds_have_rows(tmp_path: Path) -> None:
    run_script(
        PRELUDE
        + """
path = sys.argv[1]
with open(path, "wb") as file:
    file.write(bytes(400_000))
file = open(path, "rb")
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(mapped[::4096])
shared = mmap.mmap(-1, 800_000)  # shared and anonymous
shared[:] = b"x" * len(shared)
descriptor = os.memfd_create("named in memory")
os.truncate(descriptor, 600_000)
in_memory = mmap.mmap(descriptor, 600_000)
in_memory[:] = b"y" * len(in_memory)
zero = mmap.mmap(os.open("/dev/zero", os.O_RDWR), 500_000, flags=mmap.MAP_PRIVATE)
zero[:] = b"z" * len(zero)
nobody = mmap.mmap(-1, 1 << 20, prot=0)
import ctypes
closed = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
closed[:] = b"c" * len(closed)
inside = ctypes.addressof(ctypes.c_char.from_buffer(closed)) + (256 << 10)
protect = ctypes.CDLL(None).mprotect
assert protect(ctypes.c_void_p(inside), ctypes.c_size_t(256 << 10), 0) == 0  # resident, and nobody may read it
found = account()
assert protect(ctypes.c_void_p(inside), ctypes.c_size_t(256 << 10), 3) == 0
assert planted(found, "mapped file", os.path.basename(path)).rss_bytes >= 400_000, found
assert planted(found, "mapped file", os.path.basename(path)).detail == path, found
os.unlink(path)
found = account()
assert any(row.kind == "mapped file" and row.detail == path + " (deleted)" for row in found.rows), found.to_dict()
assert any("memfd:named in memory" in row.detail and row.rss_bytes >= 600_000 for row in found.rows), found.to_dict()
""",
        tmp_path / "a file.dat",
    )


def test_ranges_are_named_by_the_caller() -> None:
    run_script(
        PRELUDE
        + """
import ctypes
pages = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
pages.madvise(mmap.MADV_NOHUGEPAGE)
pages[: 40 * 4096] = b"x" * (40 * 4096)
found = account({"cache": [(start, 20 * 4096), (start + 30 * 4096, 5 * 4096 + 100)], "rest": [(start, 1 << 20)]})
assert planted(found, "mapped memory", "cache").rss_bytes == 25 * 4096 + 100, found.to_dict()
assert planted(found, "mapped memory", "cache").component == "cache"
assert planted(found, "mapped memory", "rest").rss_bytes == 40 * 4096 - 25 * 4096 - 100, found.to_dict()
for wrong in ({"": [(1, 2)]}, {"x": [(-1, 2)]}, {"x": [(1, -2)]}):
    try:
        memory.attribution(wrong)
    except memory.ConfigError as error:
        pass
    else:
        raise AssertionError(wrong)
"""
    )


def test_components_named_by_users_group_rows(planted: Path) -> None:
    _with_planted(
        planted,
        """
memory.start()
import plantedlib
small = plantedlib.small(20_000)
memory.component("garden", packages=["plantedlib"])
found = account()
assert planted(found, "python heap", "plantedlib").component == "garden", found
assert found.components()["garden"].rss_bytes > 4_000_000
""",
    )


def test_accounts_leave_no_memory_behind() -> None:
    run_script(
        PRELUDE
        + """
memory.start()
for _ in range(5):
    account()
# Not the private bytes: a library's pages become private when the last other process that maps it ends.
before = memory.attribution().dirty_bytes
for _ in range(30):
    account()
after = memory.attribution().dirty_bytes
assert after - before < 300_000, (before, after)
"""
    )


def test_the_account_as_text_and_as_a_document() -> None:
    output = run_script(
        PRELUDE
        + """
memory.start()
found = account()
print(json.dumps(found.to_dict()))
print(found)
"""
    )
    first, _, text = output.partition("\n")
    document = json.loads(first)
    assert document["rss_bytes"] == sum(row["rss_bytes"] for row in document["rows"])
    assert {"kind", "name", "component", "live_bytes", "live_count", "detail"} <= document["rows"][0].keys()
    assert document["rows"] == sorted(document["rows"], key=lambda row: -row["rss_bytes"])
    assert set(document["rollup"]) <= set(document)
    assert "has a name" in text
    lines = text.splitlines()
    assert lines[2].split() == ["resident", "share", "private", "shared", "dirty", "component", "kind", "name"]
    assert lines[-1].split()[-1] == "all" and "100.0%" in lines[-1]


def test_a_process_map_that_cannot_be_read_is_an_error_with_a_way_out() -> None:
    run_script(
        PRELUDE
        + """
import resource
memory.attribution()
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
try:
    memory.attribution()
except memory.TrackingError as error:
    assert "/proc/self/" in str(error) and "readable" in str(error), error
else:
    raise AssertionError("the map was read without a file")
"""
    )


def test_without_address_space_the_error_says_so() -> None:
    run_script(
        PRELUDE
        + """
import resource
memory.attribution()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20), resource.RLIM_INFINITY))
try:
    memory.attribution()
except memory.TrackingError as error:
    assert "ulimit -v" in str(error), error
else:
    raise AssertionError("there was room")
"""
    )
