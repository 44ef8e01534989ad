"""Workers that write a segment whenever they hold 50 kB: small trees then pass through as many states as large ones."""

from __future__ import annotations

from typing import Any

from flyweight.index.worker import Worker


class SmallSegmentsWorker(Worker):
    """To be put in the place of `flyweight.index.team.Worker`."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._buffer_limit = 50_000
