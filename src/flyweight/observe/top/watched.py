"""One process that is watched: what it published last, how that came about, and whether it is still there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from flyweight.memory.page import Moment, Page, PageSite
from flyweight.memory.steady import Verdict, judge
from flyweight.observe.process_memory import Memory
from flyweight.observe.top.process_files import command_line, short_name
from flyweight.observe.top.reading import Reading

STEADY_WINDOW_S = 60.0
# Private memory is asked for this seldom, and never for more than this share of the time.
HELD_INTERVAL_S = 5.0
HELD_SHARE = 0.002
# A site's growth is that of this last stretch.
_GROWTH_WINDOW_S = 60.0
# A page is written four times a second; one this old is of a process that has been stopped, or starved.
_SILENT_S = 5.0
# Four a second: twenty minutes.
_MOST_MOMENTS = 4800

SiteKey = tuple[str, str, int, str]


@dataclass(frozen=True)
class Limit:
    """Bytes that tracked memory shall not exceed, and what sets them: a budget or a limit."""

    name: str
    size_bytes: int


class Watched:
    """A process from the first look on. Figures of a process that has ended stay those of its last page."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.command: list[str] = []
        self.name = short_name([])
        self.directory = ""
        self.page: Page | None = None
        self.fault = ""
        self.ended = False
        self.exit_status: int | None = None
        self.rss_bytes = 0
        self.cpu_share: float | None = None
        self.held: Memory | None = None
        self.verdict: Verdict | None = None
        self.started_here = False  # by the dashboard, which keeps what it prints
        self.silent_s = 0.0  # how old the page is, when it is older than it should be
        self._moments: deque[Moment] = deque(maxlen=_MOST_MOMENTS)
        self._growth: dict[SiteKey, deque[tuple[float, int]]] = {}
        self._held_due_s = 0.0
        self._cpu: tuple[float, float] | None = None
        self._start = 0
        self._published = False

    @property
    def stopped(self) -> bool:
        """It lives, had a page and has none any more: the recording was stopped."""
        return self.page is not None and not self.ended and not self._published

    def wants_held(self, now_s: float) -> bool:
        """Whether it is time to ask for private memory again."""
        return not self.ended and now_s >= self._held_due_s

    def forget_held(self) -> None:
        """What was known of private memory, so that it is asked for at the next look."""
        self.held, self._held_due_s = None, 0.0

    def take(self, reading: Reading) -> None:
        """What a look has found becomes the picture."""
        if self.ended:
            return
        state = reading.state
        if state is None or (self._start and state.start != self._start):
            self.ended, self.cpu_share = True, None
            return
        self._start = state.start
        # A process that has just begun has none yet, or that of whoever started it; with a page it runs its own.
        if not self.command or (self.page is None and reading.page is not None):
            self.command, self.directory = command_line(self.pid), _directory(self.pid)
            self.name = short_name(self.command)
        self.rss_bytes = state.rss_bytes
        if self._cpu is not None and reading.at_s > self._cpu[0]:
            self.cpu_share = max(0.0, (state.cpu_s - self._cpu[1]) / (reading.at_s - self._cpu[0]))
        self._cpu = reading.at_s, state.cpu_s
        if reading.held is not None:
            self.held = reading.held
            self._held_due_s = reading.at_s + max(HELD_INTERVAL_S, reading.held_took_s / HELD_SHARE)
        self.fault, self._published = reading.fault, reading.published
        if reading.page is not None:
            self._take_page(reading.page)
            age_s = reading.unix_s - reading.page.updated_unix_s
            self.silent_s = age_s if age_s >= _SILENT_S else 0.0

    def _take_page(self, page: Page) -> None:
        if self.page is not None and page.started_unix_s != self.page.started_unix_s:  # recorded anew
            self._moments.clear()
            self._growth.clear()
        self.page = page
        last_ms = self._moments[-1][0] if self._moments else -1
        self._moments.extend(moment for moment in page.moments if moment[0] > last_ms)
        kept: dict[SiteKey, deque[tuple[float, int]]] = {}
        for site in page.sites:
            seen = kept[site_key(site)] = self._growth.get(site_key(site), deque())
            if not seen or page.elapsed_s > seen[-1][0]:
                seen.append((page.elapsed_s, site.live_bytes))
            while len(seen) > 2 and page.elapsed_s - seen[1][0] >= _GROWTH_WINDOW_S:
                seen.popleft()
        self._growth = kept
        self.verdict = steadiness(self._moments, page.all.current_bytes, self.limit)

    @property
    def moments(self) -> Sequence[Moment]:
        """What was held over time, oldest first: as in the page, and further back."""
        return self._moments

    @property
    def limit(self) -> Limit | None:
        """What use is judged against: the smallest budget of the whole process, or the limit on Python allocations."""
        if self.page is None:
            return None
        found = [Limit("budget", budget.limit_bytes) for budget in self.page.budgets if budget.component is None]
        if self.page.memory_limit:
            found.append(Limit("limit", self.page.memory_limit))
        return min(found, key=lambda limit: limit.size_bytes, default=None)

    def growth_of(self, site: PageSite) -> float | None:
        """Bytes per second by which a site has grown over the last minute, negative when it shrank; None before there
        have been two looks."""
        seen = self._growth.get(site_key(site))
        if not seen or seen[-1][0] <= seen[0][0]:
            return None
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def site_key(site: PageSite) -> SiteKey:
    return site.file, site.function, site.line, site.domain


def steadiness(moments: Sequence[Moment], current_bytes: int, limit: Limit | None) -> Verdict:
    """The verdict of flyweight.memory.steady on what was published; without a limit, on twice the highest use."""
    recent = list(moments)
    limit_bytes = limit.size_bytes if limit else 2 * max(current_bytes, 1, *(moment[2] for moment in recent))
    return judge(recent, current_bytes, limit_bytes, STEADY_WINDOW_S)


def _directory(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
