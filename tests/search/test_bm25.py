from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_segment import MadeFile, searcher_over, write_segment

from flyweight._build import merge_segments, terms

VOCABULARY = [
    "lorem",
    "ipsum",
    "dolor",
    "amet",
    "elit",
    "magna",
    "aliqua",
    "quis",
    "nostrud",
    "tempor",
    "labore",
    "velit",
]
_HEADER = (Path(__file__).parents[2] / "native" / "search" / "bm25.h").read_text()
K1, B = (float(re.findall(rf"constexpr float {name} = ([0-9.]+)F;", _HEADER)[0]) for name in ("kBm25K1", "kBm25B"))
NO_VECTOR = np.zeros(64, np.float32).tobytes()  # of zeros: words alone decide


class Corpus:
    """Files of one chunk without a symbol, whose names say nothing: their scores are in the ratio of their BM25."""

    def __init__(self, seed: int, count: int) -> None:
        draw = random.Random(seed)
        weights = [1 / (rank + 1) for rank in range(len(VOCABULARY))]
        self.texts = {
            f"zz/q{number}.c": " ".join(draw.choices(VOCABULARY, weights, k=draw.randrange(1, 60)))
            for number in range(count)
        }

    def files(self) -> list[MadeFile]:
        return [MadeFile(path, [text], language="c") for path, text in self.texts.items()]

    def scores(self, query: str) -> dict[str, float]:
        """Okapi BM25 from its definition, with what an index knows of a chunk: lengths in sixteen
        steps to the octave, frequencies up to 16."""
        bags = {path: Counter(terms(text)) for path, text in self.texts.items()}
        average = sum(bag.total() for bag in bags.values()) / len(bags)
        scores: dict[str, float] = {}
        for term in set(terms(query)):
            holders = sum(term in bag for bag in bags.values())
            rarity = math.log(1 + (len(bags) - holders + 0.5) / (holders + 0.5))
            for path, bag in bags.items():
                if term in bag:
                    length = 2 ** (round(16 * math.log2(1 + bag.total())) / 16) - 1
                    norm = K1 * (1 - B + B * length / average)
                    frequency = min(bag[term], 16)
                    scores[path] = scores.get(path, 0.0) + rarity * frequency * (K1 + 1) / (frequency + norm)
        return scores


def check(corpus: Corpus, *segments: Path) -> None:
    searcher = searcher_over(*segments)
    for query in [*VOCABULARY, "lorem amet", "velit nostrud elit", " ".join(VOCABULARY), "absent velit"]:
        expected = corpus.scores(query)
        hits, _ = searcher.search(query, 1000, 0.0, [], [], [], NO_VECTOR, False)
        found = {hit.path: hit.score for hit in hits}
        assert found.keys() == expected.keys()
        top = max(found, key=found.__getitem__)
        for path, score in expected.items():
            assert found[path] / found[top] == pytest.approx(score / expected[top], rel=1e-4), (query, path)


@pytest.mark.parametrize("seed", range(4))
def test_lexical_scores_are_those_of_bm25(tmp_path: Path, seed: int) -> None:
    corpus = Corpus(seed, 200)
    check(corpus, write_segment(tmp_path / "a.segment", corpus.files()))


def test_bm25_is_the_same_over_one_segment_and_over_several(tmp_path: Path) -> None:
    corpus = Corpus(9, 300)
    files = corpus.files()
    check(corpus, *(write_segment(tmp_path / f"{i}.segment", files[i::4]) for i in range(4)))


def test_bm25_holds_across_posting_blocks_and_score_windows(tmp_path: Path) -> None:
    """A block of postings has 128, a window of scores 4096 chunks."""
    corpus = Corpus(5, 4500)
    searcher = searcher_over(write_segment(tmp_path / "a.segment", corpus.files()))
    for query in ("velit", "lorem nostrud"):
        expected = corpus.scores(query)
        hits, _ = searcher.search(query, 20, 0.0, [], [], [], NO_VECTOR, False)
        best = max(expected.values())
        ranked = sorted(expected.values(), reverse=True)
        for hit, score in zip(hits, ranked, strict=False):
            assert hit.score / hits[0].score == pytest.approx(score / best, rel=1e-4)
            assert expected[hit.path] == pytest.approx(score, rel=1e-4)


def test_bm25_survives_a_merge(tmp_path: Path) -> None:
    corpus = Corpus(3, 250)
    files = corpus.files()
    parts = [write_segment(tmp_path / f"{i}.segment", files[i::3]) for i in range(3)]
    merged = tmp_path / "merged.segment"
    merge_segments([(str(part), "") for part in parts], str(merged), b"made")
    check(corpus, merged)


def test_a_word_that_is_repeated_counts_once_in_the_query(tmp_path: Path) -> None:
    corpus = Corpus(1, 50)
    searcher = searcher_over(write_segment(tmp_path / "a.segment", corpus.files()))
    once, _ = searcher.search("lorem velit", 50, 0.0, [], [], [], NO_VECTOR, False)
    often, _ = searcher.search("lorem velit lorem lorem", 50, 0.0, [], [], [], NO_VECTOR, False)
    assert [hit.as_dict() for hit in once] == [hit.as_dict() for hit in often]
