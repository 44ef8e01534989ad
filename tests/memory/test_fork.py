"""Forks while memory is recorded: parent and child go on, each with a correct picture of its own."""

from __future__ import annotations

import pytest

from tests.memory.survival.programs import survive


@pytest.mark.parametrize("mode", ["python", "native", "full"])
def test_a_child_keeps_a_correct_picture(mode: str) -> None:
    survive("forks", "plain", mode)


@pytest.mark.parametrize(
    "case", ["down_five_generations", "child_records_anew", "ticker_comes_back_in_child", "exits_normally", "executes"]
)
def test_a_child_goes_its_own_way(case: str) -> None:
    survive("forks", case)


def test_python_does_not_warn_of_the_profilers_own_thread() -> None:
    survive("forks", "without_a_warning")


@pytest.mark.parametrize("mode", ["native", "sampled"])
def test_many_forks_in_a_row(mode: str) -> None:
    survive("forks", "many_in_a_row", mode)


@pytest.mark.parametrize("case", ["while_threads_allocate", "from_threads", "start_and_stop_around_forks"])
def test_forks_in_a_process_with_threads(case: str) -> None:
    survive("forks", case)


@pytest.mark.parametrize("case", ["multiprocess", "process_pool", "through_subprocess", "pseudo_terminal"])
def test_forks_by_the_standard_library(case: str) -> None:
    survive("forks", case)
