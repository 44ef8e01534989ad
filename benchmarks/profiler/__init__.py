"""What a memory profiler costs: ours beside its peers, on the same workloads in the same run.

Lean on purpose: the measured child processes import this package, and what they held would be measured too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.figures import Report
    from benchmarks.settings import Settings


def run(settings: Settings) -> Report:
    from benchmarks.profiler.comparison import compare

    return compare(settings)
