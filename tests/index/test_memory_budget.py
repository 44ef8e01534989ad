from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from source_tree import SourceTree

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.observe.process_memory import PeakSampler

BUDGET = 64 << 20


@pytest.fixture(scope="module")
def large_tree(tmp_path_factory: pytest.TempPathFactory) -> SourceTree:
    """Three thousand files in five languages, some of 100 kB: more vectors and postings than a worker may hold."""
    tree = SourceTree(tmp_path_factory.mktemp("large") / "code", seed=3)
    draw = random.Random(4)
    pieces = {extension: [tree.code(extension) for _ in range(300)] for extension in ("py", "rs", "go", "js", "md")}
    for number in range(3000):
        extension = draw.choice(list(pieces))
        count = draw.randrange(60, 300) if number % 40 == 0 else draw.randrange(1, 12)
        text = "\n".join(draw.choices(pieces[extension], k=count))
        # Names that occur once make a lexicon that grows with the tree, as real ones do.
        names = "\n".join(f"{'#' if extension in ('py', 'md') else '//'} unique_{number}_{n}" for n in range(count))
        tree.write(f"package{number % 50}/module{number}.{extension}", f"{text}\n{names}\n")
    return tree


def test_all_builder_processes_together_stay_within_the_budget(large_tree: SourceTree, memory_path: Path) -> None:
    config = SearchConfig(index_path=memory_path / "index", memory_budget=BUDGET)
    with (
        SemanticSearchEngine(config) as engine,
        PeakSampler(os.getpid(), include_root=False, interval_s=0.01) as sampler,
    ):
        stats = engine.index(large_tree.root)
    assert stats.files == len(large_tree.files)
    assert sampler.samples > 20
    assert sampler.most_processes >= 2
    assert sampler.peak.private_bytes / 2 < stats.peak_private_bytes <= BUDGET
    assert sampler.peak.private_bytes <= BUDGET, f"{sampler.peak.private_bytes / 2**20:.1f} MiB"
