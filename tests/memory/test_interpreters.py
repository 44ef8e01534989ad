"""Subinterpreters, with the main interpreter's GIL or their own, while memory is recorded."""

from __future__ import annotations

import sys

import pytest

from tests.memory.survival.programs import survive

OWN_GIL = sys.version_info >= (3, 12)


@pytest.mark.parametrize("mode", ["python", "native", "full"])
def test_an_interpreter_comes_and_goes(mode: str) -> None:
    survive("interpreters", "one", mode)


@pytest.mark.parametrize("case", ["one_made_before", "outlives_the_recording", "never_destroyed"])
def test_an_interpreter_outlives_a_recording(case: str) -> None:
    survive("interpreters", case)


@pytest.mark.parametrize("case", ["many", "many_at_once"])
def test_many_interpreters(case: str) -> None:
    survive("interpreters", case)


@pytest.mark.skipif(not OWN_GIL, reason="interpreters share one GIL, and have no threads, before Python 3.12")
@pytest.mark.parametrize("case", ["concurrently", "start_and_stop_meanwhile", "own_threads"])
def test_interpreters_at_the_same_time(case: str) -> None:
    survive("interpreters", case)


def test_the_profiler_may_be_asked_from_an_interpreter_but_not_started_there() -> None:
    survive("interpreters", "asks_the_profiler")
