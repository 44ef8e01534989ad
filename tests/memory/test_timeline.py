"""The timeline by component, and the picture of the peak."""

from __future__ import annotations

import itertools
import json
import struct

import pytest
from bare_process import run_script

from flyweight import _memory, memory
from flyweight.errors import TrackingError
from flyweight.memory.timeline import Timeline


def made_timeline(rows: list[tuple[int, ...]], names: list[str]) -> Timeline:
    return Timeline(b"".join(struct.pack(f"={len(row)}q", *row) for row in rows), names)


def test_columns_are_named_and_what_has_no_column_is_other() -> None:
    timeline = made_timeline(
        [(250, 90, 120, 100, 5000, 40, 60, 0), (500, 80, 110, 100, 6000, 30, 50, 0)], ["small", "large", "gone"]
    )
    assert timeline.to_dict() == {
        "end_s": [0.25, 0.5],
        "rss_bytes": [5000, 6000],
        "lowest_bytes": [90, 80],
        "highest_bytes": [120, 110],
        "last_bytes": [100, 100],
        "components": {"large": [60, 50], "small": [40, 30], "(other)": [0, 20]},
    }
    assert list(timeline.components) == ["large", "small", "(other)"]
    assert len(timeline) == 2
    assert repr(timeline) == "<Timeline of 2 steps over 0.5 s: large, small, (other)>"


def test_a_timeline_without_steps_is_empty() -> None:
    assert made_timeline([], []).to_dict() == {
        "end_s": [], "rss_bytes": [], "lowest_bytes": [], "highest_bytes": [], "last_bytes": [], "components": {},
    }  # fmt: skip


def test_the_timeline_follows_what_components_hold() -> None:
    shown = run_script(
        """
import itertools
import json
from flyweight import _memory, memory
memory.start(publish=False)
memory.component("hoard", paths=["<string>"])
kept = []
for _ in range(600):
    kept.append(bytes(5000))
    _memory.tick()
del kept
_memory.tick()
memory.stop()
print(json.dumps(memory.timeline().to_dict()))
"""
    )
    timeline = json.loads(shown)
    steps = len(timeline["end_s"])
    assert 128 < steps <= 128 + 256
    assert timeline["end_s"] == sorted(timeline["end_s"])
    for column in (*timeline["components"].values(), *(timeline[name] for name in timeline if name != "components")):
        assert len(column) == steps
    hoard = timeline["components"]["hoard"]
    assert max(hoard) > 550 * 5000 and hoard[-1] < 100_000
    rising = hoard[: hoard.index(max(hoard)) + 1]
    # A step that ends in the middle of an append may have an object more.
    assert all(later > earlier - 1000 for earlier, later in itertools.pairwise(rising))
    for step in range(steps):
        assert sum(column[step] for column in timeline["components"].values()) == timeline["last_bytes"][step]
        assert timeline["lowest_bytes"][step] <= timeline["last_bytes"][step] <= timeline["highest_bytes"][step]
        assert 1 << 20 < timeline["rss_bytes"][step] < 1 << 33


def test_without_a_recording_there_is_no_timeline() -> None:
    shown = run_script(
        """
from flyweight import memory
try:
    memory.timeline()
except memory.TrackingError as error:
    print(error)
"""
    )
    assert shown.startswith("nothing has been recorded")


def test_the_series_has_the_resident_set() -> None:
    shown = run_script(
        """
from flyweight import _memory, memory
memory.start(publish=False)
_memory.tick()
resident = int(open("/proc/self/statm").read().split()[1]) * 4096
memory.stop()
width = len(_memory.SERIES_COLUMNS)
rss = memoryview(_memory.series()).cast("q")[_memory.SERIES_COLUMNS.index("rss_bytes") :: width].tolist()
print(all(0.8 * resident < size < 1.2 * resident for size in rss[1:]), len(rss) > 0)
"""
    )
    assert shown == "True True\n"


@pytest.mark.parametrize("options", ["stacks='full'", "sample_interval=1024", "mode='sampled', sample_interval=1024"])
def test_sites_and_stacks_know_what_they_held_when_the_process_held_most(options: str) -> None:
    shown = run_script(
        f"""
from flyweight import _memory, memory
memory.start(native=False, publish=False, seed=1, {options})
def fill(count):
    return [bytes(10_000) for _ in range(count)]
kept = fill(500)
_memory.tick()
del kept
later = fill(50)
_memory.tick()
site = max(memory.hot_paths(10, "bytes"), key=lambda site: site.at_peak_bytes)
stacks = [stack for stack in memory.sampled_stacks() if any(frame[2] == "fill" for frame in stack.frames)]
memory.stop()
print(site.function, site.at_peak_bytes, site.live_bytes, sum(stack.peak_live_bytes for stack in stacks),
      sum(stack.live_bytes for stack in stacks))
"""
    )
    function, at_peak, live, stacks_at_peak, stacks_live = shown.split()
    assert function in ("fill", "<listcomp>", "fill.<locals>.<listcomp>")
    exact = 500 * 10_033
    for held in (int(at_peak), int(stacks_at_peak)):
        assert held == pytest.approx(exact, rel=0.02 if "full" in options else 0.1)
    assert int(live) < exact / 5 and int(stacks_live) < exact / 5


def test_columns_that_the_document_of_a_capture_needs_are_there() -> None:
    assert {"component", "at_peak_bytes"} < set(_memory.SITE_COLUMNS)
    assert "peak_live_bytes" in _memory.SAMPLE_COLUMNS
    assert memory.timeline.__module__ == "flyweight.memory.timeline"


def test_the_error_is_the_public_one() -> None:
    assert issubclass(TrackingError, memory.TrackingError)
