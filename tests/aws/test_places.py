"""Where credentials are looked for, in which order, and what is said when there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_files import SharedFiles

from flyweight.aws.credentials import Credentials
from flyweight.aws.places import Places
from flyweight.errors import CredentialsError

PLACES = (
    "environment",
    "role to assume",
    "web identity",
    "single sign-on",
    "credentials file",
    "login session",
    "credential_process",
    "config file",
    "older files",
    "container",
    "instance metadata",
)
KEYS = "aws_access_key_id = {}\naws_secret_access_key = hidden\n"


def found(profile: str | None = None) -> Credentials:
    credentials = Places(profile, None).look()
    assert isinstance(credentials, Credentials)
    return credentials


def refusal(profile: str | None = None) -> str:
    with pytest.raises(CredentialsError) as raised:
        Places(profile, None).look()
    assert "hidden" not in str(raised.value)
    return str(raised.value)


def test_without_any_the_error_lists_every_place_in_order(shared_files: SharedFiles) -> None:
    lines = refusal().splitlines()
    assert lines[0] == "no AWS credentials; looked, in this order:"
    assert [line.split(": ")[0].strip() for line in lines[1:-1]] == [
        f"{number}. {place}" + (f" {path}" if path else "")
        for number, (place, path) in enumerate(
            zip(
                PLACES,
                (*[""] * 4, shared_files.credentials_path, "", "", shared_files.config_path, *[""] * 3),
                strict=True,
            ),
            1,
        )
    ]
    assert "aws configure" in lines[-1]


def test_the_environment_comes_first(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_files.credentials("[default]\n" + KEYS.format("AKIAFILE"))
    assert found().access_key == "AKIAFILE"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    assert (found().access_key, found().token) == ("AKIAENV", None)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "one")
    assert found().token == "one"
    monkeypatch.setenv("AWS_SECURITY_TOKEN", "older")
    assert found().token == "older"


def test_a_profile_that_was_named_comes_before_the_environment(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_files.credentials("[work]\n" + KEYS.format("AKIAWORK"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert found().access_key == "AKIAENV"
    assert found("work").access_key == "AKIAWORK"


def test_half_the_keys_of_the_environment(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    assert "AWS_SECRET_ACCESS_KEY is not" in refusal()


@pytest.mark.parametrize(("text", "expires_at_s"), [("2026-01-31T23:59:59Z", 1769903999.0), ("", None)])
def test_keys_of_the_environment_may_expire(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch, text: str, expires_at_s: float | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", text)
    assert found().expires_at_s == expires_at_s


def test_an_expiry_that_is_no_time(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "soon")
    assert "AWS_CREDENTIAL_EXPIRATION is 'soon'" in refusal()


def test_the_credentials_file_comes_before_a_process_and_the_config_file(shared_files: SharedFiles) -> None:
    process = "credential_process = keys\n"
    shared_files.config("[default]\n" + KEYS.format("AKIACONFIG"))
    assert found().access_key == "AKIACONFIG"
    shared_files.config("[default]\n" + KEYS.format("AKIACONFIG") + process)
    assert callable(Places(None, None).look())
    shared_files.credentials("[default]\n" + KEYS.format("AKIAFILE") + "aws_session_token = t\n")
    assert (found().access_key, found().token) == ("AKIAFILE", "t")
    assert found().source == str(shared_files.credentials_path)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", "has an aws_access_key_id and no aws_secret_access_key"),
        ("aws_secret_access_key =\n", "the secret key is empty"),
        ("aws_secret_access_key =\n  a = hidden\n", "has an aws_access_key_id and no aws_secret_access_key"),
    ],
)
def test_a_file_with_half_the_keys(shared_files: SharedFiles, secret: str, why: str) -> None:
    shared_files.credentials("[default]\naws_access_key_id = AKIAFILE\n" + secret)
    text = refusal()
    assert why in text and f"credentials file {shared_files.credentials_path}: " in text


def test_keys_over_several_lines_are_refused(shared_files: SharedFiles) -> None:
    """They would end up as headers of their own."""
    shared_files.credentials(
        "[default]\naws_access_key_id = AKIAFILE\n  X-Header: hidden\naws_secret_access_key = hidden\n"
    )
    assert "characters that no key has" in refusal()


def test_a_file_that_cannot_be_read_is_said_so(shared_files: SharedFiles) -> None:
    shared_files.credentials_path.mkdir()
    assert f"credentials file {shared_files.credentials_path}: no such file" in refusal()


def test_a_broken_file_is_an_error_of_its_own(shared_files: SharedFiles) -> None:
    shared_files.config("[default]\nhidden\n")
    assert f"{shared_files.config_path}, line 2" in refusal()


def test_a_profile_that_is_nowhere(shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    assert "no profile 'nowhere'" in refusal()


def test_what_fails_is_told_with_what_was_looked_in_before(shared_files: SharedFiles) -> None:
    shared_files.config("[default]\ncredential_process = no-such-command-here --password hidden\n")
    fetch = Places(None, None).look()
    assert callable(fetch)
    with pytest.raises(CredentialsError) as raised:
        fetch()
    lines = str(raised.value).splitlines()
    assert "credential_process: cannot start no-such-command-here" in lines[0]
    assert [line.split(": ")[0].split()[1] for line in lines[1:]] == [place.split()[0] for place in PLACES[:6]]
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("config", "variables"),
    [
        ("role_arn = arn:aws:iam::1:role/r\nsource_profile = other\n", {}),
        ("role_arn = arn:aws:iam::1:role/r\nweb_identity_token_file = /t\n", {}),
        ("", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}),
        ("sso_account_id = 1\n", {}),
        ("sso_role_name = r\n", {}),
        ("login_session = arn:aws:iam::1:user/u\n", {}),
        ("", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/"}),
        ("", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/"}),
        ("", {"AWS_CREDENTIAL_FILE": "/f"}),
        ("", {"AWS_EC2_METADATA_DISABLED": "false"}),
    ],
)
def test_what_is_left_to_the_helper_process(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch, config: str, variables: dict[str, str]
) -> None:
    shared_files.config("[default]\n" + config)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert callable(Places(None, None).look())


def test_old_files_are_left_to_the_helper_process(shared_files: SharedFiles, tmp_path: Path) -> None:
    (tmp_path / ".boto").write_text("[Credentials]\n" + KEYS.format("AKIABOTO"))
    assert callable(Places(None, None).look())


def test_an_empty_variable_hides_the_profiles_web_identity(
    shared_files: SharedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_files.config("[default]\nweb_identity_token_file = /t\n[profile work]\nweb_identity_token_file = /t\n")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    assert "web identity" in refusal()
    assert callable(Places("work", None).look())
