from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_process import on_terminal

from flyweight.cli.progress_bar import ProgressLines
from flyweight.index.stats import IndexProgress


def at(phase: str, seconds: float, files: int = 0, chunks: int = 0) -> IndexProgress:
    totals = (0, 0) if phase == "scan" else (1000, 1_000_000)
    return IndexProgress(phase, files, totals[0], chunks, files * 1000, totals[1], seconds)


def test_without_a_terminal_a_line_comes_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines() as display:
        display(at("scan", 1.0, files=1000))
        display(at("index", 2.0))
        for tenth in range(20, 121):
            display(at("index", tenth / 10, files=(tenth - 20) * 5, chunks=(tenth - 20) * 50))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "indexing: 150/1,000 files, 1,500 chunks, 500/s, 17 s left",
        "indexing: 400/1,000 files, 4,000 chunks, 500/s, 12 s left",
    ]


def test_a_run_that_is_over_at_once_shows_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines() as display:
        display(at("scan", 0.1))
        display(at("index", 0.2))
        display(at("index", 2.0, files=1000, chunks=3000))
    assert capsys.readouterr().err == ""


def test_the_time_left_is_told_as_roughly_as_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines() as display:
        display(at("index", 0.0))
        display(at("index", 6.0, files=600, chunks=600))
        display(at("index", 11.0, files=80, chunks=80))
    assert [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines()] == ["4 s left", "2 min 6 s left"]


def test_before_anything_is_read_no_time_left_is_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines() as display:
        display(at("index", 6.0))
    assert capsys.readouterr().err == "indexing: 0/1,000 files, 0 chunks, 0/s\n"


def test_a_terminal_shows_a_bar_that_is_gone_afterwards(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"module_{number}.py").write_text(f"def step_{number}(value):\n    return value + {number}\n" * 50)
    shown = on_terminal("index", cwd=tmp_path, columns=120)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert f"{tmp_path}: 200 files" in drawn
    assert re.search(r"indexing .* [\d,]+/200 files, [\d,]+ chunks?, [\d,]+/s", drawn)
    assert "indexing" not in shown.rpartition("\x1b[2K")[2], "the line of the bar is erased"


def test_requests_to_a_service_are_counted_and_its_silence_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLines() as display:
        display(at("index", 0.0))
        progress = at("index", 10.0, files=100, chunks=300)
        progress.requests = 250
        display(progress)
        progress.seconds, progress.trouble = 20.0, "no answer from the service for 9 s: connection refused"
        display(progress)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("indexing: 100/1,000 files, 300 chunks, 30/s, 250 requests, 25/s, ")
    assert "250 requests, 12/s; no answer from the service for 9 s: connection refused" in second
