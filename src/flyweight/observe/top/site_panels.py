"""The lower half of the dashboard: the tables of sites and of leak candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable

from flyweight.memory.units import size_text
from flyweight.observe.top.site_table import (
    COLUMNS,
    ORDERS,
    Column,
    SiteRow,
    fitted,
    growth_text,
    heads,
    leak_rows,
    site_rows,
)
from flyweight.observe.top.watched import Watched, site_key

_WIDE = 110
# What a narrow table shows beside the column it is ordered by.
_ESSENTIAL = ("live", "blocks", "total", "growth")
_LEAST_PLACE = 20
# As slim as this, figures make room for a place that can be read.
_SLIM = 66
_MOST_ESSENTIAL = ("live", "growth")
_MOST_LEAKS = 16


class PlaceTable(DataTable[Text]):
    """A table of sites whose last column is their place, as wide as there is room. The line under the cursor stays the
    same site when the order changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", show=False),
        Binding("k", "cursor_up", show=False),
    ]

    class Asked(Message):
        """All of a site is asked for."""

        def __init__(self, row: SiteRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, identifier: str) -> None:
        super().__init__(id=identifier, cursor_type="row", zebra_stripes=False, cell_padding=1)
        self._heads: tuple[str, ...] = ()
        self._widths: tuple[int, ...] = ()
        self._texts: list[tuple[str, ...]] = []  # on the screen
        self.rows_shown: list[SiteRow] = []

    def fill(self, names: Sequence[str], rows: list[SiteRow], lines: Sequence[Sequence[str]]) -> None:
        """Puts rows and the texts of their columns on the screen; place and domain are added."""
        under_cursor = self._key_at(self.cursor_row)
        domain = [max(len("domain"), *(len(row.site.domain) for row in rows))] if rows and self._is_wide() else []
        figures = [max(map(len, cells)) for cells in zip(names, *lines, strict=True)]
        room = self.size.width - sum(width + 2 for width in (*figures, *domain)) - 2 - self.scrollbar_size_vertical
        widths = (*figures, *domain, max(room, _LEAST_PLACE))
        all_names = (*names, *(["domain"] if domain else []), "where")
        if (all_names, widths) != (self._heads, self._widths):
            self._heads, self._widths, self._texts = all_names, widths, []
            self.clear(columns=True)
            for place, (name, width) in enumerate(zip(all_names, widths, strict=True)):
                justify: Literal["left", "right"] = "right" if place < len(figures) else "left"
                self.add_column(Text(name, justify=justify), width=width, key=name.strip("▾▴"))
        texts = [
            (*line, *([row.site.domain] if domain else []), fitted(row.where, widths[-1]))
            for row, line in zip(rows, lines, strict=True)
        ]
        self._write(texts, len(figures), bool(domain))
        self.rows_shown = rows
        places = [site_key(row.site) for row in rows]
        if under_cursor in places:
            self.move_cursor(row=places.index(under_cursor), animate=False, scroll=False)

    def _write(self, texts: list[tuple[str, ...]], figures: int, has_domain: bool) -> None:
        """Changes what has changed, so that the table stays where it was scrolled to."""

        def cell(column: int, text: str) -> Text:
            style = "dim" if has_domain and column == figures else ""
            return Text(text, style, justify="right" if column < figures else "left")

        for place, (old, new) in enumerate(zip(self._texts, texts, strict=False)):
            for column, text in enumerate(new):
                if text != old[column]:
                    self.update_cell_at(Coordinate(place, column), cell(column, text))
        for place in range(len(self._texts), len(texts)):
            self.add_row(*(cell(column, text) for column, text in enumerate(texts[place])), key=str(place))
        for place in range(len(texts), len(self._texts)):
            self.remove_row(str(place))
        self._texts = texts

    def _is_wide(self) -> bool:
        return self.size.width >= _WIDE

    def _key_at(self, place: int) -> object:
        return site_key(self.rows_shown[place].site) if 0 <= place < len(self.rows_shown) else None

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if 0 <= event.cursor_row < len(self.rows_shown):
            self.post_message(self.Asked(self.rows_shown[event.cursor_row]))


class SiteTable(PlaceTable):
    """The sites that hold most, in the order that was asked for."""

    class Resort(Message):
        """A head was clicked."""

        def __init__(self, order: str) -> None:
            super().__init__()
            self.order = order

    def __init__(self, order: str) -> None:
        super().__init__("sites")
        self.order = order
        self.reverse = False

    def sort_by(self, order: str) -> None:
        """Another order; the same again turns it round."""
        self.reverse = not self.reverse if order == self.order else False
        self.order = order

    def next_order(self) -> None:
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.reverse = False

    def show(self, watched: Watched | None, text: str) -> None:
        page = None if watched is None else watched.page
        self.display = page is not None
        if watched is None or page is None:
            return
        rows = site_rows(watched, self.order, text, self.reverse)
        kept = f"{len(rows)} of {len(page.sites)} sites" if text else f"{len(page.sites)} sites that hold most"
        self.border_title = f"Sites by {self.order}{', smallest first' if self.reverse else ''}"
        self.border_subtitle = f"{kept}, filter: {text}" if text else kept
        columns = self._columns()
        lines = [tuple(column.text(row) for column in columns) for row in rows]
        self.fill(heads(self.order, columns, self.reverse), rows, lines)

    def _columns(self) -> list[Column]:
        if self._is_wide():
            return list(COLUMNS)
        essential = _MOST_ESSENTIAL if self.size.width < _SLIM else _ESSENTIAL
        return [column for column in COLUMNS if column.name in essential or column.name == self.order]

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        name = str(event.column_key.value)
        if name in ORDERS:
            self.post_message(self.Resort(name))


class LeakTable(PlaceTable):
    """Sites whose troughs rise, by the profiler's coarse sieve."""

    def __init__(self) -> None:
        super().__init__("leaks")
        self.show_cursor = False

    def on_mount(self) -> None:
        self.border_title = "Leak candidates"

    def show(self, watched: Watched | None, text: str) -> None:
        page = None if watched is None else watched.page
        rows = [] if watched is None or page is None else leak_rows(watched, text)[:_MOST_LEAKS]
        self.display = bool(rows)
        if not rows:
            return
        self.border_subtitle = "the verdict is memory.leaks() in the process"
        lines = [(growth_text(row.growth), size_text(row.site.live_bytes), f"{row.site.live_count:,}") for row in rows]
        shown = 2 if self.size.width < _SLIM else 3
        self.fill(("grows", "live", "blocks")[:shown], rows, [line[:shown] for line in lines])

    def on_focus(self, event: events.Focus) -> None:
        self.show_cursor = True

    def on_blur(self, event: events.Blur) -> None:
        self.show_cursor = False
