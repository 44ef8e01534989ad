"""Phases of a whole process: moments with all its memory, and what changed between them."""

from __future__ import annotations

import json

import pytest
from bare_process import run_script

from flyweight import memory
from flyweight.errors import ConfigError

MB = 1_000_000
SETUP = """
import json, os, sys
from flyweight import memory
def figures(table):
    return json.dumps([phase.to_dict() for phase in table])
"""
NAMES = {
    "name", "at_s", "elapsed_s", "rss_bytes", "private_bytes", "pss_bytes", "python_bytes", "native_bytes",
    "mapped_bytes", "components", "rss_delta_bytes", "private_delta_bytes", "peak_rss_bytes", "peak_tracked_bytes",
    "builder_peak_bytes", "store_private_bytes",
}  # fmt: skip


def phases_of(program: str) -> list[dict[str, object]]:
    """The phases that a program has taken."""
    found = json.loads(run_script(f"{SETUP}{program}\nprint(figures(memory.phase_table()))"))
    assert isinstance(found, list)
    return found


GROWING = """
memory.phase("Begin")
kept = bytearray(os.urandom(1000)) * 20_000
memory.phase("Grown")
del kept
memory.phase("Let go")
"""


def test_a_phase_has_the_memory_of_the_process_and_its_change() -> None:
    begin, grown, gone = phases_of(GROWING)
    assert set(begin) >= NAMES
    assert [begin["name"], grown["name"], gone["name"]] == ["Begin", "Grown", "Let go"]
    assert begin["rss_delta_bytes"] == begin["private_delta_bytes"] == 0
    for change in (grown["rss_delta_bytes"], grown["private_delta_bytes"]):
        assert change == pytest.approx(20 * MB, abs=MB)
    assert gone["private_delta_bytes"] == pytest.approx(-20 * MB, abs=MB)
    for phase in (begin, grown, gone):
        assert 0 < phase["private_bytes"] <= phase["pss_bytes"] <= phase["rss_bytes"]  # type: ignore[operator]


def test_components_add_up_to_the_rss() -> None:
    for phase in phases_of(GROWING):
        components = phase["components"]
        assert isinstance(components, dict) and len(components) >= 2
        assert sum(components.values()) == phase["rss_bytes"]


def test_without_recording_nothing_is_tracked() -> None:
    for phase in phases_of(GROWING):
        assert [phase[f"{name}_bytes"] for name in ("python", "native", "mapped", "peak_tracked")] == [0, 0, 0, 0]


def test_with_recording_live_blocks_are_told_by_domain() -> None:
    begin, grown, gone = phases_of(f"memory.start(publish=False)\n{GROWING}")
    assert grown["python_bytes"] - begin["python_bytes"] == pytest.approx(20 * MB, abs=MB)  # type: ignore[operator]
    assert gone["python_bytes"] - begin["python_bytes"] == pytest.approx(0, abs=MB)  # type: ignore[operator]
    assert grown["elapsed_s"] >= 0 and gone["at_s"] >= grown["at_s"] >= begin["at_s"]  # type: ignore[operator]


BURSTS = """
memory.start(publish=False)
memory.phase("Begin")
bytearray(b"x") * 30_000_000
memory.phase("First burst")
bytearray(b"x") * 10_000_000
memory.phase("Smaller burst")
bytearray(b"x") * 50_000_000
memory.phase("Larger burst")
"""


def test_a_peak_within_a_phase_that_raised_the_mark_is_exact() -> None:
    begin, first, smaller, larger = phases_of(BURSTS)
    # Malloc may keep what was freed, so each is compared with where it began.
    for before, phase, size in ((begin, first, 30 * MB), (smaller, larger, 50 * MB)):
        assert phase["peak_rss_exact"] is True
        assert phase["peak_rss_bytes"] - before["rss_bytes"] == pytest.approx(size, abs=2 * MB)  # type: ignore[operator]
        assert phase["peak_tracked_bytes"] == pytest.approx(size, abs=MB)


def test_a_peak_below_an_earlier_one_is_the_largest_that_was_seen() -> None:
    smaller = phases_of(BURSTS)[2]
    assert smaller["peak_rss_exact"] is False
    assert smaller["rss_bytes"] <= smaller["peak_rss_bytes"] < 50 * MB  # type: ignore[operator]


def test_the_systems_own_mark_is_left_to_the_program() -> None:
    shown = run_script(
        f"""{SETUP}
import resource
bytearray(b"x") * 50_000_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
memory.phase("x")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >= before > 50_000)
"""
    )
    assert shown == "True\n"


def test_a_phase_leaves_nothing_but_its_row() -> None:
    shown = run_script(
        f"""{SETUP}
memory.start(publish=False)
for number in range(20):
    memory.phase("warm")
before = memory.report().current_bytes
for number in range(50):
    memory.phase("more")
print((memory.report().current_bytes - before) // 50)
"""
    )
    assert int(shown) < 4_000


def test_the_table_names_phases_and_components() -> None:
    shown = run_script(f"{SETUP}\nmemory.start(publish=False)\n{GROWING}\nprint(memory.phase_table())")
    lines = shown.splitlines()
    assert lines[0].split()[:4] == ["phase", "time", "RSS", "change"]
    grown = next(line for line in lines if line.startswith("Grown"))
    assert grown.count("+20.") + grown.count("+19.") == 2
    components = lines.index(next(line for line in lines if line.startswith("RSS of")))
    assert any(line.startswith("python ") for line in lines[components:])


def test_builders_are_a_column_of_their_own() -> None:
    shown = run_script(
        f"{SETUP}\nmemory.phase('a')\nfrom flyweight.memory.phase_table import phase\n"
        "phase('b', builder_peak_bytes=12_300_000)\nprint(memory.phase_table())"
    )
    lines = shown.splitlines()
    assert lines[0].endswith("builders")
    assert lines[1].endswith(" -") and lines[2].endswith(" 12.3 MB")


def test_a_store_process_is_a_column_of_its_own() -> None:
    shown = run_script(
        f"{SETUP}\nmemory.phase('a')\nfrom flyweight.memory.phase_table import phase\n"
        "phase('b', builder_peak_bytes=12_300_000)\nphase('c', store_private_bytes=45_600_000)\n"
        "print(memory.phase_table())"
    )
    lines = shown.splitlines()
    assert lines[0].split()[-2:] == ["builders", "store"]
    assert lines[2].endswith(" -") and lines[3].endswith(" 45.6 MB")


def test_a_phase_may_take_the_place_of_one_of_its_name() -> None:
    first, second = phases_of(
        """
from flyweight.memory.phase_table import phase
phase("a")
for _ in range(5):
    bytearray(b"x") * 30_000_000
    phase("b", replace=True)
"""
    )
    assert (first["name"], second["name"]) == ("a", "b")
    assert second["peak_rss_bytes"] - first["rss_bytes"] == pytest.approx(30 * MB, abs=2 * MB)  # type: ignore[operator]


def test_the_oldest_but_one_makes_room() -> None:
    phases = phases_of(
        """
from flyweight.memory import phase_table as _
import sys
module = sys.modules["flyweight.memory.phase_table"]
module.MAX_PHASES = 3
for name in "abcde":
    memory.phase(name)
"""
    )
    assert [phase["name"] for phase in phases] == ["a", "d", "e"]


def test_a_new_recording_has_peaks_of_its_own() -> None:
    last = phases_of(
        """
memory.start(publish=False)
bytearray(b"x") * 40_000_000
memory.phase("first")
memory.stop()
memory.start(publish=False)
bytearray(b"x") * 10_000_000
memory.phase("second")
"""
    )[-1]
    assert last["peak_tracked_bytes"] == pytest.approx(10 * MB, abs=MB)


def test_an_empty_table_is_no_text() -> None:
    assert run_script(f"{SETUP}\nprint(repr(str(memory.phase_table())))") == "''\n"


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_phase_is_named_by_text(name: object) -> None:
    with pytest.raises(ConfigError, match="named by text"):
        memory.phase(name)  # type: ignore[arg-type]


def test_taking_phases_imports_nothing_heavy() -> None:
    shown = run_script(f"{SETUP}before = set(sys.modules)\nmemory.phase('x')\nprint(*(set(sys.modules) - before))")
    assert {name for name in shown.split() if not name.startswith("flyweight")} <= {"_thread", "atexit"}


def test_trimming_gives_back_what_malloc_keeps() -> None:
    fell = int(
        run_script(
            """
import ctypes
from flyweight import memory
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
blocks = [libc.malloc(60_000) for _ in range(200)]
for block in blocks:
    libc.memset(block, 1, 60_000)
pin = libc.malloc(60_000)  # above them, so that the top of the heap cannot sink
for block in blocks:
    libc.free(block)
print(memory.trim())
"""
        )
    )
    assert fell == pytest.approx(200 * 60_000, abs=MB)
