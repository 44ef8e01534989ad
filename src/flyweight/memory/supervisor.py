"""The parent of a program that runs under a memory limit: it stays, and says what the program held if it is killed.

`flyweight run --memory-limit` becomes this process, a lean interpreter without the command line. Who started it finds
what it would find without it: signals reach the program, and the program's end is its own, status and signal alike.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from flyweight.memory.control_group import ControlGroup
from flyweight.memory.hard_limit import wall_bytes
from flyweight.memory.run_settings import RunSettings

_PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# What a process ends by that was refused memory and did not expect it, or that the kernel killed for memory.
_DEATHS = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP)
_LOOK_EVERY_S = 0.05
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_DEATH_SIGNAL_OPTION = 1  # PR_SET_PDEATHSIG of prctl(2)
_STEP_BYTES = 64 << 20  # a far wall need not follow every step


def main() -> None:
    """Runs the program that the command line names, under its limit, and ends as it ends."""
    arguments = sys.argv[1:]
    interpreter = [arguments.pop(0) for _ in range(int(arguments.pop(0)))]
    settings = RunSettings.from_arguments(arguments)
    group = _control_group(settings.hard_limit)
    settings.control_group = group.path if group is not None else ""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    pid = _start(interpreter, settings, arguments, group, mask)
    wall = None if group is not None else Wall(pid, settings.hard_limit)
    status, sent = _follow(pid, wall)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _DEATHS and os.WTERMSIG(status) not in sent:
        from flyweight.memory.last_words import say_last_words

        kill_count = _kill_count(group)
        say_last_words(pid, os.WTERMSIG(status), settings, kill_count)
    else:
        _remove_page(pid)
    if group is not None:
        group.remove()
    _end_as(status)


def _control_group(limit_bytes: int) -> ControlGroup | None:
    try:
        group = ControlGroup(limit_bytes)
    except (OSError, ValueError):
        return None
    try:
        group.enter()
    except OSError:
        group.remove()
        return None
    return group


def _start(
    interpreter: list[str], settings: RunSettings, program: list[str], group: ControlGroup | None, mask: set[int]
) -> int:
    ours = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _die_with_parent(ours)
            os.execv(sys.executable, [*interpreter, *settings.command(program)])
        finally:
            os._exit(126)
    if group is not None:
        try:
            group.leave()
        except OSError:
            pass  # then our few pages count as well
    return pid


def _die_with_parent(parent: int) -> None:
    """Nobody who kills us, as they would have killed the program, must leave it running."""
    import ctypes  # gone with the exec that follows

    ctypes.CDLL(None).prctl(_DEATH_SIGNAL_OPTION, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(126)


class Wall:
    """Moves the bound on a program's address space along with what it holds, until it holds all that it may: then the
    next mapping fails. Address space alone says too little: reserved and never touched, it costs nothing."""

    def __init__(self, pid: int, hard_bytes: int) -> None:
        self._pid = pid
        self._hard_bytes = hard_bytes
        self._unbounded = resource.getrlimit(resource.RLIMIT_DATA)[0]

    def look(self) -> None:
        try:
            self._move()
        except (OSError, ValueError):
            pass  # it has just ended, or has become another user's

    def _move(self) -> None:
        with open(f"/proc/{self._pid}/statm", "rb") as file:
            _, resident, shared, _, _, data, _ = map(int, file.read().split())
        held_bytes, data_bytes = (resident - shared) * _PAGE_BYTES, data * _PAGE_BYTES
        soft, hard = resource.prlimit(self._pid, resource.RLIMIT_DATA)
        if soft == self._unbounded:  # not set yet, or lifted for the farewell
            return
        wanted = wall_bytes(data_bytes, held_bytes, self._hard_bytes)
        for other in (self._unbounded, hard):
            if other != resource.RLIM_INFINITY:
                wanted = min(wanted, other)
        if held_bytes < self._hard_bytes and abs(wanted - soft) < _STEP_BYTES:
            return
        before = resource.prlimit(self._pid, resource.RLIMIT_DATA, (wanted, hard))
        if before[0] == self._unbounded:  # lifted in between
            resource.prlimit(self._pid, resource.RLIMIT_DATA, before)


def _follow(pid: int, wall: Wall | None) -> tuple[int, set[int]]:
    """Passes signals on until the program has ended; returns its status and the signals it was sent."""
    sent: set[int] = set()
    waited_for = {*_PASSED_ON, signal.SIGCHLD}
    while True:
        if wall is None:
            info = signal.sigwaitinfo(waited_for)
        else:
            wall.look()
            found = signal.sigtimedwait(waited_for, _LOOK_EVERY_S)
            if found is None:
                continue
            info = found
        if info.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status, sent
        elif info.si_code <= 0:  # from a process; what the terminal sends reaches the program as well
            sent.add(info.si_signo)
            os.kill(pid, info.si_signo)


def _kill_count(group: ControlGroup | None) -> int:
    if group is None:
        return 0
    try:
        return group.kill_count()
    except (OSError, ValueError):
        return 0


def _remove_page(pid: int) -> None:
    """A program that left by os._exit has left its page."""
    from flyweight.memory.page_path import page_path

    try:
        os.unlink(page_path(pid))
    except OSError:
        pass


def _end_as(status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # one core is enough
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os.kill(os.getpid(), -code)
    os._exit(128 - code)
