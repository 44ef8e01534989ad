from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("botocore")

from source_tree import SourceTree

from flyweight.embed.remote import remote_embedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.index.estimate import Estimate
from flyweight.index.plan import plan
from flyweight.index.spawn import run_builder
from tests.standins.bedrock import BedrockStandIn


@pytest.fixture
def estimated(tree: SourceTree, index_path: Path, memory_path: Path) -> Callable[..., Estimate]:
    def run(*, index: bool = False, spec: str = "titan", **options: object) -> Estimate:
        settings = EmbedderSettings.parse(spec, {"region": "us-east-1", **options})
        estimate = Estimate(
            settings,
            remote_embedder(settings),
            cache_path=str(memory_path / "embeddings"),
            index_path=str(index_path) if index else None,
        )
        for _ in plan(str(tree.root), look=estimate.add):
            pass
        return estimate

    return run


def test_an_estimate_foretells_what_is_asked_for(
    tree: SourceTree,
    index_path: Path,
    memory_path: Path,
    estimated: Callable[..., Estimate],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree.grow(30)
    tree.write("copies/a.py", "x = 1\n")
    tree.write("copies/again/copies/a.py", "x = 1\n")  # the same text under the same name: asked once
    with BedrockStandIn() as service:
        service.set_environment(monkeypatch)
        before = estimated()
        assert service.ledger.requests == 0
        assert not (memory_path / "embeddings").exists()
        stats = run_builder(
            root=str(tree.root),
            index_path=str(index_path),
            embedder=EmbedderSettings.parse("titan").fields(),
            batch_size=32,
            memory_budget=64 << 20,
            rebuild=False,
            workers=1,
            progress=None,
            embedding_cache=str(memory_path / "embeddings"),
        )
        assert (before.requests, before.chunks, before.cached) == (stats.requests, stats.new_chunks, 0)
        assert stats.requests < stats.new_chunks
        assert stats.tokens <= before.tokens
        paid = estimated()
        assert (paid.requests, paid.tokens, paid.cached, paid.cost_usd) == (0, 0, stats.requests, 0.0)
        indexed = estimated(index=True)
        assert (indexed.chunks, indexed.requests, indexed.cached) == (0, 0, 0)
        tree.write("copies/a.py", "x = 2\n")
        changed = estimated(index=True)
        assert (changed.chunks, changed.requests, changed.cached) == (1, 1, 0)


def test_what_it_costs_follows_the_price(tree: SourceTree, estimated: Callable[..., Estimate]) -> None:
    tree.grow(5)
    listed = estimated().cost_usd
    dear = estimated(price_per_million_tokens=2000.0)
    assert dear.cost_usd is not None
    assert listed is not None
    assert dear.cost_usd == pytest.approx(dear.tokens * 0.002, abs=0.001)
    assert 0 < listed < dear.cost_usd
    assert estimated(spec="bedrock:somebody.new-model", dimensions=512).cost_usd is None


def test_batches_count_as_one_request(tree: SourceTree, memory_path: Path) -> None:
    tree.grow(70)
    settings = EmbedderSettings.parse("openai:http://127.0.0.1:9/v1#model", {"dimensions": 64})
    estimate = Estimate(settings, remote_embedder(settings), cache_path=str(memory_path / "embeddings"))
    for _ in plan(str(tree.root), look=estimate.add):
        pass
    assert estimate.chunks >= 70
    assert estimate.requests == -(-estimate.chunks // 32) < estimate.chunks
