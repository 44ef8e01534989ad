"""The proxy that the environment, or a setting, puts between us and a host; tunnels through it. Resident."""

from __future__ import annotations

import os

from flyweight.aws.http_response import BadResponse, ResponseReader
from flyweight.aws.url import Url, split_url
from flyweight.errors import EmbedderRefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyweight.aws.byte_stream import ByteStream


class ProxyFailure(Exception):
    """The proxy did not open a tunnel this time; the message says why."""


def proxy_for(target: Url, environment: Mapping[str, str] = os.environ) -> Url | None:
    """By HTTPS_PROXY or HTTP_PROXY, ALL_PROXY and NO_PROXY, in lower case first, as other programs read them.

    Raises ConfigError for a variable that holds no URL.
    """
    if _is_exempt(target, environment.get("no_proxy") or environment.get("NO_PROXY") or ""):
        return None
    for variable in (f"{target.scheme}_proxy", f"{target.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
            continue  # a web server has made it from a request's Proxy header
        value = environment.get(variable)
        if value:
            return named_proxy(value, f"the environment variable {variable}")
    return None


def named_proxy(value: str, what: str) -> Url:
    """The proxy a setting names; "host:port" stands for http://host:port. Raises ConfigError."""
    return split_url(value if "://" in value else f"http://{value}", what, userinfo=True)


def authorization(proxy: Url) -> dict[str, str]:
    """The header that tells a proxy who asks; {} where the URL does not say."""
    if not proxy.userinfo:
        return {}
    from binascii import b2a_base64

    secret = b":".join(_unquoted(part) for part in proxy.userinfo.partition(":")[::2])
    return {"Proxy-Authorization": "Basic " + b2a_base64(secret, newline=False).decode()}


def open_tunnel(stream: ByteStream, proxy: Url, target: Url) -> None:
    """Asks the proxy behind `stream` for a way to `target`.

    Raises ProxyFailure, EmbedderRefusedError where asking again does not help, OSError, TimeoutError.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = f"{host}:{target.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    lines += [f"{name}: {value}" for name, value in authorization(proxy).items()]
    stream.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    try:
        status = ResponseReader(stream).read(tunnel=True).status
    except BadResponse as fault:
        raise ProxyFailure(f"of its answer to CONNECT, {fault}") from None
    check_proxy_status(status, proxy, target)
    if not 200 <= status < 300:
        raise ProxyFailure(f"it answered CONNECT {place} with status {status}")


def check_proxy_status(status: int, proxy: Url, target: Url) -> None:
    """Raises EmbedderRefusedError when the proxy wants to know who asks, or does not let this host be reached."""
    if status == 407:
        known = "does not accept the user and password it was given" if proxy.userinfo else "wants a user and password"
        raise EmbedderRefusedError(
            f"the proxy {proxy} {known}: put them into its URL (http://user:password@host:port), by the option "
            f"proxy or HTTPS_PROXY; or reach {target.host} without it, by NO_PROXY"
        )
    if status in (403, 405):
        raise EmbedderRefusedError(
            f"the proxy {proxy} does not let {target.host}:{target.port} be reached (status {status}): have it allowed "
            "there, or go without the proxy, by NO_PROXY"
        )


def _is_exempt(target: Url, rules: str) -> bool:
    """A rule is a host or a domain, with or without a leading dot or a port; "*" is everything."""
    for rule in rules.replace(",", " ").lower().split():
        if rule == "*":
            return True
        host, colon, port = rule.rpartition(":")
        if colon and port.isdigit() and not host.endswith(":") and (":" not in host or host.endswith("]")):
            if int(port) != target.port:
                continue
            rule = host
        name = rule.strip("[]").removeprefix("*").lstrip(".")
        if name and (target.host == name or target.host.endswith("." + name)):
            return True
    return False


def _unquoted(text: str) -> bytes:
    """Percent-encoded bytes as themselves; a sign without two digits after it stands for itself."""
    first, *rest = text.encode().split(b"%")
    pieces = [first]
    for part in rest:
        digits = part[:2]
        if len(digits) == 2 and not digits.strip(b"0123456789abcdefABCDEF"):
            pieces += [bytes((int(digits, 16),)), part[2:]]
        else:
            pieces.append(b"%" + part)
    return b"".join(pieces)
