"""How large the HTML report of a large recording is, and how soon a browser has it ready.

The program allocates a million blocks at five thousand lines, with every call chain kept. A real Chromium without a
window opens its report and, in turns, an empty page; ready is when the page says so, counted from navigation.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Report
from benchmarks.settings import Settings
from flyweight.observe.document import read
from flyweight.observe.html import html
from tests.observe.browser import Browser, find_browser

TARGET_MB = 3.0
TARGET_MS = 1000.0
_SITES = 5_000
_ALLOCATIONS = 1_000_000
_OPENINGS, _QUICK_OPENINGS = 9, 3
# Fifty lines a function, a hundred functions called through ten others; each line keeps a fifth of what it makes.
_PROGRAM = f"""
import sys
from flyweight import memory

kept = []
lines = ["kept = []"]
for group in range({_SITES // 50}):
    lines.append(f"def group_{{group}}(times):")
    for line in range(50):
        size = 40 + 13 * ((50 * group + line) % 301)
        lines.append(f"    for n in range(times): b = bytes({{size}}); n % 5 or kept.append(b)")
for caller in range(10):
    lines.append(f"def caller_{{caller}}(times):")
    lines += [f"    group_{{group}}(times)" for group in range(caller, {_SITES // 50}, 10)]
lines.append("def work(times):")
lines += [f"    caller_{{caller}}(times)" for caller in range(10)]
program = {{}}
exec(compile("\\n".join(lines), "/srv/work/steps.py", "exec"), program)
memory.start(stacks="full")
memory.phase("Started")
for _ in range(10):
    program["work"]({_ALLOCATIONS // _SITES // 10})
memory.phase("Worked")
memory.save(sys.argv[1])
"""
_EMPTY = """<!doctype html><title>empty</title><script>
document.documentElement.dataset.readyMs = performance.now();
document.documentElement.dataset.ready = "true";
</script>
"""


@dataclass
class Opening:
    """What was measured: size of the page and time to make it; medians of the milliseconds from navigation to ready,
    of the report and of an empty page."""

    sites: int
    allocations: int
    page_bytes: int
    made_ms: float
    ready_ms: float
    empty_ms: float
    openings: int


def measure(browser: str, work: Path, openings: int = _OPENINGS) -> Opening:
    """Records the program, makes its report and opens it so many times. browser: path of a Chromium."""
    capture = work / "capture.json"
    subprocess.run([sys.executable, "-c", _PROGRAM, str(capture)], check=True)
    document = read(capture)
    began = time.perf_counter()
    text = html(document)
    made_ms = 1000 * (time.perf_counter() - began)
    pages = {"report": work / "report.html", "empty": work / "empty.html"}
    pages["report"].write_text(text, encoding="utf-8")
    pages["empty"].write_text(_EMPTY, encoding="utf-8")
    times: dict[str, list[float]] = {name: [] for name in pages}
    with Browser(browser) as chromium:
        for _ in range(openings):
            for name, path in pages.items():
                page = chromium.page()
                page.open(path)
                times[name].append(float(page.evaluate("document.documentElement.dataset.readyMs")))
                page.close()
    return Opening(
        sites=len(document["sites"]),
        allocations=document["report"]["allocation_count"],
        page_bytes=pages["report"].stat().st_size,
        made_ms=made_ms,
        ready_ms=statistics.median(times["report"]),
        empty_ms=statistics.median(times["empty"]),
        openings=openings,
    )


def run(settings: Settings) -> Report:
    report = Report("html_report")
    what = f"{_ALLOCATIONS:,} allocations at {_SITES:,} sites, every call chain kept"
    size = Figure("HTML report: size", None, "MB", what, TARGET_MB)
    ready = Figure("HTML report: opens", None, "ms", f"{what}; Chromium, navigation to ready, median", TARGET_MS)
    report.figures += [size, ready]
    browser = find_browser()
    if browser is None:
        size.skipped = ready.skipped = "no Chromium on this machine"
        return report
    settings.say("HTML report: recording a million allocations, then opening their report in Chromium")
    with TemporaryDirectory(prefix="flyweight-html-") as directory:
        opening = measure(browser, Path(directory), _QUICK_OPENINGS if settings.quick else _OPENINGS)
    size.value = round(opening.page_bytes / 1e6, 2)
    ready.value = round(opening.ready_ms)
    ready.peer = f"an empty page {opening.empty_ms:.0f} ms"
    report.detail["opening"] = asdict(opening)
    settings.console.print_json(json.dumps(report.detail["opening"]))
    return report
