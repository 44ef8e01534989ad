"""A part of the bench's output: a heading with what stands under it, and figures as they are written in its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a table, a text of fixed width, or notes, or all three."""

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    text: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


def mb_text(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.2f}"


def change_text(now: int, before: int | None) -> str:
    # Adding 0.0 makes a nought of a rounded -0.0.
    return "" if before is None else f"{round((now - before) / 1e6, 2) + 0.0:+,.2f}"


def percent_text(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
