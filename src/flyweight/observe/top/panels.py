"""The upper half of the dashboard: title, list of processes, totals over time, parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from flyweight.memory.page import Page
from flyweight.memory.units import size_text
from flyweight.observe.steady_text import span_text
from flyweight.observe.top.bars import bar_text, levels_text, resampled
from flyweight.observe.top.site_table import printable
from flyweight.observe.top.summary import (
    MARKS,
    NOBODY_RECORDED,
    Part,
    Remark,
    components,
    domains,
    mode_text,
    own_text,
    state_remarks,
    steady_remark,
)
from flyweight.observe.top.watched import Limit, Watched

if TYPE_CHECKING:
    from flyweight.observe.top.app import Dashboard

_LABEL, _SIZE = 9, 10
_LEAST_SHOWN_S, _MOST_SHOWN_S = 10.0, 120.0
_SHORT = 72  # a panel that a whole verdict does not fit in
_NEARLY = 0.8  # of a limit
_LONGEST_NAME, _LEAST_BAR = 16, 4
# Fewer than these are not hidden to make room for the domains.
_ENOUGH_COMPONENTS = 8
_TONES = {"good": "$success", "warning": "$warning", "bad": "$error bold", "neutral": "$quiet"}


def remark_content(remark: Remark) -> Content:
    return Content.styled(f"{MARKS[remark.tone]} {printable(remark.text)}", _TONES[remark.tone])


def interval_text(interval_s: float) -> str:
    """
    >>> interval_text(0.25), interval_text(1.0)
    ('0.25 s', '1 s')
    """
    return f"{interval_s:g} s"


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


class TitleLine(Static):
    """Which process this is, and how it is looked at."""

    def show(self, dashboard: Dashboard) -> None:
        watched = dashboard.chosen
        left: list[Content | str] = [Content.styled(" flyweight top ", "bold $primary")]
        if watched is not None:
            left.append(Content.styled(f" {printable(watched.name)}", "bold"))
            left.append(Content.styled(f"  {watched.pid}", "$quiet"))
            if watched.page is not None:
                left.append(Content.styled(f"  recorded for {span_text(watched.page.elapsed_s)}", "$quiet"))
            if watched.cpu_share is not None:
                left.append(Content.styled(f", cpu {100 * watched.cpu_share:.0f} %", "$quiet"))
        state = Content.styled(" PAUSED ", "reverse bold $warning") if dashboard.paused else Content("")
        right = Content.assemble(state, Content.styled(f" every {interval_text(dashboard.interval_s)} ", "$quiet"))
        line = Content.assemble(*left)
        width = self.size.width or dashboard.size.width
        room = max(width - right.cell_length, 0)
        self.update(Content.assemble(line.truncate(room, ellipsis=True, pad=True), right))


class ProcessStrip(Static):
    """All processes in one line, the chosen one marked; a click chooses another."""

    class Chosen(Message):
        """A process was clicked."""

        def __init__(self, place: int) -> None:
            super().__init__()
            self.place = place

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[tuple[int, int]] = []  # column after each entry, and its place in the list

    def show(self, every: Sequence[Watched], chosen: Watched | None) -> None:
        self.display = len(every) > 1
        if chosen is None or not self.display:
            return
        entries = [self._entry(place, watched) for place, watched in enumerate(every)]
        at = every.index(chosen)
        width = (self.size.width or self.app.size.width) - 2
        first = last = at
        taken = len(entries[at])
        while True:  # as many neighbours as there is room for, those after it first
            if last + 1 < len(entries) and taken + len(entries[last + 1]) <= width:
                last += 1
                taken += len(entries[last])
            elif first > 0 and taken + len(entries[first - 1]) <= width:
                first -= 1
                taken += len(entries[first])
            else:
                break
        pieces: list[Content] = [Content.styled("‹" if first > 0 else " ", "$quiet")]
        self._ends = []
        column = 1
        for place in range(first, last + 1):
            style = "reverse bold $primary" if place == at else "$quiet" if every[place].ended else ""
            pieces.append(Content.styled(entries[place], style))
            column += len(entries[place])
            self._ends.append((column, place))
        pieces.append(Content.styled("›" if last + 1 < len(entries) else " ", "$quiet"))
        self.update(Content.assemble(*pieces))

    def _entry(self, place: int, watched: Watched) -> str:
        number = f"{place + 1} " if place < 9 else ""
        size = "ended" if watched.ended else size_text(watched.rss_bytes)
        return f" {number}{printable(watched.name)} {watched.pid} {size} "

    def on_click(self, event: events.Click) -> None:
        for end, place in self._ends:
            if 0 < event.x < end:
                self.post_message(self.Chosen(place))
                return


class Notice(Static):
    """What qualifies the figures, or why there are none."""

    def show(self, watched: Watched | None) -> None:
        remarks = [Remark("neutral", f"{NOBODY_RECORDED} It will appear here.")]
        if watched is not None:
            remarks = state_remarks(watched)
        self.display = bool(remarks)
        self.update(Content("\n").join(remark_content(remark) for remark in remarks))


class TotalsPanel(Static):
    """RSS and tracked bytes with their history, the limit, the verdict."""

    def on_mount(self) -> None:
        self.border_title = "Memory"

    def show(self, watched: Watched | None) -> None:
        page = None if watched is None else watched.page
        width, height = self.content_size
        if watched is None or page is None or width < 1 or height < 1:
            return
        self.border_subtitle = mode_text(page)
        held, counted = self._held(watched), self._counted(page)
        verdict = remark_content(steady_remark(watched, short=width < _SHORT))
        below = [held, counted if watched.limit is None else self._limit(watched.limit, page, width), verdict]
        if watched.limit is not None and height > len(below) + 2:
            below.insert(1, counted)
        rows = max(1, min(6, (height - len(below)) // 2))
        lines = self._history("RSS", watched.rss_bytes, watched, 4, width, rows, "$primary")
        lines += self._history("tracked", page.all.current_bytes, watched, 3, width, rows, "$accent")
        lines += below
        self.update(Content("\n").join(line.truncate(width, ellipsis=True) for line in lines[:height]))

    def _history(
        self, name: str, size_bytes: int, watched: Watched, column: int, width: int, rows: int, style: str
    ) -> list[Content]:
        """A figure, and to the right of it what it was, `rows` lines high."""
        levels = [(moment[0] / 1000, float(moment[column])) for moment in watched.moments if moment[column]]
        end = levels[-1][0] if levels else 0.0
        shown_s = min(max(end - levels[0][0], _LEAST_SHOWN_S), _MOST_SHOWN_S) if levels else _LEAST_SHOWN_S
        room = max(width - _LABEL - _SIZE - 1, 1)
        values = resampled(levels, end - shown_s, end + 1e-3, room)
        known = [value for value in values if value is not None] or [float(size_bytes)]
        notes = [f"lowest {size_text(min(known))}", f"highest {size_text(max(known))}", f"last {span_text(shown_s)}"]
        heads = [Content.assemble((f"{name:<{_LABEL}}", "bold"), (f"{size_text(size_bytes):>{_SIZE}} ", "bold"))]
        heads += [Content.styled(f"{note:>{_LABEL + _SIZE}} ", "$quiet") for note in notes][: rows - 1]
        heads += [Content(" " * (_LABEL + _SIZE + 1))] * (rows - len(heads))
        pictures = levels_text(values, rows)
        return [Content.assemble(head, (line, style)) for head, line in zip(heads, pictures, strict=True)]

    def _held(self, watched: Watched) -> Content:
        held = watched.held
        if held is None:
            return Content.styled(f"{'private':<{_LABEL}}{'not asked':>{_SIZE}}", "$quiet")
        return Content.assemble(
            (f"{'private':<{_LABEL}}{size_text(held.private_bytes):>{_SIZE}}", "bold"),
            (f" PSS {size_text(held.pss_bytes)}", "$quiet"),
        )

    def _counted(self, page: Page) -> Content:
        return Content.assemble(
            (f"{'peak':<{_LABEL}}{size_text(page.all.peak_bytes):>{_SIZE}}", "bold"),
            (f" tracked, {page.all.live_count:,} blocks", "$quiet"),
        )

    def _limit(self, limit: Limit, page: Page, width: int) -> Content:
        share = page.all.current_bytes / limit.size_bytes
        text = f" {100 * share:.0f} % of {size_text(limit.size_bytes)}"
        room = max(width - _LABEL - len(text), 4)
        bar = bar_text(share, room)
        tone = "$error" if share > 1 else "$warning" if share > _NEARLY else "$success"
        return Content.assemble(
            (f"{limit.name:<{_LABEL}}", "bold"), (bar, tone), ("░" * (room - len(bar)), "$track"), (text, "bold")
        )


class PartsPanel(Static):
    """Who holds it: components, largest first, and where there is room the domains."""

    def on_mount(self) -> None:
        self.border_title = "Components"

    def show(self, watched: Watched | None) -> None:
        width, height = self.content_size
        if watched is None or watched.page is None or width < 1 or height < 1:
            return
        own = f"profiler {own_text(watched.page)}"
        self.border_subtitle = own if len(own) <= width - 2 else f"profiler {size_text(watched.page.own_bytes)}"
        by_domain = domains(watched.page)
        found = components(watched.page)
        room = height - len(by_domain) - 2
        shows_domains = room >= min(len(found), _ENOUGH_COMPONENTS)
        lines = self._bars(found, width, room if shows_domains else height)
        if shows_domains:
            lines += [Content(""), Content.styled("Domains", "bold $primary"), *self._bars(by_domain, width, height)]
        self.update(Content("\n").join(line.truncate(width) for line in lines))

    def _bars(self, found: Sequence[Part], width: int, height: int) -> list[Content]:
        most = max((part.size_bytes for part in found), default=0) or 1
        whole = sum(part.size_bytes for part in found) or 1
        shown = found[:height] if len(found) <= height else found[: height - 1]
        longest = max(min(_LONGEST_NAME, width - _SIZE - 10), 1)
        name_width = min(max((len(part.name) for part in found), default=0), longest)
        room = max(width - name_width - _SIZE - 6, 1)
        lines = []
        for part in shown:
            mark = f" {MARKS['bad']}" if part.over else ""
            ending = f"{mark} of {size_text(part.limit_bytes)}" if part.limit_bytes else ""
            if room - len(ending) < _LEAST_BAR:
                ending = mark
            length = max(room - len(ending), 1)
            tone = "$error" if part.over else "$primary"
            lines.append(
                Content.assemble(
                    f"{_shortened(printable(part.name), name_width):<{name_width}}",
                    (f"{size_text(part.size_bytes):>{_SIZE}}", "bold"),
                    (f"{100 * part.size_bytes / whole:>4.0f}% ", "$quiet"),
                    (f"{bar_text(part.size_bytes / most, length):<{length if ending else 0}}", tone),
                    (ending, "$error bold" if part.over else "$quiet"),
                )
            )
        if len(shown) < len(found):
            rest = found[len(shown) :]
            size = size_text(sum(part.size_bytes for part in rest))
            lines.append(Content.styled(f"{f'{len(rest)} more':<{name_width}}{size:>{_SIZE}}", "$quiet"))
        return lines
