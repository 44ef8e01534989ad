"""The tables of a bench as Markdown, as JSON, or on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flyweight.observe.bench.section import Section
from flyweight.observe.bench.tables import sections

_PLAIN_WIDTH = 140


def terminal(document: Mapping[str, Any], console: Console | None = None) -> str:
    """Draws the tables on `console`; without one, returns them as plain text."""
    held = console if console is not None else Console(file=StringIO(), width=_PLAIN_WIDTH, no_color=True)
    for section in sections(document):
        held.print(f"\n[bold]{escape(section.title)}[/bold]")
        if section.rows:
            held.print(_rich_table(section))
        if section.text:
            held.print(section.text, markup=False, highlight=False)
        for note in section.notes:
            held.print(f"[dim]{escape(note)}[/dim]", highlight=False)
    return held.file.getvalue() if isinstance(held.file, StringIO) else ""


def markdown(document: Mapping[str, Any]) -> str:
    return "\n\n".join(_markdown_section(section) for section in sections(document)) + "\n"


def as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"


WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "json": as_json,
}


def _rich_table(section: Section) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for position, column in enumerate(section.columns):
        table.add_column(escape(column), justify="right" if _is_figures(section, position) else "left")
    for row in section.rows:
        table.add_row(*map(escape, row))
    return table


def _markdown_section(section: Section) -> str:
    parts = [f"### {section.title}"]
    if section.rows:
        rule = ("---:" if _is_figures(section, position) else "---" for position in range(len(section.columns)))
        lines = [section.columns, list(rule), *section.rows]
        parts.append("\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines))
    if section.text:
        parts.append(f"```\n{section.text}\n```")
    parts += section.notes
    return "\n\n".join(parts)


def _is_figures(section: Section, position: int) -> bool:
    """Whether most cells of a column are numbers, which stand to the right."""
    cells = [row[position] for row in section.rows if row[position]]
    return 2 * sum(cell.lstrip("+-–")[:1].isdigit() for cell in cells) > len(cells)
