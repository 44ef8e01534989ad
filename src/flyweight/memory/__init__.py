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
    "ConfigError",
    "Counters",
    "Evidence",
    "Holders",
    "Leak",
    "PhaseTotals",
    "Report",
    "Site",
    "SiteChange",
    "Snapshot",
    "SnapshotDiff",
    "StackSample",
    "TrackingError",
    "Verdict",
    "collapsed_stacks",
    "dashboard",
    "holders",
    "hot_paths",
    "is_active",
    "is_steady_state",
    "leaks",
    "load_snapshot",
    "pages",
    "phases",
    "read_page",
    "report",
    "sampled_stacks",
    "snapshot",
    "start",
    "stop",
    "track",
    "tracking",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.errors import ConfigError, TrackingError
    from flyweight.memory.dashboard import dashboard
    from flyweight.memory.growth import Evidence
    from flyweight.memory.holders import Holders, holders
    from flyweight.memory.leaks import Leak, leaks
    from flyweight.memory.page import pages, read_page
    from flyweight.memory.phases import PhaseTotals, phases, track
    from flyweight.memory.report import Counters, Report, report
    from flyweight.memory.session import is_active, start, stop, tracking
    from flyweight.memory.sites import Site, hot_paths
    from flyweight.memory.snapshot import SiteChange, Snapshot, SnapshotDiff, load_snapshot, snapshot
    from flyweight.memory.stacks import StackSample, collapsed_stacks, sampled_stacks
    from flyweight.memory.steady import Verdict, is_steady_state

_HOMES = {
    "ConfigError": "flyweight.errors",
    "Counters": "flyweight.memory.report",
    "Evidence": "flyweight.memory.growth",
    "Holders": "flyweight.memory.holders",
    "Leak": "flyweight.memory.leaks",
    "PhaseTotals": "flyweight.memory.phases",
    "Report": "flyweight.memory.report",
    "Site": "flyweight.memory.sites",
    "SiteChange": "flyweight.memory.snapshot",
    "Snapshot": "flyweight.memory.snapshot",
    "SnapshotDiff": "flyweight.memory.snapshot",
    "StackSample": "flyweight.memory.stacks",
    "TrackingError": "flyweight.errors",
    "Verdict": "flyweight.memory.steady",
    "collapsed_stacks": "flyweight.memory.stacks",
    "dashboard": "flyweight.memory.dashboard",
    "holders": "flyweight.memory.holders",
    "hot_paths": "flyweight.memory.sites",
    "is_active": "flyweight.memory.session",
    "is_steady_state": "flyweight.memory.steady",
    "leaks": "flyweight.memory.leaks",
    "load_snapshot": "flyweight.memory.snapshot",
    "pages": "flyweight.memory.page",
    "phases": "flyweight.memory.phases",
    "read_page": "flyweight.memory.page",
    "report": "flyweight.memory.report",
    "sampled_stacks": "flyweight.memory.stacks",
    "snapshot": "flyweight.memory.snapshot",
    "start": "flyweight.memory.session",
    "stop": "flyweight.memory.session",
    "track": "flyweight.memory.phases",
    "tracking": "flyweight.memory.session",
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
