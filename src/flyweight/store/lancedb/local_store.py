"""A store without a process of its own: LanceDB in this one, on a thread, for `in_process=True`."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from flyweight.errors import FlyweightError
from flyweight.store.lancedb.core import shared_core
from flyweight.store.lancedb.reader import TableReader
from flyweight.store.lancedb.store_process import Late

if TYPE_CHECKING:
    from flyweight.store.lancedb.location import StoreLocation


class LocalStore:
    """Asked as a StoreProcess is. Its event loop runs on a thread: the caller may be running one."""

    def __init__(self, location: StoreLocation) -> None:
        """Raises StoreError when LanceDB is not installed."""
        self._reader = TableReader(shared_core(), location)
        self._timeout_s = location.timeout_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="flyweight-lancedb", daemon=True)
        self._thread.start()

    def ask(self, question: tuple[Any, ...]) -> tuple[Any, ...]:
        kind, *arguments = question
        work = self._reader.info() if kind == "info" else self._reader.search(*arguments)
        answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return "ok", answer.result(self._timeout_s)
        except TimeoutError:
            answer.cancel()
            raise Late from None
        except FlyweightError as error:
            return "error", type(error).__name__, str(error)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def private_bytes(self) -> int:
        """None of its own: what it takes is this process's."""
        return 0

    def close(self) -> None:
        if not self._thread.is_alive():  # in a child of a fork it is gone
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
