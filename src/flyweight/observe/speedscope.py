"""A capture for https://www.speedscope.app: one sampled profile for each measure, in its documented file format."""

from __future__ import annotations

import json

from flyweight import __version__
from flyweight.observe.call_chains import MEASURES, call_chains
from flyweight.observe.document import Document

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_TITLES = ("live bytes", "live blocks", "bytes allocated", "allocations", "bytes at the peak")


def speedscope(document: Document) -> str:
    """The file's JSON. Chains that a measure knows nothing of are left out of its profile."""
    frames, chains = call_chains(document)
    profiles = []
    for measure, (title, (_, unit, _, _)) in enumerate(zip(_TITLES, MEASURES, strict=True)):
        seen = [chain for chain in chains if chain.values[measure] > 0]
        weights = [chain.values[measure] for chain in seen]
        profiles.append(
            {
                "type": "sampled",
                "name": title,
                "unit": "bytes" if unit == "bytes" else "none",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": [list(chain.frames) for chain in seen],
                "weights": weights,
            }
        )
    content = {
        "$schema": SCHEMA,
        "exporter": f"flyweight@{__version__}",
        "name": " ".join(document["program"]["arguments"]) or "python",
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(*frame) for frame in frames]},
        "profiles": profiles,
    }
    return json.dumps(content, separators=(",", ":"))


def _frame(file: str, line: int, function: str) -> dict[str, object]:
    named: dict[str, object] = {"name": function or file or "?"}
    if file:
        named["file"] = file
    if line > 0:
        named["line"] = line
    return named
