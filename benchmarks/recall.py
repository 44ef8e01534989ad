"""Recall@10 of the native vector scan against the exact float32 answer, at both sizes we promise.

A chunk counts as right when its exact product with the query is at least that of the tenth best: twins (the
same lines in two files) share a place and either is right.  Beside this strict recall the detail gives the
tolerant one of ann-benchmarks, where anything within 0.001 of the tenth best is right.
"""

from __future__ import annotations

from benchmarks import native_vectors
from benchmarks.code_trees import LARGE, SMALL, indexed_tree, realistic_queries
from benchmarks.exact_search import exact_recalls
from benchmarks.figures import Figure, Report
from benchmarks.ranking_metrics import mean
from benchmarks.settings import Settings

K = 10
TARGET = 0.99
_ANN_BENCHMARKS_TOLERANCE = 1e-3


def run(settings: Settings) -> Report:
    report = Report("recall")
    for chunks in (SMALL, LARGE):
        indexed = indexed_tree(settings, chunks)
        asked = realistic_queries(settings, indexed.tree)
        vectors = native_vectors.write_float_vectors(settings, indexed, asked)
        found = native_vectors.scanned_nearest(vectors, K)
        strict = exact_recalls(vectors, found, K)
        tolerant = exact_recalls(vectors, found, K, _ANN_BENCHMARKS_TOLERANCE)
        report.figures.append(
            Figure(
                f"recall@{K} of the vector scan, {vectors.count:,} chunks",
                round(mean(strict), 4),
                "",
                f"{len(asked)} queries against float32 products of unrounded vectors; ties are right",
                TARGET,
                "at least",
                peer=f"{mean(tolerant):.4f} within 0.001, as ann-benchmarks counts",
            )
        )
        report.detail[str(vectors.count)] = {
            "strict": mean(strict),
            "tolerant": mean(tolerant),
            "worst_query": min(strict),
            "perfect_queries": sum(score == 1.0 for score in strict),
            "queries": len(strict),
        }
    return report
