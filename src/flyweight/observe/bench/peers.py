"""Other people's software on the same job, each in its own process and interpreter, measured from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flyweight.observe.bench.certificate import CertificateMissing, make_certificate
from flyweight.observe.bench.configurations import without_services
from flyweight.observe.bench.job import Job
from flyweight.observe.bench.line_process import BareInterpreter, LineProcess, ProcessEnded
from flyweight.observe.bench.measurement import Effort, Run, watch_job
from flyweight.observe.bench.titan_stand_in import TitanStandIn

_PROGRAMS = Path(__file__).with_name("peer_programs")
_TIMEOUT_S = 300.0


class PeerMissing(Exception):
    """A peer cannot be measured; says why."""


@contextmanager
def _nothing(python: str, work: Path) -> Iterator[Mapping[str, str]]:
    yield {}


@contextmanager
def _titan(python: str, work: Path) -> Iterator[Mapping[str, str]]:
    # Over TLS, as ours.
    try:
        server = TitanStandIn(make_certificate(work))
    except CertificateMissing as error:
        raise PeerMissing(str(error)) from None
    with server:
        yield server.environment(work / "cache")


@contextmanager
def _token_table(python: str, work: Path) -> Iterator[Mapping[str, str]]:
    directory = work / "model2vec"
    write_token_table(python, directory)
    yield {
        "FLYWEIGHT_BENCH_MODEL": str(directory),
        "SEMBLE_CACHE_LOCATION": str(work / "semble-cache"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


@dataclass(frozen=True, slots=True)
class Peer:
    """A program of `peer_programs`, the packages it needs, and what is exercised of them, for the reader of a table."""

    program: str
    packages: tuple[str, ...]
    exercised: str
    surroundings: Callable[[str, Path], Any] = _nothing


PEERS: dict[str, Peer] = {
    "lancedb + boto3": Peer(
        "lancedb_boto3",
        ("lancedb", "boto3"),
        "imports, a Bedrock client, one signed Titan request of 1,536 dimensions per chunk and query over TLS to a "
        "server on loopback, a LanceDB table without an index, cosine search; no network, no model",
        _titan,
    ),
    "chroma": Peer(
        "chroma",
        ("chromadb",),
        "imports, a persistent collection (HNSW, cosine), made-up vectors of 256 dimensions; no embedding model",
    ),
    "semble": Peer(
        "semble_search",
        ("semble", "model2vec"),
        "imports, its own chunks, BM25 and vectors with our token table as its model; its index in memory",
        _token_table,
    ),
}


def measure_peer(name: str, python: str, job: Job, tree: Path, work: Path, effort: Effort) -> Run:
    """The phases, queries and growth of one peer. Raises PeerMissing when it is not there or fails."""
    peer = PEERS[name]
    versions = _versions(python, peer.packages)
    folder = work / name.replace(" ", "")
    folder.mkdir(parents=True)
    run = Run(name, "peer", f"{versions}: {peer.exercised}")
    try:
        with BareInterpreter(python) as bare, peer_process(name, python, folder) as process:
            # They take milliseconds where ours takes a tenth of one: fewer queries show as much.
            watch_job(run, process, bare, job, tree, (), replace(effort, repeats=max(1, effort.repeats // 5)))
    except (ProcessEnded, OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(str(error)) from None
    return run


@contextmanager
def peer_process(name: str, python: str, folder: Path) -> Iterator[LineProcess]:
    """A peer's program, in `folder`, with what it needs around it. Raises PeerMissing."""
    peer = PEERS[name]
    with (
        peer.surroundings(python, folder) as variables,
        LineProcess(
            [python, str(_PROGRAMS / f"{peer.program}.py")],
            {**without_services(os.environ), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "", **variables},
            directory=folder,
            keep_errors=True,
            timeout_s=_TIMEOUT_S,
        ) as process,
    ):
        yield process


def write_token_table(python: str, directory: Path) -> None:
    """Has a peer's interpreter write our model as a model2vec directory. Raises PeerMissing when it cannot."""
    # Asked of another process: this one must not map what the engine maps.
    asked = [sys.executable, "-P", "-c", "from flyweight.embed.static import model_path; print(model_path())"]
    model = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.rstrip("\n")
    command = [python, str(_PROGRAMS / "token_table.py"), model, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode != 0:
        raise PeerMissing(f"our token table cannot be written for it: {_last_line(done.stderr)}")


_NAME_VERSIONS = """
import sys
from importlib.metadata import PackageNotFoundError, version
for package in sys.argv[1:]:
    try:
        print(package, version(package))
    except PackageNotFoundError:
        print(package)
"""


def _versions(python: str, packages: tuple[str, ...]) -> str:
    """Name and version of each package, looked up without importing it. Raises PeerMissing."""
    command = [python, "-c", _NAME_VERSIONS, *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{python} cannot be run ({error})") from None
    if done.returncode != 0:
        raise PeerMissing(f"{python} cannot be run ({_last_line(done.stderr)})")
    found = done.stdout.strip().splitlines()
    absent = [line for line in found if " " not in line]
    if absent:
        raise PeerMissing(f"{' and '.join(absent)} not installed in {python}")
    return ", ".join(found)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
