"""What the resident costs after indexing ten Rust files and answering five queries and their repeats."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks import native_vectors, semble_peer
from benchmarks.code_trees import IndexedTree
from benchmarks.corpus import Tree, source_files
from benchmarks.evaluation_set import Unavailable, checkout, load_repositories
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.peer_process import PeerProcess, require
from benchmarks.process_memory import Memory
from benchmarks.resident_process import BareInterpreter, Resident
from benchmarks.settings import Settings

QUERIES = ("async function", "error handling", "memory allocation", "vector search", "database connection")
FILES = 10
REPEATS = 3
RSS_TARGET_MB = 17.0
PRIVATE_TARGET_MB = 3.0
_RUNS = 3


def run(settings: Settings) -> Report:
    report = Report("resident_memory")
    how = (
        f"one process indexes {FILES} Rust files, then asks {len(QUERIES)} queries {REPEATS + 1} times each; "
        f"smaps_rollup, worst of {_RUNS} runs"
    )
    rss = Figure("10 Rust files: RSS", None, "MB", how, RSS_TARGET_MB)
    private = Figure(
        "10 Rust files: private over bare",
        None,
        "MB",
        how + "; private clean + dirty, over a bare interpreter alive at the same time",
        PRIVATE_TARGET_MB,
    )
    report.figures += [rss, private]
    try:
        tree = _rust_tree(settings)
    except Unavailable as error:
        rss.skipped = private.skipped = str(error)
        return report

    stages: dict[str, tuple[Memory, Memory]] = {}
    worst: tuple[Memory, Memory] | None = None
    for _ in range(_RUNS):
        run_stages, chunks = _one_run(settings, tree)
        final = run_stages["after repeats"]
        report.detail["chunks"] = chunks
        if worst is None or (final[0] - final[1]).private_bytes > (worst[0] - worst[1]).private_bytes:
            worst, stages = final, run_stages
    assert worst is not None
    rss.value = round(worst[0].rss_bytes / 1e6, 2)
    private.value = round((worst[0] - worst[1]).private_bytes / 1e6, 2)
    report.detail["stages"] = {
        stage: {
            "resident": ours.as_megabytes(),
            "bare": bare.as_megabytes(),
            "over bare": (ours - bare).as_megabytes(),
        }
        for stage, (ours, bare) in stages.items()
    }
    peers = _measure_peers(settings, tree) if settings.peers_python is not None else {}
    report.detail["peers"] = {
        name: {"resident": theirs.as_megabytes(), "over bare": (theirs - bare).as_megabytes()}
        for name, (theirs, bare) in peers.items()
    }
    published = "69.6 MB in Rust, published"
    rss.peer = "; ".join([*(f"{n} {m.rss_bytes / 1e6:.0f} MB" for n, (m, _) in peers.items()), published])
    private.peer = "; ".join(f"{n} {(m - b).private_bytes / 1e6:.0f} MB" for n, (m, b) in peers.items())
    stages |= peers
    rows = [
        (
            stage,
            f"{ours.rss_bytes / 1e6:.2f}",
            f"{bare.rss_bytes / 1e6:.2f}",
            f"{(ours - bare).private_bytes / 1e6:.2f}",
            f"{(ours - bare).private_dirty_bytes / 1e6:.2f}",
            f"{(ours - bare).pss_bytes / 1e6:.2f}",
        )
        for stage, (ours, bare) in stages.items()
    ]
    columns = ("MB", "RSS", "bare RSS", "private over bare", "of it dirty", "PSS over bare")
    print_rows("Resident after ten Rust files", columns, rows, settings.console)
    return report


def _one_run(settings: Settings, tree: Path) -> tuple[dict[str, tuple[Memory, Memory]], int]:
    index_path = settings.folder("resident") / "index"
    shutil.rmtree(index_path, ignore_errors=True)
    stages: dict[str, tuple[Memory, Memory]] = {}
    with BareInterpreter() as bare, Resident(index_path) as resident:

        def note(stage: str) -> None:
            stages[stage] = (resident.memory(), bare.memory())

        note("opened")
        _, chunks, _ = resident.index(tree)
        note("after indexing")
        for query in QUERIES:
            resident.search(query)
        note("after 5 queries")
        for _ in range(REPEATS):
            for query in QUERIES:
                resident.search(query)
        note("after repeats")
    return stages, chunks


def _measure_peers(settings: Settings, tree: Path) -> dict[str, tuple[Memory, Memory]]:
    """The same files and queries with semble, and with LanceDB beside an SDK, as that report had them."""
    asked = list(QUERIES) * (REPEATS + 1)
    measured: dict[str, tuple[Memory, Memory]] = {}
    try:
        with BareInterpreter() as bare, semble_peer.start(settings) as semble:
            semble.ask("index", path=str(tree), model=str(semble_peer.model_directory(settings)))
            semble.ask("time", queries=asked, limit=10)
            measured["semble"] = (semble.memory(), bare.memory())
    except Unavailable as error:
        settings.say(f"resident_memory: semble skipped: {error}")
    try:
        python = require(settings.peers_python, "lancedb, boto3")
        indexed = IndexedTree(Tree(tree), settings.folder("resident") / "index", FILES, 0, 0.0, 0)
        vectors = native_vectors.write_float_vectors(settings, indexed, asked)
        directory = str(settings.folder("resident") / "lancedb")
        with BareInterpreter() as bare, PeerProcess(python, "vector_store") as lancedb:
            store: dict[str, object] = {"store": "lancedb-flat", "dimensions": vectors.dimensions}
            lancedb.ask("import", name="boto3")
            lancedb.ask("build", **store, vectors=str(vectors.rows_path), directory=directory)
            lancedb.ask("open", **store, rows=vectors.count, directory=directory)
            lancedb.ask("time", queries=str(vectors.queries_path), dimensions=vectors.dimensions, k=10)
            measured["LanceDB + boto3"] = (lancedb.memory(), bare.memory())
    except Unavailable as error:
        settings.say(f"resident_memory: LanceDB skipped: {error}")
    return measured


def _rust_tree(settings: Settings) -> Path:
    """The ten largest Rust files of ``--rust DIR``, else of the clone of axum."""
    if settings.rust_files is not None:
        root = settings.rust_files
    else:
        axum = next(r for r in load_repositories(settings.evaluation_data) if r.name == "axum")
        root = checkout(axum, settings.clones, settings.work)
    found = [(path, content) for path, content in source_files([root]) if path.suffix == ".rs"]
    if len(found) < FILES:
        raise Unavailable(f"{root} holds {len(found)} Rust files, {FILES} are needed: pass --rust DIR")
    found.sort(key=lambda item: (-len(item[1]), item[0]))
    tree = settings.folder("resident") / "rust"
    shutil.rmtree(tree, ignore_errors=True)
    for path, content in found[:FILES]:
        place = tree / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return tree
