"""What the stand-in does on the wire: keep-alive, framings, and every fault it claims to inject."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest

pytest.importorskip("botocore")

from tests.standins.bedrock import BedrockStandIn
from tests.standins.faults import ERROR_FAULTS, Faults
from tests.standins.signed_requests import connect, read_answer, read_to_end, signed_request

ASKED = {"inputText": "where are retries handled", "dimensions": 256}


def with_fault(kind: str, **more: Any) -> BedrockStandIn:
    return BedrockStandIn(faults=Faults(script=[kind], **more))


def exchange_to_end(service: BedrockStandIn) -> bytes:
    """All that comes back until the connection is closed."""
    with connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        return read_to_end(connection)


def exchange(service: BedrockStandIn) -> tuple[int, dict[str, str], bytes]:
    with connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        return read_answer(connection)


def test_one_connection_carries_many_requests_even_sent_ahead() -> None:
    with BedrockStandIn() as service, connect(service) as connection:
        connection.sendall(signed_request(service, ASKED) * 2)
        came = b""
        while came.count(b"inputTextTokenCount") < 2 or not came.endswith(b"}"):
            came += connection.recv(1 << 16)
        assert came.count(b"HTTP/1.1 200 OK") == 2
        connection.sendall(signed_request(service, ASKED))
        assert read_answer(connection)[0] == 200
        assert service.ledger.connections == 1
        assert service.ledger.times_answered(ASKED["inputText"]) == 3  # type: ignore[arg-type]


def test_an_answer_names_its_request_and_its_tokens() -> None:
    with BedrockStandIn() as service:
        _, headers, body = exchange(service)
    assert len(headers["x-amzn-requestid"]) == 36
    assert int(headers["x-amzn-bedrock-input-token-count"]) == json.loads(body)["inputTextTokenCount"] > 0
    assert headers["date"].endswith("GMT")


def test_a_closed_connection_brings_nothing() -> None:
    with with_fault("closed") as service:
        assert exchange_to_end(service) == b""
        assert service.ledger.embeddings == 0
        assert service.ledger.faults == {"closed": 1}


def test_a_reset_connection_is_reset() -> None:
    with with_fault("reset") as service, pytest.raises(ConnectionResetError):
        exchange_to_end(service)


def test_half_of_the_headers_come() -> None:
    with with_fault("half_headers") as service:
        came = exchange_to_end(service)
    assert came.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\n\r\n" not in came


def test_half_of_the_body_comes() -> None:
    with with_fault("half_body") as service:
        head, _, body = exchange_to_end(service).partition(b"\r\n\r\n")
        assert service.ledger.embeddings == 0
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) == promised // 2 > 0


def test_the_second_half_of_a_slow_body_does_not_come_at_once() -> None:
    with with_fault("slow_body", slow_s=3600.0) as service, connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        assert connection.recv(15)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            read_to_end(connection)
        assert service.ledger.embeddings == 0


def test_the_second_half_of_a_slow_body_comes_in_the_end() -> None:
    with with_fault("slow_body", slow_s=0.05) as service:
        assert len(json.loads(exchange(service)[2])["embedding"]) == 256
        assert service.ledger.embeddings == 1


def test_a_silent_service_sends_nothing() -> None:
    with with_fault("silent") as service, connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_an_endless_body_goes_on() -> None:
    with with_fault("endless_body") as service, connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        received = 0
        while received < 3_000_000:
            data = connection.recv(1 << 20)
            assert data
            received += len(data)


@pytest.mark.parametrize("kind", ERROR_FAULTS)
def test_an_error_has_a_status_and_no_embedding(kind: str) -> None:
    with with_fault(kind) as service:
        status, headers, body = exchange(service)
        assert service.ledger.embeddings == 0
        assert service.ledger.faults == {kind: 1}
        assert exchange(service)[0] == 200
    assert status >= 400
    if kind == "bad_gateway":
        assert b"<html>" in body and "x-amzn-errortype" not in headers
    else:
        assert headers["x-amzn-errortype"].split(":")[0].endswith("Exception")
        assert json.loads(body)["message"]


def test_a_body_that_is_not_json() -> None:
    with with_fault("not_json") as service:
        status, _, body = exchange(service)
    assert status == 200
    with pytest.raises(ValueError):
        json.loads(body)


def test_a_body_that_is_empty() -> None:
    with with_fault("empty") as service:
        assert exchange(service)[::2] == (200, b"")


def test_a_body_of_another_form() -> None:
    with with_fault("wrong_json") as service:
        assert "embedding" not in json.loads(exchange(service)[2])


def test_a_vector_of_wrong_dimensions() -> None:
    with with_fault("wrong_dimensions") as service:
        assert len(json.loads(exchange(service)[2])["embedding"]) == 128


@pytest.mark.parametrize("kind", ["nan", "nulls"])
def test_a_vector_with_a_value_that_is_no_number(kind: str) -> None:
    with with_fault(kind) as service:
        content = json.loads(exchange(service)[2])
        assert service.ledger.embeddings == 0
    for values in (content["embedding"], content["embeddingsByType"]["float"]):
        assert len(values) == 256
        assert any(value is None or math.isnan(value) for value in values)


def test_throttled_clients_are_told_how_long_to_wait_if_that_is_set() -> None:
    with with_fault("throttle") as service:
        assert "retry-after" not in exchange(service)[1]
    with with_fault("throttle", retry_after_s=2.0) as service:
        status, headers, _ = exchange(service)
        assert (status, headers["retry-after"]) == (429, "2")


def test_what_is_over_the_rate_is_throttled() -> None:
    with BedrockStandIn(rate_per_s=0.0001, burst=2) as service:
        assert [exchange(service)[0] for _ in range(4)] == [200, 200, 429, 429]
        assert service.ledger.refusals == {"ThrottlingException": 2}
        assert service.ledger.embeddings == 2


def test_what_is_over_the_token_rate_is_throttled() -> None:
    with BedrockStandIn(tokens_per_s=0.0001, burst=3) as service:
        assert [exchange(service)[0] for _ in range(2)] == [200, 429]


def test_faults_come_by_chance_in_the_proportion_asked_for() -> None:
    faults = Faults({"throttle": 0.2, "closed": 0.1}, seed=5)
    drawn = [faults.choose(["x"]) for _ in range(10_000)]
    assert 0.18 < drawn.count("throttle") / 10_000 < 0.22
    assert 0.08 < drawn.count("closed") / 10_000 < 0.12
    again = Faults({"throttle": 0.2, "closed": 0.1}, seed=5)
    assert drawn == [again.choose(["x"]) for _ in range(10_000)]


def test_a_fault_can_be_tied_to_a_text() -> None:
    faults = Faults(texts={"cursed": "server_error"})
    assert [faults.choose([text]) for text in ("a cursed text", "a text")] == ["server_error", None]


def test_an_unknown_fault_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no such fault: gremlin"):
        Faults(script=["gremlin"])


def test_chunked_answers_hold_the_same_body() -> None:
    with BedrockStandIn() as service:
        plain = exchange(service)[2]
    with BedrockStandIn(framing="chunked") as service, connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        data = b""
        while not data.endswith(b"0\r\nX-Trailer: 1\r\n\r\n"):
            data += connection.recv(1 << 16)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head and b"Content-Length" not in head
    body = b""
    while not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    assert body == plain


def test_an_answer_can_end_with_its_connection() -> None:
    with BedrockStandIn(framing="close") as service:
        head, _, body = exchange_to_end(service).partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert json.loads(body)["embedding"]


def test_connections_are_closed_after_as_many_answers_as_set() -> None:
    with BedrockStandIn(requests_per_connection=2) as service, connect(service) as connection:
        for _ in range(2):
            connection.sendall(signed_request(service, ASKED))
            assert read_answer(connection)[0] == 200
        assert connection.recv(1) == b""


def test_idle_connections_can_be_dropped() -> None:
    with BedrockStandIn() as service, connect(service) as connection:
        connection.sendall(signed_request(service, ASKED))
        read_answer(connection)
        service.drop_idle_connections()
        assert connection.recv(1) == b""


def test_an_answer_nobody_waits_for_is_not_paid() -> None:
    with BedrockStandIn(latency_s=3600.0) as service:
        with connect(service) as connection:
            connection.sendall(signed_request(service, ASKED))
            while not service.in_hand:
                time.sleep(0.001)
        while service.in_hand:
            time.sleep(0.001)
        assert service.ledger.requests == 1
        assert service.ledger.embeddings == 0


def test_requests_in_hand_together_are_counted() -> None:
    with BedrockStandIn(latency_s=3600.0) as service:
        connections = [connect(service) for _ in range(5)]
        for connection in connections:
            connection.sendall(signed_request(service, ASKED))
        while service.in_hand < 5:
            time.sleep(0.001)
        for connection in connections:
            connection.close()
        assert service.ledger.most_at_once == 5


def test_what_was_sent_again_counts_as_paid_twice() -> None:
    with BedrockStandIn() as service:
        for _ in range(3):
            exchange(service)
        assert service.ledger.embeddings == 3
        assert service.ledger.paid_twice == 2


def test_what_is_no_request_is_refused() -> None:
    with BedrockStandIn() as service, connect(service) as connection:
        connection.sendall(b"EHLO example\r\n\r\n")
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


def test_tls_speaks_the_same() -> None:
    pytest.importorskip("trustme")
    with BedrockStandIn(tls=True) as service:
        assert exchange(service)[0] == 200
