"""A capture for the terminal, by rich; the same without colours or frames for pipes and text files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from flyweight.memory.units import size_text
from flyweight.observe.document import Document, Timeline
from flyweight.observe.sections import DEFAULT_TOP_N, Section, sections, title_of

PLAIN_WIDTH = 140
# Right part of a terminal that is too wide to read across.
_MOST_COLUMNS = 180
_BAR_CELLS = 24
_FRAME, _GAP = 4, 2
_DETAIL_INDENT = 4
_SPARKLINE_TEXT = 24
# What a place needs before columns go for it, and what it keeps in any case.
_PLACE_WIDTH, _SHORTEST_PLACE = 44, 16
_DISPENSABLE = (
    "per s",
    "average",
    "proportional",
    "dirty",
    "frees",
    "allocations",
    "blocks",
    "count",
    "component",
    "python",
    "native",
    "peak RSS",
    "peak",
    "change",
    "freed",
    "domain",
    "oldest",
)
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def show(document: Document, console: Console, top_n: int = DEFAULT_TOP_N, by: str = "live") -> None:
    """Prints the report on a terminal, in panels."""
    width = min(console.width, _MOST_COLUMNS)
    name, how = title_of(document)
    console.print(_line(name, "bold"), width=width, no_wrap=True, overflow="ellipsis")
    console.print(_line(how, "dim"), width=width)
    for title, lines in _titled_lines(document, top_n, by, width - _FRAME, framed=True):
        panel = Panel(
            Group(*map(_hanging, lines)), title=f"[bold]{escape(title)}", title_align="left", border_style="dim"
        )
        console.print(panel, width=width)


def terminal(document: Document, top_n: int = DEFAULT_TOP_N, by: str = "live", width: int = PLAIN_WIDTH) -> str:
    """The report as plain text. Tables are at most `width` columns wide; sentences are on one line each."""
    parts = ["\n".join(map(_printable, title_of(document)))]
    for title, lines in _titled_lines(document, top_n, by, width, framed=False):
        parts.append("\n".join([title, *(line.plain.rstrip() for line in lines)]))
    return "\n\n".join(parts) + "\n"


def _titled_lines(
    document: Document, top_n: int, by: str, width: int, framed: bool
) -> Iterator[tuple[str, Sequence[Text]]]:
    timeline = document["timeline"]
    if timeline is not None and len(timeline["end_s"]) > 1:
        yield "Over time", _sparklines(timeline, width)
    for section in sections(document, top_n, by):
        table = _table(section, width, framed) if section.heads else []
        yield section.title, [*table, *(_line(remark, "dim" if table else "") for remark in section.remarks)]


def _line(text: str, style: str = "") -> Text:
    return Text(_printable(text), style=style)


def _hanging(line: Text) -> RenderableType:
    """Details that are too long go on where they began."""
    indent = len(line.plain) - len(line.plain.lstrip(" "))
    return Padding(line[indent:], (0, 0, 0, indent)) if indent == _DETAIL_INDENT and not line.no_wrap else line


def _table(section: Section, width: int, framed: bool) -> list[Text]:
    """The lines of a table that fits: columns that matter least go, then places lose their beginning."""
    lines = [list(section.heads), *([_printable(cell) for cell in row] for row in section.rows)]
    columns = list(range(len(section.heads)))
    bars = bool(section.parts)
    room = width - (_BAR_CELLS + _GAP if bars else 0)
    for dispensable in _DISPENSABLE:
        if _natural_width(lines, columns) <= room:
            break
        # The first column says what a row is about.
        columns = [column for column in columns if column == 0 or section.heads[column] != dispensable]
    # The text of a row is its last column, a place that ends in what tells most, or else its first.
    last_is_text = columns[-1] in section.left
    text_column = columns[-1] if last_is_text else columns[0]
    others = [column for column in columns if column != text_column]
    rest = room - sum(max(len(line[column]) for line in lines) + _GAP for column in others)
    for line in lines[1:]:
        shortened = _end_of if last_is_text else _start_of
        line[text_column] = shortened(line[text_column], max(rest, _SHORTEST_PLACE))
    widths = {column: max(len(line[column]) for line in lines) for column in columns}
    drawn: list[Text] = []
    for number, line in enumerate(lines):
        cells = [
            line[column].ljust(widths[column]) if column in section.left else line[column].rjust(widths[column])
            for column in columns
        ]
        text = Text((" " * _GAP).join(cells), style="bold" if framed and number == 0 else "", no_wrap=True)
        if bars and 0 < number <= len(section.parts):
            text.append(" " * _GAP + _bar(section.parts[number - 1]), style=_COLOURS[number % len(_COLOURS)])
        text.rstrip()
        drawn.append(text)
        if 0 < number <= len(section.details):
            details = section.details[number - 1]
            drawn += [_line(" " * _DETAIL_INDENT + detail, "dim") for detail in details]
    return drawn


def _natural_width(lines: Sequence[Sequence[str]], columns: Sequence[int]) -> int:
    """With all that must be seen of it: of the last column, where places are, a part will do."""
    widths = [max(len(line[column]) for line in lines) for column in columns]
    if columns and columns[-1] == len(lines[0]) - 1:
        widths[-1] = min(widths[-1], _PLACE_WIDTH)
    return sum(widths) + _GAP * (len(widths) - 1)


def _end_of(text: str, width: int) -> str:
    """
    >>> _end_of("shop/cart.py:12 add", 12)
    '…t.py:12 add'
    """
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _start_of(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _bar(share: float) -> str:
    """
    >>> _bar(0.5) == "█" * 12, len(_bar(0.001))
    (True, 1)
    """
    eighths = max(1, round(min(max(share, 0.0), 1.0) * _BAR_CELLS * 8))
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _sparklines(timeline: Timeline, width: int) -> list[Text]:
    lines = []
    for name, values in (("RSS", timeline["rss_bytes"]), ("tracked", timeline["last_bytes"])):
        cells = max(_SHORTEST_PLACE, width - _SPARKLINE_TEXT)
        text = Text(f"{name:<9}", no_wrap=True)
        text.append(_sparkline(values, cells), style="cyan")
        text.append(f"  to {size_text(max(values))}")
        lines.append(text)
    return [*lines, _line(f"{timeline['end_s'][0]:.0f} to {timeline['end_s'][-1]:.0f} s", "dim")]


def _sparkline(values: Sequence[int], cells: int) -> str:
    """Highest values of as many stretches as there are cells, from zero up."""
    cells = min(cells, len(values))
    highest = max(*values, 1)
    bounds = [len(values) * cell // cells for cell in range(cells + 1)]
    tops = [max(values[start:end]) for start, end in pairwise(bounds)]
    return "".join(_LEVELS[min(len(_LEVELS) - 1, max(0, top) * len(_LEVELS) // highest)] for top in tops)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
