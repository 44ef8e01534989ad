"""The worker processes of a build: started, kept busy, replaced when they have grown, and missed when they die."""

from __future__ import annotations

import mmap
import os
import select
import signal
import time

from flyweight.errors import BuildError, error_named
from flyweight.index.channel import Channel
from flyweight.index.memory import PeakMemory
from flyweight.index.worker import Worker, current_path
from flyweight.process_end import how_it_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from flyweight.index.embedding import Embedding
    from flyweight.index.request import BuildRequest
    from flyweight.store import BuildStore

_BATCHES_IN_FLIGHT = 2  # one being worked on, one waiting: a worker never idles for the coordinator
_PATH_BYTES = 4096
_POLL_MS = 200  # how soon an interrupt is noticed
_IDLE = ("idle",)
_LOOK_EVERY_S = 0.1  # at everybody's memory: a third of a millisecond each


class _Member:
    """A worker process seen from the coordinator."""

    __slots__ = ("channel", "current", "in_flight", "pid", "spent")

    def __init__(self, channel: Channel, pid: int, current: mmap.mmap) -> None:
        self.channel = channel
        self.pid = pid
        self.current = current  # shared with it: the path it is at
        self.in_flight = 0
        self.spent = False

    def end(self) -> int:
        self.channel.close()
        self.current.close()
        return os.waitpid(self.pid, 0)[1]


class Team:
    """As many workers as the request has room for. Messages they send are handed on as they come, and ("idle",) now and
    then while none come.

    `stopped`: whether to begin nothing new; asked several times a second, whatever is waited for.
    """

    def __init__(
        self,
        request: BuildRequest,
        embedding: Embedding,
        store: BuildStore,
        peak: PeakMemory,
        stopped: Callable[[], bool],
    ) -> None:
        self._request = request
        self._embedding = embedding
        self._store = store
        self._run_name = f"{time.time_ns():x}-{os.getpid():x}"
        self._started = 0
        self._looked = 0.0
        self._peak = peak
        self._stopped = stopped
        self._left: list[list[Any]] = []  # handed back by workers that were spent
        self._poll = select.poll()
        self._members: dict[int, _Member] = {}
        for _ in range(request.worker_count()):
            self._start()

    def work(self, batches: Iterator[list[Any]]) -> Iterator[tuple[Any, ...]]:
        """Keeps the workers busy with batches and yields what they say, until all is done or stopped."""
        exhausted = False
        stopped = self._stopped
        while True:
            exhausted = (exhausted and not self._left) or stopped()
            for member in list(self._members.values()):
                if member.spent and not member.in_flight:
                    yield from self._flush(member)
                    self._dismiss(member)
                    if stopped():
                        continue
                    member = self._start()
                while not exhausted and not member.spent and member.in_flight < _BATCHES_IN_FLIGHT:
                    batch = self._left.pop() if self._left else next(batches, None)
                    if batch is None:
                        exhausted = True
                        break
                    self._send(member, "files", batch)
                    member.in_flight += 1
            if (
                exhausted
                and (stopped() or not self._left)
                and not any(member.in_flight for member in self._members.values())
            ):
                return
            self._look()
            spoke = self._poll.poll(_POLL_MS)
            if not spoke:
                yield _IDLE
            for fd, _ in spoke:
                yield self._receive(self._members[fd])

    def flush(self) -> Iterator[tuple[Any, ...]]:
        """Has every worker write what it holds."""
        for member in self._members.values():
            yield from self._flush(member)

    def stop(self) -> None:
        for member in list(self._members.values()):
            self._dismiss(member)

    def _start(self) -> _Member:
        ours, theirs = Channel.pair()
        current = mmap.mmap(-1, _PATH_BYTES)
        number = self._started
        self._started += 1
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._store.in_worker()
                ours.close()
                for other in self._members.values():
                    other.channel.close()
                # The coordinator decides when to stop; an interrupt from the terminal reaches everyone.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self._worker(theirs, current, number).run()
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        member = _Member(ours, pid, current)
        self._members[ours.read_fd] = member
        self._poll.register(ours.read_fd, select.POLLIN | select.POLLHUP)
        return member

    def _worker(self, channel: Channel, current: mmap.mmap, number: int) -> Worker:
        request = self._request
        return Worker(
            channel,
            root=request.root,
            store=self._store,
            piece_prefix=f"{self._run_name}-{number}",
            vectors=self._embedding.vectors(request.worker_share()),
            memory_share=request.worker_share(),
            current=current,
        )

    def _dismiss(self, member: _Member) -> None:
        self._poll.unregister(member.channel.read_fd)
        del self._members[member.channel.read_fd]
        member.end()

    def _flush(self, member: _Member) -> Iterator[tuple[Any, ...]]:
        self._send(member, "flush")
        poll = select.poll()
        poll.register(member.channel.read_fd, select.POLLIN)
        while True:
            self._look()
            if not poll.poll(_POLL_MS):
                self._stopped()
                yield _IDLE
                continue
            message = self._receive(member)
            if message[0] == "flushed":
                return
            yield message

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._peak.look(
                [member.pid for member in self._members.values()], self._embedding.pid, self._store.private_bytes
            )

    def _receive(self, member: _Member) -> tuple[Any, ...]:
        message = member.channel.receive()
        if message is None:
            raise self._death_of(member)
        if message[0] == "failed":
            raise error_named(message[1], message[2])
        if message[0] == "done":
            _, left, member.spent = message
            member.in_flight -= 1
            if left:
                self._left.append(left)
        return message

    def _send(self, member: _Member, *message: Any) -> None:
        try:
            member.channel.send(*message)
        except BrokenPipeError:
            while True:  # before it died it may have said why: _receive raises that
                self._receive(member)

    def _death_of(self, member: _Member) -> BuildError:
        place = current_path(member.current)
        self._poll.unregister(member.channel.read_fd)
        del self._members[member.channel.read_fd]
        how = how_it_ended(os.waitstatus_to_exitcode(member.end()))
        return BuildError(
            f"a worker process {how} at {place}: run again to go on from what was committed; if it happens at the same "
            "file again, name that file in .flyweightignore"
        )
