"""The store process: `python -m flyweight.store.lancedb.process`, started by `client.py`, alone with LanceDB.

Its standard input is one end of a socket pair. First comes ("open", location, idle_s), then ("info",) and ("search",
...), each answered by ("ok", answer) or ("error", class name, message). It ends when the socket closes, or when idle_s
seconds pass without a question; sooner than that it gives back what it can do without.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from typing import Any

from flyweight.errors import FlyweightError
from flyweight.store.lancedb import wire
from flyweight.store.lancedb.location import StoreLocation
from flyweight.store.lancedb.trimming import trim

_TRIM_AFTER_S = 1.0
_FIRST_QUESTION_S = 10.0  # it is on its way: nobody starts a store without one


def main() -> int:
    connection = socket.socket(fileno=0)
    message = wire.receive(connection)
    if message is None:
        return 0
    _, fields, idle_s = message
    loop = asyncio.new_event_loop()
    try:
        reader = _reader(StoreLocation.from_fields(fields))
    except FlyweightError as error:
        wire.send(connection, "error", type(error).__name__, str(error))
        return 1
    wire.send(connection, "ok")
    patience = max(idle_s, _FIRST_QUESTION_S)
    while _waits(connection, patience):
        patience = idle_s
        message = wire.receive(connection)
        if message is None:
            break
        answer = loop.run_until_complete(_answer(reader, *message))
        try:
            wire.send(connection, *answer)
        except OSError:  # who asked is gone
            break
    return 0


def _waits(connection: socket.socket, idle_s: float) -> bool:
    """Whether a question comes (or the end) before it is time to go."""
    if select.select([connection], [], [], min(idle_s, _TRIM_AFTER_S))[0]:
        return True
    if idle_s <= _TRIM_AFTER_S:
        return False
    trim()
    return bool(select.select([connection], [], [], idle_s - _TRIM_AFTER_S)[0])


def _reader(location: StoreLocation) -> Any:
    from flyweight.store.lancedb.core import lean_core

    core = lean_core()
    from flyweight.store.lancedb.reader import TableReader

    return TableReader(core, location)


async def _answer(reader: Any, kind: str, *arguments: Any) -> tuple[Any, ...]:
    try:
        if kind == "info":
            return "ok", await reader.info()
        return "ok", await reader.search(*arguments)
    except FlyweightError as error:
        return "error", type(error).__name__, str(error)
    except Exception as error:
        if os.environ.get("FLYWEIGHT_DEBUG"):
            raise
        return (
            "error",
            "StoreError",
            f"the store process failed: {type(error).__name__}: {error} "
            "(a defect: FLYWEIGHT_DEBUG=1 shows its traceback)",
        )


if __name__ == "__main__":
    os._exit(main())  # at once: LanceDB's threads may call back into an interpreter that is being taken apart
