"""A source of credentials: kept, refreshed ahead of expiry, renewed on demand, by one thread for all."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_process import run_script
from shared_files import SharedFiles

from flyweight.aws.clock import Clock
from flyweight.aws.credentials import Credentials, CredentialSource
from flyweight.errors import CredentialsError, EmbedderUnreachableError

HOUR = 3600.0
PROGRAM = """
import json, os, sys, time
directory = sys.argv[1]
run = len(os.listdir(directory + "/runs")) + 1
open(f"{directory}/runs/{run}", "w").close()
while os.path.exists(directory + "/wait"):
    time.sleep(0.01)
if os.path.exists(directory + "/fail"):
    sys.exit("out of order")
expires_at = json.load(open(directory + "/expires"))
text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_at))
print(json.dumps({"Version": 1, "AccessKeyId": f"ASIA{run}", "SecretAccessKey": "hidden", "SessionToken": "hidden",
                  "Expiration": text}))
"""


class SetClock(Clock):
    """Says what it was told."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now

    def now_s(self) -> float:
        return self.now


class KeyProgram:
    """A credential_process that counts its runs, and waits or fails when told to."""

    def __init__(self, directory: Path, files: SharedFiles) -> None:
        self._directory = directory
        (directory / "runs").mkdir()
        (directory / "program.py").write_text(PROGRAM)
        files.config(f"[default]\ncredential_process = {sys.executable} {directory}/program.py {directory}\n")
        self.clock = SetClock(1_800_000_000.0)
        self.expire_in(HOUR)

    def expire_in(self, seconds: float) -> None:
        (self._directory / "expires").write_text(str(int(self.clock.now + seconds)))

    def switch(self, name: str, on: bool) -> None:
        """`wait`: runs go on until it is off; `fail`: runs end with an error."""
        (self._directory / name).touch() if on else (self._directory / name).unlink()

    @property
    def runs(self) -> int:
        return len(list((self._directory / "runs").iterdir()))

    def source(self) -> CredentialSource:
        return CredentialSource(clock=self.clock)


@pytest.fixture
def program(tmp_path: Path, shared_files: SharedFiles) -> KeyProgram:
    return KeyProgram(tmp_path, shared_files)


@pytest.fixture
def environment(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_keys(access_key: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")

    set_keys("AKIAFIRST")
    return set_keys


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it has not come to pass")


def together(count: int, work: Callable[[], Credentials]) -> list[Credentials]:
    found: list[Credentials] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("show", [repr, str, lambda found: f"{found}", lambda found: f"{[found]}"])
def test_no_text_of_them_shows_a_key(show: Callable[[object], str]) -> None:
    found = Credentials("hidden-access", "hidden-secret", "hidden-token", 1.0, "the environment")
    assert "hidden" not in show(found)
    assert "the environment" in show(found)


@pytest.mark.parametrize(
    "keys", [("", "s", None), ("a", "", None), ("a b", "s", None), ("a", "s", "t\n"), ("ä", "s", None)]
)
def test_keys_that_no_header_can_hold(keys: tuple[str, str, str | None]) -> None:
    with pytest.raises(CredentialsError) as raised:
        Credentials(*keys)
    assert raised.value.__cause__ is None


def test_those_that_do_not_expire_are_looked_for_once(environment: Callable[[str], None]) -> None:
    source = CredentialSource()
    first = source.get()
    environment("AKIASECOND")
    assert source.get() is first


def test_renewing_reads_the_new_ones(environment: Callable[[str], None]) -> None:
    source = CredentialSource()
    first = source.get()
    environment("AKIASECOND")
    assert source.renew(first).access_key == "AKIASECOND"
    assert source.get().access_key == "AKIASECOND"


def test_renewing_what_another_has_renewed_gives_those_at_hand(environment: Callable[[str], None]) -> None:
    source = CredentialSource()
    first = source.get()
    environment("AKIASECOND")
    second = source.renew(first)
    environment("AKIATHIRD")
    assert source.renew(first) is second


def test_renewing_in_vain_says_where_the_old_ones_are_from(environment: Callable[[str], None]) -> None:
    source = CredentialSource()
    with pytest.raises(CredentialsError, match=r"from the environment.*the same are still there") as raised:
        source.renew(source.get())
    assert "hidden" not in str(raised.value) and "AKIAFIRST" not in str(raised.value)


def test_a_source_finds_what_has_come_since_it_failed(
    environment: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    source = CredentialSource()
    with pytest.raises(CredentialsError):
        source.get()
    environment("AKIASECOND")
    assert source.get().access_key == "AKIASECOND"


def test_expired_ones_of_the_environment(environment: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    with pytest.raises(CredentialsError, match="from the environment have expired"):
        CredentialSource().get()


def test_many_threads_start_one_process(program: KeyProgram) -> None:
    source = program.source()
    assert {found.access_key for found in together(12, source.get)} == {"ASIA1"}
    assert program.runs == 1


def test_many_threads_renew_with_one_process(program: KeyProgram) -> None:
    source = program.source()
    used = source.get()
    assert {found.access_key for found in together(12, lambda: source.renew(used))} == {"ASIA2"}
    assert program.runs == 2


def test_ahead_of_expiry_one_fetches_while_the_others_go_on(program: KeyProgram) -> None:
    source = program.source()
    first = source.get()
    program.switch("wait", True)
    program.clock.now += HOUR - 600
    program.expire_in(HOUR)
    assert together(8, source.get) == [first] * 8
    until(lambda: program.runs == 2)
    assert source.get() is first
    program.switch("wait", False)
    until(lambda: source.get() is not first)
    assert (source.get().access_key, program.runs) == ("ASIA2", 2)


def test_well_before_expiry_nothing_is_fetched(program: KeyProgram) -> None:
    source = program.source()
    first = source.get()
    program.clock.now += HOUR - 1000
    assert source.get() is first
    assert program.runs == 1


def test_short_lived_ones_are_not_fetched_again_with_every_call(program: KeyProgram) -> None:
    program.expire_in(600)
    source = program.source()
    assert {source.get().access_key for _ in range(20)} == {"ASIA1"}
    assert program.runs == 1


def test_after_expiry_the_new_ones_are_waited_for(program: KeyProgram) -> None:
    source = program.source()
    source.get()
    program.clock.now += 2 * HOUR
    program.expire_in(HOUR)
    assert source.get().access_key == "ASIA2"


@pytest.mark.parametrize("left_s", [600, 40])
def test_a_refresh_that_fails_leaves_those_at_hand_until_they_expire(
    program: KeyProgram, monkeypatch: pytest.MonkeyPatch, left_s: int
) -> None:
    monkeypatch.setattr("flyweight.aws.credentials._REMEMBER_FAILURE_S", 0)
    source = program.source()
    first = source.get()
    program.switch("fail", True)
    program.clock.now += HOUR - left_s
    assert source.get() is first
    until(lambda: source._attempt is None)
    assert [source.get() for _ in range(5)] == [first] * 5
    until(lambda: source._attempt is None)
    assert program.runs == 2
    program.clock.now += left_s + 1
    with pytest.raises(CredentialsError, match="out of order"):
        source.get()


def test_a_process_that_gives_expired_ones(program: KeyProgram) -> None:
    program.expire_in(-60)
    with pytest.raises(CredentialsError, match="credential_process of profile 'default' have expired"):
        program.source().get()


def test_a_process_that_fails_is_not_started_for_every_caller(
    program: KeyProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyweight.aws.credentials._REMEMBER_FAILURE_S", 1e6)
    program.switch("fail", True)
    source = program.source()
    for _ in range(5):
        with pytest.raises(CredentialsError, match="out of order"):
            source.get()
    assert program.runs == 1


def test_a_caller_in_a_hurry_finds_the_answer_next_time(program: KeyProgram) -> None:
    program.switch("wait", True)
    source = program.source()
    with pytest.raises(EmbedderUnreachableError, match=r"within 0.05 s"):
        source.get(timeout_s=0.05)
    until(lambda: program.runs == 1)
    program.switch("wait", False)
    assert source.get().access_key == "ASIA1"
    assert program.runs == 1


def test_an_error_that_was_not_foreseen_reaches_the_caller(
    program: KeyProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("hidden")

    monkeypatch.setattr("flyweight.aws.credential_process.run_command", fail)
    with pytest.raises(CredentialsError, match="ZeroDivisionError") as raised:
        program.source().get()
    assert "hidden" not in str(raised.value)


def test_credentials_are_not_pickled_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Credentials("a", "hidden"))


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
from flyweight.aws.credentials import CredentialSource
source = CredentialSource()
try:
    source.get(timeout_s=0.5)
except Exception as error:
    print(type(error).__name__, flush=True)
pid = os.fork()
if pid == 0:
    os.environ.update(AWS_ACCESS_KEY_ID="AKIACHILD", AWS_SECRET_ACCESS_KEY="hidden")
    print(source.get().access_key, flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
os.unlink(sys.argv[1] + "/wait")
print(source.get().access_key)
"""


def test_a_child_of_a_fork_does_not_wait_for_a_thread_of_its_parent(program: KeyProgram, tmp_path: Path) -> None:
    program.clock.now = time.time()
    program.expire_in(HOUR)
    program.switch("wait", True)
    assert run_script(FORK, tmp_path).split() == ["EmbedderUnreachableError", "AKIACHILD", "ASIA1"]
