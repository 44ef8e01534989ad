"""The right answers of a nearest-neighbour search, by float32 products over every row."""

from __future__ import annotations

from benchmarks.native_vectors import VectorFiles

# Two sums of the same 256 products in another order differ by this much at most.
ROUNDING = 1e-6


def exact_recalls(vectors: VectorFiles, found: list[list[int]], k: int, tolerance: float = ROUNDING) -> list[float]:
    """Per query, the share of ``found`` rows that rank among the ``k`` best, give or take ``tolerance``."""
    import numpy as np

    rows = np.fromfile(vectors.rows_path, dtype=np.float32).reshape(-1, vectors.dimensions)
    recalls = []
    for query, answer in zip(
        np.fromfile(vectors.queries_path, dtype=np.float32).reshape(-1, vectors.dimensions),
        found,
        strict=True,
    ):
        products = rows @ query
        threshold = np.partition(products, -k)[-k] - tolerance
        recalls.append(float(np.count_nonzero(products[answer] >= threshold)) / k)
    return recalls
