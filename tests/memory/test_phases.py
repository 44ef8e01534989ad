"""Phases: what stretches of code allocate, by thread and asyncio task."""

from __future__ import annotations

import asyncio
import json

import pytest
from bare_process import run_script

from flyweight import memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory import phases as finished_phases
from flyweight.memory.phases import MAX_NAMES, OTHER, track

SETUP = """
import asyncio, gc, json, threading
from flyweight import memory
gc.disable()  # what it finds in the middle of a phase is not the test's
memory.start(native=False, publish=False)
def figures(phase):
    return [phase.allocated_bytes, phase.freed_bytes, phase.net_bytes, phase.peak_net_bytes]
"""
BLOCK = 100_033  # what bytes(100_000) takes


def recorded(program: str) -> object:
    """The JSON that a program prints, run while memory is recorded."""
    return json.loads(run_script(SETUP + program + "\nmemory.stop()"))


def close_to(bytes_: int) -> object:
    """Besides the blocks of a test, Python's own few."""
    return pytest.approx(bytes_, abs=4_000)


def test_a_phase_accounts_for_what_happens_in_it() -> None:
    allocated, freed, net, peak = recorded(  # type: ignore[misc]
        """
before = bytes(100_000)
with memory.track("x") as phase:
    kept = bytes(100_000)
    bytes(300_000)
    del before
after = bytes(100_000)
print(json.dumps(figures(phase)))
"""
    )
    assert allocated == close_to(BLOCK + 300_033)
    assert freed == close_to(BLOCK + 300_033)
    assert net == close_to(0)
    assert peak == close_to(BLOCK + 300_033)


def test_an_open_phase_can_be_read() -> None:
    first, second = recorded(  # type: ignore[misc]
        """
with memory.track("x") as phase:
    kept = [bytes(100_000)]
    first = phase.net_bytes
    kept.append(bytes(100_000))
    second = phase.net_bytes
print(json.dumps([first, second]))
"""
    )
    assert (first, second) == (close_to(BLOCK), close_to(2 * BLOCK))


def test_an_outer_phase_includes_the_inner_one() -> None:
    inner, outer = recorded(  # type: ignore[misc]
        """
with memory.track("outer") as outer:
    a = bytes(100_000)
    with memory.track("inner") as inner:
        b = bytes(200_000)
    c = bytes(100_000)
print(json.dumps([inner.net_bytes, outer.net_bytes]))
"""
    )
    assert (inner, outer) == (close_to(200_033), close_to(2 * BLOCK + 200_033))


def test_other_threads_do_not_count() -> None:
    mine, theirs = recorded(  # type: ignore[misc]
        """
found = []
def work():
    with memory.track("theirs") as theirs:
        kept.append(bytes(500_000))
    found.append(theirs.net_bytes)
kept = []
with memory.track("mine") as mine:
    kept.append(bytes(100_000))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(json.dumps([mine.net_bytes, found[0]]))
"""
    )
    assert (mine, theirs) == (pytest.approx(BLOCK, abs=20_000), close_to(500_033))


def test_other_tasks_do_not_count() -> None:
    found = recorded(
        """
kept = []
async def work(size):
    with memory.track(f"size {size}") as phase:
        for _ in range(10):
            kept.append(bytes(size))
            await asyncio.sleep(0)
    return phase.net_bytes
async def main():
    return await asyncio.gather(work(10_000), work(100_000))
print(json.dumps(asyncio.run(main())))
"""
    )
    assert found == [pytest.approx(100_330, abs=20_000), pytest.approx(1_000_330, abs=20_000)]


def test_functions_and_coroutines_can_be_decorated() -> None:
    names, counts, net = recorded(  # type: ignore[misc]
        """
@memory.track("plain")
def plain(size, *, more=0):
    "Says so."
    return bytes(size + more)
@memory.track("async")
async def later(size):
    await asyncio.sleep(0)
    return bytes(size)
kept = [plain(50_000, more=50_000), plain(100_000), asyncio.run(later(100_000))]
by_name = {totals.name: totals for totals in memory.phases()}
print(json.dumps([
    [plain.__name__, plain.__doc__, later.__name__, asyncio.iscoroutinefunction(later)],
    [by_name["plain"].count, by_name["async"].count],
    [by_name["plain"].net_bytes, by_name["plain"].max_net_bytes],
]))
"""
    )
    assert names == ["plain", "Says so.", "later", True]
    assert counts == [2, 1]
    assert net == [close_to(2 * BLOCK), close_to(BLOCK)]


def test_an_error_ends_the_phase_and_passes() -> None:
    found = recorded(
        """
try:
    with memory.track("fails") as phase:
        kept = bytes(100_000)
        raise KeyError("x")
except KeyError:
    pass
after = bytes(100_000)
print(json.dumps([phase.net_bytes, memory.phases()[0].count]))
"""
    )
    assert found == [close_to(BLOCK), 1]


def test_finished_phases_are_added_up_by_name() -> None:
    found = recorded(
        """
for size in (100_000, 300_000, 200_000):
    with memory.track("step"):
        bytes(size)
with memory.track("once"):
    kept = bytes(1_000_000)
print(json.dumps([totals.to_dict() for totals in memory.phases()]))
"""
    )
    once, step = found  # type: ignore[misc]
    assert (once["name"], step["name"]) == ("once", "step")  # most allocated first
    assert step["count"] == 3
    assert step["allocated_bytes"] == pytest.approx(600_099, abs=12_000)
    assert step["max_peak_net_bytes"] == close_to(300_033)
    assert step["elapsed_ms"] >= step["max_elapsed_ms"] > 0


def test_phases_outlive_the_recording_that_ends_within_them() -> None:
    found = recorded(
        """
with memory.track("cut short") as phase:
    kept = bytes(100_000)
    memory.stop()
print(json.dumps([phase.elapsed_ms > 0]))
"""
    )
    assert found == [True]


def test_the_table_of_names_is_bounded() -> None:
    found = recorded(
        f"""
for number in range({MAX_NAMES} + 50):
    with memory.track(f"name {{number}}"):
        pass
by_name = {{totals.name: totals.count for totals in memory.phases()}}
print(json.dumps([len(by_name), by_name[{OTHER!r}]]))
"""
    )
    assert found == [MAX_NAMES + 1, 50]


def test_without_recording_a_phase_measures_time_only() -> None:
    assert not memory.is_active()
    with track("idle") as phase:
        kept = bytes(100_000)
    assert kept and not phase.recorded
    assert phase.elapsed_ms > 0
    assert (phase.allocated_bytes, phase.net_bytes, phase.peak_net_bytes) == (0, 0, 0)
    assert "not recorded" in repr(phase)
    assert "idle" not in {totals.name for totals in finished_phases()}


def test_a_phase_can_be_used_again_but_not_within_itself() -> None:
    phase = track("again")
    for _ in range(2):
        with phase, pytest.raises(TrackingError, match="open already"), phase:
            pass


def test_a_generator_cannot_be_a_phase() -> None:
    def pieces() -> object:
        yield 1

    async def async_pieces() -> object:
        yield 1

    for function in (pieces, async_pieces):
        with pytest.raises(ConfigError, match="generator"):
            track("pieces")(function)


def test_a_decorated_coroutine_stays_one_without_recording() -> None:
    @track("later")
    async def later(value: int) -> int:
        await asyncio.sleep(0)
        return value + 1

    assert asyncio.run(later(4)) == 5


@pytest.mark.parametrize("name", ["", None, 3, b"x"])
def test_a_phase_needs_a_name(name: object) -> None:
    with pytest.raises(ConfigError, match="named by text"):
        track(name)  # type: ignore[arg-type]
