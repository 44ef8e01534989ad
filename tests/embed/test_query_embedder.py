from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("botocore")
from bare_process import run_script

from flyweight.embed.query_embedder import QueryEmbedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import CredentialsError, EmbedderRefusedError, EmbedderUnreachableError
from flyweight.observe.bench.line_process import BareInterpreter, LineProcess
from tests.standins.bedrock import BedrockStandIn
from tests.standins.faults import Faults
from tests.standins.openai import OpenAIStandIn

ENOUGH_S = 60.0
# What it weighed when it was measured is 3.4 MB, an open index included; what it may weigh is 10 MB.
PRIVATE_OVER_BARE_BYTES = 5_000_000
RSS_BYTES = 24_000_000
FOREIGN = "socket ssl http.client email urllib json re threading collections enum typing functools contextlib base64"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockStandIn]:
    with BedrockStandIn() as service:
        service.set_environment(monkeypatch)
        yield service


def titan(timeout_s: float = ENOUGH_S, entries: int = 10) -> QueryEmbedder:
    return QueryEmbedder(EmbedderSettings.parse("titan", {"dimensions": 256}), entries, timeout_s)


def test_a_query_is_asked_for_once(service: BedrockStandIn) -> None:
    embedder = titan()
    vectors = [embedder.embed("where are retries handled") for _ in range(3)]
    assert len(vectors[0]) == 1024
    assert len(set(vectors)) == 1
    embedder.close()
    assert service.ledger.requests == 1


def test_the_latest_queries_are_kept(service: BedrockStandIn) -> None:
    embedder = titan(entries=2)
    for query in ("one", "two", "one", "three", "one", "two"):
        embedder.embed(query)
    embedder.close()
    assert service.ledger.requests == 4


def test_what_is_given_back_is_made_again(service: BedrockStandIn) -> None:
    embedder = titan()
    for giving_back in (embedder.drop_idle, embedder.close):
        embedder.embed("one")
        giving_back()
    embedder.embed("one")
    embedder.close()
    assert (service.ledger.requests, service.ledger.connections) == (3, 3)


def test_a_blank_query_asks_nobody(service: BedrockStandIn) -> None:
    embedder = titan()
    assert embedder.embed(" \n") == bytes(1024)
    embedder.close()
    assert service.ledger.requests == 0


def test_a_long_query_is_embedded_piece_by_piece(service: BedrockStandIn) -> None:
    embedder = titan()
    assert len(embedder.embed("words of a very long query\n" * 2000)) == 1024
    embedder.close()
    assert service.ledger.requests > 1


@pytest.mark.parametrize("fault", ["throttle", "server_error", "half_body", "closed", "nan", "bad_gateway"])
def test_a_passing_fault_is_not_seen(service: BedrockStandIn, fault: str) -> None:
    service.faults = Faults(script=[fault, fault])
    embedder = titan()
    assert len(embedder.embed("one")) == 1024
    embedder.close()
    assert service.ledger.requests == 3


def test_a_fault_that_stays_is_told_at_the_deadline(service: BedrockStandIn) -> None:
    service.faults = Faults(rates={"unavailable": 1.0})
    with pytest.raises(EmbedderUnreachableError, match=r"within 0\.3 s"):
        titan(0.3).embed("one")


def test_a_service_that_says_nothing_is_left_at_the_deadline(service: BedrockStandIn) -> None:
    service.faults = Faults(rates={"silent": 1.0})
    with pytest.raises(EmbedderUnreachableError):
        titan(0.3).embed("one")


def test_where_nobody_listens_the_deadline_is_not_waited_for(
    service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test would take its hour otherwise."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:1")
    with pytest.raises(EmbedderUnreachableError, match=r"127\.0\.0\.1:1 cannot be reached: Connection refused"):
        titan(3600).embed("one")


def test_a_wait_beyond_the_deadline_is_not_begun(service: BedrockStandIn) -> None:
    service.faults = Faults(rates={"throttle": 1.0}, retry_after_s=3600)
    with pytest.raises(EmbedderUnreachableError, match="ThrottlingException"):
        titan().embed("one")
    assert service.ledger.requests == 1


@pytest.fixture
def swallowing_port() -> Iterator[int]:
    """Of a listener that takes no more connections: what is sent to it gets no answer at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port
        for one in waiting:
            one.close()


def test_a_network_that_swallows_packets_is_found_out_by_few(
    swallowing_port: int, service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyweight.embed.circuit_breaker.FIRST_PAUSE_S", 1e6)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{swallowing_port}")
    embedder = titan(0.1)
    for _ in range(2):
        with pytest.raises(EmbedderUnreachableError, match=r"within 0\.1 s") as raised:
            embedder.embed("one")
    why = str(raised.value).partition(": ")[2]
    said = rf"no vector for the query: none has come for \d+ s, the next try is in \d+ s: {re.escape(why)}$"
    for query in ("one", "two"):
        with pytest.raises(EmbedderUnreachableError, match=said):
            embedder.embed(query)
    embedder.close()


def test_who_is_not_asked_for_a_while_is_left_alone(service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight.embed.circuit_breaker.FIRST_PAUSE_S", 1e6)
    embedder = titan()
    assert embedder.embed("known") == embedder.embed("known")
    service.faults = Faults(rates={"throttle": 1.0}, retry_after_s=3600)
    for _ in range(4):
        with pytest.raises(EmbedderUnreachableError, match="ThrottlingException"):
            embedder.embed("one")
    assert service.ledger.requests == 3
    assert len(embedder.embed("known")) == 1024
    embedder.close()
    with pytest.raises(EmbedderUnreachableError, match="the next try is in"):
        embedder.embed("one")


def test_who_is_back_is_asked_again(service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyweight.embed.circuit_breaker.FIRST_PAUSE_S", 1e-9)
    embedder = titan()
    service.faults = Faults(rates={"throttle": 1.0}, retry_after_s=3600)
    for _ in range(3):
        with pytest.raises(EmbedderUnreachableError):
            embedder.embed("one")
    service.faults = Faults()
    for query in ("one", "two", "three"):
        assert len(embedder.embed(query)) == 1024
    embedder.close()
    assert service.ledger.requests == 6


def test_what_does_not_pass_is_told_at_once(service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, error in (("denied", EmbedderRefusedError), ("text_refused", EmbedderRefusedError)):
        service.faults = Faults(script=[fault])
        with pytest.raises(error):
            titan().embed("one")
    assert service.ledger.requests == 2
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(CredentialsError):
        titan().embed("one")


def test_threads_share_an_embedder(service: BedrockStandIn) -> None:
    embedder, alone = titan(entries=3), titan()
    queries = [f"query {number}" for number in range(6)]
    expected = {query: alone.embed(query) for query in queries}
    wrong: list[str] = []

    def ask() -> None:
        for query in queries * 5:
            if embedder.embed(query) != expected[query]:
                wrong.append(query)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedder.close()
    alone.close()
    assert not wrong


def test_a_forked_child_asks_over_a_connection_of_its_own(service: BedrockStandIn) -> None:
    script = """
import os
from flyweight.embed.query_embedder import QueryEmbedder
from flyweight.embed.settings import EmbedderSettings

embedder = QueryEmbedder(EmbedderSettings.parse("titan", {"dimensions": 256}), 10, 60.0)
first = embedder.embed("one")
pid = os.fork()
if pid == 0:
    os._exit(0 if embedder.embed("one") == first and len(embedder.embed("two")) == 1024 else 1)
assert os.waitpid(pid, 0)[1] == 0
assert len(embedder.embed("three")) == 1024
print("done")
"""
    assert run_script(script) == "done\n"
    assert (service.ledger.requests, service.ledger.connections) == (3, 2)


RESIDENT = """
import sys
from flyweight.embed.query_embedder import QueryEmbedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.engine import SemanticSearchEngine

embedder = QueryEmbedder(EmbedderSettings.parse(sys.argv[1]), 50, 60.0)
for query in ("async function", "error handling", "memory allocation", "vector search", "database connection") * 4:
    vector = embedder.embed(query)
print(len(vector), *sys.modules, flush=True)
sys.stdin.readline()
"""


def test_a_process_that_asks_titan_over_tls_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trustme")
    with BedrockStandIn(tls=True) as service, BareInterpreter() as bare:
        service.set_environment(monkeypatch)
        with LineProcess([sys.executable, "-P", "-c", RESIDENT, "titan"]) as resident:
            dimensions, *modules = resident.answer().split()
            memory = resident.memory()
            over = memory.private_bytes - bare.memory().private_bytes
        assert service.ledger.connections == 1
    assert dimensions == "4096"
    assert set(FOREIGN.split()) & set(modules) == set()
    assert over <= PRIVATE_OVER_BARE_BYTES, f"{over / 1e6:.2f} MB over a bare interpreter"
    assert memory.rss_bytes <= RSS_BYTES, f"{memory.rss_bytes / 1e6:.2f} MB"


def test_without_tls_its_library_is_not_loaded() -> None:
    with OpenAIStandIn() as service, BareInterpreter() as bare:
        spec = f"openai:{service.base_url}#small-code"
        with LineProcess([sys.executable, "-P", "-c", RESIDENT, spec]) as resident:
            size, *modules = resident.answer().split()
            over = resident.memory().private_bytes - bare.memory().private_bytes
    assert size == str(4 * 384)
    assert {*FOREIGN.split(), "_ssl", "hashlib"} & set(modules) == set()
    assert over <= PRIVATE_OVER_BARE_BYTES, f"{over / 1e6:.2f} MB over a bare interpreter"
