"""A capture with every part filled, small and always the same, for tests of what reads captures."""

from __future__ import annotations

from typing import Any, cast

from flyweight.observe.document import Document, checked

KB, MB = 1_000, 1_000_000
COMPONENTS = ("python", "numpy", "program", "engine", "profiler")
_DIRECTORIES = {
    "python": "/usr/lib/python3.11/json",
    "numpy": "/usr/lib/python3.11/site-packages/numpy/core",
    "program": "/srv/shop",
    "engine": "/usr/lib/python3.11/site-packages/flyweight",
    "profiler": "/usr/lib/python3.11/site-packages/flyweight/memory",
}
_DOMAINS = ("python", "native", "mapped")


def made_capture(sites: int = 40, **parts: object) -> Document:
    """The capture of a program with so many sites; `parts` stand in place of the made ones."""
    places = [_site(number) for number in range(sites)]
    document: dict[str, Any] = {
        "format": "flyweight-memory-capture",
        "version": 1,
        "program": {
            "arguments": ["/srv/shop/app.py", "--port", "8080"],
            "python": "3.11.7",
            "pid": 4242,
            "taken_unix_s": 1_790_000_127.75,
            "elapsed_s": 60.0,
        },
        "report": _report(places),
        "attribution": _attribution(),
        "phases": [
            _phase(number, name) for number, name in enumerate(("Initial", "After Init", "After Queries", "Final"))
        ],
        "tracked": [_tracked("load", 3), _tracked("parse", 40)],
        "timeline": _timeline(),
        "sites": places,
        "stacks": [
            stack
            for number, site in enumerate(places)
            for stack in (_stack(number, site, [0, 1, 3 + number]), _stack(number, site, [0, 2, 3 + number]))
        ],
        "frames": [
            ["/srv/shop/app.py", 90, "main"],
            ["/srv/shop/app.py", 40, "serve"],
            ["/srv/shop/jobs.py", 12, "nightly"],
            *([site["file"], site["line"], site["function"]] for site in places),
        ],
        "leaks": [_leak("growing", places[0]), _leak("steady", places[1])] if sites > 1 else [],
        "steady": {
            "steady": False,
            "reason": "use rises by 40,000.0 bytes/s and would reach the limit in 812 s",
            "limit_bytes": 100 * MB,
            "window_s": 30.0,
            "covered_s": 30.0,
            "current_bytes": 20 * MB,
            "highest_bytes": 22 * MB,
            "slope_bytes_per_s": 40_000.0,
            "confidence": 0.99,
        },
        "budgets": [
            {
                "component": None,
                "limit_bytes": 40 * MB,
                "used_bytes": 20 * MB,
                "highest_bytes": 22 * MB,
                "exceeded": 0,
                "over": False,
                "active": True,
                "on_exceed": "warn",
            }
        ],
        "queries": [_query("where are retries handled", False), _query("where are retries handled", True)],
    }
    return checked(cast("Document", {**document, **parts}))


def counters(current_bytes: int, count: int) -> dict[str, int]:
    return {
        "current_bytes": current_bytes,
        "peak_bytes": current_bytes * 2,
        "allocated_bytes": current_bytes * 3,
        "freed_bytes": current_bytes * 2,
        "allocation_count": count * 3,
        "deallocation_count": count * 2,
        "live_count": count,
    }


def _report(sites: list[dict[str, Any]]) -> dict[str, object]:
    live = sum(site["live_bytes"] for site in sites)
    return {
        **counters(live, sum(site["live_count"] for site in sites)),
        "python": counters(live // 2, 100),
        "native": counters(live // 4, 10),
        "mapped": counters(live // 4, 1),
        "own_memory": {"site_table": 300 * KB, "shadow": 700 * KB},
        "own_bytes": 1_000 * KB,
        "recording": True,
        "mode": "exact",
        "estimated": False,
        "tracks_native": True,
        "stacks": "sampled",
        "sample_interval_bytes": 524_288,
        "started_unix_s": 1_790_000_067.75,
        "elapsed_s": 60.0,
        "degraded": None,
        "degraded_at_s": None,
        "untracked_frees": 17,
        "lost_frees": 0,
        "memory_limit": None,
        "limit_hits": 0,
        "displaced": [],
        "page_fault": "",
        "patched_libraries": 12,
        "site_count": len(sites),
    }


def _attribution() -> dict[str, object]:
    rows = [
        _row("python heap", "python", 16 * MB, 15 * MB),
        _row("library", "python", 4 * MB, 1 * MB),
        _row("python heap", "numpy", 9 * MB, 9 * MB),
        _row("library", "numpy", 6 * MB, 2 * MB),
        _row("mapped memory", "numpy", 2 * MB, 2 * MB),
        _row("python heap", "program", 5 * MB, 5 * MB),
        _row("python heap", "engine", 3 * MB, 3 * MB),
        _row("profiler", "profiler", 1 * MB, 1 * MB),
    ]
    sums = {
        name: sum(row[name] for row in rows)
        for name in ("rss_bytes", "private_bytes", "shared_bytes", "dirty_bytes", "pss_bytes")
    }
    return {
        "rows": rows,
        **sums,
        "swap_bytes": 0,
        "rollup": sums,
        "named_share": 0.9987,
        "tracked": True,
        "elapsed_ms": 6.5,
    }


def _row(kind: str, component: str, rss_bytes: int, private_bytes: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": f"lib{component}.so" if kind == "library" else component,
        "component": component,
        "rss_bytes": rss_bytes,
        "private_bytes": private_bytes,
        "shared_bytes": rss_bytes - private_bytes,
        "dirty_bytes": private_bytes // 2,
        "pss_bytes": (rss_bytes + private_bytes) // 2,
        "live_bytes": private_bytes if kind == "python heap" else 0,
        "live_count": 100 if kind == "python heap" else 0,
        "detail": f"/usr/lib/lib{component}.so" if kind == "library" else "",
    }


def _phase(number: int, name: str) -> dict[str, object]:
    rss_bytes = (10 + 12 * number) * MB
    return {
        "name": name,
        "at_s": 1.0 + 19.0 * number,
        "elapsed_s": 1.0 if number == 0 else 19.0,
        "rss_bytes": rss_bytes,
        "private_bytes": rss_bytes // 2,
        "pss_bytes": rss_bytes * 3 // 4,
        "python_bytes": rss_bytes // 4,
        "native_bytes": rss_bytes // 8,
        "mapped_bytes": 0,
        "components": {name: rss_bytes // len(COMPONENTS) for name in COMPONENTS},
        "rss_delta_bytes": 12 * MB if number else 0,
        "private_delta_bytes": 6 * MB if number else 0,
        "peak_rss_bytes": rss_bytes + MB,
        "peak_tracked_bytes": rss_bytes // 3,
        "builder_peak_bytes": 0,
        "store_private_bytes": 0,
    }


def _tracked(name: str, count: int) -> dict[str, object]:
    return {
        "name": name,
        "count": count,
        "elapsed_ms": 12.5 * count,
        "max_elapsed_ms": 20.0,
        "allocated_bytes": count * 100 * KB,
        "freed_bytes": count * 90 * KB,
        "net_bytes": count * 10 * KB,
        "allocation_count": count * 1000,
        "deallocation_count": count * 900,
        "max_net_bytes": 12 * KB,
        "max_peak_net_bytes": 80 * KB,
    }


def _timeline() -> dict[str, object]:
    ticks = range(1, 61)
    components = {
        name: [place * 40 * KB * (number + 1) for place in ticks] for number, name in enumerate(COMPONENTS[:4])
    }
    last = [sum(values) for values in zip(*components.values(), strict=True)]
    return {
        "end_s": [float(place) for place in ticks],
        "rss_bytes": [20 * MB + value for value in last],
        "lowest_bytes": [value - 10 * KB for value in last],
        "highest_bytes": [value + 10 * KB for value in last],
        "last_bytes": last,
        "components": components,
    }


def _site(number: int) -> dict[str, Any]:
    component = COMPONENTS[number % len(COMPONENTS)]
    live_bytes = 1_000_003 // (number + 1)
    return {
        "file": f"{_DIRECTORIES[component]}/part_{number % 7}.py",
        "line": 10 + number,
        "function": f"handle_{number}",
        "domain": _DOMAINS[number % len(_DOMAINS)],
        "component": component,
        "library": "",
        "live_bytes": live_bytes,
        "live_count": 1 + number,
        "peak_bytes": live_bytes * 2,
        "at_peak_bytes": live_bytes + 11,
        "total_bytes": live_bytes * 3 + number,
        "total_count": 5 + 3 * (number % 11),
        "largest_bytes": 4096,
        "average_bytes": 100.0,
        "rate": 1.5,
        "first_seen_s": 0.25,
    }


def _stack(number: int, site: dict[str, Any], frames: list[int]) -> dict[str, object]:
    return {
        "frames": frames,
        "domain": site["domain"],
        "site": number,
        "live_bytes": site["live_bytes"] // 3,
        "live_count": 1,
        "total_bytes": site["total_bytes"] // 3,
        "total_count": 1,
        "peak_live_bytes": site["at_peak_bytes"] // 3,
        "live_bytes_error": 10,
        "total_bytes_error": 10,
    }


def _leak(verdict: str, site: dict[str, Any]) -> dict[str, object]:
    return {
        "file": site["file"],
        "line": site["line"],
        "function": site["function"],
        "domain": site["domain"],
        "site": 0,
        "bytes": site["live_bytes"],
        "count": site["live_count"],
        "oldest_s": 55.0,
        "youngest_s": 1.5,
        "largest_bytes": 4096,
        "evidence": {
            "verdict": verdict,
            "confidence": 0.9991,
            "grows_by": "blocks",
            "growth_blocks_per_s": 12.5,
            "growth_bytes_per_s": 40_000.0,
            "reason": "the trough rose in 7 of 7 steps of 8 s, by 1,204 blocks, and did not come back",
            "survivors": [20, 21, 19, 22, 20, 23],
            "trough_counts": [100, 200, 300, 400, 500, 600],
            "trough_bytes": [10_000, 20_000, 30_000, 40_000, 50_000, 60_000],
            "window_s": 8.0,
        },
        "holders": {
            "count": 4300,
            "bytes": 34_000,
            "types": [{"name": "function", "count": 600, "bytes": 38_400}],
            "unknown_count": 2,
            "unknown_bytes": 96,
            "complete": True,
            "chains": [{"root": "module shop.app", "links": ["listeners: list of 3000", "[179]: function subscribe"]}],
        },
    }


def _query(text: str, cached: bool) -> dict[str, object]:
    return {
        "query": text,
        "hits": 10,
        "elapsed_ms": 0.02 if cached else 3.2,
        "cached": cached,
        "allocated_bytes": 91_000,
        "retained_bytes": 0 if cached else 2_880,
        "peak_bytes": 91_000,
        "private_delta_bytes": 0,
        "rss_delta_bytes": 65_536,
    }
