"""What is said when a program that `flyweight run` ran has ended."""

from __future__ import annotations

import os
import sys

from flyweight import _memory
from flyweight.memory import session
from flyweight.memory.dashboard import picture
from flyweight.memory.packed import rows
from flyweight.memory.stacks import sampled_stacks
from flyweight.memory.units import size_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyweight.memory.run_settings import RunSettings

# Share of a run shorter than four minutes that blocks must have outlived to be called leaked.
_LEAK_AGE_SHARE = 0.25
_LEAK_AGE_S = 60.0


class Farewell:
    """What is said when the program has ended: the report, on standard error and in a file."""

    __slots__ = ("_output", "_pid", "_settings")

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        # Absolute, for the program may go to another directory.
        self._output = os.path.abspath(settings.output) if settings.output else ""

    def note(self, error: BaseException) -> None:
        """What has ended the program, when it was an error."""
        if isinstance(error, MemoryError):
            self._lift_limit()  # printing the traceback takes memory while the program still holds all of its own

    def __call__(self) -> None:
        if os.getpid() != self._pid:  # a fork of the program has ended, not the program
            return
        try:
            self._lift_limit()
            self._say_goodbye()
        except BaseException as error:  # never at the cost of the program's exit status
            _complain(f"there is no report: {type(error).__name__}: {error}")
        finally:
            session.stop()

    def _lift_limit(self) -> None:
        if self._settings.memory_limit and _memory.active():
            _memory.set_limit(0)

    def _say_goodbye(self) -> None:
        status = session.status()
        if status["session"] == 0:  # it did not come to that
            return
        leak_age_s = min(_LEAK_AGE_S, _LEAK_AGE_SHARE * status["elapsed_ms"] / 1000)
        found = picture(self._settings.top_n, leak_age_s)
        limit = self._limit_text(status)
        if self._output:
            self._write(found.to_dict(), status)
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
            return ""
        place = _site_text(status["limit_site"])
        first = f", the first at {place}" if place else ""
        count, limit = status["limit_hits"], size_text(self._settings.memory_limit)
        return (
            f"\nThe memory limit of {limit} refused {count:,} {'allocation' if count == 1 else 'allocations'}{first}.\n"
        )

    def _write(self, content: dict[str, object], status: Mapping[str, int]) -> None:
        content["stacks"] = _stacks(self._settings.top_n)
        import json  # not before: what it takes would be among the stacks

        content["limit_place"] = _site_text(status["limit_site"])
        content["arguments"] = sys.argv
        try:
            with open(self._output, "w", encoding="ascii") as file:
                json.dump(content, file, indent=2)
                file.write("\n")
        except OSError as error:
            _complain(f"the report cannot be written to {self._output}: {error.strerror}")


def _site_text(number: int) -> str:
    if number < 0:
        return ""
    for site, file, function, line, *_ in rows(_memory.sites(), len(_memory.SITE_COLUMNS)):
        if site == number:
            return f"{_memory.string(file)}:{line} {_memory.string(function)}"
    return ""


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


def _stacks(top_n: int) -> list[dict[str, object]]:
    """The stacks that hold most, without the frames of ours that lie around the program's."""
    ours = {__file__, os.path.join(os.path.dirname(__file__), "run.py")}
    found: list[dict[str, object]] = []
    for sample in sampled_stacks():
        frames = sample.mixed_frames
        end = next((place for place, frame in enumerate(frames) if frame[0] in ours), len(frames))
        if end > 0 and frames[min(end, len(frames) - 1)][0] != __file__:
            found.append({**sample.to_dict(), "frames": frames[:end]})
            if len(found) == top_n:
                break
    return found
