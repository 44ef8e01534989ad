from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from struct import unpack

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("botocore")

from flyweight.aws.http_response import Response
from flyweight.embed.remote import Answer, TemporarilyUnavailable, TextRefused, Throttled, remote_embedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.embed.titan import TitanEmbedder
from flyweight.errors import ConfigError, CredentialsError, EmbedderRefusedError, FlyweightError
from tests.aws.raw_server import RawServer, response
from tests.standins.bedrock import CREDENTIALS, V1, V2, BedrockStandIn
from tests.standins.faults import Faults
from tests.standins.lifted_vectors import lifted_vector
from tests.standins.signatures import Credentials

ENOUGH_S = 60.0
TEXT = "def open_file(path): return open(path)"
TEMPORARY = Credentials("ASIAFLYWEIGHTTESTS00", "stand-in/temporary+secret/00000000000000", "session-token/secret==")


@pytest.fixture(scope="module")
def shared_service() -> Iterator[BedrockStandIn]:
    with BedrockStandIn() as service:
        yield service


@pytest.fixture
def service(shared_service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockStandIn]:
    """One for all tests that do not need one of their own, reset after each."""
    shared_service.set_environment(monkeypatch)
    shared_service.ledger.reset()
    yield shared_service
    shared_service.faults = Faults()


def ask(spec: str = "titan", text: str = TEXT, **options: object) -> Answer:
    embedder = remote_embedder(EmbedderSettings.parse(spec, options))
    try:
        return embedder.request([text], ENOUGH_S)
    finally:
        embedder.close()


def floats(vector: bytes) -> list[float]:
    return list(unpack(f"<{len(vector) // 4}f", vector))


def cosine(vector: bytes, expected: np.ndarray) -> float:
    return float(np.dot(np.frombuffer(vector, "<f4"), expected))


@pytest.mark.parametrize(
    ("spec", "options", "dimensions"),
    [
        ("titan", {}, 1024),
        ("titan", {"dimensions": 512}, 512),
        ("titan", {"dimensions": 256, "normalize": False}, 256),
        ("titan:v1", {}, 1536),
        ("bedrock:amazon.titan-embed-g1-text-02", {}, 1536),
    ],
)
def test_a_text_becomes_its_vector_of_length_one(
    service: BedrockStandIn, spec: str, options: dict[str, object], dimensions: int
) -> None:
    answer = ask(spec, **options)
    (vector,) = answer.vectors
    assert len(vector) == 4 * dimensions
    assert math.hypot(*floats(vector)) == pytest.approx(1, abs=1e-6)
    assert cosine(vector, lifted_vector(TEXT, dimensions)) > 0.9999
    assert answer.tokens > 0


def test_a_binary_embedding_is_the_signs_of_the_float_one(service: BedrockStandIn) -> None:
    exact, signs = ask().vectors[0], ask(embedding_type="binary").vectors[0]
    assert set(floats(signs)) == {-1 / 32, 1 / 32}
    assert [value > 0 for value in floats(signs)] == [value > 0 for value in floats(exact)]


@pytest.mark.parametrize(
    ("spec", "options", "fields"),
    [
        ("titan:v1", {}, {}),
        ("titan", {}, {"dimensions": 1024, "normalize": True}),
        ("titan", {"normalize": False}, {"dimensions": 1024, "normalize": False}),
        ("titan", {"embedding_type": "binary"}, {"dimensions": 1024, "normalize": True, "embeddingTypes": ["binary"]}),
        ("bedrock:other.model", {}, {}),
        ("bedrock:other.model", {"dimensions": 384}, {"dimensions": 384}),
    ],
)
def test_a_request_says_what_the_model_knows(
    spec: str, options: dict[str, object], fields: dict[str, object], service: BedrockStandIn
) -> None:
    with RawServer([response(b"{}")]) as server:
        with pytest.raises(TemporarilyUnavailable):
            ask(spec, 'quote " and umlaut ü', endpoint_url=f"{server.url}/prefix", **options)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    model = EmbedderSettings.parse(spec).model.replace(":", "%3A")
    assert head.startswith(f"POST /prefix/model/{model}/invoke HTTP/1.1\r\n".encode())
    assert json.loads(body) == {"inputText": 'quote " and umlaut ü', **fields}


def test_what_embedders_have_in_common(service: BedrockStandIn) -> None:
    embedder = TitanEmbedder(EmbedderSettings.parse("titan"))
    assert (embedder.name, embedder.dimensions, embedder.texts_per_request) == (f"bedrock:{V2}", 1024, 1)
    assert embedder.price_per_million_tokens == 0.02
    assert TitanEmbedder(EmbedderSettings.parse("titan:v1")).price_per_million_tokens == 0.10
    assert TitanEmbedder(EmbedderSettings.parse("bedrock:x")).price_per_million_tokens is None
    priced = EmbedderSettings.parse("bedrock:x", {"price_per_million_tokens": 0})
    assert TitanEmbedder(priced).price_per_million_tokens == 0
    assert embedder.pieces(b"  ") == []
    assert embedder.estimate_tokens("four letter word test") > 3
    embedder.close()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_answers_may_be_framed_in_every_way(framing: str, service: BedrockStandIn) -> None:
    service.framing = framing
    try:
        assert len(ask().vectors[0]) == 4096
    finally:
        service.framing = "length"


def test_requests_go_over_tls_with_the_bundle_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trustme")
    with BedrockStandIn(tls=True) as service:
        service.set_environment(monkeypatch)
        embedder = remote_embedder(EmbedderSettings.parse("titan"))
        for number in range(3):
            assert len(embedder.request([f"{TEXT} {number}"], ENOUGH_S).vectors[0]) == 4096
        embedder.close()
        assert service.ledger.connections == 1
        monkeypatch.delenv("AWS_CA_BUNDLE")
        with pytest.raises(EmbedderRefusedError, match="AWS_CA_BUNDLE"):
            ask()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("throttle", Throttled),
        ("not_ready", Throttled),
        ("server_error", TemporarilyUnavailable),
        ("unavailable", TemporarilyUnavailable),
        ("bad_gateway", TemporarilyUnavailable),
        ("model_timeout", TemporarilyUnavailable),
        ("closed", TemporarilyUnavailable),
        ("reset", TemporarilyUnavailable),
        ("half_headers", TemporarilyUnavailable),
        ("half_body", TemporarilyUnavailable),
        ("not_json", TemporarilyUnavailable),
        ("wrong_json", TemporarilyUnavailable),
        ("wrong_dimensions", TemporarilyUnavailable),
        ("nan", TemporarilyUnavailable),
        ("nulls", TemporarilyUnavailable),
        ("empty", TemporarilyUnavailable),
        ("denied", EmbedderRefusedError),
        ("text_refused", TextRefused),
    ],
)
def test_each_way_to_fail_says_whether_to_ask_again(
    service: BedrockStandIn, fault: str, error: type[FlyweightError]
) -> None:
    service.faults = Faults(texts={"fails": fault})
    embedder = remote_embedder(EmbedderSettings.parse("titan"))
    with pytest.raises(error):
        embedder.request(["it fails"], ENOUGH_S)
    assert len(embedder.request([TEXT], ENOUGH_S).vectors[0]) == 4096
    embedder.close()
    assert service.ledger.requests == 2


@pytest.mark.parametrize("fault", ["slow_body", "silent", "endless_body"])
def test_the_deadline_ends_what_does_not_end(service: BedrockStandIn, fault: str) -> None:
    service.faults = Faults(texts={"fails": fault}, slow_s=600)
    embedder = remote_embedder(EmbedderSettings.parse("titan"))
    with pytest.raises(TemporarilyUnavailable):
        embedder.request(["it fails"], 0.2)
    embedder.close()


def test_a_throttled_request_says_how_long_to_wait(service: BedrockStandIn) -> None:
    service.faults = Faults(script=["throttle"], retry_after_s=7)
    with pytest.raises(Throttled, match="ThrottlingException: Too many requests") as raised:
        ask()
    assert raised.value.retry_after_s == 7
    service.faults = Faults(script=["throttle"])
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s is None


def test_expired_credentials_are_renewed_once(
    service: BedrockStandIn, shared_files_with: Callable[[Credentials], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_files_with(CREDENTIALS)
    embedder = remote_embedder(EmbedderSettings.parse("titan"))
    embedder.request([TEXT], ENOUGH_S)
    service.rotate_credentials(TEMPORARY)
    try:
        shared_files_with(TEMPORARY)
        assert len(embedder.request([TEXT], ENOUGH_S).vectors[0]) == 4096
        service.rotate_credentials(CREDENTIALS)
        with pytest.raises(CredentialsError) as raised:
            embedder.request([TEXT], ENOUGH_S)
    finally:
        service.rotate_credentials(CREDENTIALS)
        embedder.close()
    assert TEMPORARY.token not in str(raised.value)
    assert TEMPORARY.secret_key not in str(raised.value)


@pytest.fixture
def shared_files_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Credentials], None]:
    """Puts credentials into the shared file, and takes those of the environment out of it."""
    path = tmp_path_factory.mktemp("aws") / "credentials"

    def write(credentials: Credentials) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
        lines = ["[default]", f"aws_access_key_id={credentials.access_key}"]
        lines.append(f"aws_secret_access_key={credentials.secret_key}")
        if credentials.token:
            lines.append(f"aws_session_token={credentials.token}")
        path.write_text("\n".join(lines) + "\n")

    return write


def test_a_wrong_clock_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with BedrockStandIn(clock_offset_s=-3600) as service:
        service.set_environment(monkeypatch)
        embedder = remote_embedder(EmbedderSettings.parse("titan"))
        for _ in range(2):
            assert len(embedder.request([TEXT], ENOUGH_S).vectors[0]) == 4096
        embedder.close()
        assert service.ledger.requests == 3


def test_a_clock_that_cannot_be_followed_is_an_error_with_both_times(monkeypatch: pytest.MonkeyPatch) -> None:
    with BedrockStandIn(clock_offset_s=-3600, tells_time=False) as service:
        service.set_environment(monkeypatch)
        with pytest.raises(EmbedderRefusedError, match=r"set the clock"):
            ask()


def test_denied_access_names_the_way_out(service: BedrockStandIn) -> None:
    service.faults = Faults(script=["denied"])
    with pytest.raises(EmbedderRefusedError) as raised:
        ask()
    for part in (V2, "us-east-1", "bedrock:InvokeModel", "Model access"):
        assert part in str(raised.value)


@pytest.mark.parametrize("model", ["amazon.no-such-model-v1:0", V1])
def test_an_unknown_or_retired_model_names_the_way_out(
    model: str, service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "retired", {V1})
    with pytest.raises(EmbedderRefusedError, match="list-foundation-models --region us-east-1") as raised:
        ask(f"titan:{model}")
    assert model in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "minLength"), ("x" * 50_001, "maxLength: 50000"), ("a b " * 12_000, "Too many input tokens")],
)
def test_a_text_the_model_does_not_take_is_refused_alone(service: BedrockStandIn, text: str, said: str) -> None:
    with pytest.raises(TextRefused, match=said):
        ask(text=text)


def test_no_piece_of_a_long_text_is_refused(service: BedrockStandIn) -> None:
    embedder = remote_embedder(EmbedderSettings.parse("titan", {"dimensions": 256}))
    pieces = embedder.pieces(("a b c d " * 20_000).encode())
    answers = [embedder.request([piece], ENOUGH_S) for piece in pieces]
    vector = embedder.combine([answer.vectors[0] for answer in answers], [answer.tokens for answer in answers])
    embedder.close()
    assert math.hypot(*floats(vector)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("sent", "error", "said"),
    [
        (response(b"<html>Please log in</html>", b"Content-Type: text/html"), TemporarilyUnavailable, "Please log in"),
        (response(b"[1,2]"), TemporarilyUnavailable, "not with an object"),
        (response(b'{"embedding":[1,2,3],"inputTextTokenCount":1}'), TemporarilyUnavailable, "3 dimensions"),
        (response(b"<html>", status=b"403 Forbidden"), EmbedderRefusedError, "status 403"),
        (response(b"", b"Location: https://login.example", status=b"302 Found"), EmbedderRefusedError, "login.example"),
        (response(b"", status=b"404 Not Found"), EmbedderRefusedError, "endpoint_url"),
        (response(b"", status=b"504 Gateway Timeout"), TemporarilyUnavailable, "status 504"),
        (response(b"slow down", b"Retry-After: 3", status=b"429 Too Many"), Throttled, "slow down"),
        (
            response(b'{"__type":"com.amazon#ThrottlingException","Message":"slow"}', status=b"400 Bad"),
            Throttled,
            "ThrottlingException: slow",
        ),
        (
            response(
                b'{"message":"Malformed input request: extraneous key [dimensions] is not permitted"}',
                b"x-amzn-ErrorType: ValidationException",
                status=b"400 Bad",
            ),
            EmbedderRefusedError,
            "extraneous key",
        ),
    ],
)
def test_what_others_answer_in_place_of_the_service_is_said(
    sent: bytes, error: type[FlyweightError], said: str, service: BedrockStandIn
) -> None:
    with RawServer([sent]) as server, pytest.raises(error, match=said.replace("[", r"\[")):
        ask(endpoint_url=server.url)


def test_a_signature_the_service_quotes_does_not_get_into_the_error(
    service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in TEMPORARY.environment().items():
        monkeypatch.setenv(name, value)
    quoted = f"The request signature does not match. x-amz-security-token:{TEMPORARY.token} {TEMPORARY.access_key}"
    for kind in ("AccessDeniedException", "InvalidSignatureException", "ThrottlingException", "SomethingElse"):
        body = json.dumps({"message": quoted}).encode()
        sent = response(body, b"x-amzn-ErrorType: " + kind.encode(), status=b"403 Forbidden")
        with RawServer([sent]) as server, pytest.raises(FlyweightError) as raised:
            ask(endpoint_url=server.url)
        assert TEMPORARY.token not in str(raised.value)
        assert TEMPORARY.access_key not in str(raised.value)


def test_without_a_region_nothing_is_asked(service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="region"):
        ask()
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/amazon.titan-embed-text-v2"
    with pytest.raises(EmbedderRefusedError, match="Bedrock in us-east-1"):
        ask(f"bedrock:{arn}")


def test_an_endpoint_in_another_region_is_told_from_bad_credentials(service: BedrockStandIn) -> None:
    with pytest.raises(EmbedderRefusedError, match=r"is not in eu-west-1.*the option region"):
        ask(region="eu-west-1")


def test_without_credentials_the_error_is_one_of_credentials(
    service: BedrockStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(CredentialsError):
        ask()
    assert service.ledger.requests == 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=300) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)
NEARLY = st.lists(st.floats(width=32) | st.integers(-2, 2), min_size=255, max_size=257)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.sampled_from(["embedding", "inputTextTokenCount", "embeddingsByType"]), ANYTHING | NEARLY),
    st.integers(0, 10_000),
)
def test_any_answer_is_a_whole_vector_or_none(service: BedrockStandIn, content: dict[str, object], cut: int) -> None:
    embedder = TitanEmbedder(EmbedderSettings.parse("titan", {"dimensions": 256}))
    body = json.dumps(content).encode()
    for data in (body, body[:cut]):
        try:
            answer = embedder._answer(Response(200, {}, data, True), TEXT)
        except TemporarilyUnavailable:
            continue
        assert math.hypot(*unpack("<256f", answer.vectors[0])) == pytest.approx(1, abs=1e-5)
        assert answer.tokens >= 0
