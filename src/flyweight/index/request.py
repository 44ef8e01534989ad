"""What a build is asked to do, and how it may divide its memory."""

from __future__ import annotations

import os

from flyweight.errors import ConfigError
from flyweight.index.walk import MAX_FILE_BYTES
from flyweight.store import SEGMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Measured private memory, bytes: the coordinator at work, the least a worker can parse and embed in, and the embedding
# gateway with 64 requests in flight over TLS (18 MB with 17 over plain HTTP, 30 MB with 64 over TLS after 12,000).
_COORDINATOR_BYTES = 12 * 1024 * 1024
_WORKER_BYTES = 20 * 1024 * 1024
_GATEWAY_BYTES = 30 * 1024 * 1024


class BuildRequest:
    """What to build: `root` is indexed into the directory `index_path`, or into `store` with a pointer to it there."""

    __slots__ = (
        "batch_size",
        "index_path",
        "max_file_bytes",
        "memory_budget",
        "rebuild",
        "root",
        "store",
        "store_options",
        "with_gateway",
        "workers",
    )

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
        store: str = SEGMENTS,
        store_options: Mapping[str, object] | None = None,
        with_gateway: bool = False,
    ) -> None:
        """with_gateway: the embedder is remote, and its gateway lives in the memory budget too; the process of a store
        does not. Raises ConfigError when the budget is too small for that."""
        self.root = os.path.abspath(root)
        self.index_path = os.path.abspath(index_path)
        self.batch_size = batch_size
        self.memory_budget = memory_budget
        self.rebuild = rebuild
        self.workers = workers
        self.max_file_bytes = max_file_bytes
        self.store = store
        self.store_options = store_options or {}
        self.with_gateway = with_gateway
        if with_gateway and self._for_workers() < _WORKER_BYTES:
            least = _COORDINATOR_BYTES + _GATEWAY_BYTES + _WORKER_BYTES
            raise ConfigError(
                f"memory_budget must be at least {least} bytes ({least >> 20}M) with an embedding service, "
                f"not {memory_budget}"
            )

    def worker_count(self) -> int:
        """As many as there are cores, and as the memory budget feeds."""
        affordable = max(1, self._for_workers() // _WORKER_BYTES)
        return self.workers or max(1, min(len(os.sched_getaffinity(0)), affordable))

    def worker_share(self) -> int:
        """Private bytes each worker may use."""
        return self._for_workers() // self.worker_count()

    def _for_workers(self) -> int:
        return self.memory_budget - _COORDINATOR_BYTES - _GATEWAY_BYTES * self.with_gateway
