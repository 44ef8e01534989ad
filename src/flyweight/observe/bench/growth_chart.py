"""A chart of bars in plain text: memory against queries asked."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH = 50
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = _WIDTH) -> str:
    """
    >>> bar(0.5, 4), bar(1.0, 4), bar(0.0, 4), bar(0.28, 4)
    ('██', '████', '', '█▏')
    """
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    rest = _EIGHTHS[eighths % 8] if eighths % 8 else ""
    return "█" * (eighths // 8) + rest


def growth_chart(points: Sequence[tuple[int, int]], unit: str = "queries", full_bytes: int = 0) -> str:
    """One line for each (count, bytes), drawn from zero; the longest bar is the largest value, or `full_bytes`.

    >>> print(growth_chart([(10, 1_000_000), (1000, 2_000_000)]))
       10 queries  1.000 MB  █████████████████████████
    1,000 queries  2.000 MB  ██████████████████████████████████████████████████
    """
    most = max([full_bytes, *(size for _, size in points)], default=1) or 1
    counts = [f"{count:,}" for count, _ in points]
    sizes = [f"{size / 1e6:.3f}" for _, size in points]
    count_width = max(map(len, counts), default=0)
    size_width = max(map(len, sizes), default=0)
    return "\n".join(
        f"{count:>{count_width}} {unit}  {text:>{size_width}} MB  {bar(size / most)}".rstrip()
        for count, text, (_, size) in zip(counts, sizes, points, strict=True)
    )
