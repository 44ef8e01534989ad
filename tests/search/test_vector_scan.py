from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_segment import MadeFile, Vectors, searcher_over, write_segment

from flyweight._search import Searcher

TOP = 10
CLUSTERS = 500


def unit(vectors: Vectors) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_vectors(count: int, dimensions: int, seed: int) -> Vectors:
    return unit(np.random.default_rng(seed).standard_normal((count, dimensions)))


def clustered_vectors(count: int, dimensions: int, seed: int) -> Vectors:
    """A narrow cone of small clusters, as embedded code is: the mean vector has a norm near 0.8."""
    world = np.random.default_rng(0)
    cone = unit(world.standard_normal((1, dimensions)))
    centres = unit(world.standard_normal((CLUSTERS, dimensions)))
    draw = np.random.default_rng(seed)
    noise = unit(draw.standard_normal((count, dimensions)))
    return unit(1.2 * cone + 0.7 * centres[draw.integers(0, CLUSTERS, count)] + 0.5 * noise)


def write(path: Path, vectors: Vectors, per_file: int = 50) -> Path:
    groups = [vectors[i : i + per_file] for i in range(0, len(vectors), per_file)]
    files = [MadeFile(f"f{i}.py", ["x"] * len(group), vectors=group) for i, group in enumerate(groups)]
    return write_segment(path, files, vectors.shape[1])


def scan(searcher: Searcher, query: Vectors, limit: int = TOP) -> list[tuple[int, int, float]]:
    return list(searcher.vector_scan(query.astype("<f4").tobytes(), limit))


def recall(searcher: Searcher, vectors: Vectors, queries: Vectors) -> float:
    found = 0
    for query in queries:
        exact = vectors @ query
        threshold = np.sort(exact)[-TOP] - 1e-6
        found += sum(exact[chunk] >= threshold for _, chunk, _ in scan(searcher, query))
    return found / (TOP * len(queries))


@pytest.mark.parametrize("dimensions", [64, 128, 256])
@pytest.mark.parametrize("make", [random_vectors, clustered_vectors])
def test_cosines_are_exact_to_within_the_rounding_of_a_byte(tmp_path: Path, make: object, dimensions: int) -> None:
    vectors = make(500, dimensions, 1)  # type: ignore[operator]
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    for query in make(20, dimensions, 2):  # type: ignore[operator]
        found = scan(searcher, query, 500)
        assert len(found) == 500
        for _, chunk, cosine in found:
            assert cosine == pytest.approx(float(vectors[chunk] @ query), abs=0.01)
        assert [score for *_, score in found] == sorted((score for *_, score in found), reverse=True)


def test_the_nearest_ten_of_clustered_vectors_are_found(tmp_path: Path) -> None:
    vectors = clustered_vectors(20_000, 256, 3)
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    assert recall(searcher, vectors, clustered_vectors(60, 256, 4)) >= 0.94


def test_the_nearest_ten_of_random_vectors_are_found(tmp_path: Path) -> None:
    """The hardest case there is: nothing is near, and the best differ by little."""
    vectors = random_vectors(5_000, 256, 5)
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    assert recall(searcher, vectors, random_vectors(60, 256, 6)) >= 0.88


@pytest.mark.parametrize("dimensions", [8, 24, 384, 1000, 1024, 1536, 2048, 2072, 3072, 4096])
def test_vectors_of_any_multiple_of_8_dimensions_are_found(tmp_path: Path, dimensions: int) -> None:
    """The longest fill the 16 bits of a scan's sums to the brim: all components alike make the greatest ones."""
    vectors = random_vectors(300, dimensions, dimensions)
    even = np.ones((2, dimensions), np.float32) * [[1], [-1]]
    vectors = unit(np.vstack([vectors, even]))
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    for number in (0, 77, 150, 299, 300, 301):
        found = scan(searcher, vectors[number], 302)
        assert found[0][1] == number
        assert found[0][2] == pytest.approx(1, abs=0.01)
        exact = vectors @ vectors[number]
        assert all(cosine == pytest.approx(float(exact[chunk]), abs=0.01) for _, chunk, cosine in found)


def test_many_dimensions_are_scanned_as_well_as_few(tmp_path: Path) -> None:
    """Six chunks to a cluster, so that four of the nearest ten are as far away as all others; 256 dimensions: 0.855."""
    vectors = clustered_vectors(3_000, 1536, 3)
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    assert recall(searcher, vectors, clustered_vectors(20, 1536, 4)) >= 0.82


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 63, 64, 65, 127, 129, 200])
def test_a_chunk_is_nearest_to_itself_wherever_it_lies_in_its_block(tmp_path: Path, count: int) -> None:
    vectors = random_vectors(count, 64, count)
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    for number, vector in enumerate(vectors):
        assert scan(searcher, vector, 1)[0][1] == number


def test_several_segments_are_scanned_as_one(tmp_path: Path) -> None:
    vectors = clustered_vectors(900, 128, 7)
    parts = [vectors[:301], vectors[301:420], vectors[420:]]
    several = searcher_over(*(write(tmp_path / f"{i}.segment", part) for i, part in enumerate(parts)))
    one = searcher_over(write(tmp_path / "one.segment", vectors))
    starts = [0, 301, 420]
    for query in clustered_vectors(20, 128, 8):
        expected = [(chunk, score) for _, chunk, score in scan(one, query)]
        assert [(starts[segment] + chunk, score) for segment, chunk, score in scan(several, query)] == expected


def test_dead_files_are_not_found(tmp_path: Path) -> None:
    vectors = random_vectors(300, 64, 9)
    path = write(tmp_path / "a.segment", vectors, per_file=10)
    searcher = searcher_over((path, "0-9,15"))
    dead = {*range(100), *range(150, 160)}
    for query in vectors[:40]:
        found = {chunk for _, chunk, _ in scan(searcher, query, 300)}
        assert found == set(range(300)) - dead


def test_a_limit_beyond_the_index_returns_all_of_it(tmp_path: Path) -> None:
    searcher = searcher_over(write(tmp_path / "a.segment", random_vectors(17, 64, 1)))
    assert len(scan(searcher, random_vectors(1, 64, 2)[0], 10_000)) == 17


def test_vectors_of_zeros_are_near_nothing(tmp_path: Path) -> None:
    vectors = np.vstack([np.zeros((5, 64), np.float32), random_vectors(5, 64, 1)])
    searcher = searcher_over(write(tmp_path / "a.segment", vectors))
    found = {chunk: score for _, chunk, score in scan(searcher, vectors[7], 10)}
    assert all(found[chunk] == 0 for chunk in range(5) if chunk in found)
    assert found[7] == pytest.approx(1, abs=0.01)


def test_a_query_vector_of_zeros_finds_nothing_near(tmp_path: Path) -> None:
    searcher = searcher_over(write(tmp_path / "a.segment", random_vectors(5, 64, 1)))
    assert all(score == 0 for *_, score in scan(searcher, np.zeros(64, np.float32)))


def test_an_empty_index_has_no_neighbours(tmp_path: Path) -> None:
    assert scan(searcher_over(), random_vectors(1, 64, 1)[0]) == []
    assert scan(searcher_over(write_segment(tmp_path / "a.segment", [])), random_vectors(1, 64, 1)[0]) == []


@pytest.mark.parametrize("length", [0, 4, 63 * 4, 65 * 4, 7])
def test_a_query_vector_of_the_wrong_length_is_refused(tmp_path: Path, length: int) -> None:
    searcher = searcher_over(write(tmp_path / "a.segment", random_vectors(5, 64, 1)))
    with pytest.raises(ValueError, match="vector"):
        searcher.vector_scan(bytes(length), 3)
