"""The helper process that asks botocore for credentials: roles, single sign-on, containers, instances.

It reads its settings as JSON from stdin, prints one JSON object and ends, so that botocore's 20 MB and more live for a
second. Settings and answer go through pipes: a command line could be read by others.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

_MISSING = (
    "needs botocore, which is not installed: pip install 'flyweight[aws]' (keys in the environment, in the credentials "
    "file or from a credential_process need none)"
)


def main() -> None:
    settings = json.load(sys.stdin)
    signal.alarm(int(float(settings["timeout_s"])) + 1)  # in case who started it is gone
    print(json.dumps(_answer(settings)))


def _answer(settings: dict[str, Any]) -> dict[str, Any]:
    _forbid_questions()
    if settings["ca_bundle"]:
        os.environ["AWS_CA_BUNDLE"] = settings["ca_bundle"]
    if settings["proxy"]:
        os.environ["HTTPS_PROXY"] = settings["proxy"]
    try:
        import botocore.session
        from botocore.exceptions import ConnectionError as NotConnectedError
        from botocore.exceptions import HTTPClientError, SSLError
    except ImportError:
        return {"Kind": "no botocore", "Failure": _MISSING}
    try:
        session = botocore.session.Session(profile=settings["profile"])
        if settings["region"]:
            session.set_config_variable("region", settings["region"])
        credentials = session.get_credentials()
        if credentials is None:
            return {"Kind": "none", "Failure": "none came from there"}
        # Fetches those of a role; only afterwards is it known when they expire.
        keys = credentials.get_frozen_credentials()
    except Exception as error:  # botocore's own, and what a broken file or answer makes it raise
        passing = isinstance(error, (NotConnectedError, HTTPClientError)) and not isinstance(error, SSLError)
        return {
            "Kind": "unreachable" if passing else "failed",
            "Failure": _without_userinfo(f"{type(error).__name__}: {error}"),
        }
    expires_at = getattr(credentials, "_expiry_time", None)
    return {
        "Kind": "credentials",
        "Version": 1,
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret_key,
        "SessionToken": keys.token,
        "Expiration": expires_at.isoformat() if expires_at else None,
    }


class _QuestionError(Exception):
    pass


def _forbid_questions() -> None:
    """A role may want a code typed in. There is nobody to ask; botocore would wait at the terminal."""
    import getpass

    def refuse(prompt: str = "", stream: object = None) -> str:
        raise _QuestionError(
            "it wants a code typed in (mfa_serial), which cannot be done here: fetch temporary credentials with "
            "'aws configure export-credentials' and set them in the environment"
        )

    getpass.getpass = refuse


def _without_userinfo(text: str) -> str:
    """A proxy's URL may hold a password."""
    import re

    return re.sub(r"://[^/@\s]+@", "://***@", " ".join(text.split()))


if __name__ == "__main__":
    main()
