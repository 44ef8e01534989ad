"""Captures that hypothesis draws: odd names, empty parts, stacks with and without samples."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from flyweight.observe.document import Document, checked
from tests.observe.made_capture import counters, made_capture

DOMAINS = ("python", "native", "mapped")
# Whatever a file system, eval() or a C library may call something, and what formats are made of.
NAMES = st.one_of(
    st.sampled_from(
        ["", "<module>", "a;b", "a b 7", "two\nlines", "tab\there", 'quo"te', "back\\slash", "pipe|`x`", "é\u2028"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
FILES = st.one_of(NAMES, st.sampled_from(["/srv/shop/app.py", "/usr/lib/libz.so.1", "<string>", "/odd;dir/na me.py"]))
_SIZES = st.one_of(st.just(0), st.integers(0, 5_000), st.integers(0, 1 << 50))


@st.composite
def captures(draw: st.DrawFn) -> Document:
    """Sites, stacks and frames at random; the other parts as in made_capture(), or empty."""
    frames = draw(st.lists(st.tuples(FILES, st.integers(0, 500), NAMES).map(list), max_size=6))
    sites = [draw(_site()) for _ in range(draw(st.integers(0, 4)))]
    stacks = [draw(_stack(len(frames), len(sites))) for _ in range(draw(st.integers(0, 6)))] if frames else []
    made: dict[str, Any] = dict(made_capture(2))
    if draw(st.booleans()):
        made.update(attribution=None, timeline=None, leaks=None, steady=None, phases=[], tracked=[], queries=[])
    else:
        made["leaks"] = []
    report = {
        **made["report"],
        **_counters(sites),
        **{domain: _counters([site for site in sites if site["domain"] == domain]) for domain in DOMAINS},
    }
    program = {**made["program"], "arguments": draw(st.lists(NAMES, max_size=3))}
    return checked({**made, "program": program, "report": report, "sites": sites, "stacks": stacks, "frames": frames})


def _counters(sites: list[dict[str, Any]]) -> dict[str, int]:
    found = counters(sum(site["live_bytes"] for site in sites), sum(site["live_count"] for site in sites))
    found["allocated_bytes"] = sum(site["total_bytes"] for site in sites)
    found["allocation_count"] = sum(site["total_count"] for site in sites)
    return found


@st.composite
def _site(draw: st.DrawFn) -> dict[str, Any]:
    live_bytes, live_count, gone_bytes, gone_count = (draw(_SIZES) for _ in range(4))
    return {
        "file": draw(FILES),
        "line": draw(st.integers(0, 500)),
        "function": draw(NAMES),
        "domain": draw(st.sampled_from(DOMAINS)),
        "component": draw(st.sampled_from(["", "program", "numpy", 'my "own"\n'])),
        "library": "",
        "live_bytes": live_bytes,
        "live_count": live_count,
        "peak_bytes": live_bytes,
        "at_peak_bytes": draw(_SIZES),
        "total_bytes": live_bytes + gone_bytes,
        "total_count": live_count + gone_count,
        "largest_bytes": 100,
        "average_bytes": 1.0,
        "rate": 0.5,
        "first_seen_s": 0.0,
    }


@st.composite
def _stack(draw: st.DrawFn, frames: int, sites: int) -> dict[str, Any]:
    return {
        "frames": draw(st.lists(st.integers(0, frames - 1), max_size=5)),
        "domain": draw(st.sampled_from(DOMAINS)),
        "site": draw(st.integers(-1, sites - 1)),
        **{
            name: draw(_SIZES) for name in ("live_bytes", "live_count", "total_bytes", "total_count", "peak_live_bytes")
        },
        "live_bytes_error": 0,
        "total_bytes_error": 0,
    }
