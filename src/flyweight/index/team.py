"""The worker processes of a build: started, kept busy, replaced when they have grown or are stuck, missed when dead."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time

from flyweight.errors import BuildError, error_named
from flyweight.index.channel import Channel
from flyweight.index.memory import PeakMemory
from flyweight.index.outcome import Outcome
from flyweight.index.watch import STUCK_AFTER_S, FileAtHand, Watch
from flyweight.index.worker import Worker
from flyweight.process_end import how_it_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from flyweight.index.embedding import Embedding
    from flyweight.index.request import BuildRequest
    from flyweight.store import BuildStore

_BATCHES_IN_FLIGHT = 2  # one being worked on, one waiting: a worker never idles for the coordinator
_BATCH_FILES = 24
_BATCH_BYTES = 192 * 1024
_PATH_WEIGHT = 12  # so that a batch is less than what a pipe holds: a worker that is stuck reads no further one
_POLL_MS = 200  # how soon an interrupt is noticed
_IDLE = ("idle",)
_FILES = "files"
_LEAVE_OUT = "leave out"
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.1  # at everybody's memory: a third of a millisecond each


class _Member:
    """A worker process seen from the coordinator."""

    __slots__ = ("at_hand", "channel", "handed", "in_flight", "pid", "spent", "unwritten", "watch")

    def __init__(self, channel: Channel, pid: int, at_hand: FileAtHand) -> None:
        self.channel = channel
        self.pid = pid
        self.at_hand = at_hand
        self.watch = Watch(pid, at_hand)
        self.in_flight = 0
        self.spent = False
        self.handed: dict[str, tuple[str, Any]] = {}  # path -> order, file: those of which nothing is safe yet
        self.unwritten: list[Outcome] = []  # told of, but in no finished piece

    def hand(self, order: str, files: Iterable[Any]) -> None:
        for file in files:
            self.handed[file[0]] = order, file

    def heed(self, message: tuple[Any, ...]) -> list[Any]:
        """Follows what the worker says it did; returns the files it hands back."""
        if message[0] == "taken":
            for outcome in message[1]:
                if outcome.in_piece:
                    self.unwritten.append(outcome)
                else:
                    self.handed.pop(outcome.path, None)
        elif message[0] == "piece":  # holds all it has told of
            for outcome in self.unwritten:
                self.handed.pop(outcome.path, None)
            self.unwritten = []
        elif message[0] == "done":
            _, left, self.spent = message
            self.in_flight -= 1
            for file in left:
                self.handed.pop(file[0], None)
            return list(left)
        return []

    def end(self) -> int:
        self.channel.close()
        self.at_hand.close()
        return os.waitpid(self.pid, 0)[1]


class Team:
    """As many workers as the request has room for. Messages they send are handed on as they come, and ("idle",) now and
    then while none come.

    A worker that is stuck at a file is killed: ("stuck", path, seconds of processor time). What it held is done again
    by others, so what it had said of it does not count: ("lost", outcomes). The file is entered as skipped.

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
        self._left: list[list[Any]] = []  # handed back by workers that were spent, or taken from one that was stuck
        self._stuck: list[Any] = []  # files to be entered as skipped
        self._poll = select.poll()
        self._members: dict[int, _Member] = {}
        for _ in range(request.worker_count()):
            self._start()

    def work(self, files: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
        """Keeps the workers busy with files and yields what they say, until all is done or stopped."""
        batches = _batches(files)
        exhausted = False
        stopped = self._stopped
        while True:
            exhausted = (exhausted and not self._left) or stopped()
            for member in list(self._members.values()):
                if member.spent and not member.in_flight:
                    yield from self._flush(member)
                    self._forget(member)
                    if stopped() and not self._stuck:
                        continue
                    member = self._start()
                while self._stuck and not member.spent and member.in_flight < _BATCHES_IN_FLIGHT:
                    self._hand(member, _LEAVE_OUT, [self._stuck.pop()])
                while not exhausted and not member.spent and member.in_flight < _BATCHES_IN_FLIGHT:
                    batch = self._left.pop() if self._left else next(batches, None)
                    if batch is None:
                        exhausted = True
                        break
                    self._hand(member, _FILES, batch)
            if (
                exhausted
                and (stopped() or not self._left)
                and not any(member.in_flight for member in self._members.values())
            ):
                return
            if self._look():
                for member in list(self._members.values()):
                    if member.in_flight and (path := member.watch.stuck_at(STUCK_AFTER_S)):
                        yield from self._replace_stuck(member, path)
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
            self._forget(member)

    def _start(self) -> _Member:
        ours, theirs = Channel.pair()
        at_hand = FileAtHand()
        number = self._started
        self._started += 1
        coordinator = os.getpid()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _end_with(coordinator)
                self._store.in_worker()
                ours.close()
                for other in self._members.values():
                    other.channel.close()
                # The coordinator decides when to stop; an interrupt from the terminal reaches everyone.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self._worker(theirs, at_hand, number).run()
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        member = _Member(ours, pid, at_hand)
        self._members[ours.read_fd] = member
        self._poll.register(ours.read_fd, select.POLLIN | select.POLLHUP)
        return member

    def _worker(self, channel: Channel, at_hand: FileAtHand, number: int) -> Worker:
        request = self._request
        return Worker(
            channel,
            root=request.root,
            store=self._store,
            piece_prefix=f"{self._run_name}-{number}",
            vectors=self._embedding.vectors(request.worker_share()),
            memory_share=request.worker_share(),
            at_hand=at_hand,
        )

    def _hand(self, member: _Member, order: str, files: list[Any]) -> None:
        member.hand(order, files)
        member.in_flight += 1
        self._send(member, order, files)

    def _forget(self, member: _Member) -> int:
        """Parts with a worker that has ended, or ends with its channel; returns how it ended."""
        self._poll.unregister(member.channel.read_fd)
        del self._members[member.channel.read_fd]
        return member.end()

    def _replace_stuck(self, member: _Member, path: str) -> Iterator[tuple[Any, ...]]:
        os.kill(member.pid, signal.SIGKILL)
        while (message := member.channel.receive()) is not None:  # said before
            yield self._heeded(member, message)
        lost, handed, accused = member.unwritten, member.handed, member.at_hand.path
        self._forget(member)
        self._start()
        yield "lost", lost
        if accused == path and path in handed:  # else it had just gone on
            self._stuck.append(handed.pop(path)[1])
            yield "stuck", path, STUCK_AFTER_S
        self._stuck += [file for order, file in handed.values() if order == _LEAVE_OUT]
        self._left += _batches(file for order, file in handed.values() if order == _FILES)

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

    def _look(self) -> bool:
        """Looks at everybody's memory, if it is time."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return False
        self._looked = now
        self._peak.look(
            [member.pid for member in self._members.values()], self._embedding.pid, self._store.private_bytes
        )
        return True

    def _receive(self, member: _Member) -> tuple[Any, ...]:
        message = member.channel.receive()
        if message is None:
            raise self._death_of(member)
        return self._heeded(member, message)

    def _heeded(self, member: _Member, message: tuple[Any, ...]) -> tuple[Any, ...]:
        if message[0] == "failed":
            raise error_named(message[1], message[2])
        if message[0] == "taken":
            message = "taken", [Outcome(*fields) for fields in message[1]], message[2]
        left = member.heed(message)
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
        place = member.at_hand.place
        how = how_it_ended(os.waitstatus_to_exitcode(self._forget(member)))
        return BuildError(
            f"a worker process {how} {place}: run again to go on from what was committed; if it happens at the same "
            "file again, name that file in .flyweightignore"
        )


def _end_with(parent: int) -> None:
    """Has this process killed when `parent` ends, however that happens: one that is stuck would never notice."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _batches(files: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size_bytes = 0
    for file in files:
        batch.append(file)
        size_bytes += file[1] + _PATH_WEIGHT * len(file[0])
        if len(batch) == _BATCH_FILES or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
