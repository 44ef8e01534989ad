"""What a build is asked to do, and how it may divide its memory."""

from __future__ import annotations

import os

from flyweight.index.walk import MAX_FILE_BYTES

# Measured private memory, bytes: the coordinator at work, and the least a worker can parse and embed in.
_COORDINATOR_BYTES = 12 * 1024 * 1024
_WORKER_BYTES = 20 * 1024 * 1024


class BuildRequest:
    """What to build: `root` is indexed into the directory `index_path`."""

    __slots__ = ("batch_size", "index_path", "max_file_bytes", "memory_budget", "rebuild", "root", "workers")

    def __init__(
        self,
        root: str,
        index_path: str,
        *,
        batch_size: int,
        memory_budget: int,
        rebuild: bool = False,
        workers: int | None = None,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self.root = os.path.abspath(root)
        self.index_path = os.path.abspath(index_path)
        self.batch_size = batch_size
        self.memory_budget = memory_budget
        self.rebuild = rebuild
        self.workers = workers
        self.max_file_bytes = max_file_bytes

    def worker_count(self) -> int:
        """As many as there are cores, and as the memory budget feeds."""
        affordable = max(1, (self.memory_budget - _COORDINATOR_BYTES) // _WORKER_BYTES)
        return self.workers or max(1, min(len(os.sched_getaffinity(0)), affordable))

    def worker_share(self) -> int:
        """Private bytes each worker may use."""
        return (self.memory_budget - _COORDINATOR_BYTES) // self.worker_count()
