"""Collapsed stacks, by the format's own rule: frames between semicolons, a space, a whole number."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.observe.call_chains import MEASURES
from flyweight.observe.collapsed import MEASURE_OF, collapsed
from flyweight.observe.document import Document
from tests.observe.drawn_captures import captures
from tests.observe.made_capture import made_capture
from tests.observe.test_call_chains import totals

LINE = re.compile(r"([^;\n]+(?:;[^;\n]+)*) ([1-9][0-9]*)")


def parsed(text: str) -> dict[tuple[str, ...], int]:
    """Strictly: every line is a stack that occurs once, and the last one ends too."""
    stacks: dict[tuple[str, ...], int] = {}
    if not text:
        return stacks
    assert text.endswith("\n") and "\r" not in text
    for line in text[:-1].split("\n"):
        match = LINE.fullmatch(line)
        assert match is not None, line
        stack = tuple(match[1].split(";"))
        assert stack not in stacks
        stacks[stack] = int(match[2])
    return stacks


@settings(max_examples=60, deadline=None)
@given(captures(), st.sampled_from(sorted(MEASURE_OF)))
def test_stacks_are_well_formed_and_add_up(document: Document, by: str) -> None:
    assert sum(parsed(collapsed(document, by)).values()) == totals(document)[MEASURE_OF[by]]


@pytest.mark.parametrize("by", MEASURE_OF)
def test_each_order_counts_what_its_name_says(by: str) -> None:
    document = made_capture(5)
    column = MEASURES[MEASURE_OF[by]][2]
    assert column == {"live": "live_bytes", "peak": "at_peak_bytes", "bytes": "total_bytes", "count": "total_count"}[by]
    assert sum(parsed(collapsed(document, by)).values()) == sum(site[column] for site in document["sites"])


def test_frames_say_function_file_and_line_from_the_outermost() -> None:
    document = made_capture(1)
    assert ("main (app.py:90)", "serve (app.py:40)", "handle_0 (part_0.py:10)") in parsed(collapsed(document))


def test_a_packages_own_file_is_named_with_its_directory() -> None:
    document = made_capture(1)
    document["frames"][1] = ("/usr/lib/python3.11/json/__init__.py", 346, "loads")
    assert ("main (app.py:90)", "loads (json/__init__.py:346)", "handle_0 (part_0.py:10)") in parsed(
        collapsed(document)
    )


def test_what_would_break_a_line_is_replaced() -> None:
    document = made_capture(1)
    document["frames"][1] = ("/srv/a;b.py", 3, "two\nlines;x")
    assert ("main (app.py:90)", "two lines:x (a:b.py:3)", "handle_0 (part_0.py:10)") in parsed(collapsed(document))
