from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flyweight.aws.credential_process import credentials_of_process
from flyweight.aws.credentials import Credentials
from flyweight.errors import CredentialsError

GOOD = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "hidden-secret"}


@pytest.fixture
def printing(tmp_path: Path) -> Callable[..., Credentials]:
    """Runs a program that prints a text."""
    program = tmp_path / "my keys.py"

    def run(text: str, status: int = 0, stderr: str = "", timeout_s: float = 60.0) -> Credentials:
        program.write_text(f"import sys\nprint({text!r})\nprint({stderr!r}, file=sys.stderr)\nsys.exit({status})\n")
        return credentials_of_process(f"{sys.executable} '{program}' --password hidden-argument", "here", timeout_s)

    return run


def test_what_it_prints(printing: Callable[..., Credentials]) -> None:
    found = printing(json.dumps({**GOOD, "SessionToken": "t", "Expiration": "2026-01-31T23:59:59Z", "More": [1]}))
    assert (found.access_key, found.secret_key, found.token) == ("AKIAPROCESS", "hidden-secret", "t")
    assert (found.expires_at_s, found.source) == (1769903999.0, "here")


def test_keys_that_do_not_expire(printing: Callable[..., Credentials]) -> None:
    found = printing(json.dumps({**GOOD, "SessionToken": None, "Expiration": None}))
    assert (found.token, found.expires_at_s) == (None, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not printed JSON"),
        ("{'Version': 1}", "not printed JSON"),
        ("[" * 5000 + "]" * 5000, "not printed (JSON|a JSON object)"),
        ("[1]", "not printed a JSON object"),
        (json.dumps({**GOOD, "Version": 2}), "Version 2"),
        (json.dumps({**GOOD, "Version": "1"}), "Version '1'"),
        (json.dumps({"AccessKeyId": "a", "SecretAccessKey": "hidden-secret"}), "Version None"),
        (json.dumps({"Version": 1, "SecretAccessKey": "hidden-secret"}), "no AccessKeyId"),
        (json.dumps({"Version": 1, "AccessKeyId": "a", "SecretAccessKey": 5}), "no SecretAccessKey"),
        (json.dumps({**GOOD, "SecretAccessKey": ""}), "the secret key is empty"),
        (json.dumps({**GOOD, "AccessKeyId": "a\r\nX-Header: hidden-secret"}), "characters that no key has"),
        (json.dumps({**GOOD, "SessionToken": 5}), "SessionToken"),
        (json.dumps({**GOOD, "Expiration": "tomorrow"}), "Expiration 'tomorrow'"),
        (json.dumps({**GOOD, "Expiration": 1769903999}), "Expiration 1769903999"),
    ],
)
def test_output_of_another_kind(printing: Callable[..., Credentials], text: str, why: str) -> None:
    with pytest.raises(CredentialsError, match=why) as raised:
        printing(text)
    assert "hidden" not in str(raised.value)


def test_a_status_is_told_with_what_was_said_but_not_with_the_arguments(printing: Callable[..., Credentials]) -> None:
    with pytest.raises(CredentialsError, match="ended with status 4: please sign in") as raised:
        printing(json.dumps(GOOD), status=4, stderr="please\nsign in\n" + "x" * 10_000)
    assert "hidden" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_one_that_does_not_end(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"not ended within 0.2 s"):
        credentials_of_process(f"{sys.executable} -c 'import time; time.sleep(600)'", "here", 0.2)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "empty"),
        ("keys 'x", "not closed"),
        ("no-such-command-here --x", "cannot start no-such-command-here: No such file"),
    ],
)
def test_a_command_line_that_cannot_run(line: str, why: str) -> None:
    with pytest.raises(CredentialsError, match=why):
        credentials_of_process(line, "here")
