"""Indexes of 15,000 and 100,000 chunks over real code, built once per run for all that need them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import Tree, fill, queries
from benchmarks.evaluation_set import Unavailable, load_repositories
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings
from flyweight.observe.process_memory import PeakSampler

# The sizes at which figures are promised, in chunks.
SMALL, LARGE = 15_000, 100_000

_SAMPLE_BYTES = 3_000_000
_DOCSTRING_QUERIES = 240
_built: dict[int, IndexedTree] = {}


@dataclass(slots=True)
class IndexedTree:
    """A tree of code and our index of it; ``build_peak_bytes`` is private memory of all builder processes."""

    tree: Tree
    index_path: Path
    files: int
    chunks: int
    build_seconds: float
    build_peak_bytes: int


def indexed_tree(settings: Settings, chunks: int) -> IndexedTree:
    """A tree that cuts into at least ``chunks`` chunks, and hardly more, with a fresh index beside it."""
    if chunks not in _built:
        _built[chunks] = _build(settings, chunks)
    return _built[chunks]


def _build(settings: Settings, chunks: int) -> IndexedTree:
    folder = settings.folder(f"chunks-{chunks}")
    roots = settings.code_roots()
    wanted = round(chunks * _bytes_per_chunk(settings, roots))
    # What an earlier run left may hold more than is wanted now.
    shutil.rmtree(folder / "tree", ignore_errors=True)
    for _ in range(4):
        shutil.rmtree(folder / "index", ignore_errors=True)
        tree = fill(folder / "tree", wanted, roots)
        settings.say(f"indexing {tree.files:,} files, {tree.size_bytes / 1e6:.0f} MB, for {chunks:,} chunks")
        with Resident(folder / "index") as builder, PeakSampler(builder.pid, include_root=False) as sampler:
            files, found, seconds = builder.index(folder / "tree")
        if found >= chunks:
            peak = sampler.peak.private_bytes
            return IndexedTree(tree, folder / "index", files, found, seconds, peak)
        wanted = round(tree.size_bytes * chunks / max(found, 1) * 1.01)
    raise RuntimeError(f"a tree of {wanted} bytes still cuts into {found} chunks, {chunks} wanted")


def _bytes_per_chunk(settings: Settings, roots: list[Path]) -> float:
    folder = settings.folder("sample")
    shutil.rmtree(folder / "index", ignore_errors=True)
    tree = fill(folder / "tree", _SAMPLE_BYTES, roots)
    with Resident(folder / "index") as builder:
        _, chunks, _ = builder.index(folder / "tree")
    return tree.size_bytes / max(chunks, 1)


def realistic_queries(settings: Settings, tree: Tree) -> list[str]:
    """Distinct queries: the evaluation set's, then docstring sentences and identifiers out of the tree."""
    found: list[str] = []
    try:
        for repository in load_repositories(settings.evaluation_data):
            found.extend(question.text for question in repository.questions)
    except Unavailable as error:
        settings.say(f"no evaluation queries: {error}")
    found.extend(queries(tree.sources, _DOCSTRING_QUERIES))
    return list(dict.fromkeys(" ".join(query.split()) for query in found))
