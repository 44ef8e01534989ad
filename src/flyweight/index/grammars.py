"""Loads tree-sitter grammars, one at a time and only when a file in that language turns up.

The compiled grammars lie in wheels as extension modules. They are opened by path, so that neither the
packages' own start-up code (a few MB of imports) nor any grammar that is not needed is ever loaded.
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import time
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec

from tree_sitter import Language, Parser, Tree

from flyweight.errors import BuildError
from flyweight.index.syntax import Rule, Syntax
from flyweight.index.syntax_table import SYNTAX

# Grammars that carry another name than ours, or come in a wheel of their own.
_PACK = "tree_sitter_language_pack"
_MODULES = {
    "csharp": ("tree_sitter_c_sharp", "_binding"),
    "opencl": (_PACK, "bindings.c"),
}
_REQUIREMENTS = "tree-sitter>=0.26,<0.27 and tree-sitter-language-pack>=0.13,<1"
# What tree-sitter numbers the nodes it could not fit into the grammar.
_ERROR_KIND = 0xFFFF

# Processor time one parse may take; 192 KB of real code take 0.1 s.
_PARSE_LIMIT_S = 2.0
# What one parse may add to the highest resident set so far; real code of the size parsed here needs 8 MB at
# most.
_PARSE_LIMIT_KIB = 12 * 1024
_SLOW_STEP_S = 0.001
_READ_BYTES = 4096
# Two things no progress call can interrupt: unclosed type arguments, which take memory in the square of their
# number (2,000 of them 390 MB in TypeScript), and backticks, from each of which Scala's scanner reads to the
# end.
_MANY_GENERICS = 300
_OPEN_GENERICS = re.compile(rb"<[^<>;{}]{0,15}(?:<[^<>;{}]{0,15}){%d}" % (_MANY_GENERICS - 1))
_BACKTICKS = b"`" * 1000

LEADING = Rule()
TRAILING = Rule()
CONTAINER = Rule()


class _Patience:
    """Says when to stop a parse that has gone astray.

    Real code, mutilated or in the wrong language, needs at most 60 calls per KB (measured). Ambiguous
    nonsense can need any number, and then a single step takes milliseconds and megabytes, so slow steps are
    looked at one by one.
    """

    __slots__ = ("calls", "deadline", "last", "peak_kib")

    def __init__(self, size: int) -> None:
        self.calls = 512 + size // 4
        self.deadline = time.thread_time() + _PARSE_LIMIT_S
        self.peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + _PARSE_LIMIT_KIB
        self.last = time.perf_counter()

    def is_over(self, _offset: int, _has_error: bool) -> bool:
        self.calls -= 1
        now = time.perf_counter()
        slow = now - self.last > _SLOW_STEP_S
        self.last = now
        if not slow and self.calls % 16:
            return self.calls < 0
        return (
            self.calls < 0
            or time.thread_time() > self.deadline
            or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > self.peak_kib
        )


class Grammar:
    """A parser, and the syntax of its language with the rules under the numbers that nodes carry."""

    __slots__ = ("_windows", "parser", "rules", "syntax")

    def __init__(self, language: Language, syntax: Syntax) -> None:
        self.parser = Parser(language)
        self.rules = _rules(language, syntax)
        self.syntax = syntax
        # The binding (0.26) never lets go of a buffer it was handed: so it gets the same few every time,
        # views of one block that is filled anew for each read, in powers of two for the end of a source.
        block = memoryview(bytearray(_READ_BYTES))
        self._windows = [block[: 1 << power] for power in range(_READ_BYTES.bit_length())]

    def parse(self, source: bytes) -> Tree | None:
        """The tree of a source in UTF-8, or None if it takes far more work or memory than code does."""
        if _is_hostile(source):
            return None
        patience = _Patience(len(source))
        size, windows = len(source), self._windows

        def read(offset: int, _point: object) -> memoryview | bytes:
            left = size - offset
            if left <= 0:
                return b""
            window = windows[min(left, _READ_BYTES).bit_length() - 1]
            window[:] = source[offset : offset + len(window)]
            return window

        try:
            return self.parser.parse(read, progress_callback=patience.is_over)
        except ValueError:
            self.parser.reset()
            return None


def _is_hostile(source: bytes) -> bool:
    if source.count(b"<") >= _MANY_GENERICS and _OPEN_GENERICS.search(source) is not None:
        return True
    return _BACKTICKS in source


def _rules(language: Language, syntax: Syntax) -> dict[int, Rule]:
    rules = {_ERROR_KIND: CONTAINER}
    for number in range(language.node_kind_count):
        name = language.node_kind_for_id(number) or ""
        if not language.node_kind_is_named(number):
            if name in syntax.leading_tokens:
                rules[number] = LEADING
        elif name in syntax.definitions:
            rules[number] = syntax.definitions[name]
        elif name in syntax.containers:
            rules[number] = CONTAINER
        elif name in syntax.trailing:
            rules[number] = TRAILING
        elif name in syntax.leading or "comment" in name:
            rules[number] = LEADING
    return rules


_loaded: dict[str, Grammar] = {}


def has_grammar(language: str) -> bool:
    """Whether files in this language are cut along a syntax tree."""
    return language in SYNTAX


def grammar(language: str) -> Grammar:
    """The grammar of a language for which `has_grammar` holds, loaded at the first call and kept.

    Raises `BuildError` when the installed wheels do not carry it.
    """
    found = _loaded.get(language)
    if found is None:
        found = _loaded[language] = Grammar(_open(language), SYNTAX[language])
    return found


def _open(language: str) -> Language:
    package, module = _MODULES.get(language, (_PACK, f"bindings.{language}"))
    path = _find(package, module)
    if path is None:
        raise BuildError(f"no compiled grammar for {language!r} in package {package}: install {_REQUIREMENTS}")
    spec = ModuleSpec(f"{package}.{module}", ExtensionFileLoader(f"{package}.{module}", path), origin=path)
    try:
        binding = importlib.util.module_from_spec(spec)
        return Language(binding.language())
    except (ImportError, ValueError) as error:
        raise BuildError(
            f"grammar for {language!r} at {path} does not load ({error}): install {_REQUIREMENTS}"
        ) from error


def _find(package: str, module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    *folders, name = module.split(".")
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = os.path.join(location, *folders)
        for suffix in EXTENSION_SUFFIXES:
            path = os.path.join(folder, name + suffix)
            if os.path.exists(path):
                return path
    return None
