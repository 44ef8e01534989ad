"""What an embedding service sent, as messages and retries need it. Resident."""

from __future__ import annotations

from flyweight.aws.connection_pool import ConnectionFailed, ConnectionPool, NobodyThere
from flyweight.aws.json_text import NotJson, parse
from flyweight.embed.remote import TemporarilyUnavailable, Throttled
from flyweight.errors import EmbedderRefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from flyweight.aws.http_response import Response

_EXCERPT = 300
_MAX_RETRY_AFTER_S = 3600.0


def exchange(pool: ConnectionPool, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Response:
    """Posts `body`. Raises TemporarilyUnavailable, EmbedderRefusedError, ConfigError."""
    try:
        return pool.request("POST", path, headers, body, timeout_s)
    except ConnectionFailed as error:
        raise TemporarilyUnavailable(str(error), isinstance(error, NobodyThere)) from None


def parsed_object(response: Response, who: str) -> dict[str, Any]:
    """The JSON object that a successful response holds. Raises TemporarilyUnavailable, which says what came."""
    try:
        value = parse(response.body)
    except NotJson as fault:
        raise TemporarilyUnavailable(f"{who} answered with {described(response)}, not with JSON ({fault})") from None
    if not isinstance(value, dict):
        raise TemporarilyUnavailable(f"{who} answered with {described(response)}, not with an object")
    return value


def error_object(response: Response) -> dict[str, Any]:
    """The JSON object that says what went wrong; {} where there is none."""
    try:
        value = parse(response.body)
    except NotJson:
        return {}
    return value if isinstance(value, dict) else {}


def refuse_by_status(response: Response, who: str, way_out: str, secrets: Sequence[str] = ()) -> None:
    """Raises what an answer stands for that says no more than its status, as those of proxies in between do.

    secrets: what the request held and a message must not, should the answer quote it.
    Raises Throttled, TemporarilyUnavailable, EmbedderRefusedError.
    """
    status = response.status
    what = f"{who} answered with {described(response, secrets)}"
    if status == 429:
        raise Throttled(what, retry_after_s(response))
    if status in (408, 425) or status >= 500:
        raise TemporarilyUnavailable(what)
    if 300 <= status < 400:
        place = printable(response.headers.get("location", "somewhere else"))
        raise EmbedderRefusedError(f"{who} sends requests on to {place} (status {status}): {way_out}")
    raise EmbedderRefusedError(f"{what}: {way_out}")


def retry_after_s(response: Response) -> float | None:
    """How long the service wants to be left alone, at most an hour: Retry-After in seconds or as a date (RFC 9110,
    10.2.3), or retry-after-ms."""
    value = response.headers.get("retry-after-ms", "")
    scale = 0.001
    if not value:
        value = response.headers.get("retry-after", "")
        scale = 1.0
    if not value:
        return None
    try:
        seconds = float(value) * scale
    except ValueError:
        from flyweight.aws.clock import parse_http_date

        until = parse_http_date(value)
        now = parse_http_date(response.headers.get("date"))
        if until is None:
            return None
        if now is None:
            import time

            now = time.time()
        seconds = until - now
    return min(seconds, _MAX_RETRY_AFTER_S) if seconds > 0 else None


def described(response: Response, secrets: Sequence[str] = ()) -> str:
    """Status, kind and beginning of a body, on one line."""
    kind = printable(response.headers.get("content-type", "")).partition(";")[0] or "no content type"
    body = printable(response.body[: 4 * _EXCERPT].decode("utf-8", "replace"), secrets)
    return f"status {response.status}, {len(response.body)} bytes of {kind}" + (f": {body!r}" if body else "")


def printable(text: str, secrets: Sequence[str] = ()) -> str:
    """Text of a service on one line, without the secrets it may quote, and no longer than a message can bear."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT]}..."
