"""A capture in few bytes: texts once, sites and call chains by column, the chains as one tree."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from flyweight.memory.components import PYTHON, component_of
from flyweight.memory.report_text import notes
from flyweight.observe.call_chains import LIVE_BYTES, PEAK_BYTES, TOTAL_BYTES, TOTAL_COUNT, CallChain, call_chains
from flyweight.observe.document import Document, Frame, Leak, Site
from flyweight.observe.sections import is_place, verdict_text

if TYPE_CHECKING:
    from flyweight.memory.report import Report

# The page stays fluid and below 3 MB up to here; the smallest call chains beyond it are summed in one.
MAX_NODES = 50_000
MAX_CHAINS = 20_000
# In a program that has just begun to grow, thousands of sites may; each would have its charts.
MAX_LEAKS = 200
# What the page can measure call chains by, and where a chain has it.
_MEASURES = {"live_bytes": LIVE_BYTES, "peak_bytes": PEAK_BYTES, "total_bytes": TOTAL_BYTES, "total_count": TOTAL_COUNT}
_SMALLER: Frame = ("", 0, "(smaller call chains)")
_NOT_SAMPLED: Frame = ("", 0, "(callers not sampled)")
_IMPORTS: Frame = ("", 0, "(imports)")
# The function of what a module keeps from being imported: many small sites, most of which no sample hits.
_IMPORT = "<import>"
_PACKED = ("sites", "stacks", "frames")
# The standard library of any interpreter: a capture may come from another machine.
_STANDARD = re.compile(r"/lib(?:64)?/python\d[^/]*/(?!(?:site|dist)-packages/)")


class _Texts:
    """Each text once, by number."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        return list(self._numbers)


def pack(document: Document) -> dict[str, object]:
    """The capture as the page's program reads it: `sites`, `frames`, `nodes` and `chains` by column, with the numbers
    of `texts` where text stood; `notes`: what qualifies the figures, a sentence each; the first MAX_LEAKS of `leaks`,
    and `leak_totals` of all; `verdict`: the one on a steady state, in a sentence; every other part as it was. Numbers
    that JSON cannot hold become null."""
    texts = _Texts()
    packed: dict[str, object] = {name: _plain(value) for name, value in document.items() if name not in _PACKED}
    # The figures are the report's own, under the same names.
    leaks = document["leaks"] or []
    if len(leaks) > MAX_LEAKS:
        packed["leaks"] = _plain(leaks[:MAX_LEAKS])
    packed["leak_totals"] = _leak_totals(leaks)
    packed["notes"] = notes(cast("Report", SimpleNamespace(**document["report"])))
    packed["verdict"] = verdict_text(document)
    packed["sites"] = _columns([_with_known_peak(site) for site in document["sites"]], texts)
    packed.update(_call_tree(document, texts))
    packed["texts"] = texts.all()
    return packed


def _leak_totals(leaks: Sequence[Leak]) -> dict[str, float]:
    growing = [leak for leak in leaks if leak["evidence"]["verdict"] == "growing"]
    return {
        "count": len(leaks),
        "growing": len(growing),
        "bytes": sum(leak["bytes"] for leak in leaks),
        "growth_bytes_per_s": round(sum(leak["evidence"]["growth_bytes_per_s"] for leak in growing), 3),
    }


def _with_known_peak(site: Site) -> Mapping[str, object]:
    """Peaks of many sites, at different times, have no sum."""
    return site if is_place(site) else {**site, "peak_bytes": None}


def _columns(rows: Sequence[Mapping[str, object]], texts: _Texts) -> dict[str, object]:
    """Rows as one list for each name they have; `text` says which of them are numbers of texts."""
    columns: dict[str, list[object]] = {}
    in_texts = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            in_texts.append(name)
            columns[name] = [texts.number("" if value is None else str(value)) for value in values]
        else:
            columns[name] = [_plain(value) for value in values]
    return {"rows": len(rows), "text": in_texts, "columns": columns}


def _call_tree(document: Document, texts: _Texts) -> dict[str, object]:
    """All call chains as one tree of frames, each node after its parent, and the chains by the node they end in."""
    frames, chains = call_chains(document)
    outermost = {stack["frames"][0] for stack in document["stacks"] if len(stack["frames"]) == 1}
    tree = _Tree()
    columns: dict[str, list[int]] = {name: [] for name in ("node", "domain", *_MEASURES)}
    smaller: dict[str, list[int]] = {}

    def add(node: int, domain: str, values: Sequence[int]) -> None:
        columns["node"].append(node)
        columns["domain"].append(texts.number(domain))
        for name, place in _MEASURES.items():
            columns[name].append(values[place])

    left_out = 0
    for chain in _by_weight(chains):
        if len(tree.parents) + len(chain.frames) >= MAX_NODES or len(columns["node"]) >= MAX_CHAINS:
            left_out += 1
            sums = smaller.setdefault(chain.domain, [0] * len(chain.values))
            sums[:] = map(int.__add__, sums, chain.values)
            continue
        # A line of its own is one that no sample hit, unless a sample had no more frames.
        is_sampled = len(chain.frames) > 1 or chain.frames[0] in outermost
        shown = [frames[number] for number in chain.frames]
        if not is_sampled:
            shown.insert(0, _IMPORTS if shown[0][2] == _IMPORT else _NOT_SAMPLED)
        add(tree.node(shown), chain.domain, chain.values)
    for domain, sums in smaller.items():
        add(tree.node([_SMALLER]), domain, sums)
    of_sites = {site["file"]: site["component"] for site in document["sites"] if site["component"]}
    components = {file: _component_of(file, of_sites) for file in {file for file, _, _ in tree.frames}}
    return {
        "frames": {
            "file": [texts.number(file) for file, _, _ in tree.frames],
            "line": [line for _, line, _ in tree.frames],
            "function": [texts.number(function) for _, _, function in tree.frames],
            "component": [texts.number(components[file]) for file, _, _ in tree.frames],
        },
        "nodes": {"parent": tree.parents, "frame": tree.frame_numbers},
        "chains": {"left_out": left_out, **columns},
    }


class _Tree:
    """Call chains merged from their outermost frame on; node 0 is above them all and has no frame."""

    __slots__ = ("_children", "frame_numbers", "frames", "parents")

    def __init__(self) -> None:
        self.parents = [-1]
        self.frame_numbers = [-1]
        self.frames: dict[Frame, int] = {}
        self._children: dict[tuple[int, int], int] = {}

    def node(self, chain: Sequence[Frame]) -> int:
        """The node at the end of a chain."""
        node = 0
        for frame in chain:
            number = self.frames.setdefault(frame, len(self.frames))
            child = self._children.get((node, number))
            if child is None:
                child = self._children[node, number] = len(self.parents)
                self.parents.append(node)
                self.frame_numbers.append(number)
            node = child
        return node


def _by_weight(chains: Sequence[CallChain]) -> list[CallChain]:
    """Those that have anything, first those that matter most by any measure."""
    totals = [sum(values) or 1 for values in zip(*(chain.values for chain in chains), strict=True)]
    weights = [max(map(float.__truediv__, map(float, chain.values), map(float, totals))) for chain in chains]
    order = sorted(range(len(chains)), key=lambda place: -weights[place])
    return [chains[place] for place in order if weights[place] > 0]


def _component_of(file: str, of_sites: Mapping[str, str]) -> str:
    """Whose code a frame is, by the sites of its file or by where it lies.

    >>> _component_of("/usr/lib/python3.11/json/decoder.py", {}), _component_of("/v/site-packages/numpy/core.py", {})
    ('python', 'numpy')
    """
    if not file:
        return ""
    if file in of_sites:
        return of_sites[file]
    return PYTHON if _STANDARD.search(file) else component_of(file)


def _plain(value: object) -> object:
    """The same without what JSON has no word for; floats as far as a reader sees, sizes are whole and stay exact."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return round(value, 3) if abs(value) >= 1000 else float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (str, int)) else str(value)
