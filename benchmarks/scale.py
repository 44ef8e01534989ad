"""Serving 15,000 and 100,000 chunks: uncached query time and the memory of the process that answers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks import native_vectors, semble_peer
from benchmarks.code_trees import LARGE, SMALL, IndexedTree, indexed_tree, realistic_queries
from benchmarks.evaluation_set import Unavailable
from benchmarks.exact_search import exact_recalls
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.peer_process import PeerProcess, require
from benchmarks.ranking_metrics import mean, percentile
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings
from flyweight.observe.bench.line_process import BareInterpreter
from flyweight.observe.process_memory import Memory

P50_TARGET_MS = {SMALL: 0.5, LARGE: 1.0}
PRIVATE_TARGET_MB = 4.0
# Store, the package it needs, and what to call it.  They search vectors only; ours and semble rank hybrids.
STORES = (
    ("numpy", "numpy", "numpy float32"),
    ("usearch", "usearch", "usearch int8 HNSW"),
    ("lancedb", "lancedb", "LanceDB IVF_PQ"),
    ("chroma", "chromadb", "Chroma HNSW"),
)
LIMIT = 10
_ROUNDS = 3


def run(settings: Settings) -> Report:
    report = Report("scale")
    for chunks in (SMALL, LARGE):
        indexed = indexed_tree(settings, chunks)
        asked = realistic_queries(settings, indexed.tree)
        rows = [_measure_engine(settings, indexed, asked)]
        if settings.peers_python is not None:
            rows += _measure_peers(settings, indexed, asked, with_stores=chunks == LARGE)
        _add_figures(report, chunks, rows, len(asked))
        report.detail[str(chunks)] = {
            "files": indexed.files,
            "chunks": indexed.chunks,
            "source_mb": round(indexed.tree.size_bytes / 1e6, 1),
            "renamed_files": indexed.tree.renamed,
            "build_seconds": round(indexed.build_seconds, 2),
            "build_peak_private_mb": round(indexed.build_peak_bytes / 1e6, 2),
            "rows": rows,
        }
        columns = ("", "chunks", "p50 ms", "p95 ms", "private over bare MB", "RSS MB", "build s", "recall@10")
        table = [tuple(row.get(key, "–") for key in _COLUMN_KEYS) for row in rows]
        print_rows(f"Serving {indexed.chunks:,} chunks", columns, table, settings.console)
    return report


_COLUMN_KEYS = ("name", "chunks", "p50_ms", "p95_ms", "private_over_bare_mb", "rss_mb", "build_s", "recall")


def _add_figures(report: Report, chunks: int, rows: list[dict[str, Any]], query_count: int) -> None:
    ours, *peers = rows
    beside = "; ".join(
        [f"of it processor {ours['p50_ms_processor']}", *(f"{peer['name']} {peer['p50_ms']}" for peer in peers)]
    )
    how = f"{ours['chunks']:,} chunks, {query_count} distinct queries, {_ROUNDS} rounds, empty cache"
    name = f"query, not cached, p50, {chunks:,} chunks"
    report.figures.append(Figure(name, ours["p50_ms"], "ms", how, P50_TARGET_MS[chunks], peer=beside))
    if chunks == LARGE:
        beside = "; ".join(f"{peer['name']} {peer['private_over_bare_mb']:.0f}" for peer in peers)
        how = "private clean + dirty after those queries, over a bare interpreter alive at the same time"
        value = ours["private_over_bare_mb"]
        name = f"resident serving {chunks:,} chunks: private over bare"
        report.figures.append(Figure(name, value, "MB", how, PRIVATE_TARGET_MB, peer=beside))


def _measure_engine(settings: Settings, indexed: IndexedTree, asked: list[str]) -> dict[str, Any]:
    listing = settings.folder("scale") / "queries.txt"
    listing.write_text("\n".join(asked) + "\n", encoding="utf-8")
    durations: list[int] = []
    with BareInterpreter() as bare, Resident(indexed.index_path) as resident:
        resident.time_searches(listing, LIMIT)  # Pages of the index come into memory; not counted.
        for _ in range(_ROUNDS):
            resident.reopen()
            durations += resident.time_searches(listing, LIMIT)
        row = _row("flyweight", indexed.chunks, durations, resident.memory(), bare.memory(), indexed.build_seconds)
        resident.reopen()
        with_text = resident.time_searches(listing, LIMIT, "text")
        row["p50_ms_reading_text"] = round(percentile(with_text, 0.5) / 1e6, 3)
        resident.reopen()
        row["p50_ms_processor"] = round(percentile(resident.time_searches(listing, LIMIT, "cpu"), 0.5) / 1e6, 3)
        after_text = resident.memory() - bare.memory()
        row["private_over_bare_mb_reading_text"] = round(after_text.private_bytes / 1e6, 2)
    return row


def _measure_peers(
    settings: Settings, indexed: IndexedTree, asked: list[str], *, with_stores: bool
) -> list[dict[str, Any]]:
    rows = []
    try:
        rows.append(_measure_semble(settings, indexed, asked))
    except Unavailable as error:
        settings.say(f"scale: semble skipped: {error}")
    if with_stores:
        vectors = native_vectors.write_float_vectors(settings, indexed, asked)
        for store, package, name in STORES:
            try:
                row, found = _measure_store(settings, store, package, name, vectors)
                row["recall"] = round(mean(exact_recalls(vectors, found, LIMIT)), 4)
                rows.append(row)
            except Unavailable as error:
                settings.say(f"scale: {store} skipped: {error}")
    return rows


def _measure_semble(settings: Settings, indexed: IndexedTree, asked: list[str]) -> dict[str, Any]:
    model = str(semble_peer.model_directory(settings))
    saved = settings.folder(f"semble-{indexed.chunks}")
    with semble_peer.start(settings) as builder:
        builder.ask("load_model", model=model)
        built = builder.ask("index", path=str(indexed.tree.root), model=model, save_to=str(saved))
    with BareInterpreter() as bare, semble_peer.start(settings) as semble:
        chunks = semble.ask("open", path=str(saved))["chunks"]
        semble.ask("time", queries=asked[:20], limit=LIMIT)
        durations = semble.ask("time", queries=asked, limit=LIMIT)["nanoseconds"]
        return _row("semble", chunks, durations, semble.memory(), bare.memory(), built["seconds"])


def _measure_store(
    settings: Settings, store: str, package: str, name: str, vectors: native_vectors.VectorFiles
) -> tuple[dict[str, Any], list[list[int]]]:
    """What the store costs, and the rows it found for each query."""
    python = require(settings.peers_python, package)
    where: dict[str, object] = {"store": store, "dimensions": vectors.dimensions}
    directory = str(_emptied(settings.folder("stores") / store))
    with PeerProcess(python, "vector_store") as builder:
        built = builder.ask("build", **where, vectors=str(vectors.rows_path), directory=directory)
    with BareInterpreter() as bare, PeerProcess(python, "vector_store") as opened:
        opened.ask("open", **where, rows=vectors.count, directory=directory)
        ask: dict[str, object] = {
            "queries": str(vectors.queries_path),
            "dimensions": vectors.dimensions,
            "k": LIMIT,
        }
        opened.ask("time", **ask)
        timed = opened.ask("time", **ask)
        memory = opened.memory()
        row = _row(name, vectors.count, timed["nanoseconds"], memory, bare.memory(), built["seconds"])
        return row, timed["rows"]


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _row(
    name: str, chunks: int, durations_ns: list[int], memory: Memory, bare: Memory, build_seconds: float
) -> dict[str, Any]:
    return {
        "name": name,
        "chunks": chunks,
        "p50_ms": round(percentile(durations_ns, 0.5) / 1e6, 3),
        "p95_ms": round(percentile(durations_ns, 0.95) / 1e6, 3),
        "private_over_bare_mb": round((memory - bare).private_bytes / 1e6, 2),
        "rss_mb": round(memory.rss_bytes / 1e6, 2),
        "build_s": round(build_seconds, 1),
        "memory": memory.as_megabytes(),
    }
