"""Chunks: they tile every file, follow its definitions, and survive whatever a file can hold."""

from __future__ import annotations

import ast
import random
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_sources import sample, samples

from flyweight.index.chunk import PARSE_LIMIT_BYTES, TARGET_BYTES, Chunk, chunk
from flyweight.index.grammars import has_grammar
from flyweight.index.syntax_table import SYNTAX

LANGUAGES = [*sorted(SYNTAX), "markdown", "text"]
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


def texts(data: bytes, chunks: list[Chunk]) -> list[str]:
    return [data[chunk.start_byte : chunk.end_byte].decode() for chunk in chunks]


def qualified(chunks: list[Chunk]) -> list[str]:
    return [f"{chunk.scope}.{chunk.symbol}" if chunk.scope else chunk.symbol for chunk in chunks]


def check(data: bytes, chunks: list[Chunk], target: int = TARGET_BYTES) -> None:
    """What holds for the chunks of any file."""
    position = 0
    for piece in chunks:
        assert piece.start_byte >= position
        assert not data[position : piece.start_byte].strip(), "a byte that is not blank is in no chunk"
        assert 0 < piece.end_byte - piece.start_byte <= 2 * target
        assert piece.start_line == data.count(b"\n", 0, piece.start_byte) + 1
        assert piece.end_line == data.count(b"\n", 0, piece.end_byte) + 1
        assert piece.symbol or not piece.scope
        assert bool(piece.kind) == bool(piece.symbol)
        assert len(set(piece.symbols)) == len(piece.symbols)
        position = piece.end_byte
    assert not data[position:].strip()


# Tiling, whatever the bytes


@settings(deadline=None)
@given(st.binary(max_size=4000), st.sampled_from(LANGUAGES), st.integers(32, 2000))
def test_chunks_tile_random_bytes(data: bytes, language: str, target: int) -> None:
    check(data, chunk(data, language, target_bytes=target), target)


@pytest.mark.parametrize("name", samples())
@pytest.mark.parametrize("target", [40, 100, 300, 1500])
def test_chunks_tile_the_sample(name: str, target: int) -> None:
    data, language = sample(name)
    check(data, chunk(data, language, target_bytes=target), target)


@pytest.mark.parametrize("name", samples())
def test_chunks_tile_mutilated_samples(name: str) -> None:
    data, language = sample(name)
    chance = random.Random(name)
    pieces = [
        b"(",
        b")",
        b"{",
        b"}",
        b'"',
        b"'",
        b"\n",
        b"\n\n",
        b"/*",
        b"*/",
        b"<",
        b"\xff",
        b"\x00",
        b"",
        b"\t",
        b"#",
    ]
    for _ in range(12):
        mutilated = bytearray(data)
        for _ in range(chance.randint(1, 30)):
            at = chance.randrange(len(mutilated))
            mutilated[at : at + chance.choice([0, 1, 1, 40])] = chance.choice(pieces)
        target = chance.choice([64, 200, 1500])
        check(bytes(mutilated), chunk(bytes(mutilated), language, target_bytes=target), target)


@pytest.mark.parametrize("name", samples())
def test_chunks_tile_a_sample_taken_for_another_language(name: str) -> None:
    data, _ = sample(name)
    for other in random.Random(name).sample(LANGUAGES, 6):
        check(data, chunk(data, other, target_bytes=200), 200)


@pytest.mark.parametrize("name", samples())
def test_line_ends_do_not_matter(name: str) -> None:
    data, language = sample(name)
    windows = data.replace(b"\n", b"\r\n")
    chunks = chunk(windows, language)
    check(windows, chunks)
    if has_grammar(language):
        assert {name for piece in chunks for name in piece.symbols} == {
            name for piece in chunk(data, language) for name in piece.symbols
        }


# Following the definitions


@pytest.mark.parametrize("path", sorted(STANDARD_LIBRARY.glob("[a-e]*.py")), ids=lambda path: path.name)
def test_every_python_definition_is_in_the_symbols_of_some_chunk(path: Path) -> None:
    data = path.read_bytes()
    chunks = chunk(data, "python")
    check(data, chunks)

    def names(body: list[ast.stmt]) -> set[str]:
        found = set()
        for node in body:
            if isinstance(node, ast.ClassDef):
                found |= {node.name} | names(node.body)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
        return found

    assert names(ast.parse(data).body) <= {name for piece in chunks for name in piece.symbols}


def test_definition_that_fits_is_one_chunk_with_its_comments_and_decorators() -> None:
    filler = b"    value = value * 3 + 1\n" * 40
    first = b"# about the first\n@cache\n@log\ndef first(value):\n" + filler
    second = b"# about the second\ndef second(value):\n" + filler
    data = b"import os\n\n\n" + first + b"\n\n" + second
    chunks = chunk(data, "python")
    assert texts(data, chunks) == [f"import os\n\n\n{first.decode().rstrip()}", second.decode().rstrip()]
    assert qualified(chunks) == ["first", "second"]


def test_comment_apart_from_a_definition_stays_with_what_is_above_it() -> None:
    filler = b"    value = value * 3 + 1\n" * 40
    data = b"def first(value):\n" + filler + b"# the end\n\n\ndef second(value):\n" + filler
    assert texts(data, chunk(data, "python"))[0].endswith("# the end")


def test_attributes_and_documentation_stay_with_the_item_in_rust() -> None:
    body = b"    total += 1;\n" * 60
    item = b"/// Counts.\n#[inline]\n#[must_use]\npub fn count() {\n" + body + b"}\n"
    data = b"use std::fmt;\n\n" + body.replace(b"total += 1", b"const A: u8 = 1") + b"\n" + item
    assert texts(data, chunk(data, "rust"))[-1] == item.decode().rstrip()


def test_small_definitions_share_a_chunk_that_lists_them_all() -> None:
    data = b"".join(b"def small_%d():\n    return %d\n\n\n" % (i, i) for i in range(60))
    chunks = chunk(data, "python")
    assert len(chunks) == 2
    assert sorted(name for piece in chunks for name in piece.symbols) == sorted(f"small_{i}" for i in range(60))


def test_definition_of_some_size_stands_alone() -> None:
    data = b"".join(b"def f%d():\n" % i + b"    call(%d)\n" % i * 60 + b"\n\n" for i in range(4))
    assert qualified(chunk(data, "python")) == ["f0", "f1", "f2", "f3"]


def test_large_class_is_its_head_and_its_members() -> None:
    method = b"    def %s(self):\n" + b"        self.count += 1\n" * 40 + b"\n"
    head = b"class Store(Base):\n" + b'    """' + b"Keeps things. " * 20 + b'"""\n\n    limit = 3\n\n'
    data = head + method % b"put" + method % b"get"
    chunks = chunk(data, "python")
    assert [(piece.kind, piece.scope, piece.symbol) for piece in chunks] == [
        ("class", "", "Store"),
        ("method", "Store", "put"),
        ("method", "Store", "get"),
    ]


def test_head_of_a_class_too_small_for_a_chunk_goes_with_its_first_member() -> None:
    method = b"    def %s(self):\n" + b"        self.count += 1\n" * 40 + b"\n"
    data = b"class Store:\n" + method % b"put" + method % b"get" + method % b"drop"
    chunks = chunk(data, "python")
    assert [piece.symbols for piece in chunks] == [("put", "Store"), ("get",), ("drop",)]
    assert [piece.scope for piece in chunks] == ["Store"] * 3


def test_large_function_is_cut_between_statements_into_even_parts_that_keep_its_name() -> None:
    statement = b"    if ready(%d):\n        launch(%d, retries=3)\n"
    data = b"class A:\n    pass\n\n\ndef long():\n" + b"".join(statement % (i, i) for i in range(100))
    chunks = chunk(data, "python")
    assert len(chunks) >= 3
    assert {piece.symbol for piece in chunks} == {"long"}
    assert [piece.symbols for piece in chunks] == [("long", "A")] + [()] * (len(chunks) - 1)
    assert all(text.lstrip().startswith("if ready") for text in texts(data, chunks)[1:])
    sizes = [piece.end_byte - piece.start_byte for piece in chunks]
    assert min(sizes) > 0.7 * max(sizes)


def test_closing_bracket_stays_with_what_it_closes() -> None:
    method = b"    void %s() {\n" + b"        count += 1;\n" * 60 + b"    }\n"
    data = b"class A {\n" + method % b"one" + method % b"two" + b"}\n\nclass B {\n" + method % b"three" + b"}\n"
    chunks = chunk(data, "java")
    assert [text.split()[0] for text in texts(data, chunks)] == ["class", "void", "class"]
    assert texts(data, chunks)[1].endswith("}\n}")


def test_equations_of_a_function_stay_together() -> None:
    data = b"".join(
        b"size%d :: Tree -> Int\n" % i + b"".join(b"size%d (Node%d a b) = a + b\n" % (i, j) for j in range(30)) + b"\n"
        for i in range(4)
    )
    chunks = chunk(data, "haskell")
    assert [piece.symbols for piece in chunks] == [(f"size{i}",) for i in range(4)]


def test_chunk_of_many_one_line_constants_is_named_after_none_of_them() -> None:
    data = b"".join(b"LIMIT_%d = %d\n" % (i, i) for i in range(60))
    (piece,) = chunk(data, "python")
    assert piece.symbol == ""
    assert len(piece.symbols) == 60


def test_rust_methods_are_in_the_scope_of_the_type() -> None:
    data, language = sample("ring.rs")
    scopes = {piece.symbol: piece.scope for piece in chunk(data, language, target_bytes=100)}
    assert scopes["pop"] == "Ring"
    assert scopes["pops_in_order"] == "tests"


def test_go_methods_are_in_the_scope_of_their_receiver() -> None:
    data, language = sample("limiter.go")
    assert "Bucket.Take" in qualified(chunk(data, language, target_bytes=200))


def test_sql_that_the_grammar_does_not_know_is_cut_at_its_create_statements() -> None:
    data = (
        b"DELIMITER //\nCREATE PROCEDURE shop.audit(IN day DATE)\nBEGIN\n  SELECT 1;\nEND //\n\n"
        b"-- all that is owed\nCREATE OR REPLACE VIEW debts AS SELECT * FROM a WHERE b < 9 OFFSET ODD;\n"
    )
    chunks = chunk(data, "sql", target_bytes=150)
    assert [(piece.kind, piece.scope, piece.symbols) for piece in chunks] == [
        ("procedure", "shop", ("audit",)),
        ("view", "", ("debts",)),
    ]


def test_markdown_sections_are_chunks_named_after_their_headings() -> None:
    words = b"some words to read " * 50
    data = b"# Guide\n\n" + words + b"\n\n## Install\n\n" + words + b"\n\n## Run\n\n" + words + b"\n"
    chunks = chunk(data, "markdown")
    assert qualified(chunks) == ["Guide", "Guide.Install", "Guide.Run"]


# Files as they come


@pytest.mark.parametrize("data", [b"", b"\n", b"  \r\n\t\n\f\v\n"])
@pytest.mark.parametrize("language", ["python", "markdown", "text"])
def test_file_without_content_has_no_chunks(data: bytes, language: str) -> None:
    assert chunk(data, language) == []


def test_bytes_are_covered_from_the_byte_order_mark_to_the_unended_last_line() -> None:
    data = b"\xef\xbb\xbfdef f():\n    return 1"
    (piece,) = chunk(data, "python")
    assert (piece.start_byte, piece.end_byte, piece.start_line, piece.end_line) == (0, len(data), 1, 2)
    assert piece.symbol == "f"


def test_blank_lines_around_a_chunk_are_left_out_and_indentation_is_kept() -> None:
    method = b"    def %s(self):\n" + b"        self.count += 1\n" * 60
    data = b"\n\n\f\nclass A:\n" + method % b"a" + b"\n\n" + method % b"b" + b"\n\n\n"
    first, second = chunk(data, "python")
    assert first.start_line == 4
    assert data[second.start_byte :].startswith(b"    def b")
    assert data[: second.end_byte] == data.rstrip()


@pytest.mark.parametrize(
    ("language", "opening", "closing"),
    [
        ("python", b"x = " + b"[" * 10_000, b"]" * 10_000),
        ("javascript", b"f(" * 10_000, b")" * 10_000),
        ("c", b"void f() " + b"{" * 10_000, b"}" * 10_000),
        ("rust", b"fn f() " + b"{\n" * 10_000, b"}\n" * 10_000),
        ("java", b"class A {\n" * 10_000, b"}\n" * 10_000),
        ("go", b"func f() " + b"{\n" * 10_000, b"}\n" * 10_000),
        ("ruby", b"module A\n" * 10_000, b"end\n" * 10_000),
        ("clojure", b"(" * 10_000, b")" * 10_000),
        ("python", b"".join(b" " * i + b"if x:\n" for i in range(1000)), b""),
        ("cpp", b"namespace a {\n" * 10_000, b"}\n" * 10_000),
        ("tsx", b"<a>" * 10_000, b"</a>" * 10_000),
    ],
)
def test_deep_nesting_is_survived(language: str, opening: bytes, closing: bytes) -> None:
    data = opening + closing
    check(data, chunk(data, language))
    check(opening, chunk(opening, language))


@pytest.mark.parametrize("language", ["python", "javascript", "text", "markdown"])
def test_very_long_line_is_cut_between_characters(language: str) -> None:
    data = "räksmörgås".encode() * 30_000
    chunks = chunk(data, language)
    check(data, chunks)
    assert "".join(texts(data, chunks)) == data.decode()


def test_large_literal_is_cut_by_lines() -> None:
    data = b'TEXT = """\n' + b"a line of a long story\n" * 500 + b'"""\n'
    chunks = chunk(data, "python")
    assert len(chunks) > 5
    assert all(text.endswith("story") for text in texts(data, chunks)[:-1])
    assert {piece.symbol for piece in chunks} == {"TEXT"}


def test_large_table_is_cut_by_lines_without_visiting_every_number() -> None:
    data = b"static const int table[] = {\n" + b"    1, 2, 3, 4, 5, 6, 7, 8, 9, 10,\n" * 2000 + b"};\n"
    chunks = chunk(data, "c")
    check(data, chunks)
    assert {piece.symbol for piece in chunks} == {"table"}


def test_definitions_beyond_what_is_parsed_at_once_are_found() -> None:
    function = b"def function_%d(value):\n" + b"    value += 1\n" * 30 + b"\n\n"
    data = b"".join(function % i for i in range(1500))
    assert len(data) > 3 * PARSE_LIMIT_BYTES
    chunks = chunk(data, "python")
    check(data, chunks)
    assert {name for piece in chunks for name in piece.symbols} == {f"function_{i}" for i in range(1500)}


def test_file_that_does_not_parse_is_cut_by_lines() -> None:
    data = b"Dear all,\n\nthis is <not> [code at all: %$ \xa7\n\n" * 200
    chunks = chunk(data, "java")
    check(data, chunks)
    assert {piece.symbol for piece in chunks} == {""}


def test_one_slip_does_not_cost_the_symbols_of_the_rest() -> None:
    method = b"    public int %s() {\n" + b"        count += 1;\n" * 40 + b"    }\n"
    data = b"class A {\n" + method % b"one" + b"    public int broken( {\n    }\n" + method % b"two" + b"}\n"
    found = {name for piece in chunk(data, "java") for name in piece.symbols}
    assert {"one", "two"} <= found


def test_unknown_language_is_cut_by_lines() -> None:
    data = b"some text\n" * 1000
    chunks = chunk(data, "klingon")
    check(data, chunks)
    assert {piece.kind for piece in chunks} == {""}


def test_source_that_defeats_the_parser_costs_no_more_than_one_attempt() -> None:
    data = b"x\n" * 2 * PARSE_LIMIT_BYTES  # four windows; the parser makes no headway in any of them
    before = time.thread_time()
    chunk(data, "lua")
    assert time.thread_time() - before < 20


def test_chunks_are_the_same_every_time() -> None:
    data, language = sample("shapes.cpp")
    once, again = ([repr(piece) for piece in chunk(data, language, target_bytes=200)] for _ in range(2))
    assert once == again
