"""What there is to say about a watched process in a line each, for the dashboard and for plain text alike."""

from __future__ import annotations

from dataclasses import dataclass

from flyweight.memory.page import Page
from flyweight.memory.units import size_text
from flyweight.observe.steady_text import span_text
from flyweight.observe.top.site_table import growth_text
from flyweight.observe.top.watched import STEADY_WINDOW_S, Watched

# Marks differ in shape, not in colour alone.
GOOD, WARNING, BAD, NEUTRAL = "good", "warning", "bad", "neutral"
MARKS = {GOOD: "✓", WARNING: "▲", BAD: "×", NEUTRAL: "·"}
NOBODY_RECORDED = (
    "No process of yours is recorded: start one with 'flyweight run', or call flyweight.memory.start() in it."
)


@dataclass(frozen=True)
class Remark:
    """A sentence and how good the news is."""

    tone: str
    text: str

    def __str__(self) -> str:
        return f"{MARKS[self.tone]} {self.text}"


@dataclass(frozen=True)
class Part:
    """One bar of a list: a component or a domain; limit_bytes is its budget, 0 where it has none."""

    name: str
    size_bytes: int
    limit_bytes: int = 0
    over: bool = False


def steady_remark(watched: Watched, short: bool = False) -> Remark:
    """Whether tracked use has settled, by the rules of memory.is_steady_state(); a `short` one has no intervals."""
    verdict = watched.verdict
    if verdict is None:
        return Remark(NEUTRAL, "no verdict yet")
    limit = watched.limit
    if limit and verdict.highest_bytes > limit.size_bytes:
        use, most = size_text(verdict.highest_bytes), size_text(limit.size_bytes)
        when = "" if short else f" in the last {STEADY_WINDOW_S:.0f} s"
        return Remark(BAD, f"over its {limit.name}: use was {use} of {most}{when}")
    if verdict.steady:
        slope = growth_text(verdict.slope_bytes_per_s)
        return Remark(GOOD, f"steady for {span_text(verdict.covered_s)}" + ("" if short else f", slope {slope}"))
    if verdict.slope_bytes_per_s <= 0:
        return Remark(NEUTRAL, f"no verdict yet: {verdict.covered_s:.0f} of {STEADY_WINDOW_S:.0f} s seen")
    left_s = max(verdict.limit_bytes - verdict.current_bytes, 0) / verdict.slope_bytes_per_s
    end = f"at its {limit.name} in {span_text(left_s)}" if limit else f"twice as much in {span_text(left_s)}"
    low, high = growth_text(verdict.slope_low), growth_text(verdict.slope_high)
    interval = "" if short else f" ({low} to {high})"
    return Remark(WARNING, f"rising by {growth_text(verdict.slope_bytes_per_s)}{interval}: {end}")


def state_remarks(watched: Watched) -> list[Remark]:
    """What qualifies the figures: ended, stopped, silent, sampled, degraded; nothing when all is well."""
    if watched.ended:
        status = "" if watched.exit_status is None else f" with exit status {watched.exit_status}"
        last = ": this is its last picture"
        if watched.page is None:
            last = " before its memory could be seen"
            last += "; the key o shows what it printed" if watched.started_here else ""
        return [Remark(BAD if watched.exit_status else WARNING, f"ended{status}{last}")]
    found = []
    if watched.page is None:
        return [Remark(WARNING, watched.fault or "nothing is known yet")]
    if watched.stopped:
        found.append(Remark(WARNING, "the recording was stopped: this is its last picture"))
    elif watched.fault:
        found.append(Remark(WARNING, watched.fault))
    elif watched.silent_s:
        found.append(Remark(WARNING, f"no news for {span_text(watched.silent_s)}: stopped, or short of processor time"))
    if watched.page.degraded:
        found.append(Remark(WARNING, "figures are estimates: the profiler's own memory reached its limit"))
    elif watched.page.sampled:
        found.append(Remark(NEUTRAL, "figures are estimates (sampled)"))
    for budget in watched.page.budgets:
        if budget.over:
            whose = f"component {budget.component}" if budget.component else "the process"
            use, most = size_text(budget.used_bytes), size_text(budget.limit_bytes)
            found.append(Remark(BAD, f"over budget: {whose} holds {use} of {most}, exceeded {_times(budget.exceeded)}"))
    return found


def mode_text(page: Page) -> str:
    """
    How it is recorded: "exact, Python and native".
    """
    what = "Python and native" if page.tracks_native else "Python only"
    how = "degraded to samples" if page.degraded else "sampled" if page.sampled else "exact"
    return f"{how}, {what}"


def own_text(page: Page) -> str:
    """What the profiler itself costs, as a share of what it accounts for."""
    current = page.all.current_bytes
    share = f", {100 * page.own_bytes / current:.0f} % of tracked" if current > 0 else ""
    return f"{size_text(page.own_bytes)}{share}"


def components(page: Page) -> list[Part]:
    """Components, largest first, each with its budget; what is left over comes last."""
    limits = {budget.component: budget for budget in page.budgets if budget.component is not None}
    found = []
    for component in page.components:
        budget = limits.get(component.name)
        limit_bytes = budget.limit_bytes if budget else 0
        found.append(Part(component.name, component.live_bytes, limit_bytes, bool(budget and budget.over)))
    return found


def domains(page: Page) -> list[Part]:
    """Who was asked for it: Python's allocators, malloc, mmap."""
    named = (("python", page.python), ("native", page.native), ("mapped", page.mapped))
    return [Part(name, counters.current_bytes) for name, counters in named]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
