"""The coordinator's end of the embedding gateway: starts it, asks what it has done, and stops it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time

from flyweight.embed.frames import FrameReader, frame
from flyweight.embed.run_caps import CAP_REACHED as CAP_REACHED
from flyweight.errors import BuildError, error_named
from flyweight.process_end import how_it_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from flyweight.embed.settings import EmbedderSettings

PATIENCE_S = 300.0
_ANSWER_S = 10.0
_COMMAND = ("-P", "-m", "flyweight.embed.gateway")
# One arena: the threads allocate little and briefly, and each arena keeps what it freed. Bodies and TLS records are
# mapped one by one and go back when they are done with: 23 MB instead of 28 with 64 connections busy at once.
_MALLOC_SETTINGS = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_MMAP_THRESHOLD_": "8192",
}


class GatewayUsage:
    """What a gateway has done so far.

    requests: answered, and so paid for; tokens: charged by the service; cached: pieces of text taken from the embedding
    cache; throttled: requests refused as too many; failed: requests without a usable answer, which were repeated;
    unembedded: pieces given up. rate_per_s: at which requests are sent now; in_flight: requests; waiting_elsewhere:
    texts another build is asking for. failing_s: seconds since when nothing has succeeded, 0 when all is well;
    last_failure: why. cache_path, cache_bytes: the embedding cache. notes: what a person should be told.
    private_bytes: the gateway's own memory, 0 once it has ended.
    """

    __slots__ = (
        "cache_bytes",
        "cache_path",
        "cached",
        "failed",
        "failing_s",
        "in_flight",
        "last_failure",
        "notes",
        "private_bytes",
        "rate_per_s",
        "requests",
        "throttled",
        "tokens",
        "unembedded",
        "waiting_elsewhere",
    )

    def __init__(self) -> None:
        self.requests = self.tokens = self.cached = self.throttled = self.failed = self.unembedded = 0
        self.in_flight = self.waiting_elsewhere = self.cache_bytes = self.private_bytes = 0
        self.rate_per_s = self.failing_s = 0.0
        self.last_failure = self.cache_path = ""
        self.notes: list[str] = []


class Gateway:
    """The gateway of one build. Start it before workers are forked; hand them `address`.

    cache_path: the directory of embedding caches, None for the user's own. max_requests, max_tokens: caps of this run.
    patience_s: how long the service may be out of reach before the run is halted. arguments: of the Python that runs
    the gateway, for tests with an embedder of their own.
    """

    def __init__(
        self,
        settings: EmbedderSettings,
        *,
        cache_path: str | None = None,
        max_requests: int | None = None,
        max_tokens: int | None = None,
        patience_s: float = PATIENCE_S,
        arguments: Sequence[str] = _COMMAND,
    ) -> None:
        self._settings = settings
        self._asked = (cache_path, max_requests, max_tokens, patience_s)
        self._arguments = arguments
        self._control: socket.socket | None = None
        self._reader = FrameReader()
        self._usage = GatewayUsage()
        self._halted: tuple[str, str] | None = None
        self._reaped = False
        self.address = ""
        self.pid = 0

    def start(self) -> None:
        """Returns when workers may connect. Raises what keeps it from starting: ConfigError, CredentialsError."""
        ours, theirs = socket.socketpair()
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *self._arguments],
                {**os.environ, **_MALLOC_SETTINGS},
                # Not the builder's output: who reads that would wait for its end until the last answer is stored.
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    *(
                        ()
                        if os.environ.get("FLYWEIGHT_DEBUG")
                        else [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
                    ),
                ],
                setsid=True,  # what is sent to the builder's process group does not reach it
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
            )
        except OSError as error:
            ours.close()
            raise BuildError(f"cannot start the embedding gateway: {error.strerror}") from None
        finally:
            theirs.close()
        self._control = ours
        # A worker that kept this socket would keep the gateway from noticing that the coordinator is gone.
        os.register_at_fork(after_in_child=self._forget)
        asked = self._send("start", self._settings.fields(), *self._asked)
        message = self._receive(None) if asked else None
        if message is None:
            raise BuildError(f"the embedding gateway did not start: it {self._how_it_ended()}")
        if message[0] == "refused":
            self._forget()
            self._how_it_ended()
            raise error_named(message[1], message[2])
        self.address = message[1]

    def usage(self) -> GatewayUsage:
        """As it is now; after `stop`, as it was in the end."""
        from flyweight.index.memory import private_bytes  # ctypes: the gateway itself does without

        self._ask("usage")
        self._usage.private_bytes = 0 if self._reaped else private_bytes(self.pid)
        return self._usage

    def halted(self) -> tuple[str, str] | None:
        """None, or (name of an error class or CAP_REACHED, message): nothing new is asked any more, and everything
        submitted has been or will be answered."""
        if self._halted is None:
            self._ask("usage")
        return self._halted

    def stop(self) -> None:
        """Lets it store what is in flight, and waits for that: at most about one request's time limit."""
        if self._control is not None:
            self._ask("stop", self._settings.timeout_s + _ANSWER_S, answer="stopped")
            if self._control is not None:
                self._control.close()
                self._control = None
        if self.pid and not self._reaped:
            deadline = time.monotonic() + _ANSWER_S
            while self._reap() is None and time.monotonic() < deadline:
                time.sleep(0.005)
        if self._reaped and self.address:
            shutil.rmtree(os.path.dirname(self.address), ignore_errors=True)  # what it left if it was killed

    def _ask(self, question: str, patience_s: float = _ANSWER_S, *, answer: str = "usage") -> None:
        if self._control is None or not self._send(question):
            return
        deadline_s = time.monotonic() + patience_s
        kind = None
        while kind != answer and (message := self._receive(deadline_s)) is not None:
            kind, values, halted = message
            for name, value in values.items():
                setattr(self._usage, name, value)
            self._halted = self._halted or halted

    def _send(self, *message: Any) -> bool:
        assert self._control is not None
        try:
            self._control.settimeout(_ANSWER_S)
            self._control.sendall(frame(*message))
            return True
        except TimeoutError:
            return False
        except OSError:
            self._lost()
            return False

    def _receive(self, deadline_s: float | None) -> tuple[Any, ...] | None:
        """The next message; None when it is late, or the gateway is gone."""
        assert self._control is not None
        while True:
            try:
                self._control.settimeout(None if deadline_s is None else max(0.001, deadline_s - time.monotonic()))
                data = self._control.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                self._lost()
                return None
            messages = self._reader.feed(data)
            if messages:
                return messages[-1]  # each says all

    def _lost(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self.address and self._halted is None:
            self._halted = (
                BuildError.__name__,
                f"the embedding gateway {self._how_it_ended()}: at most the requests that were in flight are "
                "lost; run again to go on from what was stored",
            )

    def _how_it_ended(self) -> str:
        deadline = time.monotonic() + _ANSWER_S
        while (status := self._reap()) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if status is None:
            return "does not answer"
        return how_it_ended(status) + ("" if status < 0 else " (FLYWEIGHT_DEBUG=1 shows why)")

    def _reap(self) -> int | None:
        """Its exit status, None while it runs."""
        if self._reaped:
            return 0
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._reaped = True
            return 0
        if pid == 0:
            return None
        self._reaped = True
        return os.waitstatus_to_exitcode(status)

    def _forget(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None


if __name__ == "__main__":
    from flyweight.embed.gateway_process import main

    # Couriers that still wait for a silent service carry nothing that counts: they are not waited for.
    os._exit(main())
