"""`flyweight bench memory` with an embedder and a store that have processes of their own."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flyweight.errors import ConfigError
from flyweight.observe.bench import certificate
from flyweight.observe.bench.certificate import can_make_certificates, make_certificate
from flyweight.observe.bench.comparison import compare
from flyweight.observe.bench.configurations import Configuration, configurations, without_services
from flyweight.observe.bench.job import Job, job_of
from flyweight.observe.bench.measurement import Effort, Run, measure_plainly
from flyweight.observe.bench.own_libraries import own_libraries
from flyweight.observe.bench.process_roles import BUILDERS, GATEWAY, STORE, RolePeaks, memory_by_role, role_of
from flyweight.observe.bench.tables import sections
from flyweight.observe.bench.titan_stand_in import DIMENSIONS, TitanStandIn, answer_to

V2 = "/model/amazon.titan-embed-text-v2:0/invoke"
needs_openssl = pytest.mark.skipif(not can_make_certificates(), reason="no openssl command")


def configuration(embedder: str, store: str) -> Configuration:
    return configurations([embedder], [store])[-1]


def test_version_two_answers_with_a_unit_vector_of_the_dimensions_asked_for() -> None:
    answer = json.loads(answer_to(V2, {"inputText": "one", "dimensions": 256, "embeddingTypes": ["float", "binary"]}))
    by_type = answer["embeddingsByType"]
    assert answer["embedding"] == by_type["float"]
    assert sum(value * value for value in by_type["float"]) == pytest.approx(1.0, abs=1e-5)
    assert by_type["binary"] == [int(value > 0) for value in by_type["float"]]
    assert len(by_type["binary"]) == 256
    plain = json.loads(answer_to(V2, {"inputText": "one", "normalize": False}))["embedding"]
    assert len(plain) == 1024
    assert sum(value * value for value in plain) > 2


@needs_openssl
def test_the_stand_in_serves_those_who_trust_its_certificate(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    body = json.dumps({"inputText": "one"}).encode()
    with TitanStandIn(made) as server:
        url = f"{server.endpoint}/model/amazon.titan-embed-text-v1/invoke"
        trusting = ssl.create_default_context(cafile=made.file)
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT
        with urllib.request.urlopen(url, body, timeout=300, context=trusting) as answer:
            assert len(json.load(answer)["embedding"]) == DIMENSIONS
        with pytest.raises(OSError, match="certificate verify failed"):
            urllib.request.urlopen(url, body, timeout=300, context=ssl.create_default_context())
        assert server.requests == 1


def test_nothing_of_the_users_own_services_is_left() -> None:
    kept = without_services({"AWS_PROFILE": "mine", "https_proxy": "http://proxy", "PATH": "/bin"})
    assert kept == {"PATH": "/bin"}


def test_what_cannot_be_measured_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    titan = configuration("titan", "segments")
    assert titan.missing == certificate.MISSING
    assert configuration("static", "segments").missing == ""
    (tmp_path / "one.rs").write_text("fn one() {}\n")
    with pytest.raises(ConfigError, match="no `openssl` command"):
        compare(job_of(str(tmp_path), files=1), [titan], Effort.quick(), None)


def test_only_the_plain_ones_are_measured_twice_where_nothing_is_named() -> None:
    assert [(each.embedder, each.store) for each in configurations()] == [
        ("static", "segments"),
        ("static", "segments"),
        ("titan:v1", "segments"),
        ("static", "lancedb"),
        ("titan:v1", "lancedb"),
    ]


def test_dimensions_are_the_static_embedders_own() -> None:
    minimal, default = configurations(["titan"], ["lancedb"])
    assert minimal.code() == (
        "SearchConfig(cache_size=10, cache_ttl=30.0, batch_size=1, embedder='titan', store='lancedb:lance')"
    )
    assert default.target_bytes == 10_000_000
    assert configuration("static", "lancedb").target_bytes == 4_000_000


def test_a_process_loads_copies_of_what_a_client_loads(tmp_path: Path) -> None:
    variables = own_libraries(tmp_path)
    code = "import _ssl; print(*{line.split()[-1] for line in open('/proc/self/maps') if 'ssl' in line})"
    # Built into some interpreters: then there is nothing to copy.
    mapped = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert [path for path in mapped.stdout.split() if not path.startswith(str(tmp_path))] == []


WAIT = "import sys; print(flush=True); sys.stdin.readline()"


@pytest.mark.parametrize(
    ("module", "role"),
    [("flyweight.embed.gateway", GATEWAY), ("flyweight.store.lancedb.process", STORE), ("flyweight.index", BUILDERS)],
)
def test_a_process_is_known_by_its_command_line(module: str, role: str) -> None:
    command = [sys.executable, "-c", WAIT, module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert role_of(child.pid) == role
        child.communicate(b"")
    assert role_of(child.pid) == ""


def test_roles_are_told_apart_below_a_process() -> None:
    code = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {WAIT!r}, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for name in ("flyweight.embed.gateway", "flyweight.index")]
for child in children:
    child.stdout.readline()
print(flush=True)
sys.stdin.readline()
for child in children:
    child.communicate(b"")
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        with RolePeaks(parent.pid) as peaks:
            while not peaks.peak_bytes.get(GATEWAY):
                time.sleep(0.001)
            held = memory_by_role(parent.pid)
        parent.communicate(b"")
    assert held[GATEWAY].rss_bytes > 0
    assert held[BUILDERS].rss_bytes > 0
    assert STORE not in held


FUNCTION = """
/// Handles the error of request {number}.
pub async fn handle_{number}(value: u32) -> Result<u32, Error> {{
    database.connect(value).await?.query("select {number}").map_err(Error::from)
}}
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    root = tmp_path_factory.mktemp("sources")
    for number in range(2):
        (root / f"part{number}.rs").write_text("".join(FUNCTION.format(number=10 * number + each) for each in range(6)))
    return job_of(str(root), files=2, queries=("error handling",))


def measured(embedder: str, store: str, job: Job, folder: Path) -> Run:
    tree = job.copy_to(folder / "tree")
    return measure_plainly(configuration(embedder, store), job, tree, folder, Effort(points=1, repeats=1))


def shown(run: Run, job: Job) -> dict[str, Any]:
    """Tables of a document with this run alone, by title."""
    document = {
        "job": job.to_dict(),
        "machine": {"python": "", "kernel": "", "processor": "", "cores": 1},
        "runs": [{**run.to_dict(), "growth_verdict": {"verdict": "stable", "reason": ""}}],
        "peers": [],
        "missing_peers": [],
        "missing_configurations": [],
        "not_recorded": "not recorded",
        "target_bytes": 3_000_000,
        "published": {"name": "report", "rss_mb": {"Final": 69.61}, "components_mb": {}, "target_mb": 3.0},
        "recommendation": {"code": "", "reason": ""},
    }
    found = {section.title: section for section in sections(document)}
    for section in found.values():
        assert {len(row) for row in section.rows} <= {len(section.columns)}
    return found


@needs_openssl
def test_the_gateway_of_a_build_has_its_own_column(job: Job, tmp_path: Path) -> None:
    run = measured("titan", "segments", job, tmp_path)
    assert run.phase("After Index").gateway_peak_bytes > 1_000_000
    assert run.phase("Final").gateway_peak_bytes == 0
    assert (run.queries[0]["first"]["cached"], run.queries[0]["again"]["cached"]) == (False, True)
    assert run.queries[0]["first"]["hits"] > 0
    columns = shown(run, job)[f"Memory by phase: {run.name}"].columns
    assert "gateway's peak MB" in columns
    assert "store process, RSS MB" not in columns


def test_the_store_process_has_its_own_columns(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    run = measured("static", "lancedb", job, tmp_path)
    assert run.phase("After Init").store.rss_bytes == 0
    assert run.phase("After Index").store_peak_bytes > 1_000_000
    assert run.phase("After Queries").store.rss_bytes > run.phase("After Queries").memory.rss_bytes
    assert run.store_bytes > 0
    tables = shown(run, job)
    assert "store process, RSS MB" in tables[f"Memory by phase: {run.name}"].columns
    final = run.phase("Final")
    assert tables["Resident and store process together, RSS by phase (MB)"].rows[-1] == (
        "Final",
        f"{final.together_rss_bytes / 1e6:,.2f}",
    )
