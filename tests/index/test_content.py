from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight.index.content import reason_by_name, reason_to_skip

SOURCE = b"def add(a, b):\n    return a + b\n\n\n" * 400


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"logo.png", "binary extension"),
        (b"LOGO.PNG", "binary extension"),
        (b"lib.tar.gz", "binary extension"),
        (b"drawing.svg", "binary extension"),
        (b"server.pem", "binary extension"),
        (b"yarn.lock", "generated data"),
        (b"Cargo.lock", "generated data"),
        (b"go.sum", "generated data"),
        (b".terraform.lock.hcl", "generated data"),
        (b"app.js.map", "generated data"),
        (b"jquery.min.js", "minified"),
        (b"site-min.css", "minified"),
        (b"main.py", None),
        (b"Makefile", None),
        (b".png", None),
        (b"png", None),
        (b"go.mod", None),
        (b"world.map", None),
        (b"a.min.py", None),
        (b"caf\xe9.c", None),
        (b"", None),
    ],
)
def test_name_alone_rules_a_file_out(name: bytes, reason: str | None) -> None:
    assert reason_by_name(name) == reason


@pytest.mark.parametrize("extension", ["res", "vhd", "mo", "pt", "sig", "app", "asc", "com", "doc"])
def test_extensions_that_languages_share_with_binaries_are_left_to_their_bytes(extension: str) -> None:
    assert reason_to_skip(SOURCE, f"a.{extension}") is None
    assert reason_to_skip(b"\x7fELF\0\0", f"a.{extension}") == "binary"


def test_written_code_is_kept() -> None:
    assert reason_to_skip(SOURCE, "src/add.py") is None


@pytest.mark.parametrize("data", [b"", b" ", b"\n\n\r\n\t\n", b" \n" * 100_000])
def test_white_space_is_empty(data: bytes) -> None:
    assert reason_to_skip(data, "a.py") == "empty"


def test_a_nul_makes_a_file_binary_wherever_it_is_in_the_first_64_kb() -> None:
    assert reason_to_skip(SOURCE + b"\0", "a.py") == "binary"
    assert reason_to_skip(b"x = 1\n" * 10_000 + b"\0" + b"x = 1\n" * 10_000, "a.py") == "binary"


def test_bytes_that_are_mostly_control_characters_are_binary() -> None:
    assert reason_to_skip(bytes([1, 2, 3, 0x80, 0x90]) * 1000, "a") == "binary"


@given(st.binary(min_size=2000, max_size=20_000))
def test_compressed_data_is_binary(data: bytes) -> None:
    noise = random.Random(zlib.crc32(data)).randbytes(4000)
    assert reason_to_skip(zlib.compress(data + noise), "blob") == "binary"


@pytest.mark.parametrize(
    "data",
    [
        "naïve = 'café'\n".encode("latin-1") * 100,
        "名前 = '値'\n".encode("shift-jis") * 100,
        "名前 = '値'\n".encode("iso-2022-jp") * 100,
        "имя = 'значение'\n".encode("koi8-r") * 100,
        "\ufeffname = '値'\n".encode() * 100,
        b"\x1b[31mred\x1b[0m\n" * 100,
        b"page one\n\x0cpage two\n" * 100,
    ],
)
def test_encodings_that_keep_ascii_are_text(data: bytes) -> None:
    assert reason_to_skip(data, "a.py") is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_wide_encodings_are_named_as_the_reason(encoding: str) -> None:
    assert reason_to_skip("class A {}\n".encode(encoding), "A.cs") == "encoding"


@pytest.mark.parametrize("extension", ["js", "css", "json", "html", "mjs"])
def test_code_with_lines_far_longer_than_anyone_writes_is_minified(extension: str) -> None:
    line = b"function a(b){return b+1};" * 200 + b"\n"
    assert reason_to_skip(line * 10, f"bundle.{extension}") == "minified"


def test_a_license_in_front_does_not_hide_minified_code() -> None:
    data = b"/* License\n" + b" * line\n" * 20 + b"*/\n" + b"var a=1;" * 10_000
    assert reason_to_skip(data, "bundle.js") == "minified"


def test_a_short_file_on_one_line_is_kept() -> None:
    assert reason_to_skip(json.dumps({"name": "x" * 3000}).encode(), "package.json") is None


def test_prose_with_a_paragraph_to_the_line_is_kept() -> None:
    assert reason_to_skip((b"word " * 150 + b"\n\n") * 50, "essay.md") is None


def test_one_line_of_100_mb_is_minified_whatever_it_is_called() -> None:
    assert reason_to_skip(b"x" * 100_000_000, "a.py") == "minified"


def test_line_ends_of_any_system_count_once() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        assert reason_to_skip((b"x" * 600 + end) * 50, "a.js") == "minified"
        assert reason_to_skip((b"x" * 400 + end) * 50, "a.js") is None


def test_rows_of_data_are_kept_only_while_they_are_few() -> None:
    assert reason_to_skip(b"id,name\n" + b"1,one\n" * 10, "fixture.csv") is None
    assert reason_to_skip(b"id,name\n" + b"1,one\n" * 10_000, "export.csv") == "generated data"


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_and_any_name_get_an_answer(data: bytes, path: str) -> None:
    path = path.encode("utf-8", "replace").decode()
    assert reason_to_skip(data, path) in {
        None,
        "binary",
        "binary extension",
        "encoding",
        "empty",
        "generated data",
        "minified",
    }
