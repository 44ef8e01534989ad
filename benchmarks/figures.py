"""A figure: a measured value, what it has to reach, and how it was taken.  Kept as JSON, shown as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"

Direction = Literal["at most", "at least"]


@dataclass(slots=True)
class Figure:
    """One measured value.  Without a target it informs and passes nothing."""

    name: str
    value: float | None
    unit: str
    how: str
    target: float | None = None
    direction: Direction = "at most"
    peer: str = ""
    skipped: str = ""

    @property
    def passed(self) -> bool | None:
        """None when there is nothing to pass, or nothing was measured."""
        if self.value is None or self.target is None:
            return None
        return self.value <= self.target if self.direction == "at most" else self.value >= self.target

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "skipped"
        return {True: "pass", False: "FAIL", None: ""}[self.passed]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed, "verdict": self.verdict}


@dataclass(slots=True)
class Report:
    """All that one benchmark found: figures, and the detail behind them."""

    benchmark: str
    figures: list[Figure] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    def write(self, directory: Path = RESULTS) -> Path:
        """Write ``<directory>/<benchmark>.json`` and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.benchmark}.json"
        content = {
            "benchmark": self.benchmark,
            "machine": machine.facts(),
            "figures": [figure.as_json() for figure in self.figures],
            "detail": self.detail,
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def format_value(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def format_target(figure: Figure) -> str:
    sign = "≤" if figure.direction == "at most" else "≥"
    return f"{sign} {format_value(figure.target, figure.unit)}" if figure.target is not None else ""


def markdown_table(figures: Iterable[Figure]) -> str:
    """The figures as a table for a README."""
    lines = ["| figure | value | target | | beside |", "|---|---:|---:|---|---|"]
    for figure in figures:
        beside = figure.peer if figure.value is not None else figure.skipped
        value = format_value(figure.value, figure.unit)
        cells = (figure.name, value, format_target(figure), figure.verdict, beside)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def print_figures(title: str, figures: Iterable[Figure], console: Console) -> None:
    """A table of figures: value, target, verdict, peers, and why a figure is missing."""
    table = Table(title=title, title_justify="left", show_lines=False)
    for column, justify in (("figure", "left"), ("value", "right"), ("target", "right"), ("", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("beside", overflow="fold")
    for figure in figures:
        style = {"pass": "green", "FAIL": "bold red", "skipped": "yellow"}.get(figure.verdict, "")
        verdict = f"[{style}]{figure.verdict}[/]" if style else ""
        beside = figure.peer if figure.value is not None else figure.skipped
        table.add_row(figure.name, format_value(figure.value, figure.unit), format_target(figure), verdict, beside)
    console.print(table)


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], console: Console) -> None:
    """A plain table, first column to the left and the others to the right."""
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
