"""The builder as a process: `python -m flyweight.index`, started by `spawn.py`, which reads what it prints.

Its settings come over standard input, marshalled. Lines on standard output, fields separated by tabs: `progress`, then
one of `stats` (and after it `skipped`, `unembedded`, `note`) or `error`.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys

from flyweight.embed.static import StaticEmbedder
from flyweight.errors import FlyweightError
from flyweight.index.build import build
from flyweight.index.embedding import RemoteEmbedding
from flyweight.index.request import BuildRequest
from flyweight.index.spawn import escape
from flyweight.index.stats import IndexProgress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(settings: dict[str, Any]) -> int:
    """`settings`: as `spawn.run_builder` makes them."""
    stop: list[int] = []

    def interrupted(number: int, frame: object) -> None:
        stop.append(number)
        if len(stop) > 1:  # asked twice: at once, with what is committed; the workers end with their channels
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))  # blocked by who started us
    try:
        embedder = _embedder(settings)
        request = BuildRequest(
            settings["root"],
            settings["index_path"],
            batch_size=settings["batch_size"],
            memory_budget=settings["memory_budget"],
            rebuild=settings["rebuild"],
            workers=settings["workers"] or None,
            store=settings["store"],
            store_options=settings["store_options"],
            with_gateway=isinstance(embedder, RemoteEmbedding),
        )
        stats = build(request, embedder, _report, lambda: bool(stop))
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
    _say("stats", *(f"{name}={value}" for name, value in stats.as_dict().items() if name not in _LISTED))
    for reason, count in sorted(stats.skipped.items()):
        _say("skipped", reason, count)
    for chunk in stats.unembedded:
        _say("unembedded", *chunk)
    for note in stats.notes:
        _say("note", note)
    return 0


_LISTED = ("skipped", "unembedded", "notes")  # a line each


def _embedder(settings: dict[str, Any]) -> StaticEmbedder | RemoteEmbedding:
    fields = settings["embedder"]
    if fields["spec"] == "static":
        return StaticEmbedder(int(fields["dimensions"]))
    from flyweight.embed.remote import with_known_dimensions
    from flyweight.embed.settings import EmbedderSettings

    return RemoteEmbedding(
        with_known_dimensions(EmbedderSettings.from_fields(fields)),
        cache_path=settings["embedding_cache"],
        max_requests=settings["max_requests"],
        max_tokens=settings["max_tokens"],
    )


def _report(progress: IndexProgress) -> None:
    _say("progress", *(f"{name}={getattr(progress, name)}" for name in progress.__slots__))


def _settings() -> dict[str, Any]:
    """Reads standard input, which nothing that is forked from here is to see."""
    settings: dict[str, Any] = marshal.load(sys.stdin.buffer)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    return settings


def _say(*fields: object) -> None:
    line = "\t".join(escape(str(field)) for field in fields) + "\n"
    try:
        os.write(1, line.encode("utf-8", "surrogateescape"))
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)  # who asked is gone: commit what there is and end


if __name__ == "__main__":
    sys.exit(main(_settings()))
