from __future__ import annotations

from array import array
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from benchmarks.exact_search import exact_recalls
from benchmarks.native_vectors import VectorFiles

# Products with the query (1, 0): 0.9, 0.8, 0.8, 0.7995, 0.1.
ROWS = [(0.9, 0.1), (0.8, 0.2), (0.8, 0.3), (0.7995, 0.0), (0.1, 0.9)]


@pytest.fixture
def vectors(tmp_path: Path) -> VectorFiles:
    rows, queries = tmp_path / "rows.f32", tmp_path / "queries.f32"
    rows.write_bytes(array("f", [value for row in ROWS for value in row]).tobytes())
    queries.write_bytes(array("f", (1.0, 0.0)).tobytes())
    return VectorFiles(rows, queries, tmp_path / "none", len(ROWS), 2)


def test_the_exact_best_are_all_right(vectors: VectorFiles) -> None:
    assert exact_recalls(vectors, [[0, 1]], 2) == [1.0]


def test_a_twin_of_the_last_right_answer_is_right(vectors: VectorFiles) -> None:
    assert exact_recalls(vectors, [[0, 2]], 2) == [1.0]


def test_a_row_a_little_further_is_wrong(vectors: VectorFiles) -> None:
    assert exact_recalls(vectors, [[0, 3]], 2) == [0.5]


def test_a_row_a_little_further_is_right_within_a_tolerance(vectors: VectorFiles) -> None:
    assert exact_recalls(vectors, [[0, 3]], 2, tolerance=1e-3) == [1.0]


def test_an_answer_that_is_missing_costs_its_share(vectors: VectorFiles) -> None:
    assert exact_recalls(vectors, [[0]], 2) == [0.5]
