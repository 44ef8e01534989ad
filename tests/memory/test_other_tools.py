"""Other tools in the same process: what hooks the same allocators, traces the same code or switches stacks."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.memory.survival.programs import survive


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@pytest.mark.parametrize("mode", ["python", "native"])
@pytest.mark.parametrize("tool", ["tracemalloc", pytest.param("memray", marks=needs("memray"))])
def test_another_tool_starts_and_stops_in_every_order(tool: str, mode: str) -> None:
    survive("other_tools", tool, mode)


def test_nothing_is_lost_while_tracemalloc_runs_all_the_time() -> None:
    survive("other_tools", "tracemalloc_all_the_time")


def test_nothing_is_lost_when_tracemalloc_starts_and_stops_meanwhile() -> None:
    survive("other_tools", "tracemalloc_within")


@pytest.mark.parametrize("case", ["fault_handler", "signal_handlers"])
def test_what_interrupts(case: str) -> None:
    survive("other_tools", case)


@pytest.mark.parametrize("case", ["tracing", "monitoring", pytest.param("coverage", marks=needs("coverage"))])
def test_what_traces(case: str) -> None:
    if case == "monitoring" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring came with Python 3.12")
    survive("other_tools", case)


@pytest.mark.parametrize(
    "case",
    [pytest.param("greenlets", marks=needs("greenlet")), pytest.param("gevents", marks=needs("gevent")), "event_loops"],
)
@pytest.mark.parametrize("mode", ["native", "full"])
def test_what_switches_stacks(case: str, mode: str) -> None:
    survive("other_tools", case, mode)
