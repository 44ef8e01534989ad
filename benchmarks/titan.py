"""Titan through our own client: memory of the resident, a cached query, and indexing at the limit of a service, through
its bad days, and through kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.code_trees import indexed_tree
from benchmarks.evaluation_set import Unavailable
from benchmarks.figures import Figure, Report
from benchmarks.resident_memory import chosen, once_more, rust_job
from benchmarks.resident_process import Resident
from benchmarks.settings import Settings
from flyweight.observe.bench import published
from flyweight.observe.bench.certificate import make_certificate
from flyweight.observe.bench.configurations import without_services
from flyweight.observe.bench.measurement import Effort
from flyweight.observe.bench.peers import PeerMissing, measure_peer
from flyweight.observe.bench.process_roles import GATEWAY, role_of
from flyweight.observe.bench.titan_stand_in import TitanStandIn
from flyweight.observe.process_memory import descendants

RSS_TARGET_MB = 26.0
PRIVATE_TARGET_MB = 10.0
CACHED_TARGET_US = 10.0
RATE_TARGET_PERCENT = 95.0
_RUNS = 3
_PEER = "lancedb + boto3"
_HITS = 100_000
_LATENCY_S, _RATE_PER_S = 0.1, 50.0
_BURST = _RATE_PER_S / 10  # what the stand-in's token bucket saves up, as it is by default
_KILLS = 20
_GATEWAY_KILLS = 5
_TEXTS = 10_000
_INDEX = """
import sys
from flyweight import SearchConfig, SemanticSearchEngine
with SemanticSearchEngine(SearchConfig(sys.argv[2], embedder="titan", embedding_cache=sys.argv[3])) as engine:
    stats = engine.index(sys.argv[1])
print(stats.requests, stats.chunks, stats.unembedded_chunks)
"""


def run(settings: Settings) -> Report:
    report = Report("titan")
    _resident(settings, report)
    _cached(settings, report)
    missing = [name for name in ("botocore", "numpy", "pytest") if find_spec(name) is None]
    if missing:
        reason = f"the stand-in of the tests needs {' and '.join(missing)}: pip install 'flyweight[test]'"
        report.figures.append(Figure("indexing through Titan", None, "", "", skipped=reason))
        return report
    # 4,000 chunks at 50 requests a second take eighty seconds.
    tree = indexed_tree(settings, 1500 if settings.quick else 4000).tree.root
    _rate(tree, report)
    _kills(tree, report)
    _gateway_kills(tree, report)
    _faults(2000 if settings.quick else _TEXTS, report)
    return report


def _resident(settings: Settings, report: Report) -> None:
    how = (
        "ten Rust files, five queries twice each, then hundreds more, each new one embedded over TLS by a stand-in on "
        f"loopback; smaps_rollup at the end, worst of {_RUNS} runs"
    )
    rss = Figure("Titan over TLS, resident: RSS", None, "MB", how, RSS_TARGET_MB)
    private = Figure(
        "Titan over TLS, resident: private over bare",
        None,
        "MB",
        how + "; copies of OpenSSL of its own, so that nothing it maps counts as shared",
        PRIVATE_TARGET_MB,
    )
    report.figures += [rss, private]
    try:
        job = rust_job(settings)
        configuration = chosen("titan:v1", "segments")
    except Unavailable as error:
        rss.skipped = private.skipped = str(error)
        return
    effort = Effort.quick() if settings.quick else Effort()
    runs = [once_more(configuration, job, effort) for _ in range(_RUNS)]
    finals = [run.phase("Final") for run in runs]
    rss.value = round(max(final.memory.rss_bytes for final in finals) / 1e6, 2)
    private.value = round(max(final.over_bare_bytes for final in finals) / 1e6, 2)
    rss.peer = f"{published.RSS_MB['Final']:.2f} MB (Rust, AWS SDK + LanceDB), published"
    report.detail["phases"] = [[phase.to_dict() for phase in run.phases] for run in runs]
    if settings.peers_python is not None:
        with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
            work = Path(directory)
            try:
                tree = job.copy_to(work / "tree")
                peer = measure_peer(_PEER, str(settings.peers_python), job, tree, work / "work", effort)
            except PeerMissing as error:
                settings.say(f"titan: {_PEER} skipped: {error}")
                return
        final = peer.phase("Final")
        rss.peer = f"{_PEER} {final.memory.rss_bytes / 1e6:.1f} MB in this run; {rss.peer}"
        private.peer = f"{_PEER} {final.over_bare_bytes / 1e6:.1f} MB in this run"


def _cached(settings: Settings, report: Report) -> None:
    time_figure = Figure(
        "query, cached, Titan configured, p50",
        None,
        "µs",
        f"median over batches of 1,000 repeats of one query, {_HITS:,} in all",
        CACHED_TARGET_US,
    )
    requests = Figure(
        "requests to Titan meanwhile", None, "", f"seen by the stand-in during those {_HITS:,} queries", 0.0
    )
    report.figures += [time_figure, requests]
    try:
        chosen("titan", "segments")
        job = rust_job(settings)
    except Unavailable as error:
        time_figure.skipped = requests.skipped = str(error)
        return
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        folder = Path(directory)
        tree = job.copy_to(folder / "tree")
        with TitanStandIn(make_certificate(folder)) as server:
            environment = {**without_services(os.environ), **server.environment(folder / "cache")}
            with Resident(folder / "index", environment=environment, embedder="titan") as resident:
                resident.index(tree)
                resident.search("error handling")
                before = server.requests
                batches = resident.time_hits("error handling", _HITS)
                requests.value = float(server.requests - before)
                asked_before = server.requests
                resident.search("error handling, and something new")
                assert server.requests == asked_before + 1, "a new query was not embedded by the stand-in"
    time_figure.value = round(median(batches) / 1000, 3)
    time_figure.peer = f"fastest batch {min(batches) / 1000:.2f} µs"
    report.detail["cached, fastest and slowest batch, µs"] = [min(batches) / 1000, max(batches) / 1000]


@contextmanager
def _service(folder: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """The stand-in of the tests in a process of its own, and the environment of its clients."""
    from tests.standins.program import StandInProgram

    options = ("--burst", str(_BURST))
    with StandInProgram("bedrock", "--latency", str(_LATENCY_S), "--rate", str(_RATE_PER_S), *options) as service:
        kept = {"XDG_CACHE_HOME": str(folder / "cache")}
        yield service, {**without_services(os.environ), **service.environment(), **kept}


class _Build:
    """`engine.index` in a process of its own, which leads a process group, as its builder does."""

    def __init__(self, tree: Path, folder: Path, environment: dict[str, str]) -> None:
        places = [str(tree), str(folder / "index"), str(folder / "cache")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _INDEX, *places],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def finish(self) -> list[int]:
        """Requests, chunks, and chunks without a vector."""
        said, error = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError(f"indexing failed: {error.strip().splitlines()[-1]}")
        return [int(field) for field in said.split()]

    def kill(self) -> bool:
        """Kills it and its builder, coordinator and workers; whether it was still at work."""
        at_work = self._process.poll() is None
        # The gateway leads a session of its own, which is what the figure is about.
        groups = {self._process.pid} | {pid for pid in descendants(self._process.pid) if role_of(pid) != GATEWAY}
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._process.communicate()
        return at_work

    def kill_gateway(self) -> bool:
        """Whether there was one."""
        gateways = [pid for pid in descendants(self._process.pid) if role_of(pid) == GATEWAY]
        for pid in gateways:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()
        return bool(gateways)


def _rate(tree: Path, report: Report) -> None:
    figure = Figure(
        f"indexing through Titan, {_LATENCY_S * 1000:.0f} ms and {_RATE_PER_S:.0f} requests/s allowed",
        None,
        "%",
        "embeddings answered, of those the token bucket of the stand-in lets through from the start of the process "
        "that calls engine.index() to its end, scan and cold start included: rate × seconds, and the bucket's fill of "
        f"{_BURST:.0f}",
        RATE_TARGET_PERCENT,
        "at least",
    )
    report.figures.append(figure)
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        folder = Path(directory)
        with _service(folder) as (service, environment):
            began_s = time.monotonic()
            requests, chunks, unembedded = _Build(tree, folder, environment).finish()
            took_s = time.monotonic() - began_s
            ledger = service.ledger
    answering_s = ledger.last_s - ledger.first_s
    figure.value = round(100 * ledger.embeddings / (_BURST + _RATE_PER_S * took_s), 2)
    between = 100 * ledger.embeddings / (_BURST + _RATE_PER_S * answering_s)
    throttled = ledger.refusals["ThrottlingException"]
    figure.peer = (
        f"{ledger.embeddings:,} in {took_s:.1f} s; {between:.1f} % between first and last answer; "
        f"{throttled} throttled, {ledger.paid_twice} paid twice"
    )
    report.detail["rate"] = {
        "requests": requests,
        "answers": ledger.embeddings,
        "chunks": chunks,
        "without a vector": unembedded,
        "seconds": round(took_s, 2),
        "seconds between first and last answer": round(answering_s, 2),
        "throttled": throttled,
    }


def _kills(tree: Path, report: Report) -> None:
    figure = Figure(
        f"requests paid twice after {_KILLS} random kills of the builder",
        None,
        "",
        "SIGKILL to the process groups of the caller and of its builder while they index through the stand-in, then "
        "one run to the end; answers sent in full to a text that had been answered",
        0.0,
    )
    report.figures.append(figure)
    draw = random.Random(8)
    killed = 0
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        folder = Path(directory)
        with _service(folder) as (service, environment):
            for _ in range(_KILLS):
                build = _Build(tree, folder, environment)
                time.sleep(draw.uniform(0.2, 2.0))
                killed += build.kill()
            service.set(rate_per_s=None)
            _, chunks, unembedded = _Build(tree, folder, environment).finish()
            ledger = service.ledger
    figure.value = float(ledger.paid_twice)
    figure.peer = (
        f"{killed} killed at work; {ledger.embeddings:,} texts of {chunks:,} chunks in the end, {unembedded} without a "
        "vector"
    )


def _gateway_kills(tree: Path, report: Report) -> None:
    figure = Figure(
        "requests paid twice when the gateway itself is killed, for each kill",
        None,
        "",
        f"mean of {_GATEWAY_KILLS} kills of the one process that keeps what was paid for; at most what was in flight",
    )
    report.figures.append(figure)
    draw = random.Random(9)
    killed = 0
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory:
        folder = Path(directory)
        with _service(folder) as (service, environment):
            for _ in range(_GATEWAY_KILLS):
                build = _Build(tree, folder, environment)
                time.sleep(draw.uniform(1.5, 3.0))
                killed += build.kill_gateway()
            service.set(rate_per_s=None)
            _Build(tree, folder, environment).finish()
            ledger = service.ledger
    figure.value = round(ledger.paid_twice / max(killed, 1), 1)
    figure.peer = (
        f"{ledger.paid_twice} of {ledger.embeddings:,} in {killed} kills; at most {ledger.most_at_once} in flight"
    )


def _faults(count: int, report: Report) -> None:
    how = (
        "through the gateway while a fifth of all requests fails in sixteen ways and one text in a hundred is refused "
        "for good: texts that came back neither with their own vector nor with the reason"
    )
    lost = Figure(f"{count:,} embeddings, 20 % faults: lost", None, "", how, 0.0)
    twice = Figure(
        f"{count:,} embeddings, 20 % faults: duplicated", None, "", "answers sent in full to a text that had one", 0.0
    )
    report.figures += [lost, twice]
    import numpy as np

    from flyweight.embed.gateway import Gateway
    from flyweight.embed.settings import EmbedderSettings
    from tests.embed.test_faults import DIMENSIONS, FAULTY_SHARE, REFUSED, embed_all, made_texts
    from tests.standins.faults import PASSING
    from tests.standins.lifted_vectors import lifted_vector
    from tests.standins.program import StandInProgram

    texts = made_texts(count)
    with tempfile.TemporaryDirectory(prefix="flyweight-bench-") as directory, StandInProgram("bedrock") as service:
        rates = dict.fromkeys(PASSING, FAULTY_SHARE / len(PASSING))
        service.set_faults(rates=rates, texts={REFUSED: "text_refused"}, seed=11)
        with mock.patch.dict(os.environ, {**without_services(os.environ), **service.environment()}, clear=True):
            gateway = Gateway(EmbedderSettings.parse("titan", {"dimensions": DIMENSIONS}), cache_path=directory)
            gateway.start()
            try:
                began_s = time.monotonic()
                outcome = embed_all(gateway.address, texts)
                took_s = time.monotonic() - began_s
            finally:
                gateway.stop()
        ledger = service.ledger
    reported = {text for text, result in outcome.items() if isinstance(result, str)}
    wrong = [
        text
        for text, result in outcome.items()
        if isinstance(result, bytes) and np.frombuffer(result, "<f4") @ lifted_vector(text, DIMENSIONS) < 0.9999
    ]
    lost.value = float(len(set(texts) - set(outcome)) + len(wrong))
    twice.value = float(ledger.paid_twice)
    lost.peer = (
        f"{len(outcome) - len(reported):,} delivered, {len(reported)} reported, {ledger.requests:,} requests, "
        f"{sum(ledger.faults[kind] for kind in PASSING):,} faults, {took_s:.0f} s"
    )
