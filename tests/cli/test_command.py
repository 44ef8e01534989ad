from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from command_process import COMMAND, Run

import flyweight
from flyweight import cli

VERBS = ("index", "search", "status", "doctor", "run", "report", "top", "bench")


@pytest.fixture
def broken_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that has a defect."""

    @click.command("broken")
    def command() -> None:
        raise ZeroDivisionError("division by zero")

    module = ModuleType("flyweight.cli.broken")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flyweight.cli.broken", module)
    monkeypatch.setattr(cli, "_VERBS", ("broken",))


def test_help_lists_every_verb() -> None:
    listing = CliRunner().invoke(cli._verbs, ["--help"])
    assert listing.exit_code == 0
    assert all(f"\n  {verb} " in listing.output for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_has_examples(verb: str) -> None:
    text = CliRunner().invoke(cli._verbs, [verb, "-h"]).output
    assert "Examples:" in text
    assert f"  flyweight {verb}" in text.partition("Examples:")[2]


def test_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(cli._verbs, ["--version"]).output == f"flyweight {flyweight.__version__}\n"


def test_a_verb_loads_no_other_verb(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv[1:] = ['status', '--help']\n"
        "from flyweight.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted(m for m in sys.modules if m.startswith('flyweight.cli.')))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = shown.stdout.splitlines()[-1]
    assert "flyweight.cli.status" in loaded
    assert not any(f"'flyweight.cli.{verb}'" in loaded for verb in VERBS if verb != "status")


def test_an_unknown_verb_is_a_usage_error(tmp_path: Path, run: Run) -> None:
    outcome = run("serach", "x", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "there is no verb 'serach': did you mean search?" in outcome.stderr


def test_an_expected_error_is_one_line_without_traceback(tmp_path: Path, run: Run) -> None:
    outcome = run("status", cwd=tmp_path)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("flyweight: there is no index in ")
    assert "run 'flyweight index'" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.usefixtures("broken_verb")
def test_a_defect_is_named_in_one_line() -> None:
    outcome = CliRunner().invoke(cli._verbs, ["broken"])
    assert outcome.exit_code == cli.DEFECT
    assert "ZeroDivisionError: division by zero (test_command.py:" in outcome.stderr
    assert "FLYWEIGHT_DEBUG=1" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.usefixtures("broken_verb")
def test_a_defect_shows_its_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWEIGHT_DEBUG", "1")
    assert isinstance(CliRunner().invoke(cli._verbs, ["broken"]).exception, ZeroDivisionError)


def test_a_reader_that_goes_away_is_no_error(shared_project: Path) -> None:
    command = [*COMMAND, "search", "ledger"]
    with subprocess.Popen(command, cwd=shared_project, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.READER_GONE


def test_output_that_cannot_be_written_is_said(shared_project: Path) -> None:
    with open("/dev/full", "wb") as full:
        outcome = subprocess.run(
            [*COMMAND, "search", "ledger"],
            cwd=shared_project,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert outcome.returncode == 2
    assert outcome.stderr == "flyweight: the output cannot be written: No space left on device\n"


def test_without_standard_output_it_does_its_work_in_silence(shared_project: Path) -> None:
    outcome = subprocess.run(
        f"{shlex.join(COMMAND)} search ledger >&-", shell=True, cwd=shared_project, capture_output=True
    )
    assert (outcome.returncode, outcome.stderr) == (0, b"")
