from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyweight._build import terms

_TOKEN = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
_PART = re.compile(rb"[A-Z]+(?=[A-Z][a-z\x80-\xff])|[A-Z][a-z\x80-\xff]+|[A-Z]+|[a-z\x80-\xff]+|[0-9]+")
_code = st.one_of(
    st.text(),
    st.text("aBcD1_2é .(", max_size=40),
    st.lists(st.sampled_from(["HTTP", "Server", "parse", "v2", "_", "id", "URLs", "2", "é"]), max_size=12).map("".join),
)


def stems(part: bytes) -> list[str]:
    """The stem of a single part, as the splitter itself cuts it."""
    return terms(part[:64].lower())


def reference(text: bytes) -> list[str]:
    """Parts are stemmed one by one; whole tokens are left as they are and marked, for `is_stem` to compare."""
    found = []
    for token in _TOKEN.findall(text):
        parts = _PART.findall(token) if len(token) <= 256 else []
        if len(parts) > 1:
            found.append("=" + token.lower().replace(b"_", b"")[:64].decode("utf-8", "replace"))
        for part in parts:
            found += stems(part)
    return found


def is_stem(term: str, expected: str) -> bool:
    """A stem differs from its word at the end only, where one letter may have become another."""
    return expected[1:].startswith(term[:-1]) if expected.startswith("=") else term == expected


@given(_code)
def test_a_token_is_kept_whole_and_in_its_parts(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    found, expected = terms(data), reference(data)
    assert len(found) == len(expected)
    assert all(map(is_stem, found, expected)), (found, expected)


@pytest.mark.parametrize(
    ("token", "whole", "parts"),
    [
        ("HTTPServer_v2", "httpserverv2", ["http", "server", "v", "2"]),
        ("parseURL", "parseurl", ["parse", "url"]),
        ("max_bytes_per_row", "maxbytesperrow", ["max", "bytes", "per", "row"]),
        ("utf8", "utf8", ["utf", "8"]),
        ("__init__", None, ["init"]),
        ("größe", None, ["größe"]),
    ],
)
def test_identifiers_split_at_case_digits_and_underscores(token: str, whole: str | None, parts: list[str]) -> None:
    expected = [] if whole is None else [whole]
    assert terms(token) == expected + [stem for part in parts for stem in terms(part)]


def test_a_name_is_found_however_it_is_spelt() -> None:
    spellings = ["renderTemplate", "render_template", "RENDER_TEMPLATE", "RenderTemplate", "rendertemplate"]
    assert len({terms(spelling)[0] for spelling in spellings}) == 1


@pytest.mark.parametrize(
    "family",
    [
        ["register", "registered", "registers", "registering"],
        ["index", "indexes", "indexed", "indexing"],
        ["retry", "retries"],
        ["cache", "caches", "cached", "caching"],
        ["class", "classes"],
    ],
)
def test_forms_of_a_word_meet_in_one_term(family: list[str]) -> None:
    assert len({tuple(terms(word)) for word in family}) == 1


@pytest.mark.parametrize("pair", [("port", "import"), ("process", "processor_id"), ("user", "use"), ("red", "read")])
def test_different_words_stay_apart(pair: tuple[str, str]) -> None:
    assert terms(pair[0]) != terms(pair[1])


@given(st.text("aZ9_é", max_size=300))
def test_no_term_is_empty_or_longer_than_64_bytes(token: str) -> None:
    for term in terms(token):
        assert term
        assert len(term.encode("utf-8", "surrogateescape")) <= 3 * 64  # a cut character is shown as U+FFFD


def test_a_run_of_letters_too_long_to_be_a_name_has_no_terms() -> None:
    assert terms("a" * 257) == []
    assert terms("a" * 256) == ["a" * 64]


def test_a_megabyte_of_anything_is_split_without_harm() -> None:
    assert terms("x" * 1_000_000) == []
    assert len(terms("x y" * 333_333)) == 333_334
    assert len(terms(b"\xff\xfe " * 300_000)) == 300_000
