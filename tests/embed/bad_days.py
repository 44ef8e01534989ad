"""Days on which Titan cannot be used: how they come about, and what a user must be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from flyweight.errors import (
    ConfigError,
    CredentialsError,
    EmbedderRefusedError,
    EmbedderUnreachableError,
    FlyweightError,
)
from tests.standins.bedrock import V2, BedrockStandIn
from tests.standins.certificates import Certificates
from tests.standins.faults import Faults
from tests.standins.proxy import ProxyStandIn
from tests.standins.signatures import Credentials

ROLE = Credentials("ASIAVERYBADDAY000000", "secret-of-a-bad-day/+abc", "token-of-a-bad-day==")
PROXY_PASSWORD = "password-of-a-bad-day"
SECRETS = [ROLE.secret_key, str(ROLE.token), PROXY_PASSWORD, "Signature=", "Credential="]

# Sets a day up, and returns the options of the embedder on it.
Setting = Callable[[BedrockStandIn, pytest.MonkeyPatch, ExitStack], dict[str, Any]]


class Day:
    """kind: the error it ends in; words: what the message holds, "{port}" being the stand-in's."""

    def __init__(self, name: str, kind: type[FlyweightError], words: Sequence[str], set_up: Setting) -> None:
        self.name = name
        self.kind = kind
        self.words = words
        self.set_up = set_up


def no_credentials(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    for name in ROLE.environment():
        patch.delenv(name)
    return {}


def unknown_profile(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    return no_credentials(service, patch, stack) | {"profile": "nobody"}


def denied(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    service.denied = {V2}
    return {}


def retired(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    service.retired = {V2}
    return {}


def unknown_region(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    patch.delenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    return {"region": "us-moon-1"}


def no_region(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    patch.delenv("AWS_REGION")
    patch.delenv("AWS_DEFAULT_REGION")
    return {}


def another_region(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    return {"region": "eu-west-1"}


def wrong_secret(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    service.rotate_credentials(Credentials(ROLE.access_key, "another secret", ROLE.token))
    return {}


def clock_that_stays_wrong(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    service.control("/_settings", {"clock_offset_s": 3600.0})
    service.tells_time = False
    return {}


def expired(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    service.rotate_credentials(Credentials(ROLE.access_key, ROLE.secret_key, ROLE.token, expires_at_s=0.0))
    return {}


def rotated(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    service.rotate_credentials(Credentials("ASIAVERYNEWDAY000000", "new", "new"))
    return {}


def certificate(kind: str) -> Setting:
    def set_up(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
        other = stack.enter_context(BedrockStandIn(tls=True, certificates=Certificates(kind), credentials=ROLE))
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", other.endpoint)
        patch.setenv("AWS_CA_BUNDLE", str(other.ca_file))
        return {}

    return set_up


def no_ca_bundle(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    return {"ca_bundle": "/no/such/bundle.pem"}


def proxy(**more: Any) -> Setting:
    def set_up(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
        credentials = ("user", PROXY_PASSWORD)
        stand_in = stack.enter_context(ProxyStandIn(credentials=credentials, failure=more.get("failure")))
        patch.delenv("NO_PROXY")
        patch.setenv("HTTPS_PROXY", stand_in.url.replace("user", more.get("user", "user")))
        return {}

    return set_up


def proxy_that_is_gone(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    with ProxyStandIn() as gone:
        url = gone.url
    patch.delenv("NO_PROXY")
    patch.setenv("HTTPS_PROXY", url.replace("//", f"//user:{PROXY_PASSWORD}@"))
    return {}


def faulty(kind: str) -> Setting:
    def set_up(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
        service.faults = Faults({kind: 1.0})
        return {}

    return set_up


def nobody_there(service: BedrockStandIn, patch: pytest.MonkeyPatch, stack: ExitStack) -> dict[str, Any]:
    with BedrockStandIn() as gone:
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", gone.endpoint)
    return {}


PLACES = ["environment", "AWS_ACCESS_KEY_ID", "credentials file", "config file", "instance metadata", "aws configure"]
# Nothing but another setting, or another person, helps against these.
FOR_GOOD = [
    Day("no credentials", CredentialsError, PLACES, no_credentials),
    Day("unknown profile", CredentialsError, ["nobody", "profile"], unknown_profile),
    Day("access denied", EmbedderRefusedError, [V2, "us-east-1", "access", "bedrock:InvokeModel"], denied),
    Day("retired model", EmbedderRefusedError, [V2, "us-east-1", "end of its life", "list-foundation-models"], retired),
    Day("unknown region", ConfigError, ["us-moon-1", "region"], unknown_region),
    Day("no region", ConfigError, ["AWS_REGION", "region"], no_region),
    Day("another region", EmbedderRefusedError, ["eu-west-1", "valid region"], another_region),
    Day("wrong secret", CredentialsError, ["signature", "does not match"], wrong_secret),
    Day("wrong clock", EmbedderRefusedError, ["clock"], clock_that_stays_wrong),
    Day("expired token", CredentialsError, ["expired", "environment"], expired),
    Day("rotated credentials", CredentialsError, ["token", "invalid"], rotated),
    Day("expired certificate", EmbedderRefusedError, ["localhost", "expired", "AWS_CA_BUNDLE"], certificate("expired")),
    Day("certificate of another", EmbedderRefusedError, ["localhost", "AWS_CA_BUNDLE"], certificate("other_host")),
    Day("unknown authority", EmbedderRefusedError, ["localhost", "ca_bundle"], certificate("unknown_authority")),
    Day("no CA bundle", ConfigError, ["/no/such/bundle.pem"], no_ca_bundle),
    Day("proxy denies", EmbedderRefusedError, ["127.0.0.1", "user and password", "HTTPS_PROXY"], proxy(user="nobody")),
    Day(
        "proxy forbids", EmbedderRefusedError, ["127.0.0.1", "403", "localhost", "NO_PROXY"], proxy(failure="forbidden")
    ),
]
# Another time these may have passed.
FOR_NOW = [
    Day(
        "throttled on and on", EmbedderUnreachableError, ["query_timeout_s", "ThrottlingException"], faulty("throttle")
    ),
    Day("outage", EmbedderUnreachableError, ["query_timeout_s", "InternalServerException"], faulty("server_error")),
    Day("no JSON", EmbedderUnreachableError, ["query_timeout_s", "JSON"], faulty("not_json")),
    Day("NaN", EmbedderUnreachableError, ["query_timeout_s", "NaN"], faulty("nan")),
    Day("wrong dimensions", EmbedderUnreachableError, ["query_timeout_s", "128", "256"], faulty("wrong_dimensions")),
    Day("silence", EmbedderUnreachableError, ["query_timeout_s", "in time", "localhost"], faulty("silent")),
    Day("closed connections", EmbedderUnreachableError, ["query_timeout_s", "closed"], faulty("closed")),
    Day(
        "proxy with an outage",
        EmbedderUnreachableError,
        ["proxy http://127.0.0.1", "502"],
        proxy(failure="bad_gateway"),
    ),
    Day(
        "proxy of another kind", EmbedderUnreachableError, ["proxy http://127.0.0.1", "220"], proxy(failure="nonsense")
    ),
    Day("proxy gone", EmbedderUnreachableError, ["proxy http://127.0.0.1", "refused"], proxy_that_is_gone),
    Day("nobody there", EmbedderUnreachableError, ["127.0.0.1", "refused", "endpoint_url"], nobody_there),
]
DAYS = FOR_GOOD + FOR_NOW
BY_NAME = {day.name: day for day in DAYS}
