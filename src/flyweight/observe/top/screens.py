"""What lies over the dashboard for a moment: help, one site in full, a program's output, the question at the end."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from flyweight.memory.units import size_text
from flyweight.observe.top.program import Program
from flyweight.observe.top.site_table import SiteRow, growth_text, printable

_KEYS = (
    ("Look", ""),
    ("space", "pause, go on"),
    ("+ -", "look more often, more seldom"),
    ("m", "private memory and PSS, asked for every 5 s: off, on"),
    ("d", "light or dark"),
    ("Sites", ""),
    ("l p t c g", "by live, peak, total, count, growth; again: smallest first"),
    ("s", "the next order"),
    ("/ Esc", "filter by words, no filter"),
    ("Enter", "all of a site"),
    ("Tab", "sites, leak candidates"),
    ("Processes", ""),
    ("[ ] 1-9", "the one before, the next, by number"),
    ("x", "drop those that have ended"),
    ("o", "what a program started here has printed"),
    ("q", "quit"),
)
_NOTES = (
    "RSS is all memory of the process that is resident, also code and what it shares. Tracked is what was asked for "
    "since recording began, to the byte. Count is all allocations, blocks those that live.",
    "The page of a process has the 64 sites that hold most; other orders are of these. Growth is that of live bytes "
    "over the last minute.",
    "Leak candidates are what a coarse sieve finds: sites whose lowest levels keep rising. Steady is the verdict of "
    "memory.is_steady_state() on the last minute; without a limit, twice the present use stands in for one.",
)


class Overlay(ModalScreen[None]):
    """A box over the dashboard that any of a few keys closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,h,f1,enter,o", "dismiss", "Close", show=False),
    ]
    title_text = ""

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box") as box:
            box.border_title = self.title_text
            box.border_subtitle = "Esc closes"
            yield Static(self.content())

    def content(self) -> Content:
        raise NotImplementedError

    def on_click(self) -> None:
        self.dismiss()


class HelpScreen(Overlay):
    """Every key, and what the figures mean."""

    title_text = "Help"

    def content(self) -> Content:
        pieces: list[Content] = []
        for key, meaning in _KEYS:
            if meaning:
                pieces.append(Content.assemble((f"  {key:<11}", "bold $primary"), meaning))
            else:
                pieces.append(Content.styled(key, "bold"))
        pieces += [Content(""), *(Content.styled(note, "$quiet") for note in _NOTES)]
        return Content("\n").join(pieces)


class SiteScreen(Overlay):
    """All that the page has on a site."""

    title_text = "Site"

    def __init__(self, row: SiteRow) -> None:
        super().__init__()
        self._row = row

    def content(self) -> Content:
        site = self._row.site
        average = site.total_bytes / site.total_count if site.total_count else 0.0
        figures = (
            ("file", printable(site.file)),
            ("line", f"{site.line}" if site.line else "none"),
            ("function", printable(site.function) or "none"),
            ("domain", site.domain),
            ("live", f"{size_text(site.live_bytes)} in {site.live_count:,} blocks"),
            ("peak", size_text(site.peak_bytes)),
            ("total", f"{size_text(site.total_bytes)} in {site.total_count:,} allocations"),
            ("average", size_text(average)),
            ("largest", size_text(site.largest_bytes)),
            ("growth", f"{growth_text(self._row.growth) or 'not known yet'}, over the last minute"),
        )
        return Content("\n").join(Content.assemble((f"{name:<10}", "bold $primary"), text) for name, text in figures)


class OutputScreen(Overlay):
    """What a program has printed so far."""

    title_text = "Output"

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program

    def content(self) -> Content:
        shown = "\n".join(printable(line) for line in self._program.output().expandtabs().split("\n"))
        return Content(shown) if shown.strip() else Content.styled("It has printed nothing yet.", "$quiet")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).scroll_end(animate=False)


class EndScreen(ModalScreen[str]):
    """Whether a program that was started here is to end with the dashboard."""

    END, LEAVE, STAY = "end", "leave", "stay"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,enter,e", "dismiss('end')", show=False),
        Binding("l", "dismiss('leave')", show=False),
        Binding("escape", "dismiss('stay')", show=False),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def compose(self) -> ComposeResult:
        keys = (("q", "end it and quit"), ("l", "leave it running and quit"), ("Esc", "stay"))
        lines = [Content.assemble((f"{key:<5}", "bold $primary"), meaning) for key, meaning in keys]
        with Vertical(classes="box question") as box:
            box.border_title = f"{self._name} is running"
            yield Static(Content("\n").join(lines))
