"""Levels as lines of blocks, shares as bars: text that a terminal of any kind can show."""

from __future__ import annotations

from collections.abc import Sequence

_RISING = " ▁▂▃▄▅▆▇█"
_LENGTHENING = " ▏▎▍▌▋▊▉█"
# A range smaller than this share of the level is drawn as if it were so large: noise is no mountain.
_LEAST_RANGE = 0.04


def resampled(points: Sequence[tuple[float, float]], begin: float, end: float, width: int) -> list[float | None]:
    """The highest value in each of `width` equal stretches from `begin` to `end`; stretches without a point have that
    of the one before, and None before the first.

    >>> resampled([(1, 5), (1.5, 7), (3, 2)], 0, 4, 4)
    [None, 7, 7, 2]
    """
    found: list[float | None] = [None] * width
    step = (end - begin) / width
    before: float | None = None
    for at, value in points:
        if at < begin:
            before = value
            continue
        place = min(int((at - begin) / step), width - 1)
        there = found[place]
        found[place] = value if there is None else max(there, value)
    for place, value_there in enumerate(found):
        if value_there is None:
            found[place] = before
        before = found[place]
    return found


def levels_text(values: Sequence[float | None], height: int = 1) -> list[str]:
    """`height` lines of blocks, from the top. The scale goes from the lowest value to the highest.

    >>> levels_text([None, 1, 2, 4])
    [' ▁▃█']
    >>> levels_text([0, 4, 8], height=2)
    [' ▁█', '▁██']
    """
    known = [value for value in values if value is not None]
    if not known:
        return [" " * len(values)] * height
    low, high = min(known), max(known)
    least = _LEAST_RANGE * abs(high)
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    steps = 8 * height - 1
    span = (high - low) or 1
    eighths = [0 if value is None else 1 + round((value - low) / span * steps) for value in values]
    return ["".join(_RISING[min(8, max(0, n - 8 * row))] for n in eighths) for row in reversed(range(height))]


def bar_text(share: float, width: int) -> str:
    """A bar of `share` of `width`; whatever is above nothing shows.

    >>> bar_text(0.5, 4), bar_text(0.001, 4), bar_text(2, 3)
    ('██', '▏', '███')
    """
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_LENGTHENING[rest] if rest else "")
