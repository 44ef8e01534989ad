"""The report on terminals of several widths, and plain."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from flyweight.observe.document import Document
from flyweight.observe.terminal import show, terminal
from tests.observe.drawn_captures import captures
from tests.observe.made_capture import made_capture


def shown(document: Document, width: int) -> str:
    """What a terminal of that width shows, without its colours."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    show(document, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    document = made_capture(30)
    document["sites"][0]["file"] = "/srv/" + "a/very/long/way/down/" * 12 + "module.py"
    text = shown(document, width)
    assert max(map(cell_len, text.splitlines())) <= width
    for title in ("Tracked memory", "RSS by component", "Phases", "Hot sites", "Leaks", "Notes"):
        assert f"─ {title}" in text


@settings(max_examples=40, deadline=None)
@given(captures(), st.integers(60, 200))
def test_every_capture_can_be_shown_and_printed(document: Document, width: int) -> None:
    assert "Tracked memory" in shown(document, width)
    text = terminal(document)
    assert text.endswith("\n") and all(line == line.rstrip() for line in text.splitlines())
    assert "\x1b" not in text


def test_a_place_that_is_too_long_keeps_its_end() -> None:
    document = made_capture(1)
    document["sites"][0].update(file="/srv/" + "deep/" * 40 + "module.py", function="Handler.handle")
    text = shown(document, 80)
    assert "module.py:10 Handler.handle" in text and "…" in text


def test_a_wide_terminal_shows_columns_that_a_narrow_one_leaves_out() -> None:
    document = made_capture(3)
    assert "average" in shown(document, 160) and "average" not in shown(document, 60)


def test_a_narrow_terminal_still_says_what_each_row_is_about() -> None:
    document = made_capture(3)
    assert document["attribution"] is not None
    document["attribution"]["rows"][0]["component"] = "_distutils_hack"
    lines = shown(document, 60).splitlines()
    start = next(number for number, line in enumerate(lines) if "RSS by component" in line)
    table = "\n".join(lines[start : start + 8])
    assert all(name in table for name in ("component", "_distutils_hack", "numpy", "RSS"))


def test_plain_text_has_figures_leaks_holders_and_bars() -> None:
    text = terminal(made_capture(30))
    assert "all      1.0 MB" not in text and "46.0 MB" in text  # the sum of the components' RSS
    assert "held by module shop.app -> listeners: list of 3000 -> [179]: function subscribe" in text
    assert "█" in text and "│" not in text


def test_mapped_addresses_beyond_what_is_resident_are_said_to_be_no_memory() -> None:
    document = made_capture()
    assert "addresses" not in terminal(document)
    document["report"]["mapped"]["current_bytes"] = 1_100_000_000
    assert "touched are resident, and all that is resident is 46.0 MB." in terminal(document)


def test_the_sites_that_were_added_up_have_no_peak_and_are_not_counted_as_one() -> None:
    document = made_capture(3)
    document["sites"][0].update(file="", function="(other sites)", peak_bytes=0)
    text = terminal(document, top_n=2)
    row = next(line for line in text.splitlines() if "(other sites)" in line)
    assert " 0 B" not in row
    assert "1 more sites." in text


def test_top_bounds_the_rows_of_every_list() -> None:
    text = terminal(made_capture(30), top_n=2)
    assert "28 more sites." in text and text.count("handle_") == 4  # two sites and two leaks
