from __future__ import annotations

import socket

import pytest

pytest.importorskip("botocore")

from tests.standins.bedrock import BedrockStandIn
from tests.standins.proxy import ProxyStandIn
from tests.standins.signed_requests import read_answer, read_to_end, signed_request

ASKED = {"inputText": "x", "dimensions": 256}
LOGIN = "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"


def open_tunnel(proxy: ProxyStandIn, place: str, headers: str = "") -> tuple[socket.socket, bytes]:
    """The connection, and the first line the proxy has answered with."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=300)
    connection.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{headers}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        more = connection.recv(1)
        if not more:
            break
        head += more
    return connection, head.partition(b"\r\n")[0]


def test_a_tunnel_carries_bytes_both_ways() -> None:
    with BedrockStandIn() as service, ProxyStandIn() as proxy:
        connection, line = open_tunnel(proxy, f"127.0.0.1:{service.port}")
        with connection:
            assert line == b"HTTP/1.1 200 Connection established"
            connection.sendall(signed_request(service, ASKED))
            assert read_answer(connection)[0] == 200
        assert proxy.asked == [f"127.0.0.1:{service.port}"]


def test_a_name_leads_where_its_route_says() -> None:
    with BedrockStandIn() as service, ProxyStandIn(routes={"far.invalid:443": ("127.0.0.1", service.port)}) as proxy:
        connection, line = open_tunnel(proxy, "far.invalid:443")
        connection.close()
        assert b" 200 " in line


def test_a_plain_request_is_passed_on() -> None:
    with BedrockStandIn() as service, ProxyStandIn() as proxy:
        whole = signed_request(service, ASKED).replace(b"POST /", b"POST " + service.endpoint.encode() + b"/")
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=300) as connection:
            connection.sendall(whole)
            assert read_answer(connection)[0] == 200
        assert proxy.asked == [service.endpoint]


def test_a_password_is_demanded() -> None:
    with BedrockStandIn() as service, ProxyStandIn(credentials=("user", "password")) as proxy:
        place = f"127.0.0.1:{service.port}"
        for headers, status in (("", b"407"), (LOGIN, b"200"), (LOGIN.replace("dX", "dY"), b"407")):
            connection, line = open_tunnel(proxy, place, headers)
            connection.close()
            assert line.split(b" ")[1] == status
        assert proxy.denied == 2
        assert proxy.asked == [place]
        assert proxy.url == f"http://user:password@127.0.0.1:{proxy.port}"


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        ("forbidden", b"HTTP/1.1 403 Forbidden"),
        ("bad_gateway", b"HTTP/1.1 502 Bad Gateway"),
        ("nonsense", b"220 mail.example ESMTP"),
        ("closed", b""),
    ],
)
def test_failures(failure: str, answer: bytes) -> None:
    with BedrockStandIn() as service, ProxyStandIn(failure=failure) as proxy:
        connection, line = open_tunnel(proxy, f"127.0.0.1:{service.port}")
        connection.close()
        assert line == answer
        assert service.ledger.connections == 0


def test_a_silent_proxy_says_nothing() -> None:
    with ProxyStandIn(failure="silent") as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        connection.sendall(b"CONNECT far.invalid:443 HTTP/1.1\r\n\r\n")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_half_a_tunnel_ends_in_the_middle_of_an_answer() -> None:
    with BedrockStandIn() as service, ProxyStandIn(failure="half_tunnel") as proxy:
        connection, line = open_tunnel(proxy, f"127.0.0.1:{service.port}")
        with connection:
            assert b" 200 " in line
            connection.sendall(signed_request(service, ASKED))
            assert len(read_to_end(connection)) == 1000


def test_nothing_at_the_other_end_is_a_bad_gateway() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with ProxyStandIn() as proxy:
        connection, line = open_tunnel(proxy, f"127.0.0.1:{port}")
        connection.close()
        assert line == b"HTTP/1.1 502 Bad Gateway"


def test_a_proxy_may_speak_tls() -> None:
    pytest.importorskip("trustme")
    import ssl

    with BedrockStandIn() as service, ProxyStandIn(tls=True) as proxy:
        assert proxy.url.startswith("https://localhost:")
        context = ssl.create_default_context(cafile=proxy.ca_file)
        plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=300)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(f"CONNECT 127.0.0.1:{service.port} HTTP/1.1\r\n\r\n".encode())
            assert b" 200 " in connection.recv(1 << 10)
