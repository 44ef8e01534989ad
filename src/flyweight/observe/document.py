"""The capture document: read from a file, checked against the shapes below, and typed for who makes something of it.

`flyweight.memory.capture` writes it. The classes are the specification; a key may be added without a new version.
"""

from __future__ import annotations

import json
import os
import types
from typing import Any, TypedDict, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from flyweight.errors import PathError
from flyweight.memory.capture_parts import FORMAT, VERSION

Frame = tuple[str, int, str]
_MOST_SHOWN = 60
_WRITE_ONE = "write one with 'flyweight run --output capture.json' or flyweight.memory.save('capture.json')"


class Program(TypedDict):
    arguments: list[str]
    python: str
    pid: int
    taken_unix_s: float
    elapsed_s: float


class Counters(TypedDict):
    current_bytes: int
    peak_bytes: int
    allocated_bytes: int
    freed_bytes: int
    allocation_count: int
    deallocation_count: int
    live_count: int


class Report(Counters):
    python: Counters
    native: Counters
    mapped: Counters
    own_memory: dict[str, int]
    own_bytes: int
    recording: bool
    mode: str
    estimated: bool
    tracks_native: bool
    stacks: str
    sample_interval_bytes: int
    started_unix_s: float
    elapsed_s: float
    degraded: str | None
    degraded_at_s: float | None
    untracked_frees: int
    lost_frees: int
    memory_limit: int | None
    limit_hits: int
    displaced: list[str]
    page_fault: str


class AttributionRow(TypedDict):
    kind: str
    name: str
    component: str
    rss_bytes: int
    private_bytes: int
    shared_bytes: int
    dirty_bytes: int
    pss_bytes: int
    live_bytes: int
    live_count: int
    detail: str


class Attribution(TypedDict):
    rows: list[AttributionRow]
    rss_bytes: int
    private_bytes: int
    shared_bytes: int
    dirty_bytes: int
    pss_bytes: int
    swap_bytes: int
    rollup: dict[str, int]
    named_share: float
    tracked: bool
    elapsed_ms: float


class Phase(TypedDict):
    name: str
    at_s: float
    elapsed_s: float
    rss_bytes: int
    private_bytes: int
    pss_bytes: int
    python_bytes: int
    native_bytes: int
    mapped_bytes: int
    components: dict[str, int]
    rss_delta_bytes: int
    private_delta_bytes: int
    peak_rss_bytes: int
    peak_tracked_bytes: int
    builder_peak_bytes: int
    store_private_bytes: int


class TrackedPhase(TypedDict):
    name: str
    count: int
    elapsed_ms: float
    allocated_bytes: int
    freed_bytes: int
    net_bytes: int
    max_peak_net_bytes: int


class Timeline(TypedDict):
    end_s: list[float]
    rss_bytes: list[int]
    lowest_bytes: list[int]
    highest_bytes: list[int]
    last_bytes: list[int]
    components: dict[str, list[int]]


class Site(TypedDict):
    file: str
    line: int
    function: str
    domain: str
    component: str
    live_bytes: int
    live_count: int
    peak_bytes: int
    at_peak_bytes: int
    total_bytes: int
    total_count: int
    largest_bytes: int
    average_bytes: float
    rate: float
    first_seen_s: float


class Stack(TypedDict):
    frames: list[int]  # numbers into "frames", outermost first
    domain: str
    site: int  # number into "sites"; -1: many
    live_bytes: int
    live_count: int
    total_bytes: int
    total_count: int
    peak_live_bytes: int
    live_bytes_error: int
    total_bytes_error: int


class Evidence(TypedDict):
    verdict: str
    confidence: float
    growth_blocks_per_s: float
    growth_bytes_per_s: float
    reason: str
    survivors: list[int]
    trough_bytes: list[int]
    trough_counts: list[int]
    window_s: float


class HeldType(TypedDict):
    name: str
    count: int
    bytes: int


class Chain(TypedDict):
    root: str
    links: list[str]


class Holders(TypedDict):
    count: int
    bytes: int
    types: list[HeldType]
    unknown_count: int
    unknown_bytes: int
    chains: list[Chain]
    complete: bool


class Leak(TypedDict):
    file: str
    line: int
    function: str
    domain: str
    site: int
    bytes: int
    count: int
    oldest_s: float
    youngest_s: float
    largest_bytes: int
    evidence: Evidence
    holders: Holders | None


class Verdict(TypedDict):
    steady: bool
    reason: str
    limit_bytes: int
    window_s: float
    covered_s: float
    current_bytes: int
    highest_bytes: int
    slope_bytes_per_s: float
    confidence: float


class Budget(TypedDict):
    component: str | None  # None: the whole process
    limit_bytes: int
    used_bytes: int
    highest_bytes: int
    exceeded: int
    over: bool
    active: bool
    on_exceed: str


class Query(TypedDict):
    query: str
    hits: int
    elapsed_ms: float
    cached: bool
    allocated_bytes: int
    retained_bytes: int
    peak_bytes: int
    private_delta_bytes: int
    rss_delta_bytes: int


class Document(TypedDict):
    format: str
    version: int
    program: Program
    report: Report
    attribution: Attribution | None
    phases: list[Phase]
    tracked: list[TrackedPhase]
    timeline: Timeline | None
    sites: list[Site]
    stacks: list[Stack]
    frames: list[Frame]
    leaks: list[Leak] | None
    steady: Verdict | None
    budgets: list[Budget]
    queries: list[Query]


def read(path: str | os.PathLike[str]) -> Document:
    """The capture in a file. Raises PathError when it cannot be read, is cut short, is none, or is newer than this."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read())
    except OSError as error:
        raise PathError(f"the capture {name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise PathError(f"{name} is no capture, or was cut short: {error}; {_WRITE_ONE}") from None
    return checked(content, name)


def checked(content: object, name: str = "the capture") -> Document:
    """The content of a capture, once it has the shape that this build reads; raises PathError when it has not."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        what = _short(content.get("format") or sorted(content)[:4]) if isinstance(content, dict) else _short(content)
        raise PathError(f"{name} is no capture ({what} instead of the format {FORMAT!r}): {_WRITE_ONE}")
    version = content.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        way_out = "read it with the flyweight that wrote it, or a newer one" if newer else "capture again"
        raise PathError(f"{name} is a capture of version {_short(version)}, this build reads {VERSION}: {way_out}")
    fault = _fault(content, Document, "") or _fault_of_numbers(cast("Document", content))
    if fault:
        raise PathError(f"{name} is a damaged capture: {fault}; capture again")
    return cast("Document", content)


def _fault(value: Any, kind: Any, where: str) -> str:
    """What is wrong with a value of that kind; empty when nothing is."""
    if is_typeddict(kind):
        return _fault_of_members(value, kind, where)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return "" if value is None else _fault(value, parts[0], where)
    if kind is float:
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif kind is int:
        right = type(value) is int
    elif kind == Frame:
        right = isinstance(value, list) and list(map(type, value)) == [str, int, str]
    elif kind is Any:
        right = True
    else:
        right = isinstance(value, origin or kind)
    if not right:
        return f"{where or 'it'} is {_short(value)}"
    if origin is dict:
        return next(filter(None, (_fault(inner, parts[1], f"{where}.{key}") for key, inner in value.items())), "")
    if origin is list and not (parts[0] in (int, str) and set(map(type, value)) <= {parts[0]}):
        return next(filter(None, (_fault(inner, parts[0], f"{where}[{n}]") for n, inner in enumerate(value))), "")
    return ""


_MEMBERS: dict[Any, dict[str, Any]] = {}


def _fault_of_members(value: Any, kind: Any, where: str) -> str:
    if not isinstance(value, dict):
        return f"{where or 'it'} is {_short(value)}"
    if kind not in _MEMBERS:
        _MEMBERS[kind] = get_type_hints(kind)
    for key, inner in _MEMBERS[kind].items():
        if key not in value:
            return f"{where}.{key} is missing".lstrip(".")
        fault = _fault(value[key], inner, f"{where}.{key}".lstrip("."))
        if fault:
            return fault
    return ""


def _fault_of_numbers(document: Document) -> str:
    """What refers to what is not there."""
    frames, sites = len(document["frames"]), len(document["sites"])
    for place, stack in enumerate(document["stacks"]):
        if not all(0 <= number < frames for number in stack["frames"]):
            return f"stacks[{place}] has a frame that is not in frames"
        if not -1 <= stack["site"] < sites:
            return f"stacks[{place}] has a site that is not in sites"
    timeline = document["timeline"]
    if timeline is not None:
        columns = [timeline["rss_bytes"], timeline["lowest_bytes"], timeline["highest_bytes"], timeline["last_bytes"]]
        columns += timeline["components"].values()
        if any(len(column) != len(timeline["end_s"]) for column in columns):
            return "the columns of timeline differ in length"
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
