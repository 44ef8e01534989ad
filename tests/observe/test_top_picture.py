"""What `flyweight top` makes of pages: states, verdicts, orders, filters, plain text and JSON."""

from __future__ import annotations

import doctest
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from flyweight.memory.page_path import DIRECTORY_VARIABLE, page_path
from flyweight.memory.run_settings import RunSettings
from flyweight.observe import steady_text
from flyweight.observe.top import bars, process_files, site_table
from flyweight.observe.top.bars import bar_text, levels_text, resampled
from flyweight.observe.top.plain import picture, plain_text
from flyweight.observe.top.process_files import as_under_python, command_line, process_state, short_name
from flyweight.observe.top.processes import Processes
from flyweight.observe.top.site_table import ORDERS, fitted, leak_rows, printable, site_rows
from flyweight.observe.top.summary import BAD, GOOD, NEUTRAL, WARNING, components, state_remarks, steady_remark
from flyweight.observe.top.watched import Watched
from tests.observe.made_page import (
    DEGRADED,
    MB,
    NATIVE,
    RECORDING,
    SAMPLED,
    MadeSite,
    Sleeper,
    moments,
    page_bytes,
    publish,
)

SITES = (
    MadeSite(9 * MB, "/srv/shop/cart.py", 12, "Cart.add", live_count=3, total_count=7),
    MadeSite(5 * MB, "/usr/lib/python3.11/json/decoder.py", 353, "JSONDecoder.raw_decode", peak_bytes=20 * MB),
    MadeSite(1 * MB, "libz.so.1", 0, "", total_bytes=90 * MB, total_count=900, domain=1),
)


@pytest.fixture(autouse=True)
def own_directory(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of these tests only."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(memory_path))
    return memory_path


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    with Sleeper() as sleeper:
        yield sleeper


def seen(processes: Processes) -> list[Watched]:
    processes.take(processes.look())
    return list(processes.all)


def watched(pid: int | None = None, **page: object) -> Watched:
    pid = os.getpid() if pid is None else pid
    publish(pid, page_bytes(pid, **page))  # type: ignore[arg-type]
    (found,) = seen(Processes([pid]))
    return found


def test_all_recorded_processes_are_found_and_new_ones_appear(sleeper: Sleeper) -> None:
    processes = Processes()
    assert seen(processes) == []
    publish(os.getpid(), page_bytes(os.getpid()))
    assert [each.pid for each in seen(processes)] == [os.getpid()]
    publish(sleeper.pid, page_bytes(sleeper.pid))
    assert {each.pid for each in seen(processes)} == {os.getpid(), sleeper.pid}


def test_processes_asked_for_by_number_are_the_only_ones(sleeper: Sleeper) -> None:
    for pid in (os.getpid(), sleeper.pid):
        publish(pid, page_bytes(pid))
    assert [each.pid for each in seen(Processes([sleeper.pid]))] == [sleeper.pid]


def test_a_process_that_ends_keeps_its_last_picture(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES))
    processes = Processes()
    (found,) = seen(processes)
    sleeper.kill()
    assert seen(processes) == [found]
    assert found.ended and found.page is not None and len(found.page.sites) == 3
    (remark,) = state_remarks(found)
    assert (remark.tone, remark.text) == (WARNING, "ended: this is its last picture")
    assert "ended: this is its last picture" in plain_text(found)
    processes.drop_ended()
    assert list(processes.all) == []


def test_a_zombie_has_ended(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid))
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert process_state(sleeper.pid) is None


def test_a_page_left_behind_makes_no_process(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid))
    sleeper.kill()
    assert seen(Processes()) == []


def test_a_process_without_a_page_is_told_how_to_get_one(sleeper: Sleeper) -> None:
    (found,) = seen(Processes([sleeper.pid]))
    (remark,) = state_remarks(found)
    assert "flyweight run" in remark.text and "memory.start()" in remark.text
    assert found.rss_bytes > 0
    assert "flyweight run" in plain_text(found)


def test_a_page_that_comes_later_is_shown(sleeper: Sleeper) -> None:
    processes = Processes([sleeper.pid])
    seen(processes)
    publish(sleeper.pid, page_bytes(sleeper.pid))
    (found,) = seen(processes)
    assert found.page is not None and state_remarks(found) == []


def test_a_page_of_another_version_is_named(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, version=9))
    (found,) = seen(Processes([sleeper.pid]))
    assert found.page is None and "version 9" in state_remarks(found)[0].text


def test_a_page_that_is_being_written_leaves_the_last_picture(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES))
    processes = Processes([sleeper.pid])
    (found,) = seen(processes)
    publish(sleeper.pid, page_bytes(sleeper.pid, sequence=3))
    seen(processes)
    assert found.page is not None and len(found.page.sites) == 3
    assert not found.ended and not found.stopped
    assert "being written" in state_remarks(found)[0].text


def test_a_recording_that_was_stopped_keeps_its_last_picture(sleeper: Sleeper) -> None:
    path = publish(sleeper.pid, page_bytes(sleeper.pid))
    processes = Processes([sleeper.pid])
    (found,) = seen(processes)
    path.unlink()
    seen(processes)
    assert found.page is not None
    assert state_remarks(found)[0].text == "the recording was stopped: this is its last picture"


def test_a_page_that_is_not_renewed_is_silent(sleeper: Sleeper) -> None:
    found = watched(sleeper.pid, updated_unix_s=time.time() - 100)
    assert "no news for" in state_remarks(found)[0].text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (RECORDING | NATIVE, []),
        (RECORDING | SAMPLED, ["figures are estimates (sampled)"]),
        (RECORDING | SAMPLED | DEGRADED, ["figures are estimates: the profiler's own memory reached its limit"]),
    ],
)
def test_modes_are_told(flags: int, said: list[str]) -> None:
    assert [remark.text for remark in state_remarks(watched(flags=flags))] == said


def test_flat_use_is_steady() -> None:
    remark = steady_remark(watched(moments=moments([30 * MB] * 256)))
    assert remark.tone == GOOD and remark.text.startswith("steady for")


def test_rising_use_says_how_fast_and_for_how_long() -> None:
    found = watched(moments=moments([30 * MB + 10_000 * n for n in range(256)]), current_bytes=30 * MB + 2_560_000)
    remark = steady_remark(found)
    assert remark.tone == WARNING
    assert "+40.0 kB/s" in remark.text and "twice as much in" in remark.text
    assert len(steady_remark(found, short=True).text) < len(remark.text)


def test_rising_use_under_a_budget_says_when_it_is_reached() -> None:
    level = [30 * MB + 10_000 * n for n in range(256)]
    found = watched(moments=moments(level), current_bytes=level[-1], budgets=[("", 40 * MB, level[-1], False)])
    assert found.limit is not None and (found.limit.name, found.limit.size_bytes) == ("budget", 40 * MB)
    assert "at its budget in" in steady_remark(found).text


def test_use_over_a_limit_is_said_first() -> None:
    found = watched(moments=moments([30 * MB] * 256), memory_limit=20 * MB)
    remark = steady_remark(found)
    assert remark.tone == BAD and "over its limit: use was 30.0 MB of 20.0 MB" in remark.text


def test_before_the_window_is_covered_there_is_no_verdict() -> None:
    assert steady_remark(watched(moments=moments([30 * MB] * 20))).tone == NEUTRAL


def test_history_goes_further_back_than_the_page(sleeper: Sleeper) -> None:
    processes = Processes([sleeper.pid])
    every = moments([MB] * 300)
    for last in (200, 230, 230, 300):
        publish(sleeper.pid, page_bytes(sleeper.pid, moments=every[max(0, last - 100) : last], elapsed_s=last / 4))
        (found,) = seen(processes)
    assert list(found.moments) == every[100:]


def test_a_recording_begun_anew_has_a_history_of_its_own(sleeper: Sleeper) -> None:
    processes = Processes([sleeper.pid])
    publish(sleeper.pid, page_bytes(sleeper.pid, moments=moments([MB] * 200)))
    seen(processes)
    publish(sleeper.pid, page_bytes(sleeper.pid, moments=moments([2 * MB] * 3), started_unix_s=50.0))
    (found,) = seen(processes)
    assert [moment[3] for moment in found.moments] == [2 * MB] * 3


def test_an_exceeded_budget_of_a_component_is_told_and_marked() -> None:
    found = watched(budgets=[("program", 15 * MB, 20 * MB, True), ("python", 50 * MB, 10 * MB, False)])
    assert found.limit is None
    assert [remark.text for remark in state_remarks(found)] == [
        "over budget: component program holds 20.0 MB of 15.0 MB, exceeded once"
    ]
    assert found.page is not None
    assert [(part.name, part.limit_bytes, part.over) for part in components(found.page)] == [
        ("program", 15 * MB, True),
        ("python", 50 * MB, False),
    ]
    assert "of 15.0 MB, over" in plain_text(found)


def test_growth_of_sites_is_that_between_looks(sleeper: Sleeper) -> None:
    processes = Processes([sleeper.pid])
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES, elapsed_s=10.0))
    (found,) = seen(processes)
    assert [row.growth for row in site_rows(found, "live")] == [None, None, None]
    grown = [MadeSite(9 * MB + 50_000, *("/srv/shop/cart.py", 12, "Cart.add")), *SITES[1:]]
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=grown, elapsed_s=15.0))
    seen(processes)
    assert [row.growth for row in site_rows(found, "growth")] == [10_000.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("order", "first"),
    [("live", "cart.py"), ("peak", "decoder.py"), ("total", "libz.so.1"), ("count", "libz.so.1")],
)
def test_each_order_has_its_own_first(order: str, first: str) -> None:
    found = watched(sites=SITES)
    assert first in site_rows(found, order)[0].where
    assert first in site_rows(found, order, reverse=True)[-1].where


@pytest.mark.parametrize(
    ("text", "lines"),
    [("CART", [12]), ("json raw", [353]), ("native", [0]), ("cart decoder", []), ("", [12, 353, 0])],
)
def test_a_filter_keeps_sites_that_have_all_its_words(text: str, lines: list[int]) -> None:
    assert [row.site.line for row in site_rows(watched(sites=SITES), "live", text)] == lines


def test_places_are_those_that_a_programmer_knows() -> None:
    where = [row.where for row in site_rows(watched(sites=SITES), "live")]
    assert where == ["/srv/shop/cart.py:12 Cart.add", "json/decoder.py:353 JSONDecoder.raw_decode", "libz.so.1"]


def test_places_in_the_working_directory_of_the_process_are_short() -> None:
    found = watched(sites=[MadeSite(MB, os.path.join(os.getcwd(), "shop/cart.py"))])
    assert site_rows(found, "live")[0].where == "shop/cart.py:12 Cart.add"


@pytest.mark.parametrize("width", range(8, 60))
def test_a_place_fits_where_it_is_put(width: int) -> None:
    for where in ("a/very/long/path/to/module.py:1234 Some.qualified.<locals>.name", "x.so", "short.py:1 f"):
        assert len(fitted(where, width)) <= max(width, 1)


def test_leak_candidates_have_the_growth_of_the_sieve() -> None:
    found = watched(leaks=[MadeSite(MB, growth_bytes_per_s=512)])
    assert [row.growth for row in leak_rows(found)] == [512.0]


def test_names_of_another_process_cannot_move_the_cursor() -> None:
    found = watched(sites=[MadeSite(MB, "/srv/a\x1b[2J.py", 1, "f\n")])
    assert "\x1b" not in plain_text(found)
    assert printable("a\tb\x9b") == "a\ufffdb\ufffd"


def test_plain_text_has_all_parts() -> None:
    found = watched(sites=SITES, leaks=[MadeSite(9 * MB, growth_bytes_per_s=2000)], moments=moments([30 * MB] * 256))
    shown = plain_text(found)
    for part in ("RSS", "tracked", "private", "profiler", "✓ steady", "Sites by live", "Cart.add"):
        assert part in shown
    assert "+2.0 kB/s" in shown
    assert max(map(len, plain_text(found, width=80).splitlines())) <= 80


def test_the_picture_is_fit_for_json() -> None:
    found = json.loads(json.dumps(picture(watched(sites=SITES, moments=moments([MB] * 256)))))
    assert found["pid"] == os.getpid()
    assert found["page"]["sites"][0]["live_bytes"] == 9 * MB
    assert found["steady"]["steady"] is True
    assert found["private_bytes"] > 0 and found["rss_bytes"] > 0 and found["limit_bytes"] is None


def test_private_memory_is_asked_for_seldom_and_not_when_switched_off() -> None:
    publish(os.getpid(), page_bytes(os.getpid()))
    processes = Processes()
    (found,) = seen(processes)
    assert found.held is not None
    (reading,) = processes.look()
    assert reading.held is None
    silent = Processes(with_held=False)
    assert [each.held for each in seen(silent)] == [None]


def test_processor_time_is_that_of_the_process() -> None:
    publish(os.getpid(), page_bytes(os.getpid()))
    processes = Processes()
    (found,) = seen(processes)
    assert found.cpu_share is None
    seen(processes)
    assert found.cpu_share is not None and found.cpu_share >= 0


@pytest.mark.parametrize("kind", ["script", "module", "code"])
def test_a_program_under_the_profiler_has_the_name_it_would_have_without(kind: str) -> None:
    settings = RunSettings(kind=kind, quiet=True)
    arguments = as_under_python(["/usr/bin/python3", "-B", *settings.command(["shop", "--port", "1"])])
    flag = {"script": [], "module": ["-m"], "code": ["-c"]}[kind]
    assert arguments == ["/usr/bin/python3", "-B", *flag, "shop", "--port", "1"]


def test_commands_that_are_no_python_keep_their_name(sleeper: Sleeper) -> None:
    assert short_name(["/usr/sbin/nginx", "-g"]) == "nginx"
    assert command_line(sleeper.pid)[1:3] == ["-I", "-S"]
    assert command_line(4_194_304) == []


def test_levels_are_drawn_between_their_lowest_and_highest() -> None:
    assert levels_text([0, 50, 100]) == ["▁▅█"]
    assert len(levels_text([1.0] * 7, height=3)) == 3
    assert set("".join(levels_text([100.0, 100.1, 100.0]))) <= {"▄", "▅"}, "noise is no mountain"
    assert levels_text([None, None]) == ["  "]


def test_bars_are_never_longer_than_their_room() -> None:
    for share in (0, 0.01, 0.5, 1, 3):
        assert len(bar_text(share, 10)) <= 10
    assert bar_text(0, 10) == ""


def test_resampling_keeps_peaks_and_fills_gaps() -> None:
    assert resampled([(0.1, 1), (0.2, 9), (3.5, 2)], 0, 4, 4) == [9, 9, 9, 2]
    assert resampled([], 0, 4, 2) == [None, None]


@pytest.mark.parametrize("module", [bars, process_files, site_table, steady_text])
def test_examples_hold(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0 and outcome.failed == 0


def test_orders_are_columns() -> None:
    found = watched(sites=SITES)
    for order in ORDERS:
        assert len(site_rows(found, order)) == 3


def test_a_page_of_a_killed_process_is_gone_after_it_is_cleared(own_directory: Path) -> None:
    publish(os.getpid(), page_bytes(os.getpid()))
    processes = Processes()
    seen(processes)
    os.unlink(page_path(os.getpid()))
    (found,) = seen(processes)
    assert found.stopped
