"""The builder as a process: `python -m flyweight.index`, started by `spawn.py`, which reads what it prints.

Lines on standard output, fields separated by tabs: `progress`, then one of `stats` or `error`.
"""

from __future__ import annotations

import os
import signal
import sys

from flyweight.embed.static import StaticEmbedder
from flyweight.errors import FlyweightError
from flyweight.index.build import build
from flyweight.index.request import BuildRequest
from flyweight.index.spawn import escape
from flyweight.index.stats import IndexProgress


def main(arguments: list[str]) -> int:
    settings = dict(argument.split("=", 1) for argument in arguments)
    stop: list[int] = []

    def interrupted(number: int, frame: object) -> None:
        stop.append(number)
        if len(stop) > 1:  # asked twice: at once, with what is committed; the workers end with their channels
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))  # blocked by who started us
    request = BuildRequest(
        settings["root"],
        settings["index_path"],
        batch_size=int(settings["batch_size"]),
        memory_budget=int(settings["memory_budget"]),
        rebuild=settings["rebuild"] == "1",
        workers=int(settings["workers"]) or None,
    )
    try:
        stats = build(request, StaticEmbedder(int(settings["dimensions"])), _report, lambda: bool(stop))
    except FlyweightError as error:
        _say("error", type(error).__name__, str(error))
        return 1
    except MemoryError:
        _say("error", "BuildError", "the builder ran out of memory: raise the process limit and run again")
        return 1
    except Exception as error:
        if os.environ.get("FLYWEIGHT_DEBUG"):
            raise
        _say(
            "error",
            "BuildError",
            f"the builder failed: {type(error).__name__}: {error} "
            "(this is a defect: FLYWEIGHT_DEBUG=1 shows its traceback)",
        )
        return 1
    fields = {name: value for name, value in stats.as_dict().items() if name != "skipped"}
    _say("stats", *(f"{name}={value}" for name, value in fields.items()))
    for reason, count in sorted(stats.skipped.items()):
        _say("skipped", reason, count)
    return 0


def _report(progress: IndexProgress) -> None:
    _say("progress", *(getattr(progress, name) for name in ("phase", *_NUMBERS)))


_NUMBERS = ("files", "total_files", "chunks", "bytes", "total_bytes", "seconds")


def _say(*fields: object) -> None:
    line = "\t".join(escape(str(field)) for field in fields) + "\n"
    try:
        os.write(1, line.encode("utf-8", "surrogateescape"))
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)  # who asked is gone: commit what there is and end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
