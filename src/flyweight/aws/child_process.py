"""Runs a command and collects what it prints, within a time. Resident: `subprocess` alone would cost 2 MB."""

from __future__ import annotations

import os
import time

MAX_OUTPUT_BYTES = 1 << 20
_SIGKILL, _SIGPIPE, _SIGXFSZ = 9, 13, 25  # `signal` would bring `enum` with it
_READABLE = 1 | 16  # POLLIN, POLLHUP
# How often to see whether the process has ended, where the kernel cannot wake us for it.
_LOOK_AGAIN_S = 0.05


class Output:
    """status: the exit status, negative for a signal's number. stdout: what was printed; stderr: as text."""

    __slots__ = ("status", "stderr", "stdout")

    def __init__(self, status: int, stdout: bytes, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


def run_command(command: list[str], *, text: str = "", timeout_s: float) -> Output:
    """Runs `command`, a name on PATH and its arguments, giving it `text` (at most 4 KB) on stdin.

    It gets a session of its own: it has no terminal to ask at, and is ended with all its children. What it leaves
    running in the background is not waited for. Raises TimeoutError, and OSError when it cannot be started.
    """
    deadline = time.monotonic() + timeout_s
    ours = []
    theirs = []
    try:
        for number in range(3):
            read_fd, write_fd = os.pipe()
            ours.append(read_fd if number else write_fd)
            theirs.append(write_fd if number else read_fd)
        try:
            pid = os.posix_spawnp(
                command[0],
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(theirs)],
                setsid=True,
                setsigmask=(),
                setsigdef=(_SIGPIPE, _SIGXFSZ),  # Python ignores them, and children would inherit that
            )
        finally:
            for fd in theirs:
                os.close(fd)
        try:
            os.write(ours[0], text.encode())
        except BrokenPipeError:
            pass  # it asks for nothing
        os.close(ours.pop(0))
        pieces, status = _collect(pid, ours, deadline)
    finally:
        for fd in ours:
            os.close(fd)
    stdout, stderr = pieces
    return Output(status, stdout, stderr.decode("utf-8", "replace"))


def _collect(pid: int, fds: list[int], deadline: float) -> tuple[list[bytes], int]:
    import select

    pieces = dict.fromkeys(fds, b"")
    poll = select.poll()
    for fd in fds:
        poll.register(fd, _READABLE)
    try:
        exit_fd = os.pidfd_open(pid)
        poll.register(exit_fd, _READABLE)
    except OSError:  # an older kernel, or one that is told to forbid it
        exit_fd = -1
    status = None
    try:
        while True:
            if status is None:
                status = _status(pid)
            left_s = deadline - time.monotonic()
            if status is None and left_s <= 0:
                raise TimeoutError
            wait_s = 0.0 if status is not None else left_s if exit_fd >= 0 else min(left_s, _LOOK_AGAIN_S)
            ready = [fd for fd, _ in poll.poll(int(wait_s * 1000) + (wait_s > 0)) if fd != exit_fd]
            for fd in ready:
                piece = os.read(fd, 65536)
                if not piece or len(pieces[fd]) > MAX_OUTPUT_BYTES:
                    poll.unregister(fd)
                pieces[fd] += piece
            if status is not None and not ready:
                return list(pieces.values()), status
    except BaseException:
        if status is None:
            _end(pid)
        raise
    finally:
        if exit_fd >= 0:
            os.close(exit_fd)


def _status(pid: int) -> int | None:
    """The exit status; None while it runs."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # the program around us collects all its children
        return 0
    return os.waitstatus_to_exitcode(status) if ended else None


def _end(pid: int) -> None:
    try:
        os.killpg(pid, _SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
