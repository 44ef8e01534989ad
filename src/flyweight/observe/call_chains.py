"""Call chains whose figures add up to what was counted.

Stacks are sampled, sites are counted: so each site's figures are divided among the stacks that end in it, in proportion
to their samples. A site that no sample hit is a chain of one frame. In sampled recordings both are estimates.

The import system's own frames between an `import` and the module it runs are left out, as in Python's tracebacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flyweight.observe.document import Document, Frame, Site, Stack

# What is measured: name, unit, column of sites, column of stacks.
MEASURES = (
    ("live", "bytes", "live_bytes", "live_bytes"),
    ("live", "count", "live_count", "live_count"),
    ("bytes", "bytes", "total_bytes", "total_bytes"),
    ("count", "count", "total_count", "total_count"),
    ("peak", "bytes", "at_peak_bytes", "peak_live_bytes"),
)
_IMPORT_SYSTEM = "<frozen importlib._bootstrap"

LIVE_BYTES, LIVE_COUNT, TOTAL_BYTES, TOTAL_COUNT, PEAK_BYTES = range(len(MEASURES))


class CallChain(NamedTuple):
    """frames: numbers into CallChains.frames, outermost first. values: one for each of MEASURES."""

    frames: tuple[int, ...]
    domain: str
    component: str
    values: tuple[int, ...]


class CallChains(NamedTuple):
    frames: list[Frame]
    chains: list[CallChain]


def call_chains(document: Document) -> CallChains:
    """All chains of a capture; the sums of their values are those of its sites."""
    frames: list[Frame] = [(file, line, function) for file, line, function in document["frames"]]
    passed_over = {number for number, frame in enumerate(frames) if frame[0].startswith(_IMPORT_SYSTEM)}
    numbers = {frame: number for number, frame in enumerate(frames)}
    stacks_of: list[list[Stack]] = [[] for _ in document["sites"]]
    for stack in document["stacks"]:
        if stack["site"] >= 0 and stack["frames"]:
            stacks_of[stack["site"]].append(stack)
    chains: list[CallChain] = []
    for site, stacks in zip(document["sites"], stacks_of, strict=True):
        shares, alone = _shares(site, stacks)
        for stack, *values in zip(stacks, *shares, strict=True):
            *outer, innermost = stack["frames"]
            shown = (*(number for number in outer if number not in passed_over), innermost)
            chains.append(CallChain(shown, site["domain"], site["component"], tuple(values)))
        if any(alone):
            frame = (site["file"], site["line"], site["function"])
            number = numbers.setdefault(frame, len(frames))
            if number == len(frames):
                frames.append(frame)
            chains.append(CallChain((number,), site["domain"], site["component"], tuple(alone)))
    return CallChains(frames, chains)


def _shares(site: Site, stacks: Sequence[Stack]) -> tuple[list[list[int]], list[int]]:
    """For each measure what goes to each stack, and what goes to none."""
    shares, alone = [], []
    fallback = [stack["total_bytes"] for stack in stacks]
    for _, _, site_column, stack_column in MEASURES:
        total: int = site[site_column]  # type: ignore[literal-required]
        weights: list[int] = [max(0, stack[stack_column]) for stack in stacks]  # type: ignore[literal-required]
        if not any(weights):
            weights = fallback
        if any(weights):
            shares.append(apportioned(total, weights))
            alone.append(0)
        else:
            shares.append([0] * len(stacks))
            alone.append(total)
    return shares, alone


def apportioned(total: int, weights: Sequence[int]) -> list[int]:
    """A total divided in proportion to weights, in whole numbers that add up to it (largest remainder).

    >>> apportioned(10, [1, 1, 1]), apportioned(7, [0, 3])
    ([4, 3, 3], [0, 7])
    """
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(shares)]:
        shares[place] += 1
    return shares
