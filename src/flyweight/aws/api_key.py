"""Bedrock's API keys, which go with a request in place of a signature. Resident.

Source: "API keys", Amazon Bedrock User Guide. As in the AWS SDK for Python, the variable comes before all credentials,
those of a profile that was named included, and the key goes over TLS alone.
"""

from __future__ import annotations

import os

from flyweight.errors import CredentialsError

VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
NOT_SET = f"API key of Bedrock: {VARIABLE} is not set"
WAY_OUT = (
    f"put a new one into {VARIABLE} (Bedrock console, API keys; one that is short-term holds in the region it was made "
    f"in, for 12 hours at most), or unset {VARIABLE} to go by keys or a profile"
)


class ApiKey:
    """One key. Neither repr nor str shows it."""

    __slots__ = ("secret",)

    def __init__(self, secret: str) -> None:
        """Raises CredentialsError for what cannot stand in a header."""
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            raise CredentialsError(f"the API key in {VARIABLE} holds characters that no key has: {WAY_OUT}")
        self.secret = secret

    @staticmethod
    def of_environment() -> ApiKey | None:
        """The one that is set now; None where there is none. Raises CredentialsError."""
        secret = os.environ.get(VARIABLE)
        return ApiKey(secret) if secret else None

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def __repr__(self) -> str:
        return f"ApiKey({VARIABLE})"

    def __reduce__(self) -> str:
        raise TypeError("API keys are not pickled: they would end up in a file")


def is_about_the_key(status: int, message: str) -> bool:
    """Whether an answer to a request with an API key says that the key is not valid or has expired, rather than that
    its owner may not do this: Bedrock calls both AccessDeniedException."""
    words = message.lower()
    return status == 401 or (status == 403 and any(sign in words for sign in ("api key", "bearer token has")))
