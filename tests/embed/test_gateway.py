"""The embedding gateway from its clients' side: a real process, and an embedder that does what its texts say."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from flyweight.embed.gateway import CAP_REACHED, Gateway
from flyweight.embed.gateway_client import HALTED, GatewayClient
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import BuildError, ConfigError
from tests.embed.scripted_gateway import DIMENSIONS, PROGRAM, Script, vector_of

ZEROS = bytes(4 * DIMENSIONS)
Start = Callable[..., Gateway]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    directory = tmp_path / "script"
    directory.mkdir()
    monkeypatch.setenv("SCRIPT", str(directory))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROGRAM.parents[2]), os.environ.get("PYTHONPATH", "")]))
    return Script(directory)


@pytest.fixture
def start(script: Script, tmp_path: Path) -> Iterator[Start]:
    """Starts gateways that share one cache; all are stopped in the end."""
    started = []

    def start(options: dict[str, object] | None = None, **arguments: object) -> Gateway:
        settings = EmbedderSettings.parse(
            "openai:http://127.0.0.1:9#scripted", {"dimensions": DIMENSIONS, **(options or {})}
        )
        gateway = Gateway(
            settings,
            **{"cache_path": str(tmp_path / "cache"), "arguments": ("-P", str(PROGRAM)), **arguments},  # type: ignore[arg-type]
        )
        gateway.start()
        started.append(gateway)
        return gateway

    yield start
    script.release()
    for gateway in started:
        gateway.stop()


def embedded(gateway: Gateway, *texts: str) -> tuple[list[bytes], list[tuple[int, str]]]:
    """One ticket through a client of its own: the vectors, and what failed."""
    client = GatewayClient(gateway.address)
    client.submit(1, [text.encode() for text in texts])
    ((ticket, vectors, failures),) = client.receive(block=True)
    assert (ticket, client.waiting) == (1, 0)
    client.close()
    size = 4 * DIMENSIONS
    return [vectors[start : start + size] for start in range(0, len(vectors), size)], failures


class TestDelivery:
    def test_each_text_gets_its_vector_in_order(self, start: Start) -> None:
        texts = [f"text {number}" for number in range(40)]
        vectors, failures = embedded(start(), *texts)
        assert (vectors, failures) == ([vector_of(text) for text in texts], [])

    def test_blank_texts_are_zeros_and_no_failure(self, start: Start, script: Script) -> None:
        assert embedded(start(), "", "one", " \n ") == ([ZEROS, vector_of("one"), ZEROS], [])
        assert embedded(start(), "", " ") == ([ZEROS, ZEROS], [])
        assert script.paid == {"one": 1}

    def test_a_ticket_without_texts_comes_back(self, start: Start) -> None:
        assert embedded(start()) == ([], [])

    def test_a_long_text_is_the_mean_of_its_pieces_weighed_by_their_length(self, start: Start) -> None:
        vectors, failures = embedded(start(), "short one|a piece that is much longer", "short one")
        parts = [np.frombuffer(vector_of(piece), "<f4") for piece in ("short one", "a piece that is much longer")]
        expected = parts[0] * len("short one") + parts[1] * len("a piece that is much longer")
        assert not failures
        assert np.allclose(np.frombuffer(vectors[0], "<f4"), expected / np.linalg.norm(expected))
        assert vectors[1] == vector_of("short one")

    def test_equal_texts_are_asked_for_once(self, start: Start, script: Script) -> None:
        gateway = start()
        clients = [GatewayClient(gateway.address) for _ in range(3)]
        for number, client in enumerate(clients):
            client.submit(number, [b"same", b"same", b"held same"])
        script.wait_until_asked()
        script.release()
        for client in clients:
            ((_, vectors, failures),) = client.receive(block=True)
            assert vectors == vector_of("same") * 2 + vector_of("held same")
            assert not failures
            client.close()
        assert script.paid == {"same": 1, "held same": 1}

    def test_tickets_come_back_as_they_are_ready(self, start: Start, script: Script) -> None:
        client = GatewayClient(start().address)
        client.submit(1, [b"held text"])
        client.submit(2, [b"quick text"])
        assert [ticket for ticket, _, _ in client.receive(block=True)] == [2]
        assert client.waiting == 1
        assert client.receive(block=False) == []
        script.release()
        assert [ticket for ticket, _, _ in client.receive(block=True)] == [1]
        assert client.receive(block=True) == []
        client.close()

    def test_more_texts_than_the_gateway_holds_are_taken_in_turn(self, start: Start) -> None:
        client = GatewayClient(start().address)
        texts = [f"text {number} ".encode() * 20_000 for number in range(60)]
        for number, text in enumerate(texts):
            client.submit(number, [text])
        received = {}
        while client.waiting:
            received.update({ticket: vectors for ticket, vectors, _ in client.receive(block=True)})
        assert received == {number: vector_of(text.decode()) for number, text in enumerate(texts)}
        client.close()

    def test_batches_are_taken_apart_again(self, start: Start, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SCRIPT_BATCH", "4")
        texts = ["held back"] + [f"text {number}" for number in range(9)]
        client = GatewayClient(start().address)
        client.submit(1, [text.encode() for text in texts])
        script.wait_until_asked()
        script.release()
        ((_, vectors, failures),) = client.receive(block=True)
        assert vectors == b"".join(map(vector_of, texts))
        assert not failures
        client.close()


class TestFailures:
    def test_a_refused_text_is_reported_and_the_others_delivered(self, start: Start) -> None:
        vectors, failures = embedded(start(), "one", "refused text", "two")
        assert vectors == [vector_of("one"), ZEROS, vector_of("two")]
        assert failures == [(1, "nobody embeds this")]

    def test_a_text_with_a_refused_piece_fails_once(self, start: Start) -> None:
        vectors, failures = embedded(start(), "one|refused text|refused again", "one")
        assert vectors == [ZEROS, vector_of("one")]
        assert failures == [(0, "nobody embeds this")]

    def test_one_refused_text_of_a_batch_is_found_out(
        self, start: Start, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SCRIPT_BATCH", "4")
        texts = ["one", "refused text", "two", "three"]
        vectors, failures = embedded(start(), *texts)
        assert vectors == [vector_of("one"), ZEROS, vector_of("two"), vector_of("three")]
        assert failures == [(1, "nobody embeds this")]
        assert script.paid == {"one": 1, "two": 1, "three": 1}

    @pytest.mark.parametrize("kind", ["shaky", "throttled", "short"])
    def test_what_passes_is_asked_again(self, start: Start, script: Script, kind: str) -> None:
        gateway = start()
        texts = [f"{kind} {number}" for number in range(3)]
        assert embedded(gateway, *texts, "plain") == ([vector_of(text) for text in [*texts, "plain"]], [])
        assert script.paid == dict.fromkeys([*texts, "plain"], 1)
        usage = gateway.usage()
        assert (usage.throttled if kind == "throttled" else usage.failed) >= 3

    @pytest.mark.parametrize("kind", ["down", "odd"])
    def test_a_text_that_fails_while_others_succeed_is_given_up(self, start: Start, kind: str) -> None:
        gateway = start()
        embedded(gateway, "the service works")
        client = GatewayClient(gateway.address)
        client.submit(0, [f"{kind} always".encode()])
        number = 0
        failures = []
        while not failures:
            number += 1
            client.submit(number, [f"text {number}".encode()])
            failures = [failure for _, _, failed in client.receive(block=True) for failure in failed]
        ((index, reason),) = failures
        assert index == 0
        assert reason.startswith("failed 3 times: ")
        assert gateway.halted() is None
        client.close()

    def test_a_defect_before_anything_has_worked_ends_the_run(self, start: Start) -> None:
        gateway = start()
        assert embedded(gateway, "odd text") == ([ZEROS], [(0, HALTED)])
        halted = gateway.halted()
        assert halted is not None
        assert halted[0] == BuildError.__name__
        assert "ArithmeticError: one and one is three" in halted[1]


class TestHalting:
    @pytest.mark.parametrize(
        ("text", "error", "said"),
        [
            ("denied text", "EmbedderRefusedError", "access to the model is denied"),
            ("expired text", "CredentialsError", "log in again"),
        ],
    )
    def test_an_error_for_good_halts_and_everything_is_answered(
        self, start: Start, text: str, error: str, said: str
    ) -> None:
        gateway = start()
        client = GatewayClient(gateway.address)
        client.submit(1, [b"before"])
        client.receive(block=True)
        for ticket in range(2, 30):
            client.submit(ticket, [text.encode(), f"never asked {ticket}".encode()])
        received = []
        while client.waiting:
            received += client.receive(block=True)
        assert sorted(ticket for ticket, _, _ in received) == list(range(2, 30))
        assert {reason for _, _, failures in received for _, reason in failures} == {HALTED}
        halted = gateway.halted()
        assert halted is not None
        assert halted[0] == error
        assert said in halted[1]
        assert embedded(gateway, "before", "too late") == ([vector_of("before"), ZEROS], [(1, HALTED)])
        client.close()

    def test_a_cap_on_requests_is_kept_to_the_last_one(self, start: Start, script: Script) -> None:
        gateway = start(max_requests=7)
        texts = [f"text {number}" for number in range(20)]
        vectors, failures = embedded(gateway, *texts)
        assert len(failures) == 13
        assert {reason for _, reason in failures} == {HALTED}
        assert sum(script.paid.values()) == gateway.usage().requests == 7
        halted = gateway.halted()
        assert halted is not None
        assert halted[0] == CAP_REACHED
        assert "cap of 7 requests" in halted[1]
        gateway.stop()
        again = start()
        assert embedded(again, *texts) == ([vector_of(text) for text in texts], [])
        assert again.usage().cached == 7
        assert set(script.paid.values()) == {1}
        assert vectors[0] == vector_of("text 0")

    def test_a_cap_on_tokens_is_never_exceeded(self, start: Start) -> None:
        gateway = start(max_tokens=100)
        _, failures = embedded(gateway, *(f"text number {number}" for number in range(30)))
        assert failures
        assert 80 < gateway.usage().tokens <= 100
        halted = gateway.halted()
        assert halted is not None
        assert halted[0] == CAP_REACHED
        assert "cap of 100 tokens" in halted[1]

    def test_refused_requests_do_not_count_towards_a_cap(self, start: Start) -> None:
        gateway = start(max_requests=3)
        texts = ["throttled 1", "throttled 2", "throttled 3"]
        assert embedded(gateway, *texts) == ([vector_of(text) for text in texts], [])
        assert gateway.halted() is None

    def test_a_service_out_of_reach_is_given_up_when_patience_ends(self, start: Start) -> None:
        gateway = start(patience_s=0.2)
        assert embedded(gateway, "down text", "down too") == ([ZEROS] * 2, [(0, HALTED), (1, HALTED)])
        halted = gateway.halted()
        assert halted is not None
        assert halted[0] == "EmbedderUnreachableError"
        assert "no answer" in halted[1]
        assert "run again" in halted[1]

    def test_trouble_shows_in_the_usage_while_it_lasts(self, start: Start) -> None:
        gateway = start()
        client = GatewayClient(gateway.address)
        client.submit(1, [b"down text"])
        while (usage := gateway.usage()).failing_s == 0.0:
            time.sleep(0.005)
        assert usage.last_failure == "no answer"
        assert usage.failed > 0
        client.close()

    def test_a_cache_that_cannot_be_written_halts_and_what_was_paid_is_delivered(self, start: Start) -> None:
        gateway = start()
        assert embedded(gateway, "one") == ([vector_of("one")], [])
        path = gateway.usage().cache_path
        gateway.stop()
        connection = sqlite3.connect(path)
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON embeddings BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        connection.commit()
        connection.close()
        gateway = start()
        vectors, _ = embedded(gateway, "two", "one")
        assert vectors == [vector_of("two"), vector_of("one")]
        halted = gateway.halted()
        assert halted is not None
        assert "the disk is full" in halted[1]
        assert embedded(gateway, "three", "one") == ([ZEROS, vector_of("one")], [(0, HALTED)])


class TestSharing:
    def test_what_another_gateway_asks_for_is_waited_for(self, start: Start, script: Script) -> None:
        one, other = start(), start()
        first, second = GatewayClient(one.address), GatewayClient(other.address)
        first.submit(1, [b"held text"])
        script.wait_until_asked()
        second.submit(1, [b"held text", b"another"])
        while other.usage().waiting_elsewhere == 0:
            time.sleep(0.005)
        script.release()
        assert first.receive(block=True) == [(1, vector_of("held text"), [])]
        assert second.receive(block=True) == [(1, vector_of("held text") + vector_of("another"), [])]
        assert script.paid == {"held text": 1, "another": 1}
        first.close()
        second.close()

    def test_a_gateway_takes_over_from_one_that_was_killed(self, start: Start, script: Script) -> None:
        one, other = start(), start()
        first, second = GatewayClient(one.address), GatewayClient(other.address)
        first.submit(1, [b"held text"])
        script.wait_until_asked()
        second.submit(1, [b"held text"])
        while other.usage().waiting_elsewhere == 0:
            time.sleep(0.005)
        os.kill(one.pid, signal.SIGKILL)
        assert first.receive(block=True) == [(1, ZEROS, [(0, HALTED)])]
        script.release()
        assert second.receive(block=True) == [(1, vector_of("held text"), [])]
        first.close()
        second.close()

    def test_a_gateway_that_stands_still_is_not_waited_for_without_end(self, start: Start, script: Script) -> None:
        one, other = start(), start(patience_s=0.5)
        first = GatewayClient(one.address)
        first.submit(1, [b"held text"])
        script.wait_until_asked()
        os.kill(one.pid, signal.SIGSTOP)
        try:
            assert embedded(other, "held text") == ([ZEROS], [(0, HALTED)])
            halted = other.halted()
        finally:
            os.kill(one.pid, signal.SIGCONT)
        assert halted is not None
        assert halted[0] == "EmbedderUnreachableError"
        assert f"process {one.pid}" in halted[1]
        first.close()

    def test_a_worker_that_dies_takes_only_its_own_texts_along(self, start: Start, script: Script) -> None:
        gateway = start({"max_in_flight": 1})
        first, second = GatewayClient(gateway.address), GatewayClient(gateway.address)
        first.submit(1, [b"held text"])
        script.wait_until_asked()
        first.submit(2, [b"never wanted", b"wanted by both"])
        second.submit(1, [b"wanted by both"])
        first.close()
        second.submit(2, [b""])  # what comes back shows that what was before it has been noticed
        assert second.receive(block=True) == [(2, ZEROS, [])]
        script.release()
        assert second.receive(block=True) == [(1, vector_of("wanted by both"), [])]
        gateway.stop()
        assert script.paid == {"held text": 1, "wanted by both": 1}
        second.close()


class TestLife:
    def test_stopping_stores_what_is_in_flight(self, start: Start, script: Script) -> None:
        gateway = start({"max_in_flight": 1})
        client = GatewayClient(gateway.address)
        client.submit(1, [b"held text", b"never asked"])
        script.wait_until_asked()
        script.release()
        gateway.stop()
        assert set(script.paid) >= {"held text"}
        assert embedded(start(), "held text") == ([vector_of("held text")], [])
        assert script.paid["held text"] == 1
        ((_, _, failures),) = client.receive(block=True)
        assert set(failures) <= {(0, HALTED), (1, HALTED)}
        client.close()

    def test_it_leaves_no_process_and_no_file_behind(self, start: Start) -> None:
        gateway = start()
        embedded(gateway, "text")
        directory = os.path.dirname(gateway.address)
        assert os.path.exists(directory)
        gateway.stop()
        assert not os.path.exists(directory)
        assert not os.path.exists(f"/proc/{gateway.pid}")
        usage = gateway.usage()
        assert (usage.requests, usage.in_flight, usage.private_bytes) == (1, 0, 0)
        assert gateway.halted() is None

    def test_a_killed_gateway_is_said_and_leaves_no_file_behind(self, start: Start, script: Script) -> None:
        gateway = start()
        client = GatewayClient(gateway.address)
        client.submit(1, [b"held text", b"other"])
        script.wait_until_asked()
        os.kill(gateway.pid, signal.SIGKILL)
        ((_, vectors, failures),) = client.receive(block=True)
        assert (vectors, failures) == (ZEROS * 2, [(0, HALTED), (1, HALTED)])
        client.submit(2, [b"more"])
        assert client.receive(block=True) == [(2, ZEROS, [(0, HALTED)])]
        halted = gateway.halted()
        assert halted is not None
        assert halted[0] == BuildError.__name__
        assert "was ended by signal 9" in halted[1]
        gateway.stop()
        assert not os.path.exists(os.path.dirname(gateway.address))
        client.close()

    def test_asked_to_terminate_it_stores_what_is_in_flight(self, start: Start, script: Script) -> None:
        gateway = start()
        client = GatewayClient(gateway.address)
        client.submit(1, [b"held text"])
        script.wait_until_asked()
        os.kill(gateway.pid, signal.SIGTERM)
        script.release()
        assert client.receive(block=True) == [(1, vector_of("held text"), [])]
        assert embedded(start(), "held text") == ([vector_of("held text")], [])
        assert script.paid == {"held text": 1}
        client.close()

    def test_a_forked_child_does_not_keep_it_alive(self, start: Start, script: Script) -> None:
        program = (
            "import os, sys, time\n"
            "from flyweight.embed.gateway import Gateway\n"
            "from flyweight.embed.settings import EmbedderSettings\n"
            "settings = EmbedderSettings.parse('openai:http://127.0.0.1:9#scripted', {'dimensions': 8})\n"
            "gateway = Gateway(settings, cache_path=sys.argv[2], arguments=('-P', sys.argv[1]))\n"
            "gateway.start()\n"
            "child = os.fork()\n"
            "if not child:\n"
            "    time.sleep(1000)\n"
            "print(gateway.pid, child, os.path.dirname(gateway.address), flush=True)\n"
            "time.sleep(1000)\n"
        )
        cache = str(script.directory / "cache")
        command = [sys.executable, "-c", program, str(PROGRAM), cache]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            pid, child, directory = process.stdout.readline().split()
            process.kill()
        try:
            with open(f"/proc/{child}/stat") as file:
                assert file.read()
            while os.path.exists(directory):
                time.sleep(0.005)
        finally:
            os.kill(int(child), signal.SIGKILL)
        assert int(pid) > 0

    def test_what_keeps_it_from_starting_is_raised_as_it_is(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="embedding_cache"):
            start(cache_path=str(tmp_path / "file" / "cache"))

    def test_one_that_cannot_run_is_said(self, start: Start) -> None:
        with pytest.raises(BuildError, match="did not start: it ended with status 2"):
            start(arguments=("-P", "/no/such/program"))

    def test_a_damaged_cache_is_set_aside_with_a_note(self, start: Start) -> None:
        gateway = start()
        embedded(gateway, "one")
        path = Path(gateway.usage().cache_path)
        gateway.stop()
        path.write_bytes(b"no database " * 1000)
        gateway = start()
        assert embedded(gateway, "one") == ([vector_of("one")], [])
        (note,) = gateway.usage().notes
        assert str(path) in note

    def test_settings_are_not_on_its_command_line(self, start: Start) -> None:
        gateway = start({"api_key": "a-well-kept-secret"})
        assert b"a-well-kept-secret" not in Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
        assert b"a-well-kept-secret" not in Path(f"/proc/{gateway.pid}/environ").read_bytes()

    def test_its_memory_is_told(self, start: Start) -> None:
        assert start().usage().private_bytes > 1 << 20
