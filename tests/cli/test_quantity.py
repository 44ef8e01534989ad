from __future__ import annotations

import doctest

import click
import pytest

from flyweight.cli import printable, quantity


@pytest.mark.parametrize("module", [quantity, printable])
def test_the_examples_in_the_documentation_are_true(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("text", ["64M", "64m", "64MB", "64 MiB", "65536K", "67108864", "0.0625G"])
def test_a_size_may_be_written_in_several_ways(text: str) -> None:
    assert quantity.size_bytes(text) == 64 * 1024 * 1024


@pytest.mark.parametrize("text", ["", "M", "B", "64X", "6 4M", "infM", "nan", "1e999"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a size"):
        quantity.size_bytes(text)
