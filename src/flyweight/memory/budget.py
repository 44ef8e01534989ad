"""Budgets: soft limits on tracked memory, of the process or of a component, that say so when they are exceeded."""

from __future__ import annotations

import sys

from flyweight import _memory
from flyweight.errors import BudgetExceeded, BudgetWarning, ConfigError, TrackingError
from flyweight.memory.components import check_name
from flyweight.memory.packed import rows
from flyweight.memory.session import check_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from flyweight.memory.sites import Site

WARN, RAISE = "warn", "raise"
_NAMED_SITES = 3
_COLUMN = {name: column for column, name in enumerate(_memory.BUDGET_COLUMNS)}

_in_force: dict[int, Budget] = {}


class Budget:
    """A soft limit that is in force until cancel(), or to the end of a `with` block.

    component: whose memory, None for all of the process; limit_bytes. used_bytes: tracked bytes now; highest_bytes: the
    most at any comparison; exceeded: how often use went over the limit, counted again only after it has been under 95 %
    of it; over: whether it has not been since. After cancel() they stay what they were.
    """

    __slots__ = (
        "_exceeded",
        "_highest_bytes",
        "_number",
        "_over",
        "_used_bytes",
        "component",
        "limit_bytes",
        "on_exceed",
    )

    def __init__(
        self, number: int, limit_bytes: int, on_exceed: str | Callable[[Crossing], object], component: str | None
    ):
        self._number: int | None = number
        self.limit_bytes = limit_bytes
        self.component = component
        self.on_exceed = on_exceed
        self._used_bytes = self._highest_bytes = self._exceeded = 0
        self._over = False

    @property
    def used_bytes(self) -> int:
        self._look()
        return self._used_bytes

    @property
    def highest_bytes(self) -> int:
        self._look()
        return self._highest_bytes

    @property
    def exceeded(self) -> int:
        self._look()
        return self._exceeded

    @property
    def over(self) -> bool:
        self._look()
        return self._over

    @property
    def active(self) -> bool:
        """Whether it is in force: not cancelled."""
        return self._number is not None

    def cancel(self) -> None:
        """Takes the budget away. No error when it has been."""
        if self._number is None:
            return
        self._look()
        number, self._number = self._number, None
        _in_force.pop(number, None)
        _memory.remove_budget(number)

    def __enter__(self) -> Budget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # What happened since the last comparison; not on top of an error that is on its way already.
            if kind is None and self._number is not None and _memory.active():
                _memory.compare_budgets()
        finally:
            self.cancel()

    def to_dict(self) -> dict[str, object]:
        """All figures by name, fit for JSON; on_exceed is "warn", "raise" or "call"."""
        self._look()
        return {
            "component": self.component,
            "limit_bytes": self.limit_bytes,
            "used_bytes": self._used_bytes,
            "highest_bytes": self._highest_bytes,
            "exceeded": self._exceeded,
            "over": self._over,
            "active": self.active,
            "on_exceed": self.on_exceed if isinstance(self.on_exceed, str) else "call",
        }

    def __repr__(self) -> str:
        self._look()
        of = f" of {self.component}" if self.component else ""
        return (
            f"<Budget{of}: {self._used_bytes} of {self.limit_bytes} bytes, exceeded {self._exceeded} times"
            f"{'' if self.active else ', cancelled'}>"
        )

    def _look(self) -> None:
        if self._number is None:
            return
        for row in rows(_memory.budgets(), len(_COLUMN)):
            if row[_COLUMN["number"]] == self._number:
                self._used_bytes = row[_COLUMN["used_bytes"]]
                self._highest_bytes = row[_COLUMN["highest_bytes"]]
                self._exceeded = row[_COLUMN["times_exceeded"]]
                self._over = bool(row[_COLUMN["over"]])


class Crossing:
    """A budget was exceeded: what a callable given as `on_exceed` gets.

    budget; component, limit_bytes of it; used_bytes: use when it was noticed. As text it is a sentence that also names
    the sites that hold most.
    """

    __slots__ = ("budget", "component", "limit_bytes", "used_bytes")

    def __init__(self, budget: Budget, used_bytes: int) -> None:
        self.budget = budget
        self.component = budget.component
        self.limit_bytes = budget.limit_bytes
        self.used_bytes = used_bytes

    def largest_sites(self, top_n: int = _NAMED_SITES) -> list[Site]:
        """The sites of the budget's component, or of the process, that hold most now."""
        from flyweight.memory.session import status
        from flyweight.memory.sites import Site

        values = memoryview(_memory.sites()).cast("q")
        columns = _memory.SITE_COLUMNS
        width = len(columns)
        live = values[columns.index("live_bytes") :: width].tolist()
        numbers = values[columns.index("component") :: width].tolist()
        wanted = _memory.components().index(self.component) if self.component else None
        found = [row for row, size in enumerate(live) if size > 0 and wanted in (None, numbers[row])]
        found.sort(key=live.__getitem__, reverse=True)
        elapsed_s = status()["elapsed_ms"] / 1000
        return [Site(values[row * width : (row + 1) * width].tolist(), elapsed_s) for row in found[:top_n]]

    def __str__(self) -> str:
        from flyweight.memory.sites import where_text
        from flyweight.memory.units import place_text, size_text

        of = f" of {self.component}" if self.component else ""
        holders = ", ".join(
            f"{where_text(place_text(site.file), site.line, site.function)} ({size_text(site.live_bytes)})"
            for site in self.largest_sites()
        )
        return (
            f"tracked memory{of} reached {size_text(self.used_bytes)}, over the budget of "
            f"{size_text(self.limit_bytes)}{f'; most is held by {holders}' if holders else ''}"
        )

    def __repr__(self) -> str:
        return f"<Crossing: {self.used_bytes} of {self.limit_bytes} bytes, {self.component or 'process'}>"


def budget(bytes: int, on_exceed: str | Callable[[Crossing], object] = WARN, component: str | None = None) -> Budget:
    """Sets a soft limit on tracked memory: of the process, or of one `component`.

    Use is compared four times a second, once right away, and at the end of a `with` block; for the whole process peaks
    in between count as well. When it goes over `bytes`, and again only after it has been under 95 % of it:
    "warn" issues a BudgetWarning that names the largest sites; "raise" raises BudgetExceeded; a callable is called with
    a Crossing. That happens in the main thread, between two of its bytecodes: while it waits in C, it comes late. What
    the callable raises goes to sys.unraisablehook.

    >>> from flyweight import memory
    >>> with memory.tracking(), memory.budget(50_000_000, "raise"):  # doctest: +SKIP
    ...     load()

    Raises TrackingError unless memory is being recorded, BudgetExceeded when it is over already, ConfigError.
    """
    if isinstance(bytes, bool) or not isinstance(bytes, int) or not 0 < bytes < 1 << 62:
        raise ConfigError(f"a budget is a number of bytes from 1 on, not {bytes!r}")
    if on_exceed not in (WARN, RAISE) and not callable(on_exceed):
        raise ConfigError(f"on_exceed must be 'warn', 'raise' or something to call, not {on_exceed!r}")
    if component is not None:
        check_name(component)
    check_active()
    try:
        _memory.set_budget_callback(_crossed)
        number = _memory.add_budget(component or "", bytes)
    except RuntimeError as error:
        raise TrackingError(str(error)) from None
    except ValueError as error:
        raise ConfigError(f"{error}: cancel() those that are not needed any more") from None
    made = _in_force[number] = Budget(number, bytes, on_exceed, component)
    try:
        _memory.compare_budgets()
    except BudgetExceeded:
        made.cancel()
        raise
    return made


def budgets() -> list[Budget]:
    """The budgets in force, in the order in which they were set."""
    return list(_in_force.values())


def _crossed(number: int, used_bytes: int) -> BudgetExceeded | None:
    """The native side's news. An exception that is returned is raised where the main thread is."""
    found = _in_force.get(number)
    if found is None:
        return None
    crossing = Crossing(found, used_bytes)
    if found.on_exceed == RAISE:
        return BudgetExceeded(str(crossing), crossing.component, used_bytes, crossing.limit_bytes)
    if callable(found.on_exceed):
        found.on_exceed(crossing)
        return None
    import warnings

    # At the line the main thread is at, or that of the caller who has just set the budget.
    level, frame = 2, sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(str(crossing), BudgetWarning, stacklevel=level)
    return None
