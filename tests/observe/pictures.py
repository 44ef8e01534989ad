"""The pictures of the README: `python -m tests.observe.pictures [report] [top]` writes docs/pictures.

They show real runs: the report of examples/memory_profile_demo.py, and the live dashboard while that program runs.
Needs Chromium, textual for the dashboard, and for the looks the fonts Inter and JetBrains Mono.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from flyweight.observe.document import read
from flyweight.observe.html import html
from tests.observe.browser import Browser, find_browser

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
DEMO = ROOT / "examples" / "memory_profile_demo.py"
_WIDTH = 1200
_MARGIN = 20
_TOP_SIZE = (120, 34)
# The dashboard gives its verdict after a minute.
_WATCHED_S = 64.0
# The dashboard's picture names a font on the network; what the machine has is as good.
_FONT_FACE = re.compile(r"@font-face\s*{[^}]*}")
_SVG_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def report(browser: Browser, work: Path) -> None:
    """The first three parts of the report in light and dark, and the flame graph with the leaks below it."""
    capture = work / "demo.json"
    subprocess.run([sys.executable, str(DEMO), str(capture)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    document = read(capture)
    document["program"]["arguments"] = ["python", f"examples/{DEMO.name}"]
    page_path = work / "report.html"
    page_path.write_text(html(document), encoding="utf-8")
    for name, dark, first, last in (
        ("html-report.png", False, "#summary", ".treemap"),
        ("html-report-dark.png", True, "#summary", ".treemap"),
        ("html-report-calls.png", False, "#calls", "#leaks .leaks"),
    ):
        page = browser.page(_WIDTH, 900, dark=dark)
        page.open(page_path)
        top, bottom = page.evaluate(
            f"[document.querySelector('{first}').getBoundingClientRect().top,"
            f" document.querySelector('{last}').getBoundingClientRect().bottom].map((y) => y + scrollY)"
        )
        top = 0 if first == "#summary" else top
        page.picture(PICTURES / name, {"x": 0, "y": top, "width": _WIDTH, "height": bottom - top + _MARGIN})
        page.close()


def top(browser: Browser, work: Path) -> None:
    """The dashboard of `flyweight top`, as a terminal of 120 columns shows it."""
    drawn, longer = work / "top.svg", work / DEMO.name
    program_text, count = re.subn(r"(?m)^SECONDS = .*$", "SECONDS = 600.0", DEMO.read_text(encoding="utf-8"))
    assert count == 1, f"{DEMO.name} no longer says how long it runs"
    longer.write_text(program_text, encoding="utf-8")
    with subprocess.Popen([sys.executable, longer.name], cwd=work, stdout=subprocess.DEVNULL) as program:
        try:
            asyncio.run(_watch(program.pid, drawn))
        finally:
            program.kill()
    svg = _FONT_FACE.sub("", drawn.read_text(encoding="utf-8")).replace("Fira Code", "JetBrains Mono, DejaVu Sans Mono")
    size = _SVG_SIZE.search(svg)
    assert size is not None, "the dashboard's picture says no size"
    width, height = (float(number) for number in size.groups())
    height = round(_WIDTH * height / width)
    page_path = work / "top.html"
    page_path.write_text(
        f"<!doctype html><style>body{{margin:0}}svg{{display:block;width:{_WIDTH}px}}</style>{svg}", encoding="utf-8"
    )
    page = browser.page(_WIDTH, height)
    page.send("Page.navigate", url=page_path.as_uri())
    page.wait("document.readyState === 'complete' && document.querySelector('svg')")
    page.settle()
    page.picture(PICTURES / "top.png", {"x": 0, "y": 0, "width": _WIDTH, "height": height})
    page.close()


async def _watch(pid: int, drawn: Path) -> None:
    from flyweight.observe.top.app import Dashboard
    from flyweight.observe.top.processes import Processes

    dashboard = Dashboard(Processes([pid]), 0.25)
    async with dashboard.run_test(size=_TOP_SIZE) as pilot:
        await asyncio.sleep(_WATCHED_S)
        await pilot.pause()
        drawn.write_text(dashboard.export_screenshot(), encoding="utf-8")


def main(names: list[str]) -> None:
    path = find_browser()
    if path is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="flyweight-pictures-") as directory, Browser(path) as browser:
        for draw in (report, top):
            if not names or draw.__name__ in names:
                draw(browser, Path(directory))


if __name__ == "__main__":
    main(sys.argv[1:])
