"""Accepts connections on loopback in a thread with an event loop of its own, and leaves nothing open behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable

# Of the loop: a transport whose making was cancelled needs two or three.
_TURNS_TO_CLOSE = 20


class Listener:
    """Listens from `start` to `stop`. make_protocol: of a new connection, called in the thread; context: for TLS.

    What asyncio's own servers forget when they end, connections in the middle of a handshake, is closed as well.
    """

    def __init__(
        self, name: str, make_protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None, port: int = 0
    ) -> None:
        self._make_protocol = make_protocol
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._open: dict[socket.socket, asyncio.BaseTransport | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Everything is closed and the thread gone when this returns."""
        if self._thread.is_alive() and self.loop is not None and self._stopping is not None:
            self.loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def run_task(self, task: asyncio.Task[None]) -> None:
        """Ends it with the listener, whatever it does."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call(self, function: Callable[[], object]) -> None:
        """Runs it in the thread, and returns when it is done."""
        assert self.loop is not None
        done = threading.Event()
        self.loop.call_soon_threadsafe(function)
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(60)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.loop.add_reader(self._socket, self._accept)
        self._started.set()
        await self._stopping.wait()
        self.loop.remove_reader(self._socket)
        self._socket.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        turns = 0
        while self._open:
            for connection, transport in list(self._open.items()):
                if connection.fileno() < 0:
                    del self._open[connection]
                elif isinstance(transport, asyncio.WriteTransport):
                    transport.abort()
                elif turns > _TURNS_TO_CLOSE:
                    connection.close()
            await asyncio.sleep(0)
            turns += 1

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # nobody else waits
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for old in [known for known in self._open if known.fileno() < 0]:
                del self._open[old]
            self._open[connection] = None
            self.run_task(asyncio.get_running_loop().create_task(self._connect(connection)))

    async def _connect(self, connection: socket.socket) -> None:
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol, connection, ssl=self._context
            )
        except OSError:
            return  # the client has gone, or does not like the certificate
        self._open[connection] = transport
