"""The helper process, against services on loopback: roles, web identity, single sign-on, containers, instances."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from credential_services import CredentialServices
from shared_files import SharedFiles

pytest.importorskip("botocore")

from flyweight.aws.credentials import CredentialSource
from flyweight.errors import CredentialsError, EmbedderError, EmbedderUnreachableError

ROLE = "role_arn = arn:aws:iam::123456789012:role/"


@pytest.fixture
def services(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[CredentialServices]:
    with CredentialServices() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", running.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", running.url)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", running.url)
        monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
        yield running


def paths(services: CredentialServices) -> list[str]:
    return [path for path, _, _ in services.requests]


def failure(source: CredentialSource, kind: type[EmbedderError] = CredentialsError) -> str:
    with pytest.raises(kind) as raised:
        source.get()
    assert "hidden" not in str(raised.value)
    return str(raised.value)


def test_a_chain_of_roles(services: CredentialServices, shared_files: SharedFiles) -> None:
    shared_files.config(
        f"[profile outer]\n{ROLE}outer\nsource_profile = inner\nexternal_id = xy\n"
        f"[profile inner]\n{ROLE}inner\nsource_profile = keys\n"
    )
    shared_files.credentials("[keys]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = hidden\n")
    found = CredentialSource("outer", "eu-west-1").get()
    assert (found.access_key, found.token, found.source) == ("ASIAOUTER", "token-of-role", "role to assume")
    assert found.expires_at_s is not None and abs(found.expires_at_s - time.time() - 3600) < 600
    signed_with = [
        headers["Authorization"].split("Credential=")[1].split("/")[0] for _, headers, _ in services.requests
    ]
    assert signed_with == ["AKIAKEYS", "ASIAINNER"]
    assert services.requests[1][2]["ExternalId"] == ["xy"]
    assert "/eu-west-1/sts/" in services.requests[0][1]["Authorization"]


def test_a_role_that_is_denied(services: CredentialServices, shared_files: SharedFiles) -> None:
    services.deny = True
    shared_files.config(f"[default]\n{ROLE}outer\nsource_profile = default\n")
    shared_files.credentials("[default]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = hidden\n")
    text = failure(CredentialSource(region="us-east-1"))
    assert "role to assume: ClientError" in text and "not authorized to perform: sts:AssumeRole" in text
    assert "1. environment: AWS_ACCESS_KEY_ID is not set" in text


def test_a_service_out_of_reach_is_no_lack_of_credentials(
    services: CredentialServices, shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    shared_files.config(f"[default]\n{ROLE}outer\nsource_profile = default\n")
    shared_files.credentials("[default]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = hidden\n")
    assert "EndpointConnectionError" in failure(CredentialSource(region="us-east-1"), EmbedderUnreachableError)


def test_a_role_that_wants_a_code_typed_in(services: CredentialServices, shared_files: SharedFiles) -> None:
    shared_files.config(f"[default]\n{ROLE}outer\nsource_profile = default\nmfa_serial = arn:aws:iam::1:mfa/me\n")
    shared_files.credentials("[default]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = hidden\n")
    assert "mfa_serial" in failure(CredentialSource(region="us-east-1"))
    assert services.requests == []


def test_a_web_identity(services: CredentialServices, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hidden-token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    found = CredentialSource(region="us-east-1").get()
    assert (found.access_key, found.source) == ("ASIAWEB", "web identity")
    assert services.requests[0][2]["WebIdentityToken"] == ["hidden-token"]


def test_a_web_identity_of_a_profile(services: CredentialServices, shared_files: SharedFiles, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hidden-token")
    shared_files.config(f"[default]\n{ROLE}r\nweb_identity_token_file = {tmp_path}/token\nregion = eu-west-1\n")
    assert CredentialSource().get().source == "web identity"


@pytest.mark.parametrize("session", [True, False])
def test_single_sign_on(services: CredentialServices, shared_files: SharedFiles, tmp_path: Path, session: bool) -> None:
    start = "sso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n"
    account = "sso_account_id = 123456789012\nsso_role_name = Reader\n"
    shared_files.config(
        f"[default]\nsso_session = corp\n{account}[sso-session corp]\n{start}"
        if session
        else f"[default]\n{account}{start}"
    )
    name = hashlib.sha1(b"corp" if session else b"https://example.awsapps.com/start").hexdigest()
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    expires_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
    (cache / f"{name}.json").write_text(json.dumps({"accessToken": "hidden-token", "expiresAt": expires_at}))
    found = CredentialSource().get()
    assert (found.access_key, found.source) == ("ASIASSO", "single sign-on")
    assert services.requests[0][1]["x-amz-sso_bearer_token"] == "hidden-token"


def test_single_sign_on_without_a_session(services: CredentialServices, shared_files: SharedFiles) -> None:
    shared_files.config(
        "[default]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session corp]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n"
    )
    assert "single sign-on: SSOTokenLoadError" in failure(CredentialSource())


def test_a_container(services: CredentialServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hidden-token")
    found = CredentialSource().get()
    assert (found.access_key, found.token, found.source) == ("ASIACONTAINER", "token-of-service", "container")
    assert services.requests[0][1]["Authorization"] == "hidden-token"


def test_an_instance(services: CredentialServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    found = CredentialSource().get()
    assert (found.access_key, found.source) == ("ASIAINSTANCE", "instance metadata")
    assert paths(services)[0] == "/latest/api/token"


def test_instance_metadata_that_is_switched_off_is_not_asked(services: CredentialServices) -> None:
    assert "switched off by AWS_EC2_METADATA_DISABLED" in failure(CredentialSource())
    assert services.requests == []


def test_an_instance_without_a_role(services: CredentialServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{services.url}/nothing-here")
    lines = failure(CredentialSource()).splitlines()
    assert lines[-2] == "  11. instance metadata: none came from there"
    assert len(lines) == 13


def test_a_file_of_older_tools(services: CredentialServices, tmp_path: Path) -> None:
    (tmp_path / ".boto").write_text("[Credentials]\naws_access_key_id = AKIABOTO\naws_secret_access_key = hidden\n")
    assert CredentialSource().get().access_key == "AKIABOTO"


def test_without_botocore_the_error_names_the_extra(
    services: CredentialServices, shared_files: SharedFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "botocore.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "hiding"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    text = failure(CredentialSource())
    assert "11. instance metadata: needs botocore" in text and "flyweight[aws]" in text
    shared_files.config(f"[default]\n{ROLE}outer\nsource_profile = default\n")
    assert "role to assume: needs botocore" in failure(CredentialSource())


def test_the_region_of_the_environment_reaches_the_helper(
    services: CredentialServices, shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore itself knows AWS_DEFAULT_REGION only."""
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    shared_files.config(f"[default]\n{ROLE}outer\nsource_profile = default\n")
    shared_files.credentials("[default]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = hidden\n")
    CredentialSource().get()
    assert "/eu-west-2/sts/" in services.requests[0][1]["Authorization"]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"proxy": "http://me:hidden@127.0.0.1:9"}, "proxy http://***@127.0.0.1:9, bundle None"),
        ({"ca_bundle": "/some/bundle.pem"}, "proxy None, bundle /some/bundle.pem"),
    ],
)
def test_proxy_and_certificates_reach_the_helper_and_no_error_shows_a_password(
    services: CredentialServices,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    shown: str,
) -> None:
    package = tmp_path / "stand-in" / "botocore"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "exceptions.py").write_text("ConnectionError = HTTPClientError = SSLError = LookupError\n")
    (package / "session.py").write_text(
        "from os import environ\n"
        "def Session(profile):\n"
        "    proxy, bundle = environ.get('HTTPS_PROXY'), environ.get('AWS_CA_BUNDLE')\n"
        "    raise ValueError(f'proxy {proxy}, bundle {bundle}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    assert shown in failure(CredentialSource(**settings))


def test_a_helper_that_does_not_answer(services: CredentialServices, monkeypatch: pytest.MonkeyPatch) -> None:
    services.hold = True
    monkeypatch.setattr("flyweight.aws.places.HELPER_TIMEOUT_S", 0.5)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{services.url}/container")
    assert "container: no answer within 0.5 s" in failure(CredentialSource(), EmbedderUnreachableError)


def test_settings_reach_the_helper_by_no_command_line(
    services: CredentialServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's password, for one; whoever lists processes sees command lines."""
    seen: list[tuple[list[str], str]] = []

    def note(command: list[str], *, text: str, timeout_s: float) -> None:
        seen.append((command, text))
        raise TimeoutError

    monkeypatch.setattr("flyweight.aws.child_process.run_command", note)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    failure(CredentialSource(proxy="http://me:hidden@127.0.0.1:9"))
    assert "hidden" in seen[0][1] and "hidden" not in " ".join(seen[0][0])
