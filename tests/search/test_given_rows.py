"""Ranking what another store has found: the same policy as for segments."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_segment import made_files, searcher_over, write_segment
from source_tree import WORDS
from test_bm25 import K1, B

from flyweight._build import Segment, chunk_terms, terms
from flyweight._search import candidates_for, definition_term, prior, query_words, rank

Row = tuple[str | bytes, str | bytes, float, float | None]


def row(path: str, lexical: float = 0.0, cosine: float | None = None, defined: str = "") -> Row:
    return (path, f"{defined}\0\0{defined}" if defined else "\0", lexical, cosine)


def order(query: str, rows: list[Row], limit: int = 10, mean_cosine: float = 0.0) -> list[int]:
    return [number for number, _ in rank(query, limit, rows, mean_cosine)]


def test_words_of_a_question_are_its_terms_without_those_that_carry_no_meaning() -> None:
    words, names, form = query_words("how does the HTTPServer handle retries")
    assert words == terms("HTTPServer handle retries")
    assert names == ["HTTPServer"]
    assert form == "text"


@pytest.mark.parametrize(("query", "name"), [("net::HttpServer", "HttpServer"), ("_x", "_x"), ("a.b.c", "c")])
def test_a_query_that_is_one_name_asks_for_its_definition(query: str, name: str) -> None:
    assert query_words(query)[1:] == ([name], "name")


def test_one_plain_word_is_looked_up_as_a_name_too() -> None:
    assert query_words("retry")[1:] == (["retry"], "word")
    assert definition_term("retry") == "=retry"


def test_a_pasted_file_is_asked_about_by_its_beginning() -> None:
    assert query_words("x " * 3000 + "zebra")[0] == ["x"]


def test_the_best_by_words_and_by_vector_comes_first() -> None:
    rows = [row("zz/a.c", 1.0, 0.1), row("zz/b.c", 2.0, 0.5), row("zz/c.c", 0.0, 0.2)]
    assert order("lorem ipsum", rows) == [1, 0, 2]


def test_vectors_count_by_how_far_they_are_above_the_mean() -> None:
    rows = [row("zz/a.c", 1.0, 0.80), row("zz/b.c", 0.9, 0.86)]
    assert order("lorem ipsum", rows) == [0, 1]
    assert order("lorem ipsum", rows, mean_cosine=0.8) == [1, 0]


def test_a_row_without_a_cosine_is_as_far_away_as_the_average() -> None:
    rows = [row("zz/a.c", 1.0, None), row("zz/b.c", 1.0, 0.3), row("zz/c.c", 1.0, 0.5)]
    scores = dict(rank("lorem ipsum", 3, rows, 0.3))
    assert scores[0] == scores[1] < scores[2]


def test_priors_apply_unless_the_query_asks_for_that_kind_of_file() -> None:
    assert prior("retry", "net/retry.py") == 1.0
    assert prior("retry", "tests/test_retry.py") < 1.0
    assert prior("tests of retry", "tests/test_retry.py") == 1.0
    rows = [row("tests/zz.c", 1.0), row("src/yy.c", 0.9)]
    assert order("lorem ipsum", rows) == [1, 0]
    assert order("tests of lorem ipsum", rows) == [0, 1]


def test_a_definition_of_the_name_asked_for_comes_first() -> None:
    rows = [row("zz/a.c", 3.0, 0.9), row("zz/b.c", 0.0, None, "HttpServer"), row("zz/c.c", 0.5, 0.1, "Other")]
    assert order("HttpServer", rows)[0] == 1


def test_chunks_of_one_file_do_not_pile_up() -> None:
    rows = [row("zz/a.c", 1.0), row("zz/a.c", 0.95), row("zz/b.c", 0.9)]
    assert order("lorem ipsum", rows) == [0, 2, 1]


def test_equal_rows_keep_their_order_and_the_limit_holds() -> None:
    rows = [row(f"zz/{number}.c", 1.0) for number in range(30)]
    assert order("lorem ipsum", rows, limit=7) == list(range(7))
    assert order("lorem ipsum", [], limit=7) == []
    assert order("lorem ipsum", rows, limit=0) == []


def test_a_row_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="row"):
        rank("x", 1, [("a", "b", 1.0)])  # type: ignore[list-item]


def bm25(query: str, chunks: list[tuple[list[str], int]]) -> list[float]:
    """Okapi BM25 over chunks of (terms, terms of the text alone), with what an index knows of them."""
    bags = [Counter(words) for words, _ in chunks]
    average = sum(length for _, length in chunks) / len(chunks)
    scores = [0.0] * len(chunks)
    for term in query_words(query)[0]:
        holders = sum(term in bag for bag in bags)
        rarity = math.log(1 + (len(bags) - holders + 0.5) / (holders + 0.5))
        for number, (bag, (_, length)) in enumerate(zip(bags, chunks, strict=True)):
            stored_length = 2 ** (round(16 * math.log2(1 + length)) / 16) - 1
            norm = K1 * (1 - B + B * stored_length / average)
            frequency = min(bag[term], 16)
            scores[number] += rarity * frequency * (K1 + 1) / (frequency + norm)
    return scores


@pytest.mark.parametrize("query", [WORDS[3], " ".join(WORDS[:3]), f"tests of {WORDS[1]} {WORDS[2]}", "unheardOf"])
def test_rows_are_ranked_as_the_same_chunks_of_a_segment_are(tmp_path: Path, query: str) -> None:
    """Given the BM25 scores of the terms a segment files its chunks under, and their cosines."""
    path = write_segment(tmp_path / "a.segment", made_files(21, 60))
    searcher, segment = searcher_over(path), Segment.open(str(path))
    count = segment.chunk_count
    assert 100 < count <= candidates_for(200)[0]
    vector = np.random.default_rng(7).standard_normal(64).astype("<f4")
    vector /= np.linalg.norm(vector)
    cosines = {chunk: cosine for _, chunk, cosine in searcher.vector_scan(vector.tobytes(), count)}
    files, symbols, chunks = [], [], []
    for chunk in range(count):
        number, *_, symbol, scope, defined, _ = segment.chunk(chunk)
        files.append(segment.file(number)[0])
        symbols.append(b"\0".join([symbol.encode(), scope.encode(), *([defined] if defined else [])]))
        text = segment.text(chunk)
        chunks.append((chunk_terms(files[-1], text, symbol, scope, defined).split(" "), len(terms(text))))
    lexical = bm25(query, chunks)
    rows: list[Row] = [(files[chunk], symbols[chunk], lexical[chunk], cosines[chunk]) for chunk in range(count)]
    found = rank(query, 200, rows, sum(cosines.values()) / count)
    hits, _ = searcher.search(query, 200, 0.0, [], [], [], vector.tobytes(), False)
    assert [score for _, score in found] == pytest.approx([hit.score for hit in hits], abs=2e-3)
    assert {files[number] for number, _ in found[:10]} == {hit.path for hit in hits[:10]}
