"""Stacks: whole call chains of sampled bytes (or of every block), with estimates and their stated error.

Estimates are unbiased; their error is 1.96 standard deviations, the half width of a 95 % interval, from the variance
that Poisson sampling of bytes gives each of them.
"""

from __future__ import annotations

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.packed import rows
from flyweight.memory.session import check_recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURES = ("live", "bytes", "count")
_COLUMN_OF = {"live": "live_bytes", "bytes": "total_bytes", "count": "total_count"}
_NORMAL_95 = 1.96
# The C function that runs Python code: in a mixed stack the Python frames it ran stand in its place.
_EVALUATOR = "_PyEval_EvalFrameDefault"

Frame = tuple[str, int, str]


class StackSample:
    """All samples with the same call chain and domain.

    live_bytes, live_count: estimates of what exists now; total_bytes, total_count: of all that was allocated.
    peak_live_bytes: what existed when the process held most, as far as four looks a second tell.
    live_bytes_error, total_bytes_error: half widths of 95 % intervals; 0 when every block's stack is kept.
    live_samples, total_samples: how many samples that rests on; oldest_s: age of the oldest that lives.
    frames: (file, line, function) of each Python frame, innermost first.
    mixed_frames: the same with the native frames between them, where native stacks are kept; for those the file is a
    library and the line 0.
    """

    __slots__ = (
        "_native_stack",
        "_session",
        "_stack",
        "domain",
        "live_bytes",
        "live_bytes_error",
        "live_count",
        "live_samples",
        "oldest_s",
        "peak_live_bytes",
        "total_bytes",
        "total_bytes_error",
        "total_count",
        "total_samples",
    )

    def __init__(self, row: Sequence[int], session: int) -> None:
        self._session = session
        figures = dict(zip(_memory.SAMPLE_COLUMNS, row, strict=True))
        self._stack = figures["stack"]
        self._native_stack = figures["native_stack"]
        self.domain = _memory.DOMAINS[figures["domain"]]
        self.live_samples, self.total_samples = figures["live_samples"], figures["total_samples"]
        self.live_bytes, self.live_count = figures["live_bytes"], figures["live_count"]
        self.total_bytes, self.total_count = figures["total_bytes"], figures["total_count"]
        self.peak_live_bytes = figures["peak_live_bytes"]
        live_variance, total_variance = figures["live_bytes_variance"], figures["total_bytes_variance"]
        self.live_bytes_error = round(_NORMAL_95 * live_variance**0.5)
        self.total_bytes_error = round(_NORMAL_95 * total_variance**0.5)
        self.oldest_s = figures["oldest_ms"] / 1000

    @property
    def frames(self) -> list[Frame]:
        """Raises TrackingError once another recording has begun: stacks are not kept beyond their own."""
        self._check_session()
        return [(file, line, function) for file, line, function, _ in _memory.stack(self._stack)]

    @property
    def mixed_frames(self) -> list[Frame]:
        """Raises TrackingError as `frames` does."""
        self._check_session()
        return merged(_memory.stack(self._stack), _native_frames(self._native_stack))

    def to_dict(self) -> dict[str, object]:
        """All figures by name, and the frames, fit for JSON."""
        figures = {name: getattr(self, name) for name in self.__slots__ if not name.startswith("_")}
        return {**figures, "frames": self.mixed_frames}

    def _check_session(self) -> None:
        if check_recorded()["session"] != self._session:
            raise TrackingError(
                "this stack belongs to a recording that another has replaced: ask for its frames before"
            )

    def __repr__(self) -> str:
        return (
            f"<StackSample, {self.domain}: {self.live_bytes} ± {self.live_bytes_error} bytes live, "
            f"{self.total_bytes} ± {self.total_bytes_error} in all>"
        )


def sampled_stacks(top_n: int | None = None, by: str = "live") -> list[StackSample]:
    """The call chains that were sampled, largest first: all, or the `top_n` largest.

    by: "live" (bytes that exist now), "bytes" or "count" (all that was allocated).

    Raises TrackingError when nothing has been recorded, ConfigError.
    """
    if by not in MEASURES:
        raise ConfigError(f"stacks are ordered by {', '.join(MEASURES)}, not by {by!r}")
    if top_n is not None and (not isinstance(top_n, int) or isinstance(top_n, bool) or top_n < 1):
        raise ConfigError(f"top_n must be a number from 1 on, or None for all, not {top_n!r}")
    session = check_recorded()["session"]
    found = [StackSample(row, session) for row in rows(_memory.samples(), len(_memory.SAMPLE_COLUMNS))]
    column = _COLUMN_OF[by]
    found.sort(key=lambda sample: -getattr(sample, column))
    return found[:top_n]


def collapsed_stacks(by: str = "live", native: bool = True) -> str:
    """The call chains as collapsed stacks, one line each, which flame graph tools read: outermost first, separated by
    semicolons, then a space and the estimate.

    by: "live", "bytes" or "count", as for sampled_stacks. native: with the native frames, where they were kept.

    Raises TrackingError when nothing has been recorded, ConfigError.
    """
    sums: dict[str, int] = {}
    column = _COLUMN_OF.get(by, "")
    for sample in sampled_stacks(by=by):
        frames = sample.mixed_frames if native else sample.frames
        line = ";".join(_frame_text(frame) for frame in reversed(frames)) or f"<{sample.domain}>"
        sums[line] = sums.get(line, 0) + getattr(sample, column)
    return "".join(f"{line} {value}\n" for line, value in sums.items() if value > 0)


def merged(python: Sequence[tuple[str, int, str, bool]], native: Sequence[Frame]) -> list[Frame]:
    """One call chain of both kinds, innermost first.

    The interpreter runs Python functions that call each other in one native frame, until C code is called that calls
    Python again. So each native frame of the evaluator gives way to the Python frames up to the one that C called.

    >>> merged([("a.py", 2, "inner", False), ("a.py", 9, "outer", True)],
    ...        [("libc", 0, "malloc"), ("python", 0, "_PyEval_EvalFrameDefault"), ("python", 0, "main")])
    [('libc', 0, 'malloc'), ('a.py', 2, 'inner'), ('a.py', 9, 'outer'), ('python', 0, 'main')]
    """
    chain: list[Frame] = []
    waiting = list(python)
    waiting.reverse()
    for frame in native:
        if frame[2] != _EVALUATOR:
            chain.append(frame)
            continue
        while waiting:
            file, line, function, entry = waiting.pop()
            chain.append((file, line, function))
            if entry:
                break
    # A native stack that was cut short or has no names loses no Python frame.
    chain += [(file, line, function) for file, line, function, _ in reversed(waiting)]
    return chain


def _native_frames(number: int) -> list[Frame]:
    return [(library, 0, function) for library, function, _ in map(_memory.symbol, _memory.native_stack(number))]


def _frame_text(frame: Frame) -> str:
    file, line, function = frame
    name = file.rpartition("/")[2]
    text = f"{function} ({name}:{line})" if line > 0 else f"{function or '??'} ({name})"
    return text.replace(";", ":").replace("\n", " ")
