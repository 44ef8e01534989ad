from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.figures import Figure, Report, format_value, markdown_table, print_figures


def test_a_value_at_its_limit_passes() -> None:
    assert Figure("memory", 4.0, "MB", "measured", 4.0).passed is True


def test_a_value_over_its_limit_fails() -> None:
    assert Figure("memory", 4.01, "MB", "measured", 4.0).verdict == "FAIL"


def test_a_value_under_what_it_must_reach_fails() -> None:
    assert Figure("quality", 0.87, "", "measured", 0.88, "at least").verdict == "FAIL"


def test_a_figure_that_was_not_taken_neither_passes_nor_fails() -> None:
    figure = Figure("memory", None, "MB", "measured", 4.0, skipped="no tree")
    assert figure.passed is None
    assert figure.verdict == "skipped"


def test_a_report_is_written_with_verdict_and_machine(tmp_path: Path) -> None:
    path = Report("memory", [Figure("resident", 3.2, "MB", "measured", 4.0)]).write(tmp_path)
    written = json.loads(path.read_text())
    assert written["figures"][0]["verdict"] == "pass"
    assert {"cpu", "cores", "kernel", "python", "date"} <= written["machine"].keys()


def test_the_table_says_why_a_figure_is_missing() -> None:
    output = io.StringIO()
    figures = [Figure("resident", None, "MB", "measured", 4.0, skipped="no Rust files: pass --rust DIR")]
    print_figures("Figures", figures, Console(file=output, width=140))
    assert "no Rust files: pass --rust DIR" in output.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.1234, "0.123 ms"), (12.345, "12.35 ms"), (12345.6, "12,346 ms")]
)
def test_values_keep_three_figures_or_so(value: float | None, shown: str) -> None:
    assert format_value(value, "ms") == shown


def test_the_markdown_table_has_a_row_a_figure() -> None:
    table = markdown_table([Figure("recall", 0.995, "", "measured", 0.99, "at least", peer="usearch 0.87")])
    assert table.splitlines()[2:] == ["| recall | 0.995 | ≥ 0.990 | pass | usearch 0.87 |"]
