from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest
from bare_process import run_script

from flyweight.aws.connection_pool import ConnectionFailed, ConnectionPool
from flyweight.errors import ConfigError
from tests.aws.raw_server import RawConnection, RawServer, response

OK = response(b"fine")
# Longer than any test that passes takes.
ENOUGH_S = 60.0


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


def get(pool: ConnectionPool, timeout_s: float = ENOUGH_S) -> bytes:
    return pool.request("GET", "/x", {}, b"", timeout_s).body


def test_a_request_goes_out_with_host_length_and_the_headers_given() -> None:
    with RawServer([OK]) as server:
        pool = ConnectionPool(f"{server.url}/base")
        pool.request("POST", "/model/a%3A0/invoke", {"Accept": "application/json"}, b"text", ENOUGH_S)
        pool.close()
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /base/model/a%3A0/invoke HTTP/1.1"
    assert set(lines[1:]) == {b"Host: 127.0.0.1:%d" % server.port, b"Content-Length: 4", b"Accept: application/json"}
    assert body == b"text"


def test_a_response_has_status_headers_by_lower_case_name_and_body() -> None:
    answer = response(b"who?", b"X-Amzn-ErrorType: Denied", b"Set-Cookie: a", b"set-cookie:b ", status=b"403 Forbidden")
    with RawServer([answer]) as server:
        pool = ConnectionPool(server.url)
        found = pool.request("GET", "/", {}, b"", ENOUGH_S)
        pool.close()
    assert (found.status, found.body) == (403, b"who?")
    assert found.headers["x-amzn-errortype"] == "Denied"
    assert found.headers["set-cookie"] == "a, b"


def test_requests_one_after_the_other_share_a_connection() -> None:
    with RawServer([OK]) as server:
        pool = ConnectionPool(server.url)
        assert [get(pool) for _ in range(5)] == [b"fine"] * 5
        pool.close()
        assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    "answer",
    [
        response(b"fine", b"Connection: close"),
        response(b"fine").replace(b"HTTP/1.1", b"HTTP/1.0"),
        response(b"fine") + b"more than was asked for",
        response(b"fine").replace(b"\r\n\r\nfine", b"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"),
    ],
    ids=["close", "http-1.0", "more", "two-lengths"],
)
def test_a_connection_is_not_kept_when_the_answer_speaks_against_it(answer: bytes) -> None:
    with RawServer([answer]) as server:
        pool = ConnectionPool(server.url)
        assert [get(pool), get(pool)] == [b"fine", b"fine"]
        pool.close()
        assert server.connections == 2


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    def until_closed(connection: RawConnection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf and")
        connection.send(b" half")

    with RawServer(until_closed) as server:
        pool = ConnectionPool(server.url)
        assert [get(pool), get(pool)] == [b"half and half"] * 2
        assert server.connections == 2


def test_interim_answers_are_passed_over() -> None:
    with RawServer([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK]) as server:
        pool = ConnectionPool(server.url)
        assert get(pool) == b"fine"
        pool.close()


def test_a_kept_connection_that_the_server_has_closed_is_replaced_silently() -> None:
    """Closed before the next request, or when it gets there: both happen, and neither is to be seen."""

    def once(connection: RawConnection) -> None:
        connection.request()
        connection.send(OK)

    with RawServer(once) as server:
        pool = ConnectionPool(server.url)
        assert [get(pool) for _ in range(4)] == [b"fine"] * 4
        pool.close()
        assert (server.connections, len(server.requests)) == (4, 4)


@pytest.mark.parametrize("with_reset", [False, True])
def test_a_kept_connection_that_ends_without_a_byte_of_answer_is_replaced_once(with_reset: bool) -> None:
    def one_then_nothing(connection: RawConnection) -> None:
        connection.request()
        connection.send(OK)
        connection.request()
        if with_reset:
            connection.reset()

    with RawServer(one_then_nothing) as server:
        pool = ConnectionPool(server.url)
        assert [get(pool), get(pool)] == [b"fine", b"fine"]
        pool.close()
        assert [request[:6] for request in server.requests] == [b"GET /x"] * 3


def test_a_request_that_must_not_be_repeated_is_not() -> None:
    def nothing(connection: RawConnection) -> None:
        connection.request()

    with RawServer(nothing) as server:
        pool = ConnectionPool(server.url)
        with pytest.raises(ConnectionFailed, match="closed"):
            pool.request("POST", "/x", {}, b"", ENOUGH_S, repeatable=False)
        assert len(server.requests) == 1


def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    def one_and_a_half(connection: RawConnection) -> None:
        connection.request()
        connection.send(OK)
        connection.request()
        connection.send(OK[:-2])

    with RawServer(one_and_a_half) as server:
        pool = ConnectionPool(server.url)
        get(pool)
        with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:\d+ .* after 2 of the 4 bytes of its body"):
            get(pool)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "begins with 'SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/2 200\r\n\r\n", "begins with 'HTTP/2 200'"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "begins with"),
        (b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", "no header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\nfine", "content length is 'four'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nfine", "content length is '-4'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfine!", "content length is '4, 5'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine", "after 4 of the 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "over 64 MB"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nfine", "encoded as 'gzip'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n", "half of the size of a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine!\r\n0\r\n\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+4\r\nfine\r\n0\r\n\r\n", "no size of a chunk"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "over 65536 bytes"),
        (b"HTTP/1.1 200", "closed after half of its head"),
        (b"", "the connection was closed"),
    ],
)
def test_what_is_no_whole_answer_is_an_error_that_says_what_came(sent: bytes, said: str) -> None:
    def once(connection: RawConnection) -> None:
        connection.request()
        connection.send(sent)

    with RawServer(once) as server, pytest.raises(ConnectionFailed) as raised:
        get(ConnectionPool(server.url))
    assert said in str(raised.value)
    assert f"127.0.0.1:{server.port}" in str(raised.value)


def drip(connection: RawConnection) -> None:
    connection.request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(10_000):
        connection.send(b"x")
        threading.Event().wait(0.01)


def silence(connection: RawConnection) -> None:
    connection.request()
    connection.request()


@pytest.mark.parametrize("handler", [drip, silence])
def test_the_deadline_is_for_the_whole_request(handler: Callable[[RawConnection], None]) -> None:
    with RawServer(handler) as server, pytest.raises(ConnectionFailed, match="in time"):
        get(ConnectionPool(server.url), timeout_s=0.15)


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=rf"127\.0\.0\.1:{port} cannot be reached: Connection refused: check"):
        get(ConnectionPool(f"http://127.0.0.1:{port}"))


def test_the_next_address_of_a_host_is_tried_when_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from flyweight.aws import byte_stream

    with RawServer([OK]) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()
        listener.close()
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        addresses = [(*kind, closed), (*kind, ("127.0.0.1", server.port))]
        monkeypatch.setattr(byte_stream, "_addresses", lambda *_: addresses)
        pool = ConnectionPool("http://two.example")
        assert get(pool) == b"fine"
        pool.close()


def test_a_name_that_does_not_resolve_is_named() -> None:
    with pytest.raises(ConnectionFailed, match=r"no-such-host\.invalid:443 cannot be reached: .*check the"):
        get(ConnectionPool("https://no-such-host.invalid"))


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/a b", {}), ("/a\r\nX: y", {}), ("/a", {"X": "y\r\nZ: z"}), ("/a", {"X\n": "y"}), ("/a", {"X": "ü"})],
)
def test_what_would_break_out_of_a_header_is_refused(path: str, headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        ConnectionPool("http://127.0.0.1:1").request("GET", path, headers)


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://host", "http://", "http://user@host", "http://h:99999", "http://h?q"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        ConnectionPool(url)


def test_threads_get_the_answers_to_their_own_requests() -> None:
    def echo(connection: RawConnection) -> None:
        while True:
            connection.send(response(connection.request().split(b" ")[1]))

    wrong: list[tuple[int, int, bytes]] = []
    with RawServer(echo) as server:
        pool = ConnectionPool(server.url, max_idle=2)

        def ask(thread: int) -> None:
            for number in range(25):
                body = pool.request("GET", f"/{thread}/{number}", {}, b"", ENOUGH_S).body
                if body != b"/%d/%d" % (thread, number):
                    wrong.append((thread, number, body))

        threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pool.close()
        assert not wrong
        assert len(server.requests) == 200


def test_no_more_connections_are_kept_than_were_allowed() -> None:
    with RawServer([OK]) as server:
        pool = ConnectionPool(server.url, max_idle=0)
        get(pool)
        get(pool)
        assert server.connections == 2


def test_a_closed_pool_answers_but_keeps_nothing() -> None:
    with RawServer([OK]) as server:
        pool = ConnectionPool(server.url)
        pool.close()
        assert [get(pool), get(pool)] == [b"fine", b"fine"]
        assert server.connections == 2


def test_a_forked_child_makes_a_connection_of_its_own() -> None:
    script = """
import os, sys
from flyweight.aws.connection_pool import ConnectionPool

pool = ConnectionPool(sys.argv[1])
def ask():
    return pool.request("GET", "/x", {}, b"", 60.0).body

assert ask() == b"fine"
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ask() == b"fine" and ask() == b"fine" else 1)
    assert os.waitpid(pid, 0)[1] == 0
assert ask() == b"fine"
print("done")
"""
    with RawServer([OK]) as server:
        assert run_script(script, server.url) == "done\n"
        assert (server.connections, len(server.requests)) == (3, 6)


def test_connections_that_have_been_idle_for_long_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer([OK]) as server:
        pool = ConnectionPool(server.url)
        get(pool)
        monkeypatch.setattr("flyweight.aws.connection_pool._MAX_IDLE_S", -1.0)
        get(pool)
        assert server.connections == 2
        assert "idle=0" in repr(pool)
