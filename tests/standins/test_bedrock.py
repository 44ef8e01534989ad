"""boto3's own client, unchanged, against the Bedrock stand-in: what it accepts keeps the stand-in honest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("boto3")

import boto3
import botocore.endpoint
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ProxyConnectionError, SSLError

from tests.standins.bedrock import CREDENTIALS, V1, V2, BedrockStandIn, clear_environment
from tests.standins.faults import ERROR_FAULTS, Faults
from tests.standins.proxy import ProxyStandIn
from tests.standins.signatures import ApiKey, Credentials
from tests.standins.signed_requests import connect, read_answer, signed_request

Client = Any
ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=300, read_timeout=300)
TEMPORARY = Credentials("ASIAFLYWEIGHTTESTS00", "secret/of+a+role/0000000000000000000000", "token/of+a+session==")


@pytest.fixture(scope="module")
def session() -> Any:
    """One for all: to read the description of the service takes longer than to ask it."""
    return boto3.session.Session()


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch, session: Any) -> Iterator[Callable[..., Client]]:
    """Makes a real client of a stand-in."""
    clients = []
    clear_environment(monkeypatch)

    def make(
        service: BedrockStandIn, config: Config = ONCE, *, login: Credentials | None = None, **more: Any
    ) -> Client:
        login = login or service.credentials[0]
        place = {"endpoint_url": service.endpoint, "region_name": service.region, "verify": service.ca_file}
        keys = {
            "aws_access_key_id": login.access_key,
            "aws_secret_access_key": login.secret_key,
            "aws_session_token": login.token,
        }
        clients.append(session.client("bedrock-runtime", config=config, **(place | keys | more)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def invoke(client: Client, model: str = V2, **fields: Any) -> dict[str, Any]:
    answer = client.invoke_model(modelId=model, body=json.dumps(fields), contentType="application/json")
    content: dict[str, Any] = json.loads(answer["body"].read())
    return content


def refusal(client: Client, model: str = V2, **fields: Any) -> tuple[int, str, str]:
    """(status, code, message) of the error boto3 makes of the answer."""
    with pytest.raises(ClientError) as caught:
        invoke(client, model, **fields)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def unit(values: list[float]) -> npt.NDArray[np.float64]:
    vector = np.asarray(values)
    return vector / np.linalg.norm(vector)


def test_the_environment_is_all_a_client_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trustme")
    with BedrockStandIn(tls=True, credentials=TEMPORARY, region="eu-west-1") as service:
        service.set_environment(monkeypatch)
        client = boto3.session.Session().client("bedrock-runtime")
        assert invoke(client, inputText="x")["embedding"]
        client.close()


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        (ApiKey("bedrock-api-key-of-the-tests"), None),
        (ApiKey("bedrock-api-key-of-the-tests", expires_at_s=1.0), "Bearer Token has expired"),
        (ApiKey("another"), "Authentication failed: Please make sure your API Key is valid."),
    ],
)
def test_an_api_key_stands_for_a_signature(
    accepted: ApiKey, refused: str | None, client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trustme")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-the-tests")
    with BedrockStandIn(tls=True, api_keys=[accepted]) as service:
        client = client_of(service)
        if refused is None:
            assert invoke(client, inputText="x", dimensions=256)["embedding"]
        else:
            assert refusal(client, inputText="x") == (403, "AccessDeniedException", refused)


@pytest.mark.parametrize(
    ("profile", "more"),
    [("work", {}), (None, {"AWS_PROFILE": "work"}), (None, {"AWS_AUTH_SCHEME_PREFERENCE": "sigv4"})],
)
def test_an_api_key_comes_before_all_credentials(
    profile: str | None, more: dict[str, str], session: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("trustme")
    keys = "region = us-east-1\naws_access_key_id = AKIAWORK\naws_secret_access_key = hidden\n"
    (tmp_path / "config").write_text(f"[profile work]\n{keys}")
    key = ApiKey("bedrock-api-key-of-the-tests")
    with BedrockStandIn(tls=True, credentials=(), api_keys=[key]) as service:
        service.set_environment(monkeypatch)
        for name, value in {**CREDENTIALS.environment(), "AWS_CONFIG_FILE": str(tmp_path / "config"), **more}.items():
            monkeypatch.setenv(name, value)
        another: Any = botocore.session.Session(profile=profile)
        another.register_component("data_loader", session._session.get_component("data_loader"))
        client = another.create_client("bedrock-runtime", config=ONCE)
        assert invoke(client, inputText="x", dimensions=256)["embedding"]
        client.close()


def test_version_1_has_1536_dimensions(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        content = invoke(client_of(service), V1, inputText="a queue with two ends")
        assert set(content) == {"embedding", "inputTextTokenCount"}
        assert len(content["embedding"]) == 1536
        assert service.ledger.times_answered("a queue with two ends") == 1


def test_version_2_has_as_many_dimensions_as_asked_for(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        client = client_of(service)
        assert len(invoke(client, inputText="a queue")["embedding"]) == 1024
        for dimensions in (1024, 512, 256):
            vector = invoke(client, inputText="a queue", dimensions=dimensions)["embedding"]
            assert len(vector) == dimensions
            assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_vector_is_only_normalised_if_asked_for(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        client = client_of(service)
        plain = invoke(client, inputText="a queue", normalize=False)["embedding"]
        normalised = invoke(client, inputText="a queue", normalize=True)["embedding"]
    assert np.linalg.norm(plain) > 2
    assert unit(plain) == pytest.approx(unit(normalised), abs=1e-5)


def test_embeddings_come_by_type(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        client = client_of(service)
        both = invoke(client, inputText="a queue", embeddingTypes=["float", "binary"])
        binary = invoke(client, inputText="a queue", embeddingTypes=["binary"])
    assert both["embeddingsByType"]["float"] == both["embedding"]
    assert both["embeddingsByType"]["binary"] == [int(value > 0) for value in both["embedding"]]
    assert binary["embeddingsByType"] == {"binary": both["embeddingsByType"]["binary"]}
    assert "embedding" not in binary


@pytest.mark.parametrize(("model", "dimensions"), [(V1, 1536), (V2, 1024), (V2, 256)])
def test_texts_alike_have_vectors_alike(client_of: Callable[..., Client], model: str, dimensions: int) -> None:
    more = {"dimensions": dimensions} if model == V2 else {}
    with BedrockStandIn() as service:
        client = client_of(service)
        question, answer, other = (
            unit(invoke(client, model, inputText=text, **more)["embedding"])
            for text in ("retry a request with backoff", "sleep before the next attempt: retries, backoff", "parse XML")
        )
    assert question @ answer > question @ other + 0.2


def test_errors_of_the_service_are_the_clients(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn(denied=[V1], retired=["amazon.titan-embed-text-v0"]) as service:
        client = client_of(service)
        assert refusal(client, V1, inputText="x")[:2] == (403, "AccessDeniedException")
        assert refusal(client, "amazon.titan-embed-text-v9", inputText="x")[:2] == (400, "ValidationException")
        assert refusal(client, "amazon.titan-embed-text-v0", inputText="x")[:2] == (404, "ResourceNotFoundException")
        assert client.exceptions.ThrottlingException.__name__ == "ThrottlingException"
        assert service.ledger.embeddings == 0


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"inputText": ""}, "minLength"),
        ({"inputText": "x" * 50_001}, "maxLength"),
        ({"inputText": "a b " * 8000}, "Too many input tokens"),
        ({"inputText": 7}, "expected type: String"),
        ({}, "required key"),
        ({"inputText": "x", "dimensions": 300}, "not a valid enum value"),
        ({"inputText": "x", "normalize": "yes"}, "normalize"),
        ({"inputText": "x", "embeddingTypes": ["int8"]}, "embeddingTypes"),
        ({"inputText": "x", "texts": []}, "extraneous key"),
    ],
)
def test_a_request_of_wrong_form_is_refused(client_of: Callable[..., Client], fields: dict[str, Any], why: str) -> None:
    with BedrockStandIn() as service:
        status, code, message = refusal(client_of(service), **fields)
        assert (status, code) == (400, "ValidationException")
        assert why in message
        assert service.ledger.embeddings == 0


def test_version_1_takes_nothing_but_the_text(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        assert "extraneous key [dimensions]" in refusal(client_of(service), V1, inputText="x", dimensions=256)[2]


def test_a_model_may_be_named_by_its_arn(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        arn = f"arn:aws:bedrock:us-east-1::foundation-model/{V2}"
        assert len(invoke(client_of(service), arn, inputText="x")["embedding"]) == 1024


def test_boto3_retries_what_passes(client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=waits.append))
    script = ["throttle", "server_error", "closed", "unavailable"]
    with BedrockStandIn(faults=Faults(script=script)) as service:
        client = client_of(service, Config(retries={"total_max_attempts": 5, "mode": "standard"}))
        answer = client.invoke_model(modelId=V2, body=json.dumps({"inputText": "x"}))
        answer["body"].read()
        assert answer["ResponseMetadata"]["RetryAttempts"] == len(waits) == 4
        assert service.ledger.requests == 5
        assert service.ledger.embeddings == 1


def test_boto3_gives_up_when_it_is_throttled_on_and_on(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn(rate_per_s=0.0001, burst=1) as service:
        client = client_of(service)
        invoke(client, inputText="x")
        assert refusal(client, inputText="x")[:2] == (429, "ThrottlingException")


@pytest.mark.parametrize("kind", [kind for kind in ERROR_FAULTS if kind != "bad_gateway"])
def test_injected_errors_are_errors_to_boto3(client_of: Callable[..., Client], kind: str) -> None:
    with BedrockStandIn(faults=Faults(script=[kind])) as service:
        assert refusal(client_of(service), inputText="x")[0] >= 400


@pytest.mark.parametrize("kind", ["closed", "reset", "half_body"])
def test_a_broken_connection_is_an_error_to_boto3(client_of: Callable[..., Client], kind: str) -> None:
    with BedrockStandIn(faults=Faults(script=[kind])) as service:
        with pytest.raises(BotoCoreError):
            invoke(client_of(service), inputText="x")
        assert service.ledger.embeddings == 0


def test_connections_that_are_closed_without_a_word_do_not_trouble_boto3(
    client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda delay_s: None))
    with BedrockStandIn(requests_per_connection=1) as service:
        client = client_of(service, Config(retries={"total_max_attempts": 3, "mode": "standard"}))
        for number in range(3):
            invoke(client, inputText=f"text {number}")
        assert service.ledger.connections >= 3
        assert service.ledger.paid_twice == 0


def test_temporary_credentials_need_their_token(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn(credentials=TEMPORARY) as service:
        assert invoke(client_of(service), inputText="x")["embedding"]
        forged = Credentials(TEMPORARY.access_key, TEMPORARY.secret_key, "another token")
        assert refusal(client_of(service, login=forged), inputText="x")[:2] == (403, "UnrecognizedClientException")


def test_expired_credentials_are_refused(client_of: Callable[..., Client]) -> None:
    expired = Credentials(TEMPORARY.access_key, TEMPORARY.secret_key, TEMPORARY.token, expires_at_s=0.0)
    with BedrockStandIn(credentials=expired) as service:
        assert refusal(client_of(service), inputText="x")[:2] == (403, "ExpiredTokenException")


def test_rotated_credentials_hold_from_then_on(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        old = client_of(service)
        invoke(old, inputText="x")
        service.rotate_credentials(TEMPORARY)
        assert refusal(old, inputText="x")[:2] == (403, "UnrecognizedClientException")
        assert invoke(client_of(service), inputText="x")["embedding"]


def test_a_wrong_secret_is_noticed(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn() as service:
        wrong = client_of(service, login=Credentials(CREDENTIALS.access_key, "wrong"))
        status, code, message = refusal(wrong, inputText="x")
        assert (status, code) == (403, "InvalidSignatureException")
        assert "does not match" in message


def test_another_region_is_noticed(client_of: Callable[..., Client]) -> None:
    with BedrockStandIn(region="eu-central-1") as service:
        assert invoke(client_of(service), inputText="x")["embedding"]
        assert "valid region" in refusal(client_of(service, region_name="us-east-1"), inputText="x")[2]


@pytest.mark.parametrize(("offset_s", "why"), [(900.0, "Signature expired"), (-900.0, "Signature not yet current")])
def test_a_clock_that_is_wrong_is_noticed(client_of: Callable[..., Client], offset_s: float, why: str) -> None:
    with BedrockStandIn(clock_offset_s=offset_s) as service:
        status, code, message = refusal(client_of(service), inputText="x")
        assert (status, code) == (403, "InvalidSignatureException")
        assert why in message and "5 min." in message


def test_nothing_unsigned_gets_in() -> None:
    with BedrockStandIn() as service, connect(service) as connection:
        whole = signed_request(service, {"inputText": "x"}, headers={"x-amz-meta": "1"})
        for spoilt, kind in (
            (whole.replace(b"Authorization:", b"X-Authorization:"), "MissingAuthenticationTokenException"),
            (whole.replace(b'"x"}', b'"y"}'), "InvalidSignatureException"),
            (whole.replace(b"x-amz-meta: 1", b"x-amz-meta: 2"), "InvalidSignatureException"),
            (whole.replace(b"\r\nHost:", b"\r\nx-amz-other: 1\r\nHost:"), "InvalidSignatureException"),
            (whole.replace(b"text-v2", b"text-v1"), "InvalidSignatureException"),
            (whole.replace(b"Credential=AKIA", b"Credential=AKIB"), "UnrecognizedClientException"),
            (whole.replace(b"AWS4-HMAC-SHA256", b"Basic"), "IncompleteSignatureException"),
            (signed_request(service, {"inputText": "x"}, aws_service="s3"), "InvalidSignatureException"),
        ):
            connection.sendall(spoilt)
            status, headers, _ = read_answer(connection)
            assert headers["x-amzn-errortype"].split(":")[0] == kind, spoilt
            assert status == 403
        assert service.ledger.embeddings == 0
        connection.sendall(whole)
        assert read_answer(connection)[0] == 200


def test_tls_verifies_with_its_authority_and_not_without(client_of: Callable[..., Client]) -> None:
    pytest.importorskip("trustme")
    with BedrockStandIn(tls=True) as service:
        assert invoke(client_of(service), inputText="x")["embedding"]
        with pytest.raises(SSLError):
            invoke(client_of(service, verify=True), inputText="x")  # by the authorities of the system
        assert service.ledger.embeddings == 1


@pytest.mark.parametrize("kind", ["other_host", "expired", "unknown_authority"])
def test_certificates_that_do_not_verify(client_of: Callable[..., Client], kind: str) -> None:
    certificates = pytest.importorskip("tests.standins.certificates").Certificates(kind)
    with BedrockStandIn(tls=True, certificates=certificates) as service, pytest.raises(SSLError):
        invoke(client_of(service), inputText="x")


def test_boto3_goes_through_the_proxy_to_any_name(client_of: Callable[..., Client]) -> None:
    host = "bedrock-runtime.eu-central-1.amazonaws.com"
    certificates = pytest.importorskip("tests.standins.certificates").Certificates(hosts=(host,))
    with (
        BedrockStandIn(tls=True, certificates=certificates, region="eu-central-1") as service,
        ProxyStandIn(credentials=("user", "p@ss"), routes={f"{host}:443": ("127.0.0.1", service.port)}) as proxy,
    ):
        config = Config(proxies={"https": proxy.url}).merge(ONCE)
        client = client_of(service, config, endpoint_url=f"https://{host}")
        assert invoke(client, inputText="x")["embedding"]
        assert proxy.asked == [f"{host}:443"]
        assert proxy.denied == 0


@pytest.mark.parametrize("failure", ["forbidden", "bad_gateway", "closed", "nonsense"])
def test_a_proxy_that_fails_is_an_error_to_boto3(client_of: Callable[..., Client], failure: str) -> None:
    pytest.importorskip("trustme")
    with BedrockStandIn(tls=True) as service, ProxyStandIn(failure=failure) as proxy:
        client = client_of(service, Config(proxies={"https": proxy.url}).merge(ONCE))
        with pytest.raises((ProxyConnectionError, ConnectionClosedError)):
            invoke(client, inputText="x")
        assert proxy.asked == [f"localhost:{service.port}"]
        assert service.ledger.connections == 0
