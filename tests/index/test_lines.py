"""Cutting by lines: spans, windows, headlines and the sections of Markdown."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.index.lines import headline_units, markdown_units, spans, windows

TARGET, HARD = 300, 600

PIECES = st.sampled_from([b"word ", b"x", b"\n", b"\n\n", b"    ", b"}\n", b"\t", "ü".encode(), "漢".encode(), b"\r\n"])
TEXTS = st.one_of(st.binary(max_size=5000), st.lists(PIECES, max_size=1500).map(b"".join))


@settings(deadline=None)
@given(TEXTS, st.integers(8, 500))
def test_spans_tile_the_text_and_keep_the_hard_limit(text: bytes, target: int) -> None:
    found = spans(text, 0, len(text), target, 2 * target)
    assert b"".join(text[start:end] for start, end in found) == text
    assert all(0 < end - start <= 2 * target for start, end in found)


@settings(deadline=None)
@given(st.text(max_size=3000), st.integers(8, 500))
def test_spans_never_cut_a_character(text: str, target: int) -> None:
    data = text.encode("utf-8", "surrogatepass")
    for start, end in spans(data, 0, len(data), target, 2 * target):
        data[start:end].decode("utf-8", "surrogatepass")


def test_spans_prefer_the_end_of_a_paragraph() -> None:
    paragraph = b"some words on a line\n" * 12 + b"\n"
    text = paragraph * 6
    assert all(end % len(paragraph) == 0 for _, end in spans(text, 0, len(text), TARGET, HARD))


def test_spans_prefer_the_least_indented_line_where_there_is_no_paragraph() -> None:
    block = b"key:\n" + b"    value of some length\n" * 10
    text = block * 6
    assert all(end % len(block) == 0 for _, end in spans(text, 0, len(text), TARGET, HARD))


def test_spans_do_not_begin_with_a_closing_bracket() -> None:
    text = b"".join(b"f(%d,\n  %s,\n  %s\n)\n" % (i, b"a" * 40, b"b" * 40) for i in range(40))
    assert not any(text[start:].startswith(b")") for start, _ in spans(text, 0, len(text), TARGET, HARD))


def test_rest_is_shared_evenly_rather_than_left_as_a_stub() -> None:
    text = b"0123456\n" * 80
    sizes = [end - start for start, end in spans(text, 0, len(text), TARGET, HARD)]
    assert min(sizes) * 2 > max(sizes)


def test_one_line_of_many_megabytes_is_cut_in_linear_time() -> None:
    def seconds(size: int) -> float:
        text = b"x" * size
        before = time.thread_time()
        spans(text, 0, size, 1500, 3000)
        return time.thread_time() - before

    assert seconds(40_000_000) < 40 * seconds(4_000_000) + 0.1


@settings(deadline=None)
@given(TEXTS, st.integers(16, 1000))
def test_windows_tile_the_source_within_their_size(text: bytes, size: int) -> None:
    found = windows(text, size)
    assert b"".join(text[start:end] for start, end in found) == text
    assert all(end - start <= size for start, end in found)


def test_windows_begin_with_a_definition_where_possible() -> None:
    text = b"def f():\n    a = 1\n\n    return a\n\n\n" * 100
    assert all(text[start:].startswith(b"def") for start, _ in windows(text, 1000))


HEADLINES = re.compile(rb"^(?P<kind>table|proc)\s+(?P<name>\S+)", re.MULTILINE)


def test_headlines_open_units_with_the_comments_above_them() -> None:
    text = b"set x;\n\n-- all\n-- of it\ntable a.b (\n);\nproc c\n  table inner\n"
    units = headline_units(text, HEADLINES)
    assert [text[unit.start : unit.end].splitlines()[0] for unit in units] == [
        b"set x;",
        b"-- all",
        b"proc c",
    ]
    assert [(s.kind, s.scope, s.name) for unit in units for s in unit.symbols] == [
        ("table", "a", "b"),
        ("procedure", "", "c"),
    ]


def test_text_without_headlines_is_one_unit() -> None:
    assert [(unit.start, unit.end) for unit in headline_units(b"nothing here\n", HEADLINES)] == [(0, 13)]


def sections(text: bytes) -> list[tuple[str, str, bytes]]:
    return [
        (symbol.scope, symbol.name, text[unit.start : unit.end].splitlines()[0])
        for unit in markdown_units(text)
        for symbol in unit.symbols
    ]


def test_markdown_headings_are_symbols_in_the_scope_of_the_headings_above() -> None:
    text = b"intro\n\n# A\n\n## B\n\ntext\n\n### C ###\n\n## [D](http://x) `e`\n\n# F\n"
    assert sections(text) == [
        ("", "A", b"# A"),
        ("A", "B", b"## B"),
        ("A.B", "C", b"### C ###"),
        ("A", "D `e", b"## [D](http://x) `e`"),
        ("", "F", b"# F"),
    ]


def test_markdown_underlined_headings_count() -> None:
    assert sections(b"Top\r\n===\r\n\r\nSub\r\n---\r\ntext\r\n") == [
        ("", "Top", b"Top"),
        ("Top", "Sub", b"Sub"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"```sh\n# no heading\n```\n",
        b"~~~~\n# no\n~~~\n# still no\n~~~~\n",
        b"---\ntitle: x\n# no\n---\n",
        b"#hashtag\n",
        b"text\n\n---\n\nmore\n",
        b"| a | b |\n|---|---|\n",
    ],
)
def test_markdown_that_only_looks_like_a_heading_is_none(text: bytes) -> None:
    assert sections(text) == []


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"# a\n", b"## b\n", b"x\n", b"==\n", b"--\n", b"```\n", b"\n", b"\xff"])).map(b"".join)
)
def test_markdown_units_tile_the_text(text: bytes) -> None:
    units = markdown_units(text)
    assert b"".join(text[unit.start : unit.end] for unit in units) == text
