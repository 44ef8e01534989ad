from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flyweight.aws.child_process import run_command


def python(script: str, timeout_s: float = 60.0, **options: str) -> tuple[int, str, str]:
    output = run_command([sys.executable, "-c", script], timeout_s=timeout_s, **options)
    return output.status, output.stdout.decode(), output.stderr


def test_what_a_command_prints_and_its_status() -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert python(script) == (3, "out\n", "err\n")


def test_it_reads_what_it_is_given() -> None:
    assert python("print(input()[::-1])", text="abc\n") == (0, "cba\n", "")


def test_one_that_reads_nothing_does_not_matter() -> None:
    assert python("import os; os.close(0); print('done')", text="abc" * 1000)[:2] == (0, "done\n")


def test_output_that_no_pipe_holds_at_once() -> None:
    status, out, err = python("import sys; sys.stderr.write('e' * 200_000); print('o' * 300_000)")
    assert (status, len(out), len(err)) == (0, 300_001, 200_000)


def test_input_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", refuse)
    assert python("print('done')", text="abc")[:2] == (0, "done\n")


def test_signals_are_neither_blocked_nor_ignored() -> None:
    """Python ignores SIGPIPE and SIGXFSZ; a program that was not written in it relies on them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        status = run_command(["cat", "/proc/self/status"], timeout_s=60).stdout.decode()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    assert int(masks["SigBlk"], 16) == 0
    assert not int(masks["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_a_signal_is_a_negative_status() -> None:
    assert python("import os; os.kill(os.getpid(), 9)")[0] == -9


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        run_command(["no-such-command-here"], timeout_s=60)


def test_one_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    """The child holds a lock on a file; that it can be taken shows that the child is gone."""
    import fcntl

    script = (
        "import fcntl, os, subprocess, sys, time\n"
        f"file = open({str(tmp_path / 'held')!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], pass_fds=[file.fileno()])\n"
        f"open({str(tmp_path / 'ready')!r}, 'w')\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(TimeoutError):
        python(script, timeout_s=0.8)
    with open(tmp_path / "held", "w") as file:
        for _ in range(600):  # a process that is killed holds its locks a little longer
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.05)
    pytest.fail("the child still holds its lock")


def test_what_it_leaves_in_the_background_is_not_waited_for() -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid)\n"
    )
    status, out, _ = python(script)
    os.kill(int(out), 9)
    assert status == 0


def test_it_has_a_session_of_its_own_and_so_no_terminal() -> None:
    assert python("import os; print(os.getsid(0) == os.getpid())")[1] == "True\n"


def test_without_a_kernel_that_tells_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    script = "import os, time; print('said', flush=True); os.close(1); os.close(2); time.sleep(0.2); os._exit(4)"
    assert python(script) == (4, "said\n", "")


def test_no_descriptor_is_left_open() -> None:
    gc.collect()  # what others left is not let go of meanwhile
    before = os.listdir("/proc/self/fd")
    python("print(1)")
    with pytest.raises(TimeoutError):
        python("import time; time.sleep(600)", timeout_s=0.2)
    assert os.listdir("/proc/self/fd") == before
