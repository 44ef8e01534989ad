"""What may happen to a program while its memory is recorded: it ends as it would have, and the books balance."""

from __future__ import annotations

import pytest

from tests.memory.survival.programs import cases, survive

ALLOCATORS = ["malloc", "debug", "malloc_debug", "pymalloc_debug"]


@pytest.mark.parametrize("case", cases("threads"))
def test_threads(case: str) -> None:
    survive("threads", case)


@pytest.mark.parametrize("case", cases("endings"))
def test_endings(case: str) -> None:
    survive("endings", case)


@pytest.mark.parametrize("case", ["objects_die_last", "daemon_threads_in_native_code", "generators_in_the_middle"])
def test_endings_with_whole_stacks(case: str) -> None:
    survive("endings", case, "full")


@pytest.mark.parametrize("case", cases("dying_code"))
def test_code_that_dies(case: str) -> None:
    survive("dying_code", case)


@pytest.mark.parametrize("case", cases("shortage"))
def test_shortage(case: str) -> None:
    survive("shortage", case)


@pytest.mark.parametrize("case", ["limit", "own_limit", "deep", "many_sites"])
@pytest.mark.parametrize("mode", ["full", "sampled"])
def test_shortage_in_other_modes(case: str, mode: str) -> None:
    survive("shortage", case, mode)


@pytest.mark.parametrize("case", cases("libraries"))
def test_libraries(case: str) -> None:
    survive("libraries", case)


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize(
    ("program", "case"), [("forks", "plain"), ("threads", "free_each_others"), ("dying_code", "callbacks")]
)
def test_pythons_other_allocators(allocator: str, program: str, case: str) -> None:
    survive(program, case, environment={"PYTHONMALLOC": allocator})


@pytest.mark.parametrize("mode", ["native", "full"])
def test_development_mode(mode: str) -> None:
    survive("dying_code", "edited", mode, options=("-X", "dev"))
