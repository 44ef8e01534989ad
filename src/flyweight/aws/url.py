"""The parts of an http URL. Resident: `urllib.parse` would bring `re`, `collections` and `functools`."""

from __future__ import annotations

from flyweight.errors import ConfigError

DEFAULT_PORTS = {"http": 80, "https": 443}


class Url:
    """scheme is "http" or "https"; host has no brackets; path is "" or begins with a slash; userinfo is as written."""

    __slots__ = ("host", "path", "port", "scheme", "userinfo")

    def __init__(self, scheme: str, host: str, port: int, path: str, userinfo: str) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.userinfo = userinfo

    @property
    def authority(self) -> str:
        """The value of a Host header: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Without the userinfo, which may hold a password."""
        return f"{self.scheme}://{self.authority}{self.path}"


def split_url(url: str, what: str, *, userinfo: bool = False) -> Url:
    """The parts of `url`, a trailing slash removed.

    what: names the setting in messages. userinfo: whether "user:password@" is allowed, as it is for proxies.
    Raises ConfigError, without quoting a URL that may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise ConfigError(f"{what} must be a URL that begins with http:// or https://, not {_quotable(url)}")
    authority, slash, path = rest.partition("/")
    user, at, place = authority.rpartition("@")
    if at and not userinfo:
        raise ConfigError(f"{what} must not hold a user name or password: give keys by their own settings")
    if not url.isascii() or not url.isprintable() or " " in url or "?" in url or "#" in url:
        raise ConfigError(f"{what} must be a URL without spaces, query or fragment, not {_quotable(url)}")
    host, port = _host_and_port(place)
    if not host or port == 0:
        raise ConfigError(f"{what} must be a URL such as https://host:8080/path, not {_quotable(url)}")
    return Url(scheme, host.lower(), port or DEFAULT_PORTS[scheme], (slash + path).rstrip("/"), user)


def _host_and_port(place: str) -> tuple[str, int | None]:
    """Port None: not given; 0: not a port."""
    if place.startswith("["):
        host, bracket, port = place[1:].partition("]")
        if not bracket or port[:1] not in ("", ":"):
            return "", None
        port = port[1:]
    else:
        host, _, port = place.partition(":")
    if not port:
        return host, None
    number = int(port) if port.isdigit() and len(port) <= 5 else 0
    return host, number if number < 65536 else 0


def _quotable(url: str) -> str:
    """The URL as a message may show it: what stands before an @ may be a password."""
    head, at, tail = url.rpartition("@")
    return repr(f"{head.partition('://')[0]}://***@{tail}" if at else url)
