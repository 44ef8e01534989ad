"""Does a site grow: the verdict on the troughs of its live blocks, and on how long its blocks stay.

Age alone accuses every cache and every imported module. What tells a leak from them is the *trough*: the lowest number
of live blocks in a window of time. Garbage that is collected, requests that come and go, pools that lend and take back
all return to the same trough; what is never freed lifts it, window after window, however small each block is.
"""

from __future__ import annotations

from flyweight.memory.trend import trend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# The policy, measured on the labelled programs of tests/memory/programs and the made histories of
# tests/memory/test_leaks.py. A native history has 8 to 16 windows that together cover the whole session; the youngest
# eight are judged. Six are the least that a rank test can call rising at 1 %.
MIN_WINDOWS = 6
JUDGED_WINDOWS = 8
# Length of the first windows: one tick of the native clock.
TICK_S = 0.25
# Chance at which a stretch without a trend may be called rising, by the Mann-Kendall test.
RISING_CHANCE = 0.01
# Share of the steps from window to window that must lift the trough. A table that doubles, or data loaded in three
# goes, rises once in a while; a leak nearly always. A Poisson drip of 1.1 blocks a window is as likely seen as not.
RISING_STEPS = 2 / 3
# Fewer blocks than this prove nothing, nor do fewer bytes where the number of blocks stands still.
MIN_GROWN_BLOCKS = 6
MIN_GROWN_BYTES = 1024
# A fall of this share of the growth, earlier, makes it a sawtooth, unless the rise has outlasted the longest tooth by
# OUTLASTED: then it is no tooth of that saw.
FALLEN_SHARE = 0.5
OUTLASTED = 1.5
# A cache that fills with random keys slows down exponentially: at 2.8 time constants (94 % full) the younger half of
# the stretch brings half of what the older half brought. What is within three Poisson deviations is no difference.
LEVELLING_SHARE = 0.5
LEVELLING_DEVIATIONS = 3.0
# Growth that brought at least this many blocks a window and since the last trough less than a quarter of it, has
# stopped.
STOPPED_BLOCKS = 8
STOPPED_SHARE = 0.25
# Of the growth in the older half of the stretch, this share must still be there as blocks of that time. If they were
# replaced, it is load that rises, not blocks that stay.
STAYED_SHARE = 0.5


class Evidence:
    """Why a site is called what it is called.

    verdict: "growing" (held against the program), "steady" (old, yet it does not grow) or "undecided" (watched for too
    short a time).
    confidence: one minus the chance that troughs without a trend rise like these.
    grows_by: "blocks" for ever more of them, "size" for as many that get larger, "" for neither.
    growth_blocks_per_s, growth_bytes_per_s: Theil-Sen slopes of the troughs over the stretch that was judged.
    trough_counts, trough_bytes: lowest live blocks and bytes in each window, oldest first; window_s: length of one.
    survivors: blocks that are alive, by the time they were allocated: equal stretches from start to now, oldest first.
    reason: the verdict in one sentence.
    """

    __slots__ = (
        "confidence",
        "grows_by",
        "growth_blocks_per_s",
        "growth_bytes_per_s",
        "reason",
        "survivors",
        "trough_bytes",
        "trough_counts",
        "verdict",
        "window_s",
    )

    def __init__(
        self,
        history: History,
        verdict: str,
        reason: str,
        rising: float = 1.0,
        slopes: tuple[float, float] = (0.0, 0.0),
        grows_by: str = "",
    ) -> None:
        self.verdict = verdict
        self.reason = reason
        self.confidence = 1.0 - rising
        self.growth_blocks_per_s, self.growth_bytes_per_s = slopes
        self.grows_by = grows_by
        self.trough_counts = tuple(history.counts)
        self.trough_bytes = tuple(history.sizes)
        self.window_s = history.window_s
        self.survivors = tuple(history.survivors)

    @property
    def watched_s(self) -> float:
        """Seconds that the windows cover."""
        return len(self.trough_counts) * self.window_s

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"Evidence({self.verdict}, {self.confidence:.4f}: {self.reason})"


class History:
    """What is known of one site over time: troughs by window, live blocks now, survivors by time of allocation.

    The windows follow one another up to now; the survivors' stretches divide the time from start to now.
    grain: blocks that one record stands for: 1, or where all this is estimated from samples, what one sample weighs.
    """

    __slots__ = ("counts", "elapsed_s", "grain", "live_bytes", "live_count", "sizes", "survivors", "window_s")

    def __init__(
        self,
        counts: Sequence[int],
        sizes: Sequence[int],
        window_s: float,
        live_count: int,
        live_bytes: int,
        survivors: Sequence[int],
        elapsed_s: float,
        grain: float = 1.0,
    ) -> None:
        self.counts = counts
        self.sizes = sizes
        self.window_s = window_s
        self.live_count = live_count
        self.live_bytes = live_bytes
        self.survivors = survivors
        self.elapsed_s = elapsed_s
        self.grain = grain

    def calmer(self) -> History:
        """The same history in windows twice as long; an odd one at the end is left out."""
        paired = len(self.counts) // 2 * 2
        return History(
            [min(self.counts[index : index + 2]) for index in range(0, paired, 2)],
            [min(self.sizes[index : index + 2]) for index in range(0, paired, 2)],
            2 * self.window_s,
            self.live_count,
            self.live_bytes,
            self.survivors,
            self.elapsed_s,
            self.grain,
        )


def judge(history: History) -> Evidence:
    """The verdict on one site; see the policy at the top of this file."""
    windows = len(history.counts)
    if not windows and history.elapsed_s >= MIN_WINDOWS * TICK_S:
        return Evidence(history, "steady", "the number of its blocks hardly ever rose")
    if windows < MIN_WINDOWS:
        seen_s, needed_s = windows * history.window_s, MIN_WINDOWS * history.window_s
        reason = f"watched for {seen_s:.3g} s, a verdict needs {needed_s:.3g} s"
        return Evidence(history, "undecided", reason)
    evidence = _judge_stretch(history)
    if evidence.verdict == "growing" or windows < 2 * MIN_WINDOWS:
        return evidence
    # Windows twice as long have calmer troughs: a leak that drowns in the noise of requests shows there first.
    calmer = _judge_stretch(history.calmer())
    return calmer if calmer.verdict == "growing" else evidence


def _judge_stretch(history: History) -> Evidence:
    """The verdict on the youngest JUDGED_WINDOWS."""
    start = max(0, len(history.counts) - JUDGED_WINDOWS)
    counts, sizes = history.counts[start:], history.sizes[start:]
    covered_s = len(counts) * history.window_s
    if counts[-1] <= counts[0] and sizes[-1] <= sizes[0]:
        # The usual site: nothing gained. Thousands of them cost no pairs.
        return Evidence(history, "steady", f"the trough did not rise in the last {covered_s:.3g} s")
    times = [index * history.window_s for index in range(len(counts))]
    blocks, size = trend(times, counts), trend(times, sizes)
    counted = _Levels(history.counts, start, MIN_GROWN_BLOCKS, history.grain)
    doubt = counted.doubt() or _doubt_of_blocks(history, counted)
    grown, rising, what = counted, blocks, "blocks"
    if counted.gained <= 0:
        # As many blocks as before, yet larger ones: a list, a buffer, a string that is added to.
        grown, rising, what = _Levels(history.sizes, start, MIN_GROWN_BYTES, 1.0), size, "bytes in as many blocks"
        doubt = grown.doubt()
    if not doubt and (rising.rising > RISING_CHANCE or rising.slope_low <= 0):
        doubt = f"no trend: troughs like these rise by chance in {rising.rising:.0%} of all cases"
    slopes = (blocks.slope, size.slope)
    if doubt:
        return Evidence(history, "steady", doubt, rising.rising, slopes)
    reason = (
        f"the trough rose in {grown.rises} of {grown.steps} steps of {history.window_s:.3g} s, "
        f"by {grown.gained:,} {what}, and did not come back"
    )
    return Evidence(history, "growing", reason, rising.rising, slopes, "blocks" if grown is counted else "size")


class _Levels:
    """Troughs and their floor: the lowest level from each window on, which is what was never given back since."""

    __slots__ = ("floor", "gained", "grain", "least", "levels", "rises", "start", "steps")

    def __init__(self, levels: Sequence[int], start: int, least: int, grain: float) -> None:
        self.levels = levels
        self.start = start
        self.least = least
        self.grain = grain
        floor = list(levels)
        for index in range(len(floor) - 2, -1, -1):
            floor[index] = min(floor[index], floor[index + 1])
        self.floor = floor
        self.gained = floor[-1] - floor[start]
        self.steps = len(floor) - 1 - start
        self.rises = sum(floor[index] < floor[index + 1] for index in range(start, len(floor) - 1))

    def doubt(self) -> str:
        """What speaks against growth, "" for nothing."""
        if self.gained < self.least * self.grain:
            return f"the trough rose by {self.gained} only" if self.gained > 0 else "the trough did not rise"
        if self.rises < RISING_STEPS * self.steps:
            return f"the trough rose in {self.rises} of {self.steps} windows only"
        if self._is_a_tooth():
            return "it has come down from such a level before"
        older, younger = self.halves()
        noise = LEVELLING_DEVIATIONS**2 * (older + younger) * self.grain
        if younger < LEVELLING_SHARE * older and (older - younger) ** 2 > noise:
            return f"it is levelling off: {younger:,.0f} more in the younger half, {older:,.0f} in the older"
        return ""

    def halves(self) -> tuple[float, float]:
        """Growth in the older and in the younger half of the stretch."""
        half = self.steps // 2
        middle = (self.floor[self.start + half] + self.floor[self.start + self.steps - half]) / 2
        return middle - self.floor[self.start], self.floor[-1] - middle

    def _is_a_tooth(self) -> bool:
        fallen = longest = since = 0
        for index in range(1, len(self.levels)):
            since += 1
            if self.levels[index - 1] - self.floor[index] >= FALLEN_SHARE * self.gained and (
                self.levels[index] < self.levels[index - 1]
            ):
                fallen, longest, since = 1, max(longest, since), 0
        return bool(fallen) and since < OUTLASTED * longest


def _doubt_of_blocks(history: History, counted: _Levels) -> str:
    """What live blocks say against a rising number of them, "" for nothing."""
    usual = counted.gained / counted.steps
    since = history.live_count - counted.floor[-1]
    if usual >= STOPPED_BLOCKS * history.grain and since < STOPPED_SHARE * usual:
        return f"it has stopped: {max(since, 0)} more since the last window, {usual:,.0f} in each before"
    # The windows end somewhere within the one that is being filled now. On a starved machine they are longer than they
    # say; what is there of the time before, above the level at the start, then counts as well.
    end_s = history.elapsed_s - history.window_s / 2
    half_s = counted.steps / 2 * history.window_s
    older, _ = counted.halves()
    stayed = max(
        _born_between(history, end_s - 2 * half_s - history.window_s, end_s - half_s),
        _born_between(history, 0.0, end_s - half_s) - counted.floor[counted.start],
    )
    if stayed < STAYED_SHARE * older:
        return f"its blocks do not stay: {stayed:,.0f} of {older:,.0f} that came in the older half are left"
    return ""


def _born_between(history: History, from_s: float, to_s: float) -> float:
    """Live blocks that were allocated in a stretch of time, spread evenly within the stretches that were counted."""
    width = history.elapsed_s / len(history.survivors)
    if width <= 0:
        return float(sum(history.survivors))
    born = 0.0
    for index, count in enumerate(history.survivors):
        common = min(to_s, (index + 1) * width) - max(from_s, index * width)
        born += count * min(max(common / width, 0.0), 1.0)
    return born
