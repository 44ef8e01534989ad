from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.index import language_names
from flyweight.index.language import HEAD_BYTES, detect
from flyweight.index.language_names import canonical, languages, suggestions

LANGUAGES = languages()
NAMED = {
    "a.py": "python", "a.pyi": "python", "lib.rs": "rust", "main.go": "go", "A.java": "java",
    "a.js": "javascript", "a.mjs": "javascript", "a.jsx": "javascript", "a.mts": "typescript",
    "a.d.ts": "typescript", "a.tsx": "tsx", "a.c": "c", "a.cpp": "cpp", "a.hh": "cpp", "A.cs": "csharp",
    "a.rb": "ruby", "a.php": "php", "A.kt": "kotlin", "build.gradle.kts": "kotlin", "A.scala": "scala",
    "build.sbt": "scala", "a.swift": "swift", "a.ex": "elixir", "mix.exs": "elixir", "A.hs": "haskell",
    "a.lua": "lua", "a.zig": "zig", "run.sh": "bash", "a.sql": "sql", "README.md": "markdown",
    "a.json": "json", "a.yml": "yaml", "a.toml": "toml", "pom.xml": "xml", "index.html": "html",
    "a.css": "css", "a.scss": "scss", "a.proto": "proto", "a.graphql": "graphql", "main.tf": "terraform",
    "a.hcl": "hcl", "a.vue": "vue", "a.svelte": "svelte", "a.dart": "dart", "a.jl": "julia", "a.R": "r",
    "a.ml": "ocaml", "a.clj": "clojure", "a.erl": "erlang", "a.nix": "nix", "a.sol": "solidity",
    "a.ps1": "powershell", "a.S": "asm", "a.cu": "cuda", "a.pyx": "cython", "a.mm": "objc",
    "a.tex": "latex", "a.rst": "rst", "a.ini": "ini", "CMakeLists.txt": "cmake", "a.cmake": "cmake",
    "Dockerfile": "dockerfile", "Dockerfile.dev": "dockerfile", "app.dockerfile": "dockerfile",
    "Makefile": "makefile", "rules.mk": "makefile", "Makefile.am": "makefile", "Makefile.in": "makefile",
    "Rakefile": "ruby", "a.gemspec": "ruby", "BUILD": "starlark", "Jenkinsfile": "groovy",
    "go.mod": "gomod", "justfile": "just", ".bashrc": "bash", ".babelrc": "json", "config.h.in": "c",
    "settings.py.example": "python", "page.html.j2": "jinja", "notes.txt": "text", "LICENSE": "text",
    ".gitignore": "text", "a.unknown": "text", "": "text", "a.": "text", "MAIN.PY": "python",
}  # fmt: skip


@pytest.mark.parametrize(("name", "language"), NAMED.items())
def test_name_tells_the_language(name: str, language: str) -> None:
    assert detect(f"some.py/dir.rs/{name}", b"") == language


@pytest.mark.parametrize(
    ("line", "language"),
    [
        (b"#!/bin/sh", "bash"),
        (b"#!/usr/bin/env python3", "python"),
        (b"#! /usr/bin/python3.12 -u", "python"),
        (b"#!/usr/bin/env -S LANG=C node --harmony", "javascript"),
        (b"#!/usr/bin/env -S deno run", "typescript"),
        (b"#!/opt/local/bin/ruby\r", "ruby"),
        (b"#!/usr/bin/perl", "perl"),
        (b"#!/usr/bin/unheard-of", "text"),
        (b"#!", "text"),
        (b"\xef\xbb\xbf#!/bin/bash", "bash"),
        (b"// -*- C++ -*-", "cpp"),
        (b"# -*- mode: ruby; tab-width: 2 -*-", "ruby"),
        (b"# -*- coding: utf-8 -*-", "text"),
        (b"  <?xml version='1.0'?>", "xml"),
        (b"<!DOCTYPE html>", "html"),
        (b"<?php", "php"),
        (b"just words", "text"),
    ],
)
def test_first_lines_tell_where_the_name_does_not(line: bytes, language: str) -> None:
    assert detect("script", line + b"\nmore\n") == language


def test_the_name_wins_over_the_first_line() -> None:
    assert detect("a.py", b"#!/bin/sh\n") == "python"


@pytest.mark.parametrize(
    ("name", "head", "language"),
    [
        ("a.h", b"#ifndef A_H\n#define A_H\nint add(int a, int b);\nstruct point { int x; };\n#endif\n", "c"),
        ("a.h", b'#ifdef __cplusplus\nextern "C" {\n#endif\nvoid f(void);\n', "c"),
        (
            "a.h",
            b"/* the class of all classes; a template for using it */\n * class action\nint f(void);\n",
            "c",
        ),
        ("a.h", b"#include <stdio.h>\n#include <sys/types.h>\n", "c"),
        ("a.h", b"#pragma once\n#include <vector>\nint f();\n", "cpp"),
        ("a.h", b"namespace a::b {\n", "cpp"),
        ("a.h", b"  template <typename T>\n  T f(T);\n", "cpp"),
        ("a.h", b"class EXPORT Widget final : public Base {\n", "cpp"),
        ("a.h", b"class Widget;\n", "cpp"),
        ("a.h", b"std::string f();\n", "cpp"),
        ("a.h", b"/*" + b" license\n" * 1000 + b"*/\nnamespace a {\n", "cpp"),
        ("a.h", b"#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end\n", "objc"),
        ("a.inc", b"<?php\nfunction f() {}\n", "php"),
        ("a.inc", b"#define A 1\n", "c"),
        ("a.inc", b"namespace a {\n#include <vector>\n", "cpp"),
        ("a.inc", b"procedure Foo;\nbegin\nend;\n", "pascal"),
        ("a.inc", b"anything\n", "text"),
        ("a.m", b'#import "A.h"\n@implementation A\n@end\n', "objc"),
        ("a.m", b"// A.m\n", "objc"),
        ("a.m", b"% adds\nfunction c = add(a, b)\nc = a + b;\nend\n", "matlab"),
        ("a.pl", b"#!/usr/bin/perl\n:- x\n", "perl"),
        ("a.pl", b"use strict;\nmy $x = 1;\n", "perl"),
        ("a.pl", b":- module(a, [b/1]).\nb(X) :- c(X).\n", "prolog"),
        ("a.ts", b"export const a: number = 1;\n", "typescript"),
        ("a.ts", b'<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS>\n', "xml"),
        ("a.v", b"module counter(\n  input clk\n);\nendmodule\n", "verilog"),
        ("a.v", b"module main\n\nimport os\n\nfn main() {\n}\n", "vlang"),
        ("a.v", b"Require Import Arith.\nTheorem a : True.\nProof. trivial. Qed.\n", "coq"),
        ("a.sc", b"object A extends App {\n  println(1)\n}\n", "scala"),
        ("a.sc", b"(\nSynthDef(\\a, { |freq| SinOsc.ar(freq) }).add;\n)\n", "text"),
        ("a.cls", b"VERSION 1.0 CLASS\nBEGIN\n", "vb"),
        ("a.cls", b"public with sharing class A {\n", "apex"),
        ("a.cls", b"\\NeedsTeXFormat{LaTeX2e}\n\\ProvidesClass{a}\n", "latex"),
        ("a.d", b"module a;\nimport std.stdio;\nvoid main() {}\n", "d"),
        ("a.d", b"build/a.o: src/a.c \\\n  src/a.h\n", "text"),
        ("a.fs", b"module A\nopen System\nlet x = 1\n", "fsharp"),
        ("a.fs", b"#version 330\nuniform vec4 c;\nvoid main() {}\n", "glsl"),
        ("a.cl", b"(defun f (x) x)\n", "commonlisp"),
        ("a.cl", b"__kernel void f(__global int *a) {}\n", "opencl"),
        ("a.l", b";; lisp\n(defun f ())\n", "commonlisp"),
        ("a.l", b"%{\n#include <stdio.h>\n%}\n", "text"),
        ("a.t", b"use Test::More;\n", "perl"),
        ("a.t", b"  $ echo a\n  a\n", "text"),
        ("a.pp", b"class a { file { 'x': } }\n", "puppet"),
        ("a.pp", b"unit A;\ninterface\nuses B;\n", "pascal"),
        ("a.pro", b"parent(X, Y) :- child(Y, X).\n", "prolog"),
        ("a.pro", b"QT += core\nSOURCES += a.cpp\n", "text"),
    ],
)
def test_first_lines_decide_an_extension_that_languages_share(name: str, head: bytes, language: str) -> None:
    assert detect(name, head) == language


@pytest.mark.parametrize("unit", [b" ", b"\n", b"\t\n ", b" \n", b"a", b"class ", b"@a ", b"a(", b"a.a", b"public "])
@pytest.mark.parametrize("extension", ["h", "inc", "cls", "v", "pl", "d", "fs", "sc", "l", "m", "pp", "t", "ts", "pro"])
def test_a_monotonous_head_is_decided_in_linear_time(extension: str, unit: bytes) -> None:
    # A quadratic pattern needs minutes for all of these, a linear one milliseconds.
    assert detect(f"a.{extension}", unit * HEAD_BYTES) in LANGUAGES


@given(st.text(max_size=30), st.binary(max_size=200))
def test_any_path_and_any_head_get_a_known_language(path: str, head: bytes) -> None:
    assert detect(path, head) in LANGUAGES


@given(st.sampled_from(sorted({name.rpartition(".")[2] for name in NAMED})), st.binary(max_size=100))
def test_an_extension_always_gives_a_known_language(extension: str, head: bytes) -> None:
    assert detect(f"x.{extension}", head) in LANGUAGES


@pytest.mark.parametrize(
    ("name", "language"),
    [("py", "python"), ("C++", "cpp"), ("js", "javascript"), ("ts", "typescript"), ("rs", "rust"),
     ("sh", "bash"), ("c#", "csharp"), (" Golang ", "go"), ("tsx", "tsx"), ("klingon", None), ("", None),
     ("c cpp", None), ("py:python", None), (":", None)],
)  # fmt: skip
def test_alias_leads_to_the_canonical_name(name: str, language: str | None) -> None:
    assert canonical(name) == language


def test_every_language_is_its_own_canonical_name() -> None:
    assert [canonical(language) for language in LANGUAGES] == LANGUAGES == sorted(set(LANGUAGES))


def test_every_alias_leads_to_a_language() -> None:
    for alias, _, language in (pair.partition(":") for pair in language_names._ALIASES.split()):
        assert canonical(alias) == language
        assert language in LANGUAGES
        assert alias not in LANGUAGES


@pytest.mark.parametrize(
    ("name", "language"),
    [("pyhton", "python"), ("javascrip", "javascript"), ("rustt", "rust"), ("C ++", "cpp")],
)
def test_misspelled_language_suggests_the_one_meant(name: str, language: str) -> None:
    assert language in suggestions(name)


def test_suggestions_are_few_and_known() -> None:
    for name in ("s", "xyzzy", "script", "", "p" * 10_000):
        close = suggestions(name)
        assert len(close) <= 3
        assert set(close) <= set(LANGUAGES)


def test_names_can_be_imported_without_importing_anything_else() -> None:
    code = (
        "import sys, flyweight.index; before = set(sys.modules); import flyweight.index.language_names;"
        "print(*set(sys.modules) - before)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.split() == ["flyweight.index.language_names"]
