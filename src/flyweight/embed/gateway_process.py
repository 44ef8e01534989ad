"""The embedding gateway as a process: the one place a build asks the service from.

    workers -> worker_connections.py -> exchange.py -> the service

`gateway.py` starts it in a session of its own, so that what kills the builder does not kill it: when the builder is
gone it sends nothing more, stores what is in flight, gives up its claims and ends. One thread does everything but the
exchanges themselves and never waits for a socket.
"""

from __future__ import annotations

import os
import select
import signal
import socket

from flyweight.embed.exchange import Exchange
from flyweight.embed.frames import FrameReader, frame
from flyweight.embed.remote import remote_embedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.embed.worker_connections import WorkerConnections
from flyweight.errors import FlyweightError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from flyweight.embed.remote import RemoteEmbedder

    Factory = Callable[[EmbedderSettings], RemoteEmbedder]

_READ_BYTES = 1 << 16


class GatewayProcess:
    """Serves one build. `control`: the socket to the coordinator, which is also what tells that it lives."""

    def __init__(self, control: socket.socket, exchange: Exchange) -> None:
        self._control = control
        self._reader = FrameReader()
        self._exchange = exchange
        self._poll = select.poll()
        self._draining = False
        self._stop_asked = False
        for fd in (control.fileno(), exchange.bell):
            self._poll.register(fd, select.POLLIN)

    def serve(self) -> None:
        """Until the coordinator is gone or says stop, and nothing is in flight."""
        workers = WorkerConnections(self._exchange, self._poll)
        try:
            self._tell("ready", workers.address)
            while not (self._draining and not self._exchange.in_flight):
                self._turn(workers)
            workers.deliver(self._exchange.take_finished())
        finally:
            workers.close()
            self._exchange.close()
        if self._stop_asked:
            self._tell("stopped", self._exchange.usage(), self._exchange.halted)

    def drain(self) -> None:
        """Sends nothing more; ends when what is in flight is stored."""
        self._draining = True
        self._exchange.drain()

    def end_soon(self) -> None:
        """As `drain`, from a signal handler: it may interrupt anything."""
        self._draining = True
        os.eventfd_write(self._exchange.bell, 1)

    def _turn(self, workers: WorkerConnections) -> None:
        exchange = self._exchange
        wait_s = exchange.dispatch()
        workers.deliver(exchange.take_finished())
        timeout_ms = None if wait_s is None else max(0, int(wait_s * 1000 + 0.999))
        for fd, events in self._poll.poll(timeout_ms):
            if fd == exchange.bell:
                exchange.take_returned()
            elif fd == self._control.fileno():
                self._hear_coordinator()
            else:
                workers.serve(fd, events)
        if self._draining:
            exchange.drain()
        exchange.look_elsewhere()
        exchange.mind_patience()

    def _hear_coordinator(self) -> None:
        try:
            data = self._control.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for (question,) in self._reader.feed(data):
            if question == "usage":
                self._tell("usage", self._exchange.usage(), self._exchange.halted)
            elif question == "stop":
                self._stop_asked = True
                self.drain()
        if not data:
            self._poll.unregister(self._control.fileno())
            self.drain()

    def _tell(self, *message: Any) -> None:
        try:
            self._control.sendall(frame(*message))
        except OSError:
            pass  # the coordinator is gone: the next look at its socket says so


def main(factory: Factory = remote_embedder) -> int:
    """Serves the coordinator at standard input. `factory` makes the embedder from its settings."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    reader = FrameReader()
    messages: list[tuple[Any, ...]] = []
    while not messages:
        data = control.recv(_READ_BYTES)
        if not data:
            return 1
        messages = reader.feed(data)
    _, fields, cache_directory, max_requests, max_tokens, patience_s = messages[0]
    try:
        settings = EmbedderSettings.from_fields(fields)
        embedder = factory(settings)
        exchange = Exchange(
            embedder,
            settings,
            cache_directory=cache_directory,
            max_requests=max_requests,
            max_tokens=max_tokens,
            patience_s=patience_s,
        )
    except FlyweightError as error:
        control.sendall(frame("refused", type(error).__name__, str(error)))
        return 1
    process = GatewayProcess(control, exchange)
    signal.signal(signal.SIGTERM, lambda number, _: process.end_soon())
    process.serve()
    embedder.close()
    return 0
