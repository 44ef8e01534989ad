"""AWS Signature Version 4: what a request's headers must say so that AWS knows whose it is.

Source: "Signing AWS API requests", AWS Identity and Access Management User Guide. Resident.
"""

from __future__ import annotations

from flyweight.aws.clock import amz_date

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyweight.aws.credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
# Proxies and the connection itself change, add or drop these on the way.
_NOT_SIGNED = frozenset(
    (
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    )
)
_SET_HERE = frozenset(("authorization", "x-amz-date", "x-amz-security-token"))


def sign(
    method: str,
    url_path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """The headers to add to a request: X-Amz-Date, Authorization and, for temporary credentials, X-Amz-Security-Token.

    url_path, query: as they go over the wire, percent-encoded; the query without its "?".
    headers: Host, and the others that are to be signed. Those a proxy may change are left out by themselves.
    service: its name in signatures, "bedrock" for bedrock-runtime. now: seconds since 1970.
    Raises ValueError when there is no Host.
    """
    from hashlib import sha256
    from hmac import digest

    timestamp = amz_date(now)
    added = {"X-Amz-Date": timestamp}
    if credentials.token:
        added["X-Amz-Security-Token"] = credentials.token
    fields = _canonical_fields(headers, added)
    if "host" not in fields:
        raise ValueError("a request is signed with its Host header")
    body_hash = fields.get("x-amz-content-sha256") or sha256(body).hexdigest()
    names = sorted(fields)
    signed_names = ";".join(names)
    request = "\n".join(
        (
            method.upper(),
            _canonical_path(url_path),
            _canonical_query(query),
            *(f"{name}:{fields[name]}" for name in names),
            "",
            signed_names,
            body_hash,
        )
    )
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    key = b"AWS4" + credentials.secret_key.encode()
    for part in scope.split("/"):
        key = digest(key, part.encode(), "sha256")
    to_sign = "\n".join((_ALGORITHM, timestamp, scope, sha256(request.encode()).hexdigest()))
    signature = digest(key, to_sign.encode(), "sha256").hex()
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed_names}, Signature={signature}"
    )
    return added


def _canonical_fields(headers: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Lower-case names; runs of white space in values are one space; values of the same name are joined."""
    fields: dict[str, str] = {}
    for name, value in headers.items():
        name = name.strip().lower()
        if name in _NOT_SIGNED or name in _SET_HERE:
            continue
        folded = " ".join(value.split())
        fields[name] = f"{fields[name]},{folded}" if name in fields else folded
    for name, value in added.items():
        fields[name.lower()] = " ".join(value.split())
    return fields


def _canonical_path(path: str) -> str:
    """Without empty and dot segments (RFC 3986, 5.2.4), percent-encoded once more than it is on the wire."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment and segment != ".":
            segments.append(segment)
    plain = ("/" if path[:1] in ("", "/") else "") + "/".join(segments)
    return _encoded(plain + ("/" if path.endswith("/") and segments else ""))


def _encoded(text: str) -> str:
    if _PLAIN.issuperset(text):
        return text
    return "".join(
        character if character in _PLAIN else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in text
    )


def _canonical_query(query: str) -> str:
    """Sorted by name, then by value; a name without a value gets its equals sign."""
    if not query:
        return ""
    pairs = [pair.partition("=") for pair in query.split("&")]
    return "&".join(f"{name}={value}" for name, value in sorted((name, value) for name, _, value in pairs))
