"""Call chains: sampled shapes, counted totals."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.observe.call_chains import MEASURES, apportioned, call_chains
from flyweight.observe.document import Document
from tests.observe.drawn_captures import captures
from tests.observe.made_capture import made_capture


def totals(document: Document) -> list[int]:
    """What all sites together hold, by measure."""
    return [sum(site[column] for site in document["sites"]) for _, _, column, _ in MEASURES]


@settings(max_examples=60, deadline=None)
@given(captures())
def test_chains_add_up_to_the_sites(document: Document) -> None:
    found = call_chains(document)
    assert [sum(chain.values[measure] for chain in found.chains) for measure in range(len(MEASURES))] == totals(
        document
    )


@given(st.integers(0, 1 << 60), st.lists(st.integers(0, 1 << 40), min_size=1, max_size=20).filter(any))
def test_shares_add_up_and_none_is_off_by_a_whole(total: int, weights: list[int]) -> None:
    shares = apportioned(total, weights)
    assert sum(shares) == total
    assert all(
        abs(share * sum(weights) - total * weight) < sum(weights) for share, weight in zip(shares, weights, strict=True)
    )


def test_a_site_is_divided_as_its_samples_are() -> None:
    document = made_capture(1)
    document["sites"][0].update(live_bytes=900, live_count=9)
    for stack, live_bytes in zip(document["stacks"], (200, 100), strict=True):
        stack["live_bytes"] = live_bytes
    found = call_chains(document)
    assert [(chain.frames, chain.values[0]) for chain in found.chains] == [((0, 1, 3), 600), ((0, 2, 3), 300)]


def test_the_import_systems_frames_are_left_out_but_for_the_innermost() -> None:
    document = made_capture(1)
    document["frames"][1] = ("<frozen importlib._bootstrap>", 1176, "_find_and_load")
    assert {chain.frames for chain in call_chains(document).chains} == {(0, 3), (0, 2, 3)}
    document["frames"][3] = ("<frozen importlib._bootstrap_external>", 729, "_compile_bytecode")
    assert {chain.frames for chain in call_chains(document).chains} == {(0, 3), (0, 2, 3)}


def test_a_site_without_samples_stands_alone() -> None:
    document = made_capture(1)
    document["stacks"] = []
    site = document["sites"][0]
    found = call_chains(document)
    assert [[found.frames[number] for number in chain.frames] for chain in found.chains] == [
        [(site["file"], site["line"], site["function"])]
    ]
    assert found.chains[0].values[0] == site["live_bytes"]
