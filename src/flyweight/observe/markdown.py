"""A capture as Markdown, with tables as GitHub draws them."""

from __future__ import annotations

from flyweight.observe.document import Document
from flyweight.observe.sections import DEFAULT_TOP_N, Section, sections, title_of

# What would end a cell, begin markup or be swallowed as HTML.
_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|~#&$"})


def markdown(document: Document, top_n: int = DEFAULT_TOP_N, by: str = "live") -> str:
    """The report: a heading for the program, then one for each section."""
    name, how = title_of(document)
    parts = [f"# Memory of {_text(name)}", _text(how)]
    for section in sections(document, top_n, by):
        parts += [f"## {_text(section.title)}", *_blocks(section)]
    return "\n\n".join(parts) + "\n"


def _blocks(section: Section) -> list[str]:
    blocks = []
    if section.heads:
        blocks.append(_table(section))
    details = [
        "\n".join([f"- {_text(row[-1])}", *(f"  - {_text(line)}" for line in lines)])
        for row, lines in zip(section.rows, section.details, strict=False)
        if lines
    ]
    if details:
        blocks.append("\n".join(details))
    return [*blocks, *map(_text, section.remarks)]


def _table(section: Section) -> str:
    marks = [":--" if column in section.left else "--:" for column in range(len(section.heads))]
    lines = [section.heads, tuple(marks), *section.rows]
    return "\n".join(
        f"| {' | '.join(cells if number == 1 else map(_text, cells))} |" for number, cells in enumerate(lines)
    )


def _text(text: str) -> str:
    """Text as text: on one line, nothing in it taken for markup."""
    one_line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return one_line.translate(_SPECIAL)
