"""`flyweight index` with an embedder that is asked over the network, and paid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

pytest.importorskip("botocore")

from click.testing import CliRunner
from command_process import Run

from flyweight import cli
from tests.standins.bedrock import BedrockStandIn
from tests.standins.faults import Faults
from tests.standins.openai import OpenAIStandIn

Titan = Callable[..., CompletedProcess[str]]


@pytest.fixture
def service() -> Iterator[BedrockStandIn]:
    with BedrockStandIn() as service:
        yield service


@pytest.fixture
def index(project: Path, tmp_path: Path, run: Run, service: BedrockStandIn) -> Titan:
    """Runs `flyweight index` in the project, the service in its environment, nothing paid for yet."""
    variables = {**service.environment(), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run_in_project(*arguments: str) -> CompletedProcess[str]:
        return run("index", *arguments, cwd=project, **variables)

    return run_in_project


def test_an_index_remembers_its_embedder(index: Titan, project: Path) -> None:
    first = index("--embedder", "titan", "--dimensions", "512", "--json")
    stats = json.loads(first.stdout)
    assert stats["requests"] == stats["new_chunks"] > 0
    assert stats["tokens"] > 0
    assert stats["gateway_private_bytes"] > 0
    assert (stats["unembedded"], stats["stopped"], stats["notes"]) == ([], "", [])
    (project / "new.py").write_text("def newcomer():\n    return 1\n")
    second = index()
    assert second.returncode == 0, second.stderr
    assert "  1 added, 4 unchanged" in second.stdout
    assert "  embedding: 1 request, " in second.stdout


def test_a_dry_run_says_what_the_service_would_take(index: Titan, service: BedrockStandIn) -> None:
    planned = json.loads(index("--embedder", "titan", "--dry-run", "--json").stdout.splitlines()[-1])["totals"]
    assert service.ledger.requests == 0
    assert planned["embedding"]["embedder"] == "bedrock:amazon.titan-embed-text-v2:0"
    assert planned["embedding"]["cost_usd"] > 0
    stats = json.loads(index("--embedder", "titan", "--json").stdout)
    assert stats["requests"] == planned["embedding"]["requests"]
    assert "0 chunks that the index does not have" in index("--dry-run").stdout


def test_a_cap_is_named_with_the_command_that_goes_on(index: Titan) -> None:
    stopped = index("--embedder", "titan", "--max-requests", "2")
    assert stopped.returncode == 0
    assert "  stopped early: the cap of 2 requests is reached" in stopped.stdout
    assert "('flyweight index --embedder titan')" in stopped.stdout
    assert "stopped early" not in index("--embedder", "titan").stdout


def test_a_rebuild_that_reaches_a_cap_says_that_the_old_index_stands(index: Titan, project: Path) -> None:
    assert index("--embedder", "titan").returncode == 0
    (project / "new.py").write_text("def newcomer():\n    return 1\n")
    (project / "newer.py").write_text("def latecomer():\n    return 2\n")
    stopped = index("--rebuild", "--max-requests", "1").stdout
    assert ": not rebuilt, " in stopped
    assert " added, " not in stopped
    assert "('flyweight index --rebuild')" in stopped


def test_chunks_without_a_vector_are_named(index: Titan, project: Path, service: BedrockStandIn) -> None:
    (project / "strange.py").write_text("def unspeakable():\n    return 1\n")
    service.faults = Faults(texts={"unspeakable": "text_refused"})
    outcome = index("--embedder", "titan")
    assert outcome.returncode == 0
    assert "  1 chunk without a vector, found by their words only:" in outcome.stdout
    assert "    strange.py:1-2: " in outcome.stdout


def test_a_refusal_is_one_line_without_secrets(index: Titan, service: BedrockStandIn) -> None:
    service.denied = {"amazon.titan-embed-text-v2:0"}
    outcome = index("--embedder", "titan")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("flyweight: ")
    assert "amazon.titan-embed-text-v2:0" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert service.credentials[0].secret_key not in outcome.stderr


def test_a_first_run_that_was_refused_binds_nobody_to_the_service(index: Titan, service: BedrockStandIn) -> None:
    service.denied = {"amazon.titan-embed-text-v2:0"}
    assert index("--embedder", "titan").returncode == 2
    second = index()
    assert second.returncode == 0, second.stderr
    assert "embedding: " not in second.stdout


def test_another_embedder_is_refused_with_a_way_out_that_works(index: Titan) -> None:
    assert index("--embedder", "titan").returncode == 0
    refused = index("--embedder", "static")
    assert refused.returncode == 2
    assert "bedrock:amazon.titan-embed-text-v2:0" in refused.stderr and "with --rebuild" in refused.stderr
    assert index("--embedder", "static", "--rebuild").returncode == 0


def test_an_index_of_an_openai_service_asks_where_the_service_lies(project: Path, tmp_path: Path, run: Run) -> None:
    def index(*arguments: str, **variables: str) -> CompletedProcess[str]:
        return run("index", *arguments, cwd=project, XDG_CACHE_HOME=str(tmp_path / "cache"), **variables)

    with OpenAIStandIn() as service:
        first = index("--embedder", f"openai:{service.base_url}#small-code", "--json")
        assert json.loads(first.stdout)["requests"] > 0
        (project / "new.py").write_text("def newcomer():\n    return 1\n")
        refused = index()
        assert refused.returncode == 2
        assert "set OPENAI_BASE_URL" in refused.stderr
        assert "  1 added, 4 unchanged" in index(OPENAI_BASE_URL=service.base_url).stdout


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--embedder-option", "api_key=sk-12345"),
        ("--embedder-option", "proxy=http://user:pass@proxy:3128"),
        ("--store-option", "aws_secret_access_key=12345"),
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    option: str, value: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    outcome = CliRunner().invoke(cli._verbs, ["index", "--embedder", "titan", option, value])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "would show a secret" in outcome.stderr
    assert value.partition("=")[2] not in outcome.stderr
