"""The table of formats, and the child process that `memory.save` starts."""

from __future__ import annotations

import doctest
import gzip
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flyweight.errors import ConfigError, PathError
from flyweight.memory.capture_file import CAPTURE_SUFFIX, RENDERED_SUFFIXES
from flyweight.observe.render import FORMATS, Wish, format_of, rendered, write
from tests.observe.made_capture import made_capture


def test_the_measured_process_knows_the_same_suffixes() -> None:
    suffixes = {suffix for each in FORMATS.values() for suffix in each.suffixes}
    assert suffixes == {CAPTURE_SUFFIX, *RENDERED_SUFFIXES}


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.txt", "terminal"),
        ("a.md", "markdown"),
        ("a.html", "html"),
        ("a.json", "json"),
        ("a.pb.gz", "pprof"),
        ("a.speedscope.json", "speedscope"),
        ("a.collapsed", "collapsed"),
        ("a.prom", "openmetrics"),
    ],
)
def test_a_name_says_its_format(name: str, format: str) -> None:
    assert format_of(name).name == format
    assert rendered(made_capture(3), format_of(name), Wish())


@pytest.mark.parametrize("name", ["observe.call_chains", "observe.sections", "observe.terminal", "memory.json_stream"])
def test_examples_of_docstrings_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"flyweight.{name}"))
    assert outcome.attempted > 0 and outcome.failed == 0


def test_a_name_that_says_nothing_is_told_what_would() -> None:
    with pytest.raises(ConfigError, match=r"report\.pdf does not say which format .* \.txt, \.md"):
        format_of("report.pdf")


def test_lone_surrogates_do_not_stop_a_report() -> None:
    document = made_capture(2)
    document["sites"][0]["file"] = "/srv/caf\udce9.py"
    document["stacks"] = []
    document["program"]["arguments"] = ["caf\udce9.py"]
    for each in FORMATS.values():
        assert rendered(document, each, Wish()), each.name


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write(str(path), b"first")
    write(str(path), b"second")
    assert path.read_bytes() == b"second" and [each.name for each in tmp_path.iterdir()] == ["report.md"]
    with pytest.raises(PathError, match=r"cannot be written to .*: No such file or directory"):
        write(str(tmp_path / "gone" / "report.md"), b"")


def render(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "flyweight.observe.render", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_module_makes_one_file_of_another(tmp_path: Path) -> None:
    capture = tmp_path / "capture.json"
    capture.write_text(json.dumps(made_capture(3)))
    outcome = render(capture, tmp_path / "heap.pb.gz")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    assert gzip.decompress((tmp_path / "heap.pb.gz").read_bytes())


def test_the_module_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    outcome = render(tmp_path / "gone.json", tmp_path / "heap.pb.gz")
    assert outcome.returncode == 1 and outcome.stderr.count("\n") == 1
    assert outcome.stderr.startswith("flyweight: the capture ") and "No such file" in outcome.stderr
