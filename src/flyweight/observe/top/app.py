"""The dashboard: what the watched processes publish, drawn anew at every look."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.widgets import Footer, Input

from flyweight.observe.top.panels import Notice, PartsPanel, ProcessStrip, TitleLine, TotalsPanel
from flyweight.observe.top.processes import Processes
from flyweight.observe.top.screens import EndScreen, HelpScreen, OutputScreen, SiteScreen
from flyweight.observe.top.site_panels import LeakTable, PlaceTable, SiteTable
from flyweight.observe.top.themes import DARK, LIGHT, prefers_light
from flyweight.observe.top.watched import Watched

INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Dashboard(App[None]):
    """One process at a time in full, the others a key away."""

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "flyweight top"
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-slim"), (70, "-narrow"), (100, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-short"), (30, "-medium"), (40, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,h,f1", "help", "Help", key_display="?"),
        Binding("q,ctrl+c", "leave", "Quit", key_display="q"),
        Binding("space", "pause", "Pause", key_display="space"),
        Binding("plus,equals_sign", "interval(-1)", "Faster", key_display="+", show=False),
        Binding("minus", "interval(1)", "Slower", key_display="-", show=False),
        Binding("s", "next_order", "Sort"),
        Binding("l", "order('live')", "By live", show=False),
        Binding("p", "order('peak')", "By peak", show=False),
        Binding("t", "order('total')", "By total", show=False),
        Binding("c", "order('count')", "By count", show=False),
        Binding("g", "order('growth')", "By growth", show=False),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "clear_filter", "Clear filter", show=False),
        Binding("right_square_bracket,n", "process(1)", "Next process", key_display="]"),
        Binding("left_square_bracket,b", "process(-1)", "Process before", key_display="[", show=False),
        *(Binding(str(number), f"process_number({number})", show=False) for number in range(1, 10)),
        Binding("x", "drop_ended", "Drop ended", show=False),
        Binding("m", "held", "Private memory", show=False),
        Binding("o", "output", "Output"),
        Binding("d", "dark", "Light or dark", show=False),
    ]

    def __init__(self, processes: Processes, interval_s: float = 1.0, order: str = "live") -> None:
        super().__init__()
        self.processes = processes
        self.interval_s = interval_s
        self.paused = False
        self.chosen: Watched | None = None
        self._first_order = order
        self._looking = False
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = (LIGHT if prefers_light(os.environ) else DARK).name

    def compose(self) -> ComposeResult:
        yield TitleLine()
        yield ProcessStrip()
        yield Notice()
        with Horizontal(id="summary"):
            yield TotalsPanel()
            yield PartsPanel()
        yield SiteTable(self._first_order)
        yield LeakTable()
        yield Input(placeholder="words in a site's file, function or domain", id="filter")
        yield Footer()

    async def on_mount(self) -> None:
        self._timer = self.set_interval(self.interval_s, self._due)
        self.query_one(SiteTable).focus()
        if not self.is_headless:  # whoever ends it shall find the terminal as it was
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        await self.look()

    def on_resize(self) -> None:
        self.call_after_refresh(self.show)

    def _due(self) -> None:
        if not self.paused and not self._looking:
            self.run_worker(self.look(), group="look")

    async def look(self) -> None:
        """Reads the pages beside the display, for one that is being written keeps its reader waiting; then shows."""
        self._looking = True
        try:
            self.processes.take(await asyncio.to_thread(self.processes.look))
        finally:
            self._looking = False
        self.show()

    def show(self) -> None:
        """Draws what is known."""
        every = self.processes.all
        if self.chosen is None or self.chosen not in every:
            self.chosen = every[0] if every else None
        base = self.screen_stack[0]
        try:
            with self.batch_update():
                base.query_one(TitleLine).show(self)
                base.query_one(ProcessStrip).show(every, self.chosen)
                base.query_one(Notice).show(self.chosen)
                base.query_one("#summary").display = self.chosen is not None and self.chosen.page is not None
                base.query_one(TotalsPanel).show(self.chosen)
                base.query_one(PartsPanel).show(self.chosen)
                text = base.query_one("#filter", Input).value
                base.query_one(SiteTable).show(self.chosen, text)
                base.query_one(LeakTable).show(self.chosen, text)
        except NoMatches:  # it is being taken down
            pass

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "output":
            return self.processes.program is not None
        if action == "process":
            return len(self.processes.all) > 1
        return True

    def action_help(self) -> None:
        self.push_screen(HelpScreen())

    def action_leave(self) -> None:
        program = self.processes.program
        if program is None or program.exit_status() is not None:
            self.exit()
            return

        def decide(answer: str | None) -> None:
            if answer in (EndScreen.END, EndScreen.LEAVE):
                program.left = answer == EndScreen.LEAVE
                self.exit()

        self.push_screen(EndScreen(self.processes.all[0].name), decide)

    def action_pause(self) -> None:
        self.paused = not self.paused
        self.show()

    def action_interval(self, step: int) -> None:
        """The next longer or shorter interval."""
        if step > 0:
            self.interval_s = next((s for s in INTERVALS_S if s > self.interval_s), self.interval_s)
        else:
            self.interval_s = next((s for s in reversed(INTERVALS_S) if s < self.interval_s), self.interval_s)
        self._timer.stop()
        self._timer = self.set_interval(self.interval_s, self._due)
        self.show()

    def action_order(self, order: str) -> None:
        self.query_one(SiteTable).sort_by(order)
        self.show()

    def action_next_order(self) -> None:
        self.query_one(SiteTable).next_order()
        self.show()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_clear_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        self._leave_filter(field)

    def on_input_changed(self) -> None:
        self.show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._leave_filter(event.input)

    def _leave_filter(self, field: Input) -> None:
        field.remove_class("shown")
        self.query_one(SiteTable).focus()
        self.show()

    def action_process(self, step: int) -> None:
        every = self.processes.all
        if self.chosen is not None and every:
            self._choose((list(every).index(self.chosen) + step) % len(every))

    def action_process_number(self, number: int) -> None:
        self._choose(number - 1)

    def on_process_strip_chosen(self, message: ProcessStrip.Chosen) -> None:
        self._choose(message.place)

    def _choose(self, place: int) -> None:
        every = self.processes.all
        if place < len(every):
            self.chosen = every[place]
            self.show()

    def action_drop_ended(self) -> None:
        self.processes.drop_ended()
        self.show()

    def action_held(self) -> None:
        self.processes.switch_held()
        self.show()

    def action_output(self) -> None:
        if self.processes.program is not None:
            self.push_screen(OutputScreen(self.processes.program))

    def action_dark(self) -> None:
        self.theme = (LIGHT if self.theme == DARK.name else DARK).name

    def on_site_table_resort(self, message: SiteTable.Resort) -> None:
        self.action_order(message.order)

    def on_place_table_asked(self, message: PlaceTable.Asked) -> None:
        self.push_screen(SiteScreen(message.row))
