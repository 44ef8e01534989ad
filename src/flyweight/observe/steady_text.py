"""The verdict on a steady state in a sentence, with sizes and times as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyweight.memory.units import size_text

NO_VERDICT = ": ask again"  # what the reason of a verdict ends in that came too early


def span_text(seconds: float) -> str:
    """
    >>> span_text(4.2), span_text(75), span_text(5400), span_text(200_000)
    ('4 s', '75 s', '90 min', '2.3 days')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def steady_text(verdict: Mapping[str, Any], limit: str) -> str:
    """The verdict in a sentence. limit: what its limit is, such as "its memory limit of 64.0 MB".

    A capture cannot be asked again, so one that was taken too early has none.
    """
    reason, early, _ = verdict["reason"].partition(NO_VERDICT)
    if early:
        return f"No verdict on a steady state: {reason}"
    return f"{'Steady' if verdict['steady'] else 'Not steady'}: {_reason(verdict, limit)}"


def steady_reason(verdict: Mapping[str, Any], limit: str) -> str:
    """The same without the verdict itself."""
    reason, early, _ = verdict["reason"].partition(NO_VERDICT)
    return str(reason) if early else _reason(verdict, limit)


def _reason(verdict: Mapping[str, Any], limit: str) -> str:
    highest, slope = verdict["highest_bytes"], verdict["slope_bytes_per_s"]
    if highest > verdict["limit_bytes"]:
        return f"use was {size_text(highest)}, over {limit}"
    speed = f"{size_text(slope)}/s"
    if "slope_low" in verdict:
        low, high = size_text(verdict["slope_low"]), size_text(verdict["slope_high"])
        speed = speed if low == high else f"{speed} ({low}/s to {high}/s)"
    if verdict["steady"]:
        flat = "without a trend" if slope <= 0 or "without a trend" in verdict["reason"] else "and hardly rises"
        return f"use stayed under {size_text(highest)} for {span_text(verdict['covered_s'])} {flat}: {speed}"
    left_s = max(verdict["limit_bytes"] - verdict["current_bytes"], 0) / slope if slope > 0 else 0.0
    return f"use rises by {speed}, and would reach {limit} in {span_text(left_s)}"
