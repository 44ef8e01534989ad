"""Scores of a ranked list: NDCG, reciprocal rank, recall.  Ranks count from 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Something that ought to be found: a file, or a range of its lines (1-based, inclusive)."""

    path: str
    start_line: int | None = None
    end_line: int | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """Where a returned chunk lies (lines 1-based, inclusive)."""

    path: str
    start_line: int
    end_line: int

    def covers(self, target: Target) -> bool:
        """True when the chunk is in the target's file and, if the target names lines, shares one with them.

        A range in the evaluation set may span hundreds of lines, more than any chunk holds: sharing is the
        only reading under which it can be found.
        """
        if self.path != target.path:
            return False
        if target.start_line is None or target.end_line is None:
            return True
        return self.start_line <= target.end_line and self.end_line >= target.start_line


def target_ranks(returned: Sequence[Located], targets: Iterable[Target]) -> list[int]:
    """For each target that is covered at all, the rank of the first chunk that covers it."""
    ranks = []
    for target in targets:
        for rank, chunk in enumerate(returned, start=1):
            if chunk.covers(target):
                ranks.append(rank)
                break
    return ranks


def ndcg(ranks: Iterable[int], target_count: int, k: int) -> float:
    """Normalised discounted cumulative gain with binary gains, 0–1 (Järvelin and Kekäläinen, 2002).

    ``ranks`` are those at which targets were found, each target once; those past ``k`` gain nothing.
    """
    ideal = sum(1.0 / math.log2(rank + 1) for rank in range(1, min(target_count, k) + 1))
    if ideal == 0.0:
        return 0.0
    return sum(1.0 / math.log2(rank + 1) for rank in ranks if rank <= k) / ideal


def reciprocal_rank(rank: int | None, k: int) -> float:
    """1/rank, or 0 when the right answer was not among the first ``k``."""
    return 1.0 / rank if rank is not None and rank <= k else 0.0


def recall(found: Iterable[int], right: Iterable[int]) -> float:
    """Share of the ``right`` answers that are among those ``found``."""
    right_set = set(right)
    if not right_set:
        return 1.0
    return len(right_set.intersection(found)) / len(right_set)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile: the smallest value that a ``share`` (0–1) of all values does not exceed."""
    if not values:
        raise ValueError("percentile of no values: measure at least one")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
