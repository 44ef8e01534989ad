"""Credentials that another program prints: the `credential_process` of a profile, and our own helper. Resident.

Source: "Sourcing credentials with an external process", AWS SDKs and Tools Reference Guide.
"""

from __future__ import annotations

from flyweight.aws.child_process import run_command
from flyweight.aws.clock import parse_timestamp
from flyweight.aws.credentials import Credentials
from flyweight.aws.json_text import NotJson, parse
from flyweight.aws.shell_words import split_words
from flyweight.errors import CredentialsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 60.0
_VERSION = 1
_MOST_SHOWN = 300


def credentials_of_process(command_line: str, source: str, timeout_s: float = TIMEOUT_S) -> Credentials:
    """Runs a profile's credential_process, without a shell, and returns what it prints.

    Raises CredentialsError, which names the program but not its arguments: they may hold secrets.
    """
    try:
        command = split_words(command_line)
    except ValueError as error:
        raise CredentialsError(f"its command line has {error}") from None
    if not command:
        raise CredentialsError("its command line is empty")
    program = command[0]
    try:
        output = run_command(command, timeout_s=timeout_s)
    except TimeoutError:
        raise CredentialsError(f"{program} has not ended within {timeout_s:g} s and was stopped") from None
    except (OSError, ValueError) as error:
        raise CredentialsError(f"cannot start {program}: {getattr(error, 'strerror', None) or error}") from None
    if output.status:
        how = f"was ended by signal {-output.status}" if output.status < 0 else f"ended with status {output.status}"
        raise CredentialsError(f"{program} {how}{_said(output.stderr)}")
    try:
        fields = parse(output.stdout)
    except NotJson:  # without what it says, which might quote a key
        raise CredentialsError(f"{program} has not printed JSON") from None
    if not isinstance(fields, dict):
        raise CredentialsError(f"{program} has not printed a JSON object")
    return credentials_of_fields(fields, program, source)


def credentials_of_fields(fields: Mapping[str, object], program: str, source: str) -> Credentials:
    """The credentials in the object a program has printed. Raises CredentialsError, which does not quote them."""
    if fields.get("Version") != _VERSION:
        raise CredentialsError(f"{program} prints Version {_short(fields.get('Version'))}; version 1 is understood")
    access_key, secret_key = fields.get("AccessKeyId"), fields.get("SecretAccessKey")
    if not isinstance(access_key, str) or not isinstance(secret_key, str):
        raise CredentialsError(
            f"{program} prints no {'SecretAccessKey' if isinstance(access_key, str) else 'AccessKeyId'}"
        )
    token, expiration = fields.get("SessionToken"), fields.get("Expiration")
    if token is not None and not isinstance(token, str):
        raise CredentialsError(f"{program} prints a SessionToken that is no text")
    expires_at_s = None
    if expiration is not None:
        expires_at_s = parse_timestamp(expiration) if isinstance(expiration, str) else None
        if expires_at_s is None:
            raise CredentialsError(f"{program} prints Expiration {_short(expiration)}, not a time of ISO 8601")
    return Credentials(access_key, secret_key, token, expires_at_s, source)


def _said(stderr: str) -> str:
    words = " ".join(stderr.split())
    return f": {words[:_MOST_SHOWN]}" if words else ""


def _short(value: object) -> str:
    return repr(value)[:40]
