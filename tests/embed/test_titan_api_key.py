"""Titan with an API key of Bedrock in place of signatures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("botocore")
pytest.importorskip("trustme")

from source_tree import SourceTree

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.aws.api_key import VARIABLE
from flyweight.aws.http_response import Response
from flyweight.embed.query_embedder import QueryEmbedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import ConfigError, CredentialsError, EmbedderRefusedError, FlyweightError
from flyweight.index.checkup import NOTE, SOUND
from flyweight.index.embedder_checkup import embedder_finding
from tests.standins.bedrock import CREDENTIALS, V2, BedrockStandIn
from tests.standins.certificates import Certificates
from tests.standins.http_service import Answer, Request
from tests.standins.signatures import ApiKey

ENOUGH_S = 60.0
KEY = ApiKey("bedrock-api-key-YmVkcm9jay5hbWF6b25hd3Muhidden==&Version=1")
OTHER_KEY = ApiKey("ABSKaGlkZGVuLWF0LTEyMzQ1Njc4OTAxMjphbm90aGVyhidden=")
PROFILE = "[profile work]\nregion = us-east-1\naws_access_key_id = AKIAWORK\naws_secret_access_key = hidden\n"


class KeyedStandIn(BedrockStandIn):
    """Bedrock over TLS for holders of KEY alone."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**({"tls": True, "credentials": (), "api_keys": [KEY]} | settings))


class WatchfulStandIn(KeyedStandIn):
    """It looks, at each request, whether somebody shows the key on a command line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.shown: list[str] = []

    def answer(self, request: Request) -> Answer:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = process.read_bytes()
            except OSError:
                continue  # it has ended
            if KEY.secret.encode() in command:
                self.shown.append(command.decode())
        return super().answer(request)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def service(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyedStandIn]:
    with KeyedStandIn(certificates=certificates) as service:
        service.set_environment(monkeypatch)
        yield service


def embed(**options: object) -> bytes:
    embedder = QueryEmbedder(EmbedderSettings.parse("titan", {"dimensions": 256, **options}), 0, ENOUGH_S)
    try:
        return embedder.embed("where are retries handled")
    finally:
        embedder.close()


def refusal(error: type[FlyweightError] = CredentialsError, **options: object) -> str:
    with pytest.raises(error) as raised:
        embed(**options)
    assert "hidden" not in str(raised.value)
    return str(raised.value)


def test_a_key_is_all_that_is_needed(service: KeyedStandIn) -> None:
    assert len(embed()) == 1024
    assert service.ledger.requests == 1


@pytest.mark.parametrize(
    ("profile", "more"),
    [("work", {}), (None, {"AWS_PROFILE": "work"}), (None, {"AWS_AUTH_SCHEME_PREFERENCE": "sigv4"})],
)
def test_it_comes_before_all_credentials(
    profile: str | None,
    more: dict[str, str],
    service: KeyedStandIn,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text(PROFILE)
    for name, value in {**CREDENTIALS.environment(), **more, "AWS_CONFIG_FILE": str(tmp_path / "config")}.items():
        monkeypatch.setenv(name, value)
    assert len(embed(profile=profile)) == 1024


def test_without_it_requests_are_signed(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    with KeyedStandIn(certificates=certificates, credentials=CREDENTIALS) as service:
        service.set_environment(monkeypatch)
        service.replace_api_keys()
        assert VARIABLE in refusal()
        monkeypatch.setenv(VARIABLE, "")
        assert len(embed()) == 1024


@pytest.mark.parametrize(
    ("accepted", "why"),
    [
        (ApiKey(KEY.secret, expires_at_s=1.0), "Bearer Token has expired"),
        (OTHER_KEY, "make sure your API Key is valid"),
    ],
)
def test_a_key_that_does_not_hold_is_an_error_with_the_way_out(
    accepted: ApiKey, why: str, service: KeyedStandIn
) -> None:
    service.replace_api_keys(accepted)
    said = refusal()
    for part in (f"does not accept the API key in {VARIABLE}", why, "12 hours", f"unset {VARIABLE}", "us-east-1"):
        assert part in said
    assert service.ledger.requests == 1


def test_a_key_that_was_replaced_meanwhile_is_taken_up(service: KeyedStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = QueryEmbedder(EmbedderSettings.parse("titan", {"dimensions": 256}), 0, ENOUGH_S)
    assert embedder.embed("one")
    service.replace_api_keys(OTHER_KEY)
    with pytest.raises(CredentialsError):
        embedder.embed("one")
    monkeypatch.setenv(VARIABLE, OTHER_KEY.secret)
    assert embedder.embed("one")
    embedder.close()


@pytest.mark.parametrize("now", [OTHER_KEY.environment(), CREDENTIALS.environment()], ids=["a key", "credentials"])
def test_what_took_its_place_while_it_was_refused_is_taken_up(
    now: dict[str, str], certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Replacing(KeyedStandIn):
        def answer(self, request: Request) -> Answer:
            monkeypatch.delenv(VARIABLE, raising=False)
            for name, value in now.items():
                monkeypatch.setenv(name, value)
            return super().answer(request)

    with Replacing(certificates=certificates, credentials=CREDENTIALS, api_keys=[OTHER_KEY]) as service:
        service.set_environment(monkeypatch)
        for name in CREDENTIALS.environment():
            monkeypatch.delenv(name)
        monkeypatch.setenv(VARIABLE, KEY.secret)
        assert len(embed()) == 1024
        assert service.ledger.requests == 2


def test_its_time_is_not_that_of_a_signature(service: KeyedStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short-term key is a request signed beforehand: no clock of ours makes it hold again."""
    body = b'{"message":"Signature expired: 20260101T000000Z is now earlier than 20260201T000000Z"}'
    headers = {"x-amzn-errortype": "InvalidSignatureException", "date": "Sat, 31 Jan 2026 23:59:59 GMT"}
    monkeypatch.setattr(
        "flyweight.embed.titan.exchange", lambda *request: Response(403, headers, body, keeps_open=False)
    )
    assert VARIABLE in refusal()


def test_whose_key_may_not_use_the_model_is_told_what_to_allow(service: KeyedStandIn) -> None:
    service.denied = {V2}
    said = refusal(EmbedderRefusedError)
    assert "bedrock:InvokeModel" in said and "bedrock:CallWithBearerToken" in said


def test_a_key_is_not_sent_in_the_clear(service: KeyedStandIn) -> None:
    with BedrockStandIn() as plain:
        said = refusal(ConfigError, endpoint_url=plain.endpoint)
        assert plain.ledger.connections == 0
    assert VARIABLE in said and "https://" in said


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, "", CredentialsError),
        (403, "", EmbedderRefusedError),
        (403, "AccessDeniedException", EmbedderRefusedError),
        (403, "InvalidSignatureException", CredentialsError),
        (403, "UnrecognizedClientException", CredentialsError),
        (400, "ValidationException", EmbedderRefusedError),
        (418, "SomethingElse", EmbedderRefusedError),
    ],
)
def test_a_key_the_service_quotes_does_not_get_into_the_error(
    status: int, kind: str, error: type[FlyweightError], service: KeyedStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"Message": f"not with Bearer {KEY.secret}"}).encode()
    headers = {"x-amzn-errortype": kind} if kind else {}
    monkeypatch.setattr(
        "flyweight.embed.titan.exchange", lambda *request: Response(status, headers, body, keeps_open=False)
    )
    assert "***" in refusal(error)


def test_the_places_looked_in_begin_with_it(service: KeyedStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    lines = refusal().splitlines()
    assert lines[1:3] == [
        f"  1. API key of Bedrock: {VARIABLE} is not set",
        "  2. environment: AWS_ACCESS_KEY_ID is not set",
    ]


def test_an_index_is_made_searched_and_examined_with_a_key_that_is_written_nowhere(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tree = SourceTree(tmp_path / "code")
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    config = SearchConfig(tmp_path / "index", embedder="titan", max_embedding_dim=256, query_timeout_s=ENOUGH_S)
    with WatchfulStandIn(certificates=certificates) as service, SemanticSearchEngine(config) as engine:
        service.set_environment(monkeypatch)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr("flyweight.index.embedder_checkup._TIMEOUT_S", ENOUGH_S)
        stats = engine.index(tree.root)
        assert (stats.requests, stats.unembedded_chunks) == (1, 0)
        results = engine.search("how long until the next attempt")
        assert (results[0].path, results.reason) == ("net/backoff.py", "")
        assert embedder_finding(f"bedrock:{V2}", 256, {}).status == SOUND
        service.replace_api_keys()
        finding = embedder_finding(f"bedrock:{V2}", 256, {})
        assert finding.status == NOTE and VARIABLE in finding.message
        assert service.shown == []
    written = [Path(directory, name) for directory, _, names in os.walk(tmp_path) for name in names]
    assert len(written) > 3
    assert [file for file in written if KEY.secret.encode() in file.read_bytes()] == []
