"""The dashboard, driven by its keys and its mouse."""

from __future__ import annotations

import asyncio
import doctest
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color
from textual.content import Content
from textual.pilot import Pilot
from textual.theme import Theme
from textual.widgets import Input, Static

from flyweight.memory.page_path import DIRECTORY_VARIABLE
from flyweight.observe.top import panels, themes
from flyweight.observe.top.app import Dashboard
from flyweight.observe.top.panels import Notice, PartsPanel, ProcessStrip, TitleLine, TotalsPanel
from flyweight.observe.top.processes import Processes
from flyweight.observe.top.program import Program, understood
from flyweight.observe.top.screens import EndScreen, HelpScreen, OutputScreen, SiteScreen
from flyweight.observe.top.site_panels import LeakTable, SiteTable
from tests.observe.made_page import MB, MadeSite, Sleeper, moments, page_bytes, publish

SMALL, LARGE = (80, 24), (200, 60)
SITES = (
    MadeSite(9 * MB, "/srv/shop/cart.py", 12, "Cart.add", total_count=7),
    MadeSite(5 * MB, "/srv/shop/stock.py", 44, "Stock.load", peak_bytes=20 * MB),
    MadeSite(1 * MB, "libz.so.1", 0, "", total_bytes=90 * MB, total_count=900, domain=1),
)
Step = Callable[[Pilot[None], Dashboard], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def own_directory(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of these tests only."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(memory_path))
    monkeypatch.delenv("COLORFGBG", raising=False)
    return memory_path


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    with Sleeper() as sleeper:
        yield sleeper


def driven(step: Step, processes: Processes | None = None, size: tuple[int, int] = SMALL) -> None:
    """Runs a dashboard that looks only when it is told, and does `step` with it, which has two minutes."""

    async def drive() -> None:
        app = Dashboard(processes or Processes(), interval_s=3600.0)
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await step(pilot, app)

    asyncio.run(asyncio.wait_for(drive(), 120))


async def settled(pilot: Pilot[None]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot)


def text_of(app: Dashboard, kind: type[Static]) -> str:
    shown = app.screen_stack[0].query_one(kind).visual
    assert isinstance(shown, Content)
    return shown.plain


def lines_of(app: Dashboard) -> list[int]:
    return [row.site.line for row in app.screen_stack[0].query_one(SiteTable).rows_shown]


@pytest.mark.parametrize("size", [SMALL, LARGE, (40, 12), (120, 40)])
def test_a_process_is_drawn_at_any_size(size: tuple[int, int]) -> None:
    page = page_bytes(
        os.getpid(),
        sites=SITES,
        leaks=[MadeSite(9 * MB, growth_bytes_per_s=2000)],
        moments=moments([30 * MB] * 256),
        budgets=[("", 60 * MB, 30 * MB, False)],
    )
    publish(os.getpid(), page)

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        totals = text_of(app, TotalsPanel)
        assert "RSS" in totals
        if size != (40, 12):
            assert "50 % of 60.0 MB" in totals and "steady for" in totals and "private" in totals
            assert "program" in text_of(app, PartsPanel)
            assert app.query_one(LeakTable).row_count == 1
        assert ("peak" in totals) == (size in (LARGE, (120, 40)))
        assert ("Domains" in text_of(app, PartsPanel)) == (size in (LARGE, (120, 40)))
        assert app.query_one(SiteTable).row_count == 3
        assert len(app.query_one(SiteTable).ordered_columns) == (8 if size[0] >= 120 else 5 if size[0] >= 80 else 3)
        for line in totals.split("\n"):
            assert len(line) <= app.query_one(TotalsPanel).content_size.width

    driven(step, size=size)


def test_on_a_slim_terminal_figures_make_room_for_places() -> None:
    file, name = "/srv/shop/request_handler.py", "RequestHandler.handle_request"
    site = MadeSite(900 * MB, file, 1320, name, live_count=1_234_567, total_bytes=900 * MB, growth_bytes_per_s=900_100)
    publish(os.getpid(), page_bytes(os.getpid(), sites=[site], leaks=[site]))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        for kind in (SiteTable, LeakTable):
            table = app.query_one(kind)
            assert table.virtual_size.width <= table.size.width  # nothing to scroll to on the right
            assert "request_handler.py:1320 …" in str(table.get_row_at(0)[-1])

    driven(step, size=(60, 24))


def test_a_name_that_is_cut_says_so() -> None:
    page = page_bytes(os.getpid(), sites=SITES, components=[("a_package_with_a_long_name", 5 * MB), ("program", MB)])
    publish(os.getpid(), page)

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        assert "…  " in text_of(app, PartsPanel)

    driven(step)


def test_without_a_recorded_process_it_says_how_to_start_one_and_shows_it_when_it_is_there() -> None:
    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        assert "flyweight run" in text_of(app, Notice)
        assert not app.query_one(SiteTable).display
        publish(os.getpid(), page_bytes(os.getpid(), sites=SITES))
        await app.look()
        await settled(pilot)
        assert not app.query_one(Notice).display
        assert lines_of(app) == [12, 44, 0]

    driven(step)


def test_each_sort_key_sorts_and_again_turns_round() -> None:
    publish(os.getpid(), page_bytes(os.getpid(), sites=SITES))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        for key, order in (
            ("p", [44, 12, 0]),
            ("t", [0, 12, 44]),
            ("c", [0, 44, 12]),
            ("g", [12, 44, 0]),
            ("l", [12, 44, 0]),
        ):
            await press(pilot, key)
            assert lines_of(app) == order, key
        await press(pilot, "l")
        assert lines_of(app) == [0, 44, 12]
        assert "smallest first" in str(app.query_one(SiteTable).border_title)
        await press(pilot, "s")
        assert (app.query_one(SiteTable).order, lines_of(app)) == ("peak", [44, 12, 0])

    driven(step)


def test_a_click_on_a_head_sorts_by_it() -> None:
    publish(os.getpid(), page_bytes(os.getpid(), sites=SITES))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        table = app.query_one(SiteTable)
        heads = [column.label.plain for column in table.ordered_columns]
        offset = sum(column.get_render_width(table) for column in table.ordered_columns[: heads.index("peak")])
        await pilot.click(SiteTable, offset=(offset + 3, 1))
        await settled(pilot)
        assert (table.order, lines_of(app)) == ("peak", [44, 12, 0])

    driven(step, size=LARGE)


def test_the_line_under_the_cursor_stays_the_same_site(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "down")
        publish(sleeper.pid, page_bytes(sleeper.pid, sites=[SITES[2], SITES[0], MadeSite(10, line=99), SITES[1]]))
        await app.look()
        await settled(pilot)
        table = app.query_one(SiteTable)
        assert table.rows_shown[table.cursor_row].site.line == 44

    driven(step)


def test_the_table_stays_where_it_was_scrolled_to(sleeper: Sleeper) -> None:
    many = [MadeSite(MB - number, line=number + 1) for number in range(64)]
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=many))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        table = app.query_one(SiteTable)
        table.move_cursor(row=40, animate=False)
        await settled(pilot)
        before = table.scroll_offset
        assert before.y > 10
        publish(sleeper.pid, page_bytes(sleeper.pid, sites=[MadeSite(2 * MB, line=99), *many[:-1]]))
        await app.look()
        await settled(pilot)
        assert abs(table.scroll_offset.y - before.y) <= 1, "the cursor may have drawn it along"
        assert table.rows_shown[table.cursor_row].site.line == 41
        assert table.get_row_at(0)[-1].plain == "/srv/shop/cart.py:99 Cart.add"

    driven(step, size=LARGE[:1] + SMALL[1:])


def test_a_filter_keeps_what_it_names_until_escape() -> None:
    publish(os.getpid(), page_bytes(os.getpid(), sites=SITES, leaks=[SITES[0]]))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "slash", *"stock")
        assert lines_of(app) == [44]
        assert not app.query_one(LeakTable).display
        await press(pilot, "enter")
        assert not app.query_one("#filter", Input).has_class("shown")
        assert lines_of(app) == [44]
        assert "filter: stock" in str(app.query_one(SiteTable).border_subtitle)
        await press(pilot, "escape")
        assert lines_of(app) == [12, 44, 0]
        await press(pilot, "slash", *"qsdx")  # keys are letters there
        assert app.query_one("#filter", Input).value == "qsdx" and lines_of(app) == []

    driven(step)


def test_pause_holds_the_picture(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "space")
        assert "PAUSED" in text_of(app, TitleLine)
        publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES[:1]))
        app._due()
        await settled(pilot)
        assert lines_of(app) == [12, 44, 0]
        await press(pilot, "space")
        assert "PAUSED" not in text_of(app, TitleLine)
        app._due()
        await settled(pilot)
        assert lines_of(app) == [12]

    driven(step)


def test_plus_and_minus_change_the_interval() -> None:
    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        app.interval_s = 1.0
        await press(pilot, "minus")
        assert app.interval_s == 2.0 and "every 2 s" in text_of(app, TitleLine)
        await press(pilot, "plus", "equals_sign", "plus", "plus", "plus")
        assert app.interval_s == 0.25 and "every 0.25 s" in text_of(app, TitleLine)

    driven(step)


def test_it_looks_by_itself(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES))

    async def drive() -> None:
        app = Dashboard(Processes(), interval_s=0.05)
        async with app.run_test() as pilot:
            await settled(pilot)
            publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES[:1]))
            while lines_of(app) != [12]:
                await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(drive(), 120))


def test_several_processes_are_a_key_a_number_or_a_click_away(sleeper: Sleeper) -> None:
    with Sleeper() as other:
        first, second = sorted((sleeper.pid, other.pid))
        publish(first, page_bytes(first, sites=SITES[:1]))
        publish(second, page_bytes(second, sites=SITES[1:]))

        async def step(pilot: Pilot[None], app: Dashboard) -> None:
            def chosen() -> int:
                assert app.chosen is not None
                return app.chosen.pid

            assert str(first) in text_of(app, ProcessStrip) and str(second) in text_of(app, ProcessStrip)
            assert (chosen(), lines_of(app)) == (first, [12])
            await press(pilot, "right_square_bracket")
            assert (chosen(), lines_of(app)) == (second, [44, 0])
            await press(pilot, "right_square_bracket")
            assert chosen() == first
            await press(pilot, "left_square_bracket")
            assert chosen() == second
            await press(pilot, "1")
            assert chosen() == first
            await press(pilot, "9")
            assert chosen() == first
            await pilot.click(ProcessStrip, offset=(text_of(app, ProcessStrip).index(str(second)), 0))
            await settled(pilot)
            assert chosen() == second

        driven(step)


def test_more_processes_than_there_is_room_for_scroll_with_the_chosen_one() -> None:
    sleepers = [Sleeper() for _ in range(6)]
    try:
        for sleeper in sleepers:
            publish(sleeper.pid, page_bytes(sleeper.pid))

        async def step(pilot: Pilot[None], app: Dashboard) -> None:
            pids = [each.pid for each in app.processes.all]
            for pid in pids:
                shown = text_of(app, ProcessStrip)
                assert str(pid) in shown and len(shown) <= 80
                await press(pilot, "right_square_bracket")

        driven(step)
    finally:
        for sleeper in sleepers:
            sleeper.kill()


def test_a_process_that_ends_stays_with_its_last_picture_until_it_is_dropped(sleeper: Sleeper) -> None:
    publish(sleeper.pid, page_bytes(sleeper.pid, sites=SITES))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        sleeper.kill()
        await app.look()
        await settled(pilot)
        assert "ended: this is its last picture" in text_of(app, Notice)
        assert lines_of(app) == [12, 44, 0]
        await press(pilot, "x")
        assert app.chosen is None and not app.query_one(SiteTable).display

    driven(step)


def test_help_names_every_key_and_closes() -> None:
    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        shown = app.screen.content().plain
        for key in ("space", "+ -", "l p t c g", "/ Esc", "Enter", "[ ] 1-9", "x", "m", "o", "d", "q"):
            assert f"  {key} " in shown
        await press(pilot, "escape")
        assert not isinstance(app.screen, HelpScreen)

    driven(step)


def test_enter_shows_all_of_a_site() -> None:
    publish(os.getpid(), page_bytes(os.getpid(), sites=SITES))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "down", "enter")
        assert isinstance(app.screen, SiteScreen)
        shown = app.screen.content().plain
        assert "/srv/shop/stock.py" in shown and "20.0 MB" in shown and "Stock.load" in shown
        await press(pilot, "q")
        assert app.is_running and not isinstance(app.screen, SiteScreen)

    driven(step)


def test_tab_goes_to_the_leak_candidates() -> None:
    publish(os.getpid(), page_bytes(os.getpid(), sites=SITES, leaks=[SITES[1]]))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "tab", "enter")
        assert isinstance(app.screen, SiteScreen) and "Stock.load" in app.screen.content().plain

    driven(step)


def test_private_memory_is_switched_off_and_on() -> None:
    publish(os.getpid(), page_bytes(os.getpid()))

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        assert "PSS" in text_of(app, TotalsPanel)
        await press(pilot, "m")
        await app.look()
        await settled(pilot)
        assert "not asked" in text_of(app, TotalsPanel)
        await press(pilot, "m")
        await app.look()
        await settled(pilot)
        assert "PSS" in text_of(app, TotalsPanel)

    driven(step)


def test_colours_are_for_dark_and_light_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORFGBG", "0;15")

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        assert app.theme == "flyweight-light"
        await press(pilot, "d")
        assert app.theme == "flyweight-dark"

    driven(step)


def test_examples_hold() -> None:
    for module in (panels, themes):
        outcome = doctest.testmod(module)
        assert outcome.attempted > 0 and outcome.failed == 0


@pytest.mark.parametrize("theme", [themes.DARK, themes.LIGHT])
def test_text_in_any_colour_has_enough_contrast(theme: Theme) -> None:
    """4.5 to 1, WCAG 2.1, success criterion 1.4.3."""
    ground = Color.parse(theme.background or "")
    colours = (theme.primary, theme.accent, theme.success, theme.warning, theme.error, theme.variables["quiet"])
    for colour in colours:
        assert contrast(Color.parse(colour or ""), ground) >= 4.5, colour


def contrast(first: Color, second: Color) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Color) -> float:
    parts = (part / 255 for part in (colour.r, colour.g, colour.b))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_quitting_ends_it() -> None:
    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "q")
        assert not app.is_running

    driven(step)


def test_a_program_started_here_is_shown_and_ends_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "waits.py"
    # In short pieces: a signal that arrives just before a sleep begins is seen by Python only when the sleep ends.
    waits = "for _ in range(12_000): time.sleep(0.05)"
    script.write_text(f"import time\nprint('hello from it', flush=True)\nkept = bytearray(7_000_000)\n{waits}\n")
    monkeypatch.setattr("flyweight.observe.top.program._PATIENCE_S", 60.0)

    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        while app.chosen is None or app.chosen.page is None or "hello" not in program.output():
            await asyncio.sleep(0.05)
            await app.look()
        assert app.chosen.name == "waits.py"
        await press(pilot, "o")
        assert isinstance(app.screen, OutputScreen) and "hello from it" in app.screen.content().plain
        await press(pilot, "escape")
        await press(pilot, "q")
        assert isinstance(app.screen, EndScreen)
        await press(pilot, "escape")
        assert app.is_running and program.exit_status() is None
        await press(pilot, "q", "q")
        assert not app.is_running

    with Program(understood(["python", str(script)])) as program:
        driven(step, Processes(program=program))
    assert program.exit_status() == 130
    assert program.own_status() == 0


def test_a_program_is_left_running_when_asked(tmp_path: Path) -> None:
    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        await press(pilot, "q", "l")
        assert not app.is_running

    with Program(understood(["-c", "import time; time.sleep(600)"])) as program:
        driven(step, Processes(program=program))
    assert program.exit_status() is None
    program.end()


def test_a_program_that_ended_by_itself_needs_no_question() -> None:
    async def step(pilot: Pilot[None], app: Dashboard) -> None:
        while program.exit_status() is None:
            await asyncio.sleep(0.05)
        await app.look()
        await settled(pilot)
        assert "ended with exit status 3" in text_of(app, Notice)
        await press(pilot, "q")
        assert not app.is_running

    with Program(understood(["-c", "raise SystemExit(3)"])) as program:
        driven(step, Processes(program=program))
    assert program.own_status() == 3
