"""Markdown reports, rendered by a Markdown library and read back from its tokens."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flyweight.observe.document import Document
from flyweight.observe.markdown import markdown
from flyweight.observe.sections import sections, title_of
from tests.observe.drawn_captures import captures
from tests.observe.made_capture import made_capture


def rendered(text: str) -> tuple[list[str], list[list[list[str]]]]:
    """Headings, and for each table its rows of cells, as a reader sees them."""
    headings: list[str] = []
    tables: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text)
    for before, token in pairwise(tokens):
        assert token.type != "html_block"
        if before.type == "table_open":
            tables.append([])
        if before.type == "tr_open":
            tables[-1].append([])
        if token.type == "inline":
            assert all(child.type == "text" or child.type == "text_special" for child in token.children or []), token
            seen = "".join(child.content for child in token.children or [])
            if before.type in ("td_open", "th_open"):
                tables[-1][-1].append(seen)
            elif before.type == "heading_open":
                headings.append(seen)
    return headings, tables


def seen(text: str) -> str:
    """What is left of a text that has to fit in a cell."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text).strip()


def check(document: Document, top_n: int) -> None:
    headings, tables = rendered(markdown(document, top_n))
    expected = sections(document, top_n)
    assert headings == [f"Memory of {seen(title_of(document)[0])}".strip(), *(section.title for section in expected)]
    drawn = [section for section in expected if section.heads]
    assert len(tables) == len(drawn)
    for table, section in zip(tables, drawn, strict=True):
        assert table == [[seen(cell) for cell in row] for row in (section.heads, *section.rows)]


@settings(max_examples=60, deadline=None)
@given(captures(), st.integers(1, 5))
def test_tables_come_out_as_they_went_in(document: Document, top_n: int) -> None:
    check(document, top_n)


def test_a_full_report_has_all_its_sections() -> None:
    document = made_capture(12)
    check(document, 10)
    text = markdown(document)
    for title in ("Tracked memory", "RSS by component", "Phases", "Hot sites", "Leaks", "Queries", "Notes"):
        assert f"## {title}" in text
    assert "listeners: list of 3000" in text and "the trough rose in 7 of 7 steps" in text


def test_a_verdict_that_came_too_early_is_none() -> None:
    document = made_capture()
    assert document["steady"] is not None
    assert "Not steady: use rises" in markdown(document, 10)
    document["steady"]["reason"] = "only 0.1 of 1 s were recorded: ask again in 0.9 s"
    text = markdown(document, 10)
    assert "No verdict on a steady state: only 0.1 of 1 s were recorded." in text
    assert "ask again" not in text
