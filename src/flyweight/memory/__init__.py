"""A memory profiler that knows every block: where it was allocated, how large it is and since when.

>>> from flyweight import memory
>>> memory.start()  # doctest: +SKIP
>>> with memory.track("load") as phase:  # doctest: +SKIP
...     table = load()
>>> print(phase.net_bytes, memory.report(), *memory.hot_paths(3), sep="\\n")  # doctest: +SKIP
>>> memory.stop()  # doctest: +SKIP

Works on any Python program and needs nothing of the search half. The names below are loaded when first used.
"""

from __future__ import annotations

import sys

__all__ = [
    "Attribution",
    "AttributionRow",
    "Budget",
    "BudgetExceeded",
    "BudgetWarning",
    "ComponentTotals",
    "ConfigError",
    "Counters",
    "Crossing",
    "Evidence",
    "Holders",
    "Leak",
    "Phase",
    "PhaseTable",
    "PhaseTotals",
    "QueryMemory",
    "Report",
    "Site",
    "SiteChange",
    "Snapshot",
    "SnapshotDiff",
    "StackSample",
    "Timeline",
    "TrackingError",
    "Verdict",
    "attribution",
    "budget",
    "capture",
    "collapsed_stacks",
    "component",
    "dashboard",
    "holders",
    "hot_paths",
    "is_active",
    "is_steady_state",
    "leaks",
    "load_snapshot",
    "openmetrics",
    "pages",
    "phase",
    "phase_table",
    "phases",
    "read_page",
    "report",
    "sampled_stacks",
    "save",
    "snapshot",
    "start",
    "stop",
    "timeline",
    "track",
    "tracking",
    "trim",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.errors import BudgetExceeded, BudgetWarning, ConfigError, TrackingError
    from flyweight.memory.attribution import Attribution, AttributionRow, ComponentTotals, attribution
    from flyweight.memory.budget import Budget, Crossing, budget
    from flyweight.memory.capture import capture, save
    from flyweight.memory.components import component
    from flyweight.memory.dashboard import dashboard
    from flyweight.memory.growth import Evidence
    from flyweight.memory.holders import Holders, holders
    from flyweight.memory.leaks import Leak, leaks
    from flyweight.memory.openmetrics import openmetrics
    from flyweight.memory.page import pages, read_page
    from flyweight.memory.phase_table import Phase, PhaseTable, phase, phase_table
    from flyweight.memory.phases import PhaseTotals, phases, track
    from flyweight.memory.query_memory import QueryMemory
    from flyweight.memory.report import Counters, Report, report
    from flyweight.memory.rollup import trim
    from flyweight.memory.session import is_active, start, stop, tracking
    from flyweight.memory.sites import Site, hot_paths
    from flyweight.memory.snapshot import SiteChange, Snapshot, SnapshotDiff, load_snapshot, snapshot
    from flyweight.memory.stacks import StackSample, collapsed_stacks, sampled_stacks
    from flyweight.memory.steady import Verdict, is_steady_state
    from flyweight.memory.timeline import Timeline, timeline

_HOMES = {
    "Attribution": "flyweight.memory.attribution",
    "AttributionRow": "flyweight.memory.attribution",
    "ComponentTotals": "flyweight.memory.attribution",
    "attribution": "flyweight.memory.attribution",
    "Budget": "flyweight.memory.budget",
    "BudgetExceeded": "flyweight.errors",
    "BudgetWarning": "flyweight.errors",
    "ConfigError": "flyweight.errors",
    "Counters": "flyweight.memory.report",
    "Crossing": "flyweight.memory.budget",
    "Evidence": "flyweight.memory.growth",
    "Holders": "flyweight.memory.holders",
    "Leak": "flyweight.memory.leaks",
    "Phase": "flyweight.memory.phase_table",
    "PhaseTable": "flyweight.memory.phase_table",
    "PhaseTotals": "flyweight.memory.phases",
    "QueryMemory": "flyweight.memory.query_memory",
    "Report": "flyweight.memory.report",
    "Site": "flyweight.memory.sites",
    "SiteChange": "flyweight.memory.snapshot",
    "Snapshot": "flyweight.memory.snapshot",
    "SnapshotDiff": "flyweight.memory.snapshot",
    "StackSample": "flyweight.memory.stacks",
    "Timeline": "flyweight.memory.timeline",
    "TrackingError": "flyweight.errors",
    "Verdict": "flyweight.memory.steady",
    "budget": "flyweight.memory.budget",
    "capture": "flyweight.memory.capture",
    "collapsed_stacks": "flyweight.memory.stacks",
    "component": "flyweight.memory.components",
    "dashboard": "flyweight.memory.dashboard",
    "holders": "flyweight.memory.holders",
    "hot_paths": "flyweight.memory.sites",
    "is_active": "flyweight.memory.session",
    "is_steady_state": "flyweight.memory.steady",
    "leaks": "flyweight.memory.leaks",
    "load_snapshot": "flyweight.memory.snapshot",
    "openmetrics": "flyweight.memory.openmetrics",
    "pages": "flyweight.memory.page",
    "phase": "flyweight.memory.phase_table",
    "phase_table": "flyweight.memory.phase_table",
    "phases": "flyweight.memory.phases",
    "read_page": "flyweight.memory.page",
    "report": "flyweight.memory.report",
    "sampled_stacks": "flyweight.memory.stacks",
    "save": "flyweight.memory.capture",
    "snapshot": "flyweight.memory.snapshot",
    "start": "flyweight.memory.session",
    "stop": "flyweight.memory.session",
    "timeline": "flyweight.memory.timeline",
    "track": "flyweight.memory.phases",
    "tracking": "flyweight.memory.session",
    "trim": "flyweight.memory.rollup",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flyweight.memory' has no attribute {name!r}")
    module = __import__(home, fromlist=[name])
    value: object = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Package(type(sys)):  # type: ignore[misc]
    """Importing a submodule binds its name here; where a function has that name (`report`), the function stays."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, type(sys)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
