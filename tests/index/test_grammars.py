"""Grammars: all of them load from the installed wheels, on demand, and their tables name real node types."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from sample_sources import sample, samples
from tree_sitter import Language

from flyweight.errors import BuildError
from flyweight.index import grammars
from flyweight.index.grammars import grammar, has_grammar
from flyweight.index.language_names import languages
from flyweight.index.syntax import Syntax
from flyweight.index.syntax_table import SYNTAX

REQUIRED = (
    "python", "rust", "go", "java", "javascript", "typescript", "tsx", "c", "cpp", "csharp", "ruby", "php",
    "kotlin", "scala", "swift", "elixir", "haskell", "lua", "zig", "bash", "sql",
)  # fmt: skip


@pytest.mark.parametrize("language", sorted(SYNTAX))
def test_grammar_loads_and_parses(language: str) -> None:
    assert grammar(language).parse(b"\n") is not None


@pytest.mark.parametrize("name", samples())
def test_sample_parses_without_errors(name: str) -> None:
    data, language = sample(name)
    if has_grammar(language):
        tree = grammar(language).parse(data)
        assert tree is not None
        assert not tree.root_node.has_error


def test_every_promised_language_has_a_grammar() -> None:
    assert [language for language in REQUIRED if not has_grammar(language)] == []


def test_every_grammar_belongs_to_a_language_that_is_detected() -> None:
    assert set(SYNTAX) <= set(languages())


def test_every_language_with_a_grammar_of_its_own_has_a_sample() -> None:
    sampled = {id(SYNTAX.get(sample(name)[1])) for name in samples()}
    assert [language for language, syntax in SYNTAX.items() if id(syntax) not in sampled] == []


def test_text_has_no_grammar() -> None:
    assert not has_grammar("text")
    assert not has_grammar("markdown")


@pytest.mark.parametrize("syntax", {id(syntax): syntax for syntax in SYNTAX.values()}.values())
def test_tables_name_only_node_types_that_exist(syntax: Syntax) -> None:
    served: list[Language] = []
    for language, candidate in SYNTAX.items():
        if candidate is syntax:
            parser_language = grammar(language).parser.language
            assert parser_language is not None
            served.append(parser_language)
    nodes = [*syntax.definitions, *syntax.containers, *syntax.leading, *syntax.trailing]
    unknown = [name for name in nodes if not any(each.id_for_node_kind(name, True) for each in served)]
    unknown += [
        name for name in syntax.leading_tokens if not any(each.id_for_node_kind(name, False) for each in served)
    ]
    assert unknown == []


def test_only_grammars_that_are_asked_for_are_mapped() -> None:
    code = (
        "from flyweight.index.chunk import chunk\n"
        "chunk(b'package main\\n', 'go')\n"
        "maps = open('/proc/self/maps').read()\n"
        "import sys\n"
        "print('bindings/go.' in maps, maps.count('/bindings/') > 9)\n"
        "print('tree_sitter_language_pack' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


def test_missing_wheel_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(grammars._MODULES, "go", ("no_such_wheel", "bindings.go"))
    monkeypatch.delitem(grammars._loaded, "go", raising=False)
    with pytest.raises(BuildError, match=r"'go'.*no_such_wheel.*tree-sitter-language-pack>=0\.13,<1"):
        grammar("go")


def test_broken_grammar_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bindings = tmp_path / "broken_wheel" / "bindings"
    bindings.mkdir(parents=True)
    (bindings.parent / "__init__.py").touch()
    (bindings / "go.abi3.so").write_bytes(b"not a library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(grammars._MODULES, "go", ("broken_wheel", "bindings.go"))
    monkeypatch.delitem(grammars._loaded, "go", raising=False)
    with pytest.raises(BuildError, match=r"'go' at .*broken_wheel/bindings/go\.abi3\.so does not load"):
        grammar("go")


def test_parse_gives_the_same_tree_as_a_parse_of_the_whole_buffer() -> None:
    data, language = sample("Parser.scala")
    data *= 20  # over several reads
    found = grammar(language)
    tree = found.parse(data)
    assert tree is not None
    assert str(tree.root_node) == str(found.parser.parse(data).root_node)


def test_parse_that_makes_no_headway_is_given_up() -> None:
    before = time.thread_time()
    assert grammar("lua").parse(b"x\n" * 60_000) is None
    assert time.thread_time() - before < 20


def test_parser_is_as_good_as_new_after_it_gave_up() -> None:
    found = grammar("lua")
    assert found.parse(b"x\n" * 60_000) is None
    data, _ = sample("queue.lua")
    tree = found.parse(data)
    assert tree is not None
    assert not tree.root_node.has_error


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("typescript", b"a<b," * 3000),
        ("java", b"template<\n" * 3000),
        ("scala", b"`" * 100_000),
    ],
)
def test_source_that_would_exhaust_memory_or_time_is_not_parsed(language: str, source: bytes) -> None:
    assert grammar(language).parse(source) is None


def test_parses_do_not_add_up_in_memory() -> None:
    data, language = sample("Parser.scala")
    found = grammar(language)

    def private_kib() -> int:
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))

    for _ in range(200):
        found.parse(data)
    before = private_kib()
    for _ in range(1000):  # 30 KB each would leak, were the reads not served from one block
        found.parse(data)
    assert private_kib() - before < 2048
