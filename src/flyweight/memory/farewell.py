"""What is said when a program that `flyweight run` ran has ended."""

from __future__ import annotations

import os
import sys

from flyweight import _memory
from flyweight.errors import FlyweightError
from flyweight.memory import session
from flyweight.memory.dashboard import picture
from flyweight.memory.packed import rows
from flyweight.memory.sites import where_text
from flyweight.memory.units import place_text, size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from flyweight.memory.capture import Moment
    from flyweight.memory.run_settings import RunSettings

# Share of a run shorter than four minutes that blocks must have outlived to be called leaked.
_LEAK_AGE_SHARE = 0.25
_LEAK_AGE_S = 60.0


class Farewell:
    """What is said when the program has ended: the report, on standard error and in a file."""

    __slots__ = ("_output", "_pid", "_refused_at", "_settings")

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._refused_at = ""  # where the program ended for want of memory
        # Absolute, for the program may go to another directory.
        self._output = os.path.abspath(settings.output) if settings.output else ""

    def note(self, error: BaseException) -> None:
        """What has ended the program, when it was an error."""
        if isinstance(error, MemoryError):
            self._lift_limits()  # printing the traceback takes memory while the program still holds all of its own
            self._refused_at = _innermost_place(error.__traceback__)

    def __call__(self) -> None:
        if os.getpid() != self._pid:  # a fork of the program has ended, not the program
            return
        try:
            self._lift_limits()
            self._say_goodbye()
        except BaseException as error:  # never at the cost of the program's exit status
            _complain(f"there is no report: {type(error).__name__}: {error}")
        finally:
            session.stop()

    def _lift_limits(self) -> None:
        if self._settings.memory_limit and _memory.active():
            _memory.set_limit(0)
        if self._settings.hard_limit:
            from flyweight.memory.hard_limit import lift_bounds

            lift_bounds(self._settings.control_group)

    def _say_goodbye(self) -> None:
        status = session.status()
        if status["session"] == 0:  # it did not come to that
            return
        leak_age_s = min(_LEAK_AGE_S, _LEAK_AGE_SHARE * status["elapsed_ms"] / 1000)
        moment = self._moment()
        found = None if self._settings.quiet else picture(self._settings.top_n, leak_age_s, {})
        limit = self._limit_text(status)
        if moment is not None:
            self._write(moment, leak_age_s)
        if not self._settings.quiet:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError, AttributeError):
                    pass  # python itself will say so
            _say(f"\n{found}\n{limit}")
        elif limit:
            _say(limit)

    def _limit_text(self, status: Mapping[str, int]) -> str:
        if not status["limit_hits"]:
            if not self._refused_at or not self._settings.hard_limit:
                return ""
            hard, soft = size_text(self._settings.hard_limit), size_text(self._settings.memory_limit)
            return (
                f"\nThe system refused memory at {self._refused_at}: the hard limit is {hard}, for a program that may "
                f"hold {soft}.\n"
            )
        place = _site_text(status["limit_site"])
        first = f", the first at {place}" if place else ""
        count, limit = status["limit_hits"], size_text(self._settings.memory_limit)
        return (
            f"\nThe memory limit of {limit} refused {count:,} {'allocation' if count == 1 else 'allocations'}{first}.\n"
        )

    def _moment(self) -> Moment | None:
        """The figures for the file, taken before anything else is: what follows allocates."""
        if not self._output:
            return None
        from flyweight.memory.capture import Moment

        return Moment()

    def _write(self, moment: Moment, leak_age_s: float) -> None:
        from flyweight.memory.capture_file import write
        from flyweight.memory.capture_parts import Parts

        try:
            write(self._output, Parts(moment, leak_age_s=leak_age_s))
        except FlyweightError as error:
            _complain(f"there is no report in {self._settings.output}: {error}")


def _site_text(number: int) -> str:
    if number < 0:
        return ""
    for site, file, function, line, *_ in rows(_memory.sites(), len(_memory.SITE_COLUMNS)):
        if site == number:
            return f"{_memory.string(file)}:{line} {_memory.string(function)}"
    return ""


def _innermost_place(trace: TracebackType | None) -> str:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    code = trace.tb_frame.f_code
    return where_text(place_text(code.co_filename), trace.tb_lineno, code.co_qualname)


def _complain(message: str) -> None:
    _say(f"flyweight: {message}\n")


def _say(text: str) -> None:
    """To the standard error the process was started with, unless the program has closed it."""
    stream = sys.__stderr__
    try:
        if stream is not None:
            stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
            stream.flush()
    except (OSError, ValueError):
        pass
