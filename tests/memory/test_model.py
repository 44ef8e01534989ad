"""Random steps through every allocator against a reference dictionary, to the byte and the count.

The steps themselves, and how they are counted: tests/native/steps and tests/soak/allocation_model.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak import allocation_model

PROGRAM = Path(allocation_model.__file__)

pytestmark = pytest.mark.skipif(
    allocation_model.missing_tool() is not None,
    reason=f"the steps are compiled when the tests run: {allocation_model.missing_tool()}",
)


def run_model(*arguments: str, **environment: str) -> None:
    outcome = subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, f"status {outcome.returncode}\n{outcome.stderr[-4000:]}"


def test_python_and_native_allocations_equal_the_reference() -> None:
    run_model("--native", "--seed", "1", "--rounds", "192")


def test_python_allocations_alone_equal_the_reference() -> None:
    run_model("--seed", "2", "--rounds", "192")


def test_steps_with_and_without_the_gil_equal_the_reference() -> None:
    run_model("--native", "--detached", "--seed", "3")


def test_frequent_samples_do_not_disturb_the_counters() -> None:
    run_model("--native", "--interval", "4096", "--seed", "4")


def test_full_stacks_count_the_same() -> None:
    run_model("--native", "--full-stacks", "--seed", "5", "--rounds", "32", "--steps", "1000")


def test_a_hundred_native_threads_return_each_others_blocks() -> None:
    run_model("--native", "--threads", "100", "--thread-steps", "1000", "--seed", "6", "--rounds", "64")


def test_children_go_on_with_a_correct_picture() -> None:
    run_model("--native", "--forks", "4", "--seed", "7")


@pytest.mark.parametrize("allocator", ["malloc", "debug", "malloc_debug"])
def test_the_figures_are_the_same_on_other_allocators_of_python(allocator: str) -> None:
    run_model("--native", "--threads", "8", "--seed", "8", "--rounds", "64", PYTHONMALLOC=allocator)
