"""Indexing one tree, ours and semble's in turn: chunks, files, bytes per second, and peak private memory."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from benchmarks import semble_peer
from benchmarks.code_trees import LARGE, SMALL, IndexedTree, indexed_tree
from benchmarks.evaluation_set import Unavailable
from benchmarks.figures import Figure, Report, print_rows
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings
from flyweight.observe.process_memory import PeakSampler

RATIO_TARGET = 2.0
PEAK_TARGET_MIB = 64.0
_ROUNDS = 3


@dataclass(slots=True)
class Builds:
    """Repeated builds of one program over one tree; the fastest counts, since noise only ever slows."""

    name: str
    source_bytes: int
    files: int = 0
    chunks: int = 0
    seconds: float = float("inf")
    peak_private_bytes: int = 0
    peak_rss_bytes: int = 0
    samples: int = 0

    @property
    def chunks_per_second(self) -> float:
        return self.chunks / self.seconds

    @property
    def megabytes_per_second(self) -> float:
        return self.source_bytes / 1e6 / self.seconds

    def add(self, files: int, chunks: int, seconds: float) -> None:
        self.files, self.chunks = files, chunks
        self.seconds = min(self.seconds, seconds)

    def row(self) -> tuple[object, ...]:
        return (
            self.name,
            f"{self.files:,}",
            f"{self.chunks:,}",
            f"{self.seconds:.2f}",
            f"{self.chunks_per_second:,.0f}",
            f"{self.megabytes_per_second:.2f}",
            f"{self.files / self.seconds:,.0f}",
            f"{self.peak_private_bytes / 2**20:.1f}",
            f"{self.peak_rss_bytes / 2**20:.1f}",
        )

    def as_json(self) -> dict[str, object]:
        return {
            "files": self.files,
            "chunks": self.chunks,
            "seconds": round(self.seconds, 3),
            "chunks_per_second": round(self.chunks_per_second),
            "source_mb_per_second": round(self.megabytes_per_second, 3),
            "files_per_second": round(self.files / self.seconds, 1),
            "peak_private_mib": round(self.peak_private_bytes / 2**20, 2),
            "peak_rss_mib": round(self.peak_rss_bytes / 2**20, 2),
            "memory_samples": self.samples,
        }


def run(settings: Settings) -> Report:
    report = Report("indexing")
    indexed = indexed_tree(settings, SMALL)
    ours = Builds("flyweight", indexed.tree.size_bytes)
    peers: list[Builds] = []
    workers: dict[str, dict[str, str]] = {
        "semble": {},
        "semble, 2 chunking processes": {"SEMBLE_INDEX_WORKERS": "2"},
    }
    model = ""
    if settings.peers_python is not None:
        try:
            model = str(semble_peer.model_directory(settings))
            peers = [Builds(name, indexed.tree.size_bytes) for name in workers]
        except Unavailable as error:
            settings.say(f"indexing: semble skipped: {error}")

    # Times and memory are taken in separate builds: sampling uses a core that the build would use.
    rounds = 1 if settings.quick else _ROUNDS
    for _ in range(rounds):
        _build_ours(settings, indexed, ours, sample=False)
        for peer in peers:
            _build_semble(settings, indexed, peer, model, workers[peer.name], sample=False)
    _build_ours(settings, indexed, ours, sample=True)
    for peer in peers:
        _build_semble(settings, indexed, peer, model, workers[peer.name], sample=True)

    ratio = Figure(
        "indexing, chunks per second beside semble",
        None,
        "×",
        f"{indexed.files:,} files, {indexed.tree.size_bytes / 1e6:.1f} MB; best of {rounds} builds, in turn",
        RATIO_TARGET,
        "at least",
        peer=f"{ours.chunks_per_second:,.0f} chunks/s, {ours.megabytes_per_second:.2f} MB/s",
    )
    if peers:
        ratio.value = round(ours.chunks_per_second / peers[0].chunks_per_second, 2)
        by_bytes = ours.megabytes_per_second / peers[0].megabytes_per_second
        ratio.peer += (
            f"; semble {peers[0].chunks_per_second:,.0f} chunks/s, {peers[0].megabytes_per_second:.2f} MB/s"
            f" (by source bytes {by_bytes:.2f} ×)"
        )
    else:
        ratio.skipped = f"{ratio.peer}; no semble to compare with: run 'make bench-peers'"
    large = indexed_tree(settings, LARGE)
    peak_bytes = max(ours.peak_private_bytes, large.build_peak_bytes)
    peak = Figure(
        "indexing, peak private of all builder processes",
        round(peak_bytes / 2**20, 1),
        "MiB",
        f"sum over processes every 3 ms, the larger of {ours.chunks:,} and {large.chunks:,} chunks",
        PEAK_TARGET_MIB,
        peer="; ".join(f"{p.name} {p.peak_private_bytes / 2**20:.0f} MiB at {p.chunks:,} chunks" for p in peers[:1]),
    )
    report.figures += [ratio, peak]
    report.detail = {build.name: build.as_json() for build in [ours, *peers]}
    report.detail["large tree"] = {
        "chunks": large.chunks,
        "peak_private_mib": round(large.build_peak_bytes / 2**20, 2),
        "seconds_while_sampled": round(large.build_seconds, 2),
    }
    columns = (
        "",
        "files",
        "chunks",
        "seconds",
        "chunks/s",
        "MB/s",
        "files/s",
        "peak private MiB",
        "peak RSS MiB",
    )
    print_rows("Indexing one tree", columns, [build.row() for build in [ours, *peers]], settings.console)
    return report


def _build_ours(settings: Settings, indexed: IndexedTree, builds: Builds, *, sample: bool) -> None:
    index_path = settings.folder("indexing") / "index"
    shutil.rmtree(index_path, ignore_errors=True)
    with Resident(index_path) as resident:
        if not sample:
            builds.add(*resident.index(indexed.tree.root))
            return
        # The resident only waits; the builder is what it started.
        with PeakSampler(resident.pid, include_root=False) as sampler:
            resident.index(indexed.tree.root)
    _note_peak(builds, sampler)


def _build_semble(
    settings: Settings,
    indexed: IndexedTree,
    builds: Builds,
    model: str,
    environment: dict[str, str],
    *,
    sample: bool,
) -> None:
    with semble_peer.start(settings, environment) as semble:
        semble.ask("load_model", model=model)
        if not sample:
            built = semble.ask("index", path=str(indexed.tree.root), model=model)
            builds.add(built["files"], built["chunks"], built["seconds"])
            return
        with PeakSampler(semble.pid, include_root=True) as sampler:
            semble.ask("index", path=str(indexed.tree.root), model=model)
    _note_peak(builds, sampler)


def _note_peak(builds: Builds, sampler: PeakSampler) -> None:
    builds.peak_private_bytes = sampler.peak.private_bytes
    builds.peak_rss_bytes = sampler.peak_rss_bytes
    builds.samples = sampler.samples
