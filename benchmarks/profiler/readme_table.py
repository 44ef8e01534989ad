"""The profilers side by side for the README: ``python -m benchmarks.profiler.readme_table [profiler.json]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import RESULTS
from benchmarks.profiler import workloads
from benchmarks.profiler.measurement import geometric_mean, largest
from benchmarks.profiler.profilers import OURS, PEERS, PLAIN

_COLUMNS = (
    "× plain Python",
    "Python workloads",
    "all seven",
    "worst",
    "instructions",
    "% of live heap",
    "MB with little live",
)


def readme_table(detail: dict[str, Any]) -> str:
    """Markdown from the ``detail`` of a profiler report: ours in bold, then the peers; – where nothing was measured."""
    ratios, counts, memory = detail["ratios"], detail["instructions"], detail.get("memory", {})
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|---|{'---:|' * (len(_COLUMNS) - 1)}"]
    for who in (*OURS, *PEERS):
        row = [ratios[workload].get(who) for workload in ratios]
        micro = [ratios[workload].get(who) for workload in workloads.MICRO if workload in ratios]
        counted = [one[who] / one[PLAIN] if who in one and PLAIN in one else None for one in counts.values()]
        share, fixed = memory.get("share_percent", {}).get(who), memory.get("fixed_mb", {}).get(who)
        cells = [_text(value, 2) for value in (geometric_mean(micro), geometric_mean(row), largest(row))]
        cells += [_text(geometric_mean(counted), 3), _text(share, 0), _text(fixed, 1)]
        name = f"**flyweight, {who}**" if who in OURS else who
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS / "profiler.json"
    print(readme_table(json.loads(path.read_text(encoding="utf-8"))["detail"]), end="")
