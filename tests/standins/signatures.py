"""Whether a request is signed as AWS demands: computed again with botocore's own signer and compared."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from tests.standins.http_service import Request

SKEW_S = 300


class Credentials:
    """A key pair that the stand-in accepts. expires_at_s: when it stops to, in seconds since 1970; None for never."""

    __slots__ = ("access_key", "expires_at_s", "secret_key", "token")

    def __init__(
        self, access_key: str, secret_key: str, token: str | None = None, expires_at_s: float | None = None
    ) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token
        self.expires_at_s = expires_at_s

    def environment(self) -> dict[str, str]:
        found = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return found | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


class ApiKey:
    """A key that the stand-in accepts in place of a signature. expires_at_s: as of Credentials."""

    __slots__ = ("expires_at_s", "secret")

    def __init__(self, secret: str, expires_at_s: float | None = None) -> None:
        self.secret = secret
        self.expires_at_s = expires_at_s

    def environment(self) -> dict[str, str]:
        return {"AWS_BEARER_TOKEN_BEDROCK": self.secret}


class Refusal(Exception):
    """Why a request is not let in: (status, type, message)."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


class _Signer(SigV4Auth):
    """botocore's, with the derived key kept: four rounds of HMAC for each request of a day are three too many."""

    def __init__(self, credentials: Credentials, service: str, region: str) -> None:
        super().__init__(BotocoreCredentials(credentials.access_key, credentials.secret_key), service, region)
        self._keys: dict[str, bytes] = {}

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:
        day = request.context["timestamp"][:8]
        key = self._keys.get(day)
        if key is None:
            key = b"AWS4" + self.credentials.secret_key.encode()
            for part in (day, self._region_name, self._service_name, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._keys[day] = key
        return hmac.new(key, string_to_sign.encode(), hashlib.sha256).hexdigest()


class SignatureCheck:
    """Lets requests in that one of `credentials` has signed for `service` in `region` (None: any region), or that bear
    one of `api_keys`.

    now_offset_s: how far the clock of the service is ahead of this machine's.
    """

    def __init__(self, credentials: list[Credentials], service: str, region: str | None) -> None:
        self.now_offset_s = 0.0
        self.api_keys: list[ApiKey] = []
        self.service = service
        self.region = region
        self._known: dict[str, Credentials] = {}
        self._retired: set[str] = set()
        self._signers: dict[tuple[str, str], _Signer] = {}
        self.accept(credentials)

    def accept(self, credentials: list[Credentials]) -> None:
        """Only these from now on."""
        self._known = {one.access_key: one for one in credentials}
        self._signers.clear()

    def check(self, request: Request, now_s: float) -> None:
        """Raises Refusal, worded as the service words it."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            raise Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        if authorization.startswith("Bearer "):
            self._check_api_key(authorization.removeprefix("Bearer "), now_s)
            return
        access_key, day, region, signed, signature = _parse(authorization)
        known = self._known.get(access_key)
        if known is None:
            raise Refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        stamp = request.headers.get("x-amz-date", "")
        self._check_time(stamp, day, now_s)
        if region[0] != (self.region or region[0]):
            raise Refusal(403, "InvalidSignatureException", "Credential should be scoped to a valid region. ")
        if region[1] != self.service:
            raise Refusal(
                403, "InvalidSignatureException", f"Credential should be scoped to correct service: '{self.service}'. "
            )
        self._check_signed_headers(request, signed)
        if not hmac.compare_digest(signature, self._signature(request, known, region[0], stamp, signed)):
            raise Refusal(
                403,
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details.",
            )
        if (request.headers.get("x-amz-security-token") or None) != known.token:
            raise Refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if known.expires_at_s is not None and now_s >= known.expires_at_s:
            raise Refusal(403, "ExpiredTokenException", "The security token included in the request is expired")

    def _check_api_key(self, secret: str, now_s: float) -> None:
        known = next((key for key in self.api_keys if hmac.compare_digest(key.secret.encode(), secret.encode())), None)
        if known is None:
            raise Refusal(
                403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid."
            )
        if known.expires_at_s is not None and now_s >= known.expires_at_s:
            raise Refusal(403, "AccessDeniedException", "Bearer Token has expired")

    def _check_time(self, stamp: str, day: str, now_s: float) -> None:
        now_s += self.now_offset_s
        try:
            signed_at_s = datetime.strptime(stamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise Refusal(
                403,
                "IncompleteSignatureException",
                f"Date must be in ISO-8601 'basic format'. Got '{stamp}'. See http://en.wikipedia.org/wiki/ISO_8601",
            ) from None
        if not stamp.startswith(day):
            raise Refusal(
                403,
                "InvalidSignatureException",
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}' "
                f"!= '{stamp[:8]}', from '{stamp}'.",
            )
        now = datetime.fromtimestamp(now_s, UTC).strftime(SIGV4_TIMESTAMP)
        if signed_at_s < now_s - SKEW_S:
            edge = datetime.fromtimestamp(now_s - SKEW_S, UTC).strftime(SIGV4_TIMESTAMP)
            raise Refusal(
                403,
                "InvalidSignatureException",
                f"Signature expired: {stamp} is now earlier than {edge} ({now} - 5 min.)",
            )
        if signed_at_s > now_s + SKEW_S:
            edge = datetime.fromtimestamp(now_s + SKEW_S, UTC).strftime(SIGV4_TIMESTAMP)
            raise Refusal(
                403,
                "InvalidSignatureException",
                f"Signature not yet current: {stamp} is still later than {edge} ({now} + 5 min.)",
            )

    def _check_signed_headers(self, request: Request, signed: list[str]) -> None:
        must = ["host", *(name for name in request.headers if name.startswith("x-amz-"))]
        missing = [name for name in must if name not in signed or name not in request.headers]
        if missing or signed != sorted(signed):
            raise Refusal(
                403,
                "InvalidSignatureException",
                f"'{(missing or signed)[0]}' must be a 'SignedHeader' in the AWS Authorization.",
            )
        declared = request.headers.get("x-amz-content-sha256")
        if declared is not None and declared != hashlib.sha256(request.body).hexdigest():
            raise Refusal(
                400,
                "InvalidSignatureException",
                "The value passed in for x-amz-content-sha256 does not match the hash of the body.",
            )

    def _signature(self, request: Request, known: Credentials, region: str, stamp: str, signed: list[str]) -> str:
        signer = self._signers.get((known.access_key, region))
        if signer is None:
            signer = self._signers[known.access_key, region] = _Signer(known, self.service, region)
        headers = {name: request.headers[name] for name in signed if name in request.headers}
        again: Any = AWSRequest(
            request.method, f"http://{request.headers['host']}{request.target}", headers, request.body
        )
        again.context["timestamp"] = stamp
        return signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)


def _parse(authorization: str) -> tuple[str, str, tuple[str, str], list[str], str]:
    """(access key, day, (region, service), signed headers, signature)."""
    kind, _, rest = authorization.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    scope = fields.get("Credential", "").split("/")
    if kind != "AWS4-HMAC-SHA256" or len(scope) != 5 or scope[4] != "aws4_request":
        raise Refusal(
            403,
            "IncompleteSignatureException",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' "
            "parameter. Authorization header requires 'SignedHeaders' parameter.",
        )
    signed = fields.get("SignedHeaders", "").split(";")
    return scope[0], scope[1], (scope[2], scope[3]), signed, fields.get("Signature", "")
