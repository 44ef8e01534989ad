from __future__ import annotations

import json
import math
from collections.abc import Iterator
from struct import pack, unpack

import numpy as np
import pytest

from flyweight.embed.remote import (
    Answer,
    TemporarilyUnavailable,
    TextRefused,
    Throttled,
    remote_embedder,
    with_known_dimensions,
)
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import (
    ConfigError,
    CredentialsError,
    EmbedderRefusedError,
    EmbedderUnreachableError,
    FlyweightError,
)
from tests.aws.raw_server import RawServer, response
from tests.standins.faults import Faults
from tests.standins.lifted_vectors import lifted_vector
from tests.standins.openai import OpenAIStandIn

ENOUGH_S = 60.0
KEY = "sk-very-secret"
TEXTS = [f"def number_{number}(): return {number}" for number in range(5)]


@pytest.fixture(scope="module")
def shared_service() -> Iterator[OpenAIStandIn]:
    with OpenAIStandIn(api_key=KEY, shuffled=True) as service:
        yield service


@pytest.fixture
def service(shared_service: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIStandIn]:
    for name, value in shared_service.environment().items():
        monkeypatch.setenv(name, value)
    shared_service.ledger.reset()
    yield shared_service
    shared_service.faults = Faults()


def ask(url: str, texts: list[str] = TEXTS, model: str = "small-code", **options: object) -> Answer:
    embedder = remote_embedder(EmbedderSettings.parse(f"openai:{url}#{model}", options))
    try:
        return embedder.request(texts, ENOUGH_S)
    finally:
        embedder.close()


def test_texts_become_their_vectors_in_order(service: OpenAIStandIn) -> None:
    answer = ask(service.base_url)
    assert len(answer.vectors) == len(TEXTS)
    for text, vector in zip(TEXTS, answer.vectors, strict=True):
        assert float(np.dot(np.frombuffer(vector, "<f4"), lifted_vector(text, 384))) > 0.9999
    assert answer.tokens == service.ledger.as_dict()["tokens"]


def test_a_model_is_asked_for_fewer_dimensions(service: OpenAIStandIn) -> None:
    answer = ask(service.base_url, TEXTS[:1], "text-embedding-3-small", dimensions=256)
    assert len(answer.vectors[0]) == 4 * 256
    assert math.hypot(*unpack("<256f", answer.vectors[0])) == pytest.approx(1, abs=1e-6)


def test_a_model_that_has_others_refuses_them(service: OpenAIStandIn) -> None:
    with pytest.raises(EmbedderRefusedError, match="dimensions"):
        ask(service.base_url, dimensions=256)


def test_dimensions_that_nobody_has_said_are_asked_for(service: OpenAIStandIn) -> None:
    settings = EmbedderSettings.parse(f"openai:{service.base_url}#small-code")
    found = with_known_dimensions(settings)
    assert found.dimensions == 384
    assert found.name == settings.name
    assert with_known_dimensions(found) is found
    assert service.ledger.requests == 1


@pytest.mark.parametrize("key", [None, "sk-wrong-secret"])
def test_a_key_that_is_missing_or_wrong_is_a_matter_of_credentials(
    service: OpenAIStandIn, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(CredentialsError, match="OPENAI_API_KEY") as raised:
        ask(service.base_url, api_key=key)
    assert "secret" not in str(raised.value)


def test_a_key_goes_by_option_or_environment(service: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(service.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    ask(service.base_url, api_key=KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "a\nkey")
    with pytest.raises(ConfigError):
        ask(service.base_url)


def test_an_unknown_model_is_refused(service: OpenAIStandIn) -> None:
    with pytest.raises(EmbedderRefusedError, match="no-such-model"):
        ask(service.base_url, model="no-such-model")


def test_a_wrong_base_url_is_refused(service: OpenAIStandIn) -> None:
    with pytest.raises(EmbedderRefusedError, match="check the base URL"):
        ask(f"{service.endpoint}/v2")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("throttle", Throttled),
        ("not_ready", TemporarilyUnavailable),
        ("server_error", TemporarilyUnavailable),
        ("bad_gateway", TemporarilyUnavailable),
        ("model_timeout", TemporarilyUnavailable),
        ("closed", TemporarilyUnavailable),
        ("half_body", TemporarilyUnavailable),
        ("not_json", TemporarilyUnavailable),
        ("wrong_json", TemporarilyUnavailable),
        ("nan", TemporarilyUnavailable),
        ("nulls", TemporarilyUnavailable),
        ("empty", TemporarilyUnavailable),
        ("denied", EmbedderRefusedError),
        ("text_refused", TextRefused),
    ],
)
def test_each_way_to_fail_says_whether_to_ask_again(
    service: OpenAIStandIn, fault: str, error: type[FlyweightError]
) -> None:
    service.faults = Faults(script=[fault])
    with pytest.raises(error):
        ask(service.base_url)
    assert len(ask(service.base_url).vectors) == len(TEXTS)


def test_vectors_of_other_dimensions_than_asked_for_are_refused(service: OpenAIStandIn) -> None:
    service.faults = Faults(script=["wrong_dimensions"])
    settings = EmbedderSettings.parse(f"openai:{service.base_url}#small-code").with_dimensions(384)
    embedder = remote_embedder(settings)
    with pytest.raises(TemporarilyUnavailable, match="192 dimensions came, not of 384"):
        embedder.request(TEXTS, ENOUGH_S)
    embedder.close()


def rows(*embeddings: object, **more: object) -> bytes:
    data = [{"embedding": embedding, "index": index} for index, embedding in enumerate(embeddings)]
    return response(json.dumps({"data": data, **more}).encode(), b"Content-Type: application/json")


def test_base64_that_was_not_asked_for_is_read_all_the_same() -> None:
    from base64 import b64encode

    encoded = b64encode(pack("<2f", 3, 4)).decode()
    with RawServer([rows(encoded, usage={"prompt_tokens": 7})]) as server:
        answer = ask(server.url, ["text"], "m")
    assert unpack("<2f", answer.vectors[0]) == pytest.approx((0.6, 0.8))
    assert answer.tokens == 7


def test_tokens_are_estimated_where_the_service_does_not_count_them() -> None:
    with RawServer([rows([3, 4])]) as server:
        assert ask(server.url, ["some words of text"], "m").tokens > 1


@pytest.mark.parametrize(
    "sent",
    [
        rows([1, 2], [3, 4]),
        rows(),
        rows("not base64!"),
        rows("AAAA"),
        rows(None),
        response(b'{"data":[{"embedding":[1,2],"index":1}]}'),
        response(b'{"data":[{"embedding":[1,2],"index":"0"}]}'),
        response(b'{"data":[[1,2]]}'),
        response(b'{"data":{"embedding":[1,2]}}'),
        response(b"[]"),
        response(b"<html>Please log in</html>"),
    ],
)
def test_an_answer_of_another_shape_is_refused(sent: bytes) -> None:
    with RawServer([sent]) as server, pytest.raises(TemporarilyUnavailable):
        ask(server.url, ["text"], "m")


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (
            b"413 Too Large",
            b'{"error":"Input validation error: too long","error_type":"Validation"}',
            TextRefused,
            "long",
        ),
        (
            b"400 Bad",
            b'{"object":"error","message":"maximum context length","code":400}',
            TextRefused,
            "context length",
        ),
        (b"400 Bad", b'{"message":"Model does not support matryoshka"}', EmbedderRefusedError, "matryoshka"),
        (b"429 Too Many", b'{"error":{"code":"insufficient_quota","message":"pay"}}', EmbedderRefusedError, "quota"),
        (b"403 Forbidden", b"you sent Bearer sk-very-secret", EmbedderRefusedError, r"Bearer \*\*\*"),
        (b"418 Teapot", b"", EmbedderRefusedError, "status 418"),
    ],
)
def test_errors_of_other_servers_are_understood(
    status: bytes, body: bytes, error: type[FlyweightError], said: str
) -> None:
    with RawServer([response(body, status=status)]) as server, pytest.raises(error, match=said) as raised:
        ask(server.url, ["text"], "m", api_key=KEY)
    assert KEY not in str(raised.value)


def test_a_service_that_is_not_there_has_no_dimensions() -> None:
    settings = EmbedderSettings.parse("openai:http://127.0.0.1:1#m")
    with pytest.raises(EmbedderUnreachableError, match=r"127\.0\.0\.1:1 cannot be reached") as raised:
        with_known_dimensions(settings, timeout_s=ENOUGH_S)
    assert "the dimensions of m" in str(raised.value)
    assert "query" not in str(raised.value)
