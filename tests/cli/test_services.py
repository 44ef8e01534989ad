"""The verbs on an index whose embedder is a service, or whose store is a LanceDB table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from command_process import Run
from made_segment import MadeFile, write_index

from flyweight import cli

TITAN = "bedrock:amazon.titan-embed-text-v2:0"
NO_METADATA = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}
CODE = "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n"


@pytest.fixture(scope="module")
def titan_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose index was embedded by Titan. Nobody has credentials for it."""
    root = tmp_path_factory.mktemp("titan") / "code"
    root.mkdir()
    (root / "backoff.py").write_text(CODE)
    files = [MadeFile("backoff.py", [CODE.rstrip()], symbols=["wait_with_backoff"])]
    write_index(root / ".flyweight", files, root=root, embedder=TITAN, dimensions=256)
    return root


@pytest.fixture(scope="module")
def stored_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project whose index is in a LanceDB table."""
    pytest.importorskip("lancedb")
    root = tmp_path_factory.mktemp("stored") / "code"
    root.mkdir()
    (root / "backoff.py").write_text(CODE)
    assert run("index", "--store", f"lancedb:{root.parent}/table", cwd=root).returncode == 0
    return root


def test_a_search_whose_service_cannot_be_used_answers_by_words_and_says_so(titan_project: Path, run: Run) -> None:
    outcome = run("search", "wait with backoff", "--no-text", cwd=titan_project, **NO_METADATA)
    assert outcome.returncode == 0
    assert outcome.stdout.startswith("backoff.py:1-2\t")
    assert "note: answered by the words of the query alone: " in outcome.stderr
    assert "AWS_ACCESS_KEY_ID" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_search_is_told_where_the_service_is(titan_project: Path, run: Run) -> None:
    pytest.importorskip("botocore")
    from tests.standins.bedrock import BedrockStandIn

    with BedrockStandIn() as service:
        variables = service.environment()
        for name in ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_REGION", "AWS_DEFAULT_REGION"):
            del variables[name]
        options = ("--region", "us-east-1", "--endpoint-url", service.endpoint, "--embedder-option", "timeout_s=60")
        outcome = run("search", "wait with backoff", "--json", *options, cwd=titan_project, **variables)
        assert service.ledger.times_answered("wait with backoff") == 1
    assert outcome.stderr == ""
    assert "degraded" not in json.loads(outcome.stdout)[0]


def test_json_of_such_a_search_is_an_array_as_ever_whose_results_say_so(titan_project: Path, run: Run) -> None:
    hits = json.loads(run("search", "wait with backoff", "--json", cwd=titan_project, **NO_METADATA).stdout)
    assert [(hit["path"], hit["degraded"]) for hit in hits] == [("backoff.py", True)]


def test_another_embedder_than_that_of_the_index_is_refused(titan_project: Path, run: Run) -> None:
    outcome = run("search", "--embedder", "static", "backoff", cwd=titan_project)
    assert outcome.returncode == 2
    assert f"made with {TITAN}, 256 dimensions" in outcome.stderr


def test_status_names_the_embedder_and_asks_nobody(titan_project: Path, run: Run) -> None:
    status = json.loads(run("status", "--json", cwd=titan_project).stdout)
    assert (status["store"], status["embedder"], status["dimensions"]) == ("segments", TITAN, 256)
    assert f"{TITAN}, 256 dimensions" in run("status", cwd=titan_project).stdout


def test_a_doctor_finds_an_index_sound_whose_service_cannot_be_asked(titan_project: Path, run: Run) -> None:
    outcome = run("doctor", "--json", cwd=titan_project, **NO_METADATA)
    report = json.loads(outcome.stdout)
    (embedder,) = (finding for finding in report["findings"] if finding["check"] == "embedder")
    assert embedder["status"] == "note"
    assert "AWS_ACCESS_KEY_ID" in embedder["message"]
    assert report["sound"] and outcome.returncode == 0


def test_a_doctor_lists_the_places_of_credentials_a_line_each(titan_project: Path, run: Run) -> None:
    lines = run("doctor", cwd=titan_project, **NO_METADATA).stdout.splitlines()
    assert any(line.endswith("2. environment: AWS_ACCESS_KEY_ID is not set") for line in lines)
    assert not any("\\n" in line for line in lines)


def test_a_doctor_asks_the_service_for_a_vector(titan_project: Path, run: Run) -> None:
    pytest.importorskip("botocore")
    from tests.standins.bedrock import BedrockStandIn

    with BedrockStandIn() as service:
        outcome = run("doctor", cwd=titan_project, **service.environment())
    assert outcome.returncode == 0
    assert f"{TITAN} answers, with 256 dimensions" in outcome.stdout


def test_a_search_finds_what_the_index_directory_points_to(stored_project: Path, run: Run) -> None:
    outcome = run("search", "wait with backoff", cwd=stored_project)
    assert outcome.stdout.startswith("backoff.py:1-2\tpython\twait_with_backoff\t")
    assert outcome.stderr == ""


def test_a_store_can_be_searched_from_where_no_index_is(stored_project: Path, tmp_path: Path, run: Run) -> None:
    store = f"lancedb:{stored_project.parent}/table"
    hits = json.loads(run("search", "--store", store, "backoff", "--json", cwd=tmp_path).stdout)
    assert [hit["path"] for hit in hits] == ["backoff.py"]


def in_process(*arguments: str) -> Result:
    """Loading LanceDB takes seconds: here it is done once for all."""
    return CliRunner().invoke(cli._verbs, list(arguments))


def test_status_of_a_table_says_what_it_holds(stored_project: Path) -> None:
    index = str(stored_project / ".flyweight")
    status = json.loads(in_process("status", "--index", index, "--json").stdout)
    assert status["store"] == f"lancedb:{stored_project.parent}/table"
    assert (status["files"], status["chunks"], status["languages"]) == (1, 1, {"python": 1})
    assert (status["root"], status["embedder"]) == (str(stored_project), "minilm-256/1")
    assert [index["column"] for index in status["indexes"]] == ["terms"]
    shown = dict(line.split(maxsplit=1) for line in in_process("status", "--index", index).stdout.splitlines())
    assert shown["holds"].startswith("1 file (")


def test_status_looks_at_the_table_that_is_named(stored_project: Path) -> None:
    store = f"lancedb:{stored_project.parent}/table"
    options = ("status", "--index", str(stored_project.parent), "--store", store)
    assert in_process(*options, "--store-option", "table=flyweight", "--json").exit_code == 0
    missing = in_process(*options, "--store-option", "table=other")
    assert missing.exit_code == 2 and "(table 'other')" in missing.output


def test_a_doctor_examines_a_table(stored_project: Path) -> None:
    report = json.loads(in_process("doctor", "--index", str(stored_project / ".flyweight"), "--json").stdout)
    assert report["sound"]
    assert (report["store"], report["table"]) == (f"lancedb:{stored_project.parent}/table", "flyweight")
    assert "index" not in report  # as in status: it is not where that directory is
    assert {finding["check"] for finding in report["findings"]} == {"table", "model", "index", "tree"}


def test_a_doctor_says_that_there_is_no_table(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    outcome = in_process("doctor", "--index", str(tmp_path), "--store", f"lancedb:{tmp_path}/none")
    assert outcome.exit_code == 1
    assert "there is no index at" in outcome.stdout
    remedy = f"flyweight index PATH --store lancedb:{tmp_path}/none"
    assert f"-> run: {remedy} (PATH: where the code is)" in outcome.stdout
