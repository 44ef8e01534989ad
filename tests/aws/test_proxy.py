from __future__ import annotations

import os

import pytest

pytest.importorskip("trustme")

from flyweight.aws.connection_pool import ConnectionFailed, ConnectionPool
from flyweight.aws.proxy import proxy_for
from flyweight.aws.url import split_url
from flyweight.errors import ConfigError, EmbedderRefusedError
from tests.aws.raw_server import RawServer, response
from tests.standins.certificates import Certificates
from tests.standins.proxy import ProxyStandIn

ENOUGH_S = 60.0
SECRET = "s3cr:t@/%"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates(hosts=("bedrock.example",))


def get(pool: ConnectionPool, timeout_s: float = ENOUGH_S) -> list[bytes]:
    """Two bodies, over one connection if it is kept."""
    try:
        return [pool.request("GET", "/x", {}, b"", timeout_s).body for _ in range(2)]
    finally:
        pool.close()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("credentials", [None, ("me", SECRET)])
def test_https_goes_through_a_tunnel(
    certificates: Certificates, tls: bool, credentials: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        RawServer([response(b"fine")], context=certificates.server_context()) as server,
        ProxyStandIn(
            tls=tls,
            certificates=certificates if tls else None,
            credentials=credentials,
            routes={"bedrock.example:443": ("127.0.0.1", server.port)},
        ) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert get(ConnectionPool("https://bedrock.example", ca_bundle=str(certificates.ca_file))) == [b"fine"] * 2
        assert proxy.asked == ["bedrock.example:443"]
        assert b"roxy-" not in server.requests[0]


def test_http_is_asked_of_the_proxy_itself() -> None:
    with (
        RawServer([response(b"fine")]) as server,
        ProxyStandIn(credentials=("me", SECRET), routes={"plain.example:8080": ("127.0.0.1", server.port)}) as proxy,
    ):
        pool = ConnectionPool("http://plain.example:8080/v1", proxy=proxy.url)
        assert pool.request("GET", "/x", {}, b"", ENOUGH_S).body == b"fine"
        pool.close()
        assert server.requests[0].startswith(
            b"GET http://plain.example:8080/v1/x HTTP/1.1\r\nHost: plain.example:8080\r\n"
        )


def test_the_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with RawServer([response(b"fine")]) as server, ProxyStandIn() as proxy:
        assert get(ConnectionPool(server.url, proxy=proxy.url)) == [b"fine"] * 2
        assert proxy.asked


@pytest.mark.parametrize("user", ["", "me:wr0ng@"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_named_without_the_one_it_got(user: str, scheme: str) -> None:
    with ProxyStandIn(credentials=("me", SECRET)) as proxy:
        address = f"http://{user}127.0.0.1:{proxy.port}"
        with pytest.raises(EmbedderRefusedError) as raised:
            get(ConnectionPool(f"{scheme}://bedrock.example", proxy=address))
    message = str(raised.value)
    assert f"http://127.0.0.1:{proxy.port}" in message
    assert "user and password" in message
    assert "wr0ng" not in message


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("bad_gateway", "opens no way to bedrock.example: it answered CONNECT bedrock.example:443 with status 502"),
        ("closed", "opens no way to bedrock.example: of its answer to CONNECT, the connection was closed"),
        ("nonsense", "of its answer to CONNECT, it begins with '220 mail.example"),
    ],
)
def test_a_proxy_that_fails_is_named(failure: str, said: str) -> None:
    with ProxyStandIn(failure=failure) as proxy, pytest.raises(ConnectionFailed) as raised:
        get(ConnectionPool("https://bedrock.example", proxy=proxy.url))
    assert f"the proxy {proxy.url}" in str(raised.value)
    assert said in str(raised.value)


def test_a_proxy_that_forbids_the_host_is_no_passing_failure() -> None:
    with (
        ProxyStandIn(failure="forbidden") as proxy,
        pytest.raises(EmbedderRefusedError, match="does not let") as raised,
    ):
        get(ConnectionPool("https://bedrock.example", proxy=proxy.url))
    assert "bedrock.example:443" in str(raised.value)


def test_a_proxy_that_does_not_answer_costs_no_more_than_the_deadline() -> None:
    with ProxyStandIn(failure="silent") as proxy, pytest.raises(ConnectionFailed, match="in time"):
        get(ConnectionPool("https://bedrock.example", proxy=proxy.url), timeout_s=0.15)


def test_a_proxy_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(ConnectionFailed, match=r"the proxy http://127\.0\.0\.1:1 cannot be reached"):
        get(ConnectionPool("https://bedrock.example", proxy="http://me:secret@127.0.0.1:1"))


@pytest.mark.parametrize(
    ("variables", "url", "found"),
    [
        ({}, "https://h", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://h", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://h", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://h", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://h", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h", None),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "https://h", "http://low:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://h", "http://p:1"),
        ({"HTTPS_PROXY": "http://s:1", "ALL_PROXY": "http://a:1"}, "https://h", "http://s:1"),
        ({"HTTPS_PROXY": ""}, "https://h", None),
    ],
)
def test_the_environment_names_the_proxy(variables: dict[str, str], url: str, found: str | None) -> None:
    proxy = proxy_for(split_url(url, "the URL"), variables)
    assert (None if proxy is None else str(proxy)) == found


@pytest.mark.parametrize(
    ("rules", "url", "exempt"),
    [
        ("*", "https://h", True),
        ("h", "https://h", True),
        ("H.Example", "https://h.example", True),
        ("example", "https://h.example", True),
        (".example", "https://h.example", True),
        ("*.example", "https://h.example", True),
        ("ample", "https://h.example", False),
        ("h.example.org", "https://h.example", False),
        ("other, h", "https://h", True),
        ("other h", "https://h", True),
        ("h:443", "https://h", True),
        ("h:8443", "https://h", False),
        ("127.0.0.1", "http://127.0.0.1:8080", True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("::1", "http://[::1]:8080", True),
        ("[::1]", "http://[::1]:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("[::1]:8081", "http://[::1]:8080", False),
        ("", "https://h", False),
        (" , ", "https://h", False),
    ],
)
def test_rules_say_what_is_reached_without_a_proxy(rules: str, url: str, exempt: bool) -> None:
    variables = {"ALL_PROXY": "http://p:1", "NO_PROXY": rules}
    assert (proxy_for(split_url(url, "the URL"), variables) is None) == exempt


def test_a_variable_that_holds_no_url_is_named() -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as raised:
        proxy_for(split_url("https://h", "the URL"), {"HTTPS_PROXY": "socks5://me:secret@p:1"})
    assert "secret" not in str(raised.value)
