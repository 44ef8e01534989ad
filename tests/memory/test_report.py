"""Reports and hot sites of programs that allocate a known amount."""

from __future__ import annotations

import json

import pytest
from bare_process import run_script

from flyweight import _memory, memory
from flyweight.errors import ConfigError
from flyweight.memory.report import Report
from flyweight.memory.sites import ORDERS, Site, sites_text

STATUS = {
    "recording": 1,
    "sampled": 0,
    "native": 1,
    "full_stacks": 0,
    "native_stacks": 0,
    "sample_interval_bytes": 524288,
    "started_unix_ms": 1_700_000_000_123,
    "elapsed_ms": 12_345,
    "degraded_at_ms": -1,
    "degraded_reason": 0,
    "untracked_frees": 0,
    "lost_frees": 0,
    "limit_bytes": 0,
    "limit_hits": 0,
    "displaced_python": 0,
    "displaced_native": 0,
    "patched_libraries": 9,
    "ticker_running": 1,
    "site_count": 77,
    "session": 1,
}
COUNTERS = [
    [1_000, 2_000, 5_000, 4_000, 50, 40, 10],
    [100, 300, 700, 600, 7, 6, 1],
    [4_096, 8_192, 8_192, 4_096, 2, 1, 1],
    [5_196, 10_000, 13_892, 8_696, 59, 47, 12],
]
OWN = {"shadow": 65_536, "site": 4_096, "stack": 0}


def made_report(page_fault: str = "", **status: int) -> Report:
    return Report({**STATUS, **status}, COUNTERS, OWN, page_fault)


PROGRAM = """
import json
from flyweight import memory
memory.start(native=False, publish=False)
def fill():
    return [bytes(10_000) for _ in range(300)]
kept = fill()
for _ in range(50):
    bytes(100_000)
report, by = memory.report(), {order: memory.hot_paths(5, by=order) for order in ("bytes", "count", "live", "peak")}
memory.stop()
print(json.dumps([report.to_dict(), {order: [site.to_dict() for site in sites] for order, sites in by.items()}]))
"""


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, int], dict[str, list[dict[str, object]]]]:
    """A report and the hot sites of PROGRAM, by order."""
    report, sites = json.loads(run_script(PROGRAM))
    return report, sites


# The total of a bytes object is its content, its header and a zero byte.
SMALL, LARGE = 10_033, 100_033


def test_what_is_kept_is_current_and_what_was_freed_is_not(recorded: tuple[dict[str, int], object]) -> None:
    report, _ = recorded
    assert 300 * SMALL <= report["current_bytes"] <= 300 * SMALL + 300_000
    assert report["peak_bytes"] >= 300 * SMALL + LARGE
    assert report["allocated_bytes"] - report["freed_bytes"] == report["current_bytes"]
    assert report["allocation_count"] - report["deallocation_count"] == report["live_count"]
    assert report["freed_bytes"] >= 50 * LARGE


def without_rate(site: dict[str, object]) -> dict[str, object]:
    """The site's figures but the one that moves with the clock between two looks."""
    return {name: figure for name, figure in site.items() if name != "rate"}


def test_a_site_is_found_by_each_order(recorded: tuple[object, dict[str, list[dict[str, object]]]]) -> None:
    _, sites = recorded
    kept, dropped = sites["live"][0], sites["bytes"][0]
    assert (kept["file"], kept["line"], kept["domain"]) == ("<string>", 6, "python")
    assert kept["function"] == "fill.<locals>.<listcomp>" or kept["function"] == "fill"  # inlined from 3.12 on
    assert dropped["line"] == 9
    assert without_rate(sites["peak"][0]) == without_rate(kept)
    counts = [site["total_count"] for site in sites["count"]]
    assert counts == sorted(counts, reverse=True)  # type: ignore[type-var]


def test_a_site_counts_its_blocks_to_the_byte(recorded: tuple[object, dict[str, list[dict[str, object]]]]) -> None:
    _, sites = recorded
    dropped = sites["bytes"][0]
    assert (dropped["total_count"], dropped["total_bytes"]) == (50, 50 * LARGE)
    assert (dropped["live_count"], dropped["live_bytes"], dropped["peak_bytes"]) == (0, 0, LARGE)
    assert (dropped["average_bytes"], dropped["largest_bytes"]) == (LARGE, LARGE)
    assert dropped["rate"] > 0  # type: ignore[operator]


def test_what_the_profilers_answers_are_made_of_is_a_hot_path_only_when_asked_for() -> None:
    shown = run_script(
        """
from flyweight import memory
memory.start(native=False, publish=False)
answers = [memory.report() for _ in range(50)]
memory.stop()
report, sites = memory.report(), memory.hot_paths(100_000, own=True)
for some in (sites, memory.hot_paths(2), memory.hot_paths(100_000)):
    print(sum(site.component == "profiler" for site in some), len(some))
print(sum(site.total_bytes for site in sites) == report.allocated_bytes)
"""
    )
    (own, all_sites), two, (others, programs), (sums,) = (line.split() for line in shown.splitlines())
    assert (two, others, sums) == (["0", "2"], "0", "True")
    assert int(own) > 5 and int(all_sites) == int(own) + int(programs)


def test_sites_add_up_to_the_totals() -> None:
    shown = run_script(
        """
from flyweight import memory, _memory
from flyweight.memory.packed import rows
memory.start()
kept = [str(number) * 9 for number in range(20_000)]
memory.stop()
report = memory.report()
sums = [0, 0, 0, 0]
for row in rows(_memory.sites(), len(_memory.SITE_COLUMNS)):
    for place, column in enumerate(("live_count", "live_bytes", "total_count", "total_bytes")):
        sums[place] += row[_memory.SITE_COLUMNS.index(column)]
print(sums == [report.live_count, report.current_bytes, report.allocation_count, report.allocated_bytes], *sums)
"""
    )
    assert shown.startswith("True "), shown


def test_domains_add_up_to_the_whole() -> None:
    shown = run_script(
        """
import mmap, sqlite3
from flyweight import memory
memory.start()
kept = [mmap.mmap(-1, 1 << 20), sqlite3.connect(":memory:")]
kept[1].execute("create table t(x)")
memory.stop()
r = memory.report()
for name in ("current_bytes", "allocated_bytes", "freed_bytes", "allocation_count", "deallocation_count", "live_count"):
    assert getattr(r, name) == sum(getattr(part, name) for part in (r.python, r.native, r.mapped)), name
assert r.mapped.current_bytes >= 1 << 20, r.mapped
assert r.native.live_count > 0, r.native
assert r.peak_bytes <= r.python.peak_bytes + r.native.peak_bytes + r.mapped.peak_bytes
"""
    )
    assert shown == ""


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_a_number_of_sites_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="top_n"):
        memory.hot_paths(wrong)  # type: ignore[arg-type]


def test_an_unknown_order_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError) as refused:
        memory.hot_paths(by="size")
    assert all(order in str(refused.value) for order in ORDERS)


def test_the_text_has_a_line_for_each_domain_with_aligned_columns() -> None:
    lines = str(made_report()).splitlines()
    assert lines[0] == "Memory over 12.3 s: Python and native, exact"
    head, *domains = lines[2:7]
    assert [line.split()[0] for line in domains] == ["python", "native", "mapped", "all"]
    assert {len(line) for line in (head, *domains)} == {len(head)}
    assert domains[0].split() == ["python", "1.0", "kB", "2.0", "kB", "5.0", "kB", "4.0", "kB", "10", "50", "40"]


def test_the_text_lists_the_profilers_own_memory_row_by_row_and_its_sum() -> None:
    text = str(made_report())
    assert "profiler's own memory  69.6 kB\n  shadow               65.5 kB\n  site                  4.1 kB" in text
    assert "stack" not in text  # nothing there, no row


def test_python_only_shows_one_domain() -> None:
    text = str(made_report(native=0))
    assert "Python only" in text
    assert "mapped" not in text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"untracked_frees": 1234}, "1,234 blocks from before the recording were freed"),
        ({"lost_frees": 3}, "3 frees were seen late"),
        ({"displaced_python": 1}, "another tool"),
        ({"limit_bytes": 5_000_000, "limit_hits": 2}, "2 allocations were refused by the limit of 5.0 MB"),
        ({"sampled": 1, "degraded_reason": 1, "degraded_at_ms": 2500}, "turned into sampling after 2.5 s"),
    ],
)
def test_what_qualifies_the_figures_is_said(status: dict[str, int], said: str) -> None:
    assert said not in str(made_report())
    assert said in str(made_report(**status))


def test_estimates_are_called_estimates() -> None:
    assert not made_report().estimated
    sampled = made_report(sampled=1)
    assert sampled.estimated
    assert "estimated, a sample every 524.3 kB" in str(sampled)


def test_a_page_that_could_not_be_made_is_said() -> None:
    assert "not shown to other processes: Read-only file system" in str(made_report("Read-only file system"))


def test_json_holds_what_the_report_holds() -> None:
    report = made_report(limit_bytes=1_000)
    found = json.loads(report.to_json())
    assert found["python"]["live_count"] == 10
    assert found["current_bytes"] == 5_196
    assert found["own_memory"] == OWN and found["own_bytes"] == sum(OWN.values())
    assert found["memory_limit"] == 1_000 and found["degraded"] is None
    assert found["mode"] == "exact"


def test_a_table_of_sites_survives_odd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight._memory.string", lambda number: ["a\nb\x1b[2J.py", "f\udcff"][number])
    row = {"function": 1, "line": 3, "total_count": 4, "total_bytes": 50, "first_seen_ms": 70}
    site = Site([row.get(name, 0) for name in _memory.SITE_COLUMNS], elapsed_s=2.0)
    assert (site.rate, site.average_bytes, site.first_seen_s) == (2.0, 12.5, 0.07)
    lines = sites_text([site]).split("\n")
    assert len(lines) == 2
    assert "\x1b" not in lines[1] and lines[1].encode()


@pytest.mark.parametrize(
    "name",
    [
        "flyweight.memory.packed",
        "flyweight.memory.units",
        "flyweight.memory.sites",
        "flyweight.memory.stacks",
        "flyweight.memory.interpreter",
    ],
)
def test_examples_in_docstrings_hold(name: str) -> None:
    import doctest
    import importlib

    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0 and outcome.failed == 0


def test_the_dashboard_shows_what_there_is_while_recording_and_after() -> None:
    shown = run_script(
        """
from flyweight import memory
memory.start(native=False, publish=False)
kept = [None] * 500
for number in range(500):
    with memory.track("step"):
        kept[number] = bytes(1000)
print(memory.dashboard(3))
memory.stop()
print("=====")
print(memory.dashboard(3))
"""
    )
    during, after = shown.split("=====\n")
    for text in (during, after):
        assert text.startswith("Memory over ")
        assert "Sites by bytes live now" in text and "Sites by bytes allocated in all" in text
        assert any(line.startswith("step ") and " 500 " in line for line in text.splitlines())
        row = next(line for line in text.splitlines() if "<string>:7 <module>" in line)
        assert row.split()[:3] == ["516.5", "kB", "500"]
    assert "stopped" in after.splitlines()[0]
    assert "No site was seen to leak." in during and "seen to leak" not in after


def test_a_recording_that_outgrows_its_memory_turns_to_sampling_and_says_so() -> None:
    shown = run_script(
        """
import time
from flyweight import memory, _memory
memory.start(native=False, publish=False, own_memory_limit=1_000_000, sample_interval=16 * 1024, seed=3)
before = memory.report()
kept = [None] * 200_000
for number in range(200_000):
    kept[number] = str(number)
deadline = time.monotonic() + 20
while memory.report().degraded is None and time.monotonic() < deadline:
    time.sleep(0.01)
    _memory.tick()
later = [bytes(1000) for _ in range(20_000)]
after = memory.report()
memory.stop()
print(before.degraded, before.estimated, after.mode, after.degraded, after.estimated, sep="|")
print(after.current_bytes)
print(after)
"""
    )
    states, current, *text = shown.split("\n", 2)
    assert states == "None|False|exact|its own memory reached the limit|True"
    assert int(current) == pytest.approx(200_000 * 56 + 20_000 * 1033, rel=0.4)
    assert "estimated" in text[0] and "turned into sampling after" in text[0]


def test_asking_again_and_again_leaves_nothing_behind() -> None:
    shown = run_script(
        """
from flyweight import memory
memory.start(publish=False)
def ask():
    str(memory.report()), memory.hot_paths(), memory.dashboard(), memory.is_steady_state(), memory.snapshot()
    with memory.track("asking"):
        memory.sampled_stacks()
for _ in range(20):
    ask()
before = memory.report()
for _ in range(100):
    ask()
after = memory.report()
memory.stop()
print(after.live_count - before.live_count, after.current_bytes - before.current_bytes)
"""
    )
    blocks, size = map(int, shown.split())
    assert blocks < 100
    assert size < 10_000
