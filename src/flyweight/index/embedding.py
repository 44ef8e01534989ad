"""Where a build's vectors come from, seen from the coordinator: the static model, or a service behind a gateway."""

from __future__ import annotations

import time

from flyweight.errors import EmbedderUnreachableError, error_named
from flyweight.index.stats import IndexProgress
from flyweight.index.vectors import GatewayVectors, LocalVectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from flyweight.embed import Embedder
    from flyweight.embed.gateway import Gateway, GatewayUsage
    from flyweight.embed.settings import EmbedderSettings
    from flyweight.errors import FlyweightError
    from flyweight.index.stats import IndexStats
    from flyweight.index.vectors import Vectors

    class Embedding(Protocol):
        """`start` comes before workers are forked, `stop` always."""

        @property
        def name(self) -> str: ...
        @property
        def dimensions(self) -> int: ...
        @property
        def pid(self) -> int | None:
            """Of the process it runs beside the workers."""
            ...

        @property
        def halted(self) -> bool:
            """Whether nothing more will be embedded: begin no new file."""
            ...

        def start(self) -> None: ...
        def vectors(self, memory_share: int) -> Vectors:
            """For a worker, in its process."""
            ...

        def halt(self) -> None:
            """Finish what is on its way, begin nothing new: the user wants to stop."""
            ...

        def account(self, report: IndexProgress | IndexStats) -> None:
            """Enters what has been asked of the service so far."""
            ...

        def verdict(self) -> tuple[str, FlyweightError | None]:
            """Why it halted by itself, "" if it did not; with an error where that was no limit of the user's."""
            ...

        def stop(self) -> None: ...


_LOOK_EVERY_S = 0.1
_WORTH_SAYING_S = 5.0
_FIRST_PATIENCE_S = 30.0
_PENDING_SHARE = 8  # of a worker's memory: what it has cut and not yet got the vectors of


class LocalEmbedding:
    """Every worker embeds for itself."""

    pid = None
    halted = False

    def __init__(self, embedder: Embedder, batch_size: int) -> None:
        self._embedder = embedder
        self._batch_size = batch_size
        self.name = embedder.name
        self.dimensions = embedder.dimensions

    def start(self) -> None:
        pass

    def vectors(self, memory_share: int) -> LocalVectors:
        return LocalVectors(self._embedder, self._batch_size)

    def halt(self) -> None:
        pass

    def account(self, report: IndexProgress | IndexStats) -> None:
        pass

    def verdict(self) -> tuple[str, FlyweightError | None]:
        return "", None

    def stop(self) -> None:
        pass


class RemoteEmbedding:
    """All workers share one gateway process, which is started when there is something to embed."""

    def __init__(
        self,
        settings: EmbedderSettings,
        *,
        cache_path: str | None = None,
        max_requests: int | None = None,
        max_tokens: int | None = None,
        first_patience_s: float = _FIRST_PATIENCE_S,
    ) -> None:
        """first_patience_s: how long a service may fail that has never answered; one that has is given minutes.
        settings: with known dimensions. cache_path: directory of the embedding cache, None for the usual one."""
        self._settings = settings
        self._cache_path = cache_path
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self.name = settings.name
        self.dimensions = settings.dimensions
        self._gateway: Gateway | None = None
        self._halted: tuple[str, str] | None = None
        self._first_patience_s = first_patience_s
        self._looked = 0.0

    @property
    def pid(self) -> int | None:
        return None if self._gateway is None else self._gateway.pid

    @property
    def halted(self) -> bool:
        if self._halted is None and self._gateway is not None:
            now = time.monotonic()
            if now - self._looked >= _LOOK_EVERY_S:
                self._looked = now
                self._halted = self._gateway.halted() or self._never_answered()
        return self._halted is not None

    def _never_answered(self) -> tuple[str, str] | None:
        """A wrong address is not worth the patience that an outage in the middle of a long run is."""
        assert self._gateway is not None
        usage = self._gateway.usage()
        if usage.requests or usage.throttled or usage.failing_s < self._first_patience_s:
            return None
        message = f"{self._settings.spec} has not answered at all for {usage.failing_s:.0f} s: {usage.last_failure}"
        self._gateway.stop()
        return EmbedderUnreachableError.__name__, message

    def start(self) -> None:
        from flyweight.embed.gateway import Gateway

        self._gateway = Gateway(
            self._settings,
            cache_path=self._cache_path,
            max_requests=self._max_requests,
            max_tokens=self._max_tokens,
        )
        self._gateway.start()

    def vectors(self, memory_share: int) -> GatewayVectors:
        assert self._gateway is not None
        return GatewayVectors(self._gateway.address, self.dimensions, memory_share // _PENDING_SHARE)

    def halt(self) -> None:
        if self._gateway is not None:
            self._gateway.stop()  # stores what is on its way; workers see the rest as never asked

    def account(self, report: IndexProgress | IndexStats) -> None:
        if self._gateway is None:
            return
        usage = self._gateway.usage()
        report.requests = usage.requests
        report.tokens = usage.tokens
        report.cached_embeddings = usage.cached
        if isinstance(report, IndexProgress):
            report.trouble = _trouble(usage)
        else:
            report.notes = list(usage.notes)

    def verdict(self) -> tuple[str, FlyweightError | None]:
        from flyweight.embed.run_caps import CAP_REACHED

        self._looked = 0.0
        if not self.halted or self._halted is None:
            return "", None
        class_name, message = self._halted
        return message, None if class_name == CAP_REACHED else error_named(class_name, message)

    def stop(self) -> None:
        if self._gateway is not None:
            self._gateway.stop()


def _trouble(usage: GatewayUsage) -> str:
    if usage.failing_s < _WORTH_SAYING_S:
        return ""
    return f"no answer from the service for {usage.failing_s:.0f} s: {usage.last_failure}"
