"""Sizes, counts and places as people read them, in tables of plain text."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(size_bytes: float) -> str:
    """Bytes in units of powers of 1000.

    >>> size_text(999), size_text(-1_500), size_text(64_000_000), size_text(999_990)
    ('999 B', '-1.5 kB', '64.0 MB', '1.0 MB')
    """
    number, unit = float(size_bytes), 0
    while abs(number) >= 999.95 and unit + 1 < len(_UNITS):
        number /= 1000
        unit += 1
    return f"{number:.1f} {_UNITS[unit]}" if unit else f"{number:.0f} B"


def rate_text(per_second: float) -> str:
    """
    >>> rate_text(0), rate_text(0.25), rate_text(12345.6)
    ('0.0', '0.2', '12,346')
    """
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:,.0f}"


def place_text(path: str) -> str:
    """A source file as a reader knows it: from the working directory, else from where Python found it."""
    if not os.path.isabs(path):
        return path
    try:
        here = os.getcwd()
    except OSError:  # the directory is gone
        here = ""
    longest = ""
    for root in (here, *sys.path):
        if isinstance(root, str) and len(root) > max(1, len(longest)) and path.startswith(root.rstrip("/") + "/"):
            longest = root.rstrip("/")
    return path[len(longest) + 1 :] if longest else path


def table_text(heads: Sequence[str], lines: Iterable[Sequence[str]], left: tuple[int, ...] = (0,)) -> str:
    """Rows under their heads, two spaces apart; the columns in `left` are aligned to the left, all others to the right.

    >>> print(table_text(("what", "size"), [("a", "1 B"), ("long", "20 B")]))
    what  size
    a      1 B
    long  20 B
    """
    cells = [list(heads), *([_one_line(cell) for cell in line] for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _one_line(text: str) -> str:
    return (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    )
