"""`flyweight report`: every format, and one line for everything that is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from command_process import Run

from flyweight import cli
from flyweight.observe.render import FORMATS
from tests.observe.made_capture import made_capture


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture.json"
    path.write_text(json.dumps(made_capture(12)))
    return path


def report(*arguments: object) -> Result:
    return CliRunner().invoke(cli._verbs, ["report", *map(str, arguments)])


def test_the_report_is_plain_where_there_is_no_terminal(capture: Path) -> None:
    outcome = report(capture)
    assert outcome.exit_code == 0, outcome.output
    assert "Tracked memory" in outcome.output and "Hot sites by bytes live now" in outcome.output
    assert "\x1b" not in outcome.output and "╭" not in outcome.output


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_printed_and_written(capture: Path, tmp_path: Path, name: str) -> None:
    printed = report(capture, "--format", name)
    assert printed.exit_code == 0, printed.output
    path = tmp_path / f"report{FORMATS[name].suffixes[0]}"
    written = report(capture, "-o", path)
    assert written.exit_code == 0 and written.output == "", written.output
    assert path.read_bytes() == printed.stdout_bytes
    assert path.read_bytes()


def test_a_format_that_is_said_goes_before_the_files_name(capture: Path, tmp_path: Path) -> None:
    assert report(capture, "--format", "collapsed", "-o", tmp_path / "stacks.dat").exit_code == 0
    assert (tmp_path / "stacks.dat").read_text().splitlines()[0].startswith("main (app.py:90);")


def test_order_and_number_of_rows_can_be_chosen(capture: Path) -> None:
    output = report(capture, "--top", 3, "--by", "count").output
    assert "Hot sites by number of allocations" in output and "9 more sites." in output


def test_gzip_of_an_export_is_whole(capture: Path, tmp_path: Path) -> None:
    assert report(capture, "-o", tmp_path / "heap.pb.gz").exit_code == 0
    assert gzip.decompress((tmp_path / "heap.pb.gz").read_bytes())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.json"], "'gone.json' does not exist"),
        (["other.json"], "other.json is no capture"),
        (["capture.json", "-o", "report.pdf"], "report.pdf does not say which format it is to have"),
        (["capture.json", "-o", "capture.json"], "capture.json is the capture itself"),
        (["capture.json", "-o", "gone/report.md"], "cannot be written to gone/report.md: No such file"),
        (["capture.json", "--open"], "say -o report.html --open"),
        (["capture.json", "--format", "svg"], "'svg' is not one of"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    capture: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(capture.parent)
    Path("other.json").write_text("[]")
    outcome = report(*arguments)
    assert outcome.exit_code == 2
    assert says in outcome.stderr
    assert [line for line in outcome.stderr.splitlines() if says in line] == [outcome.stderr.splitlines()[-1]]


def test_help_names_the_formats_and_gives_examples() -> None:
    text = report("--help").output
    assert all(name in text for name in FORMATS)
    assert "memory.save" in text and "go tool pprof" in text and "speedscope.app" in text


def test_the_command_itself_reports(capture: Path, run: Run) -> None:
    outcome = run("report", capture.name, "--format", "markdown", cwd=capture.parent)
    assert outcome.returncode == 0 and outcome.stdout.startswith("# Memory of /srv/shop/app.py"), outcome.stderr
