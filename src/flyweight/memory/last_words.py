"""What is said of a program that was killed, from the page that it left in shared memory."""

from __future__ import annotations

import os
import signal
import sys
from time import time

from flyweight.memory.page_path import page_path
from flyweight.memory.sites import where_text
from flyweight.memory.units import place_text, size_text, table_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.memory.page import Page
    from flyweight.memory.run_settings import RunSettings


def say_last_words(pid: int, number: int, settings: RunSettings, kill_count: int) -> None:
    """Says on standard error by what the process ended and, unless it is to be quiet, who held what; takes its page
    away."""
    page = _page_left_by(pid)
    text = f"flyweight: {_cause(page, number, settings, kill_count)}\n"
    if page is not None and not settings.quiet:
        text += f"\n{page_text(page, settings.top_n)}\n"
    if settings.output:
        text += f"flyweight: the program has not lived to write {settings.output}\n"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def page_text(page: Page, top_n: int) -> str:
    """The last page a process published: totals by domain, and its largest sites."""
    age_s = max(0.0, time() - page.updated_unix_s)
    rss = f"; RSS {size_text(page.rss_bytes)}" if page.rss_bytes else ""
    domains = [
        (
            name,
            size_text(counters.current_bytes),
            size_text(counters.peak_bytes),
            f"{counters.live_count:,}",
            f"{counters.allocation_count:,}",
        )
        for name in ("python", "native", "mapped", "all")
        for counters in (getattr(page, name),)
        if page.tracks_native or name == "python"
    ]
    parts = [
        f"What it held when it was last seen, {age_s:.1f} s ago, after {page.elapsed_s:.1f} s"
        f"{' (estimated)' if page.sampled else ''}{rss}",
        table_text(("", "current", "peak", "blocks", "allocations"), domains),
    ]
    components = _components(page)
    if components:
        parts.append(table_text(("component", "live"), components))
    lines = [
        (
            size_text(site.live_bytes),
            f"{site.live_count:,}",
            size_text(site.peak_bytes),
            site.domain,
            where_text(place_text(site.file) if site.line else site.file, site.line, site.function),
        )
        for site in page.sites[:top_n]
        if site.live_bytes > 0
    ]
    if lines:
        table = table_text(("live", "blocks", "peak", "domain", "where"), lines, left=(3, 4))
        parts.append(f"Sites by bytes live then\n{table}")
    return "\n\n".join(parts)


def _components(page: Page) -> list[tuple[str, str]]:
    """Live bytes by component, as of the last tick; none before the first."""
    found = sorted(page.components, key=lambda component: -component.live_bytes)
    return [(component.name, size_text(component.live_bytes)) for component in found if component.live_bytes > 0]


def _cause(page: Page | None, number: int, settings: RunSettings, kill_count: int) -> str:
    how = signal.Signals(number).name
    limit, hard = size_text(settings.memory_limit), size_text(settings.hard_limit)
    if kill_count:
        return (
            f"the kernel killed the program at {hard} of memory, the hard limit that --memory-limit {limit} sets by "
            "its control group"
        )
    held = "" if page is None else f" while it held {size_text(page.all.current_bytes)}"
    bound = "control group" if settings.control_group else "RLIMIT_DATA"
    return f"{how} ended the program{held}; its memory limit is {limit}, {hard} with the interpreter's ({bound})"


def _page_left_by(pid: int) -> Page | None:
    """A page whose process is gone, so that nobody writes to it: at worst a row of it is half new."""
    from flyweight.memory.page import Page

    path = page_path(pid)
    try:
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        return Page(content)
    except Exception:  # it never came to a page, or it is damaged: then there is nothing to tell
        return None
