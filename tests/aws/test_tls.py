from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("trustme")

from flyweight.aws import tls
from flyweight.aws.connection_pool import ConnectionFailed, ConnectionPool
from flyweight.errors import ConfigError, EmbedderRefusedError
from tests.aws.raw_server import RawConnection, RawServer, response
from tests.standins.certificates import Certificates

ENOUGH_S = 60.0


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)


def get(pool: ConnectionPool) -> bytes:
    try:
        return pool.request("GET", "/x", {}, b"", ENOUGH_S).body
    finally:
        pool.close()


def hashed_directory(certificates: Certificates, directory: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command names certificates by their hash")
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(certificates.ca_file)]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    directory.mkdir()
    shutil.copy(certificates.ca_file, directory / f"{name}.0")
    return directory


def test_a_client_is_as_strict_as_the_standard_library_makes_one() -> None:
    ours, theirs = tls.TlsClient()._made_context(), ssl.create_default_context()
    assert ours.verify_mode == ssl.CERT_REQUIRED
    assert ours.check_hostname is True
    assert ours.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert ours.options & theirs.options == theirs.options
    assert [cipher["name"] for cipher in ours.get_ciphers()] == [cipher["name"] for cipher in theirs.get_ciphers()]


def test_a_certificate_of_the_named_bundle_is_accepted_and_the_connection_kept(certificates: Certificates) -> None:
    large = bytes(range(256)) * 1000
    with RawServer([response(large)], context=certificates.server_context()) as server:
        pool = ConnectionPool(server.url, ca_bundle=str(certificates.ca_file))
        for number in range(3):
            body = b"%d" % number * 100_000
            assert pool.request("POST", "/x", {}, body, ENOUGH_S).body == large
            assert server.requests[-1].endswith(body)
        pool.close()
        assert server.connections == 1


def test_a_directory_of_certificates_by_their_hash_is_a_bundle(certificates: Certificates, tmp_path: Path) -> None:
    directory = hashed_directory(certificates, tmp_path / "roots")
    with RawServer([response(b"fine")], context=certificates.server_context()) as server:
        assert get(ConnectionPool(server.url, ca_bundle=str(directory))) == b"fine"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("other_host", "certificate is not valid for 'localhost'"),
        ("expired", "certificate has expired"),
        ("unknown_authority", "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_does_not_verify_is_refused_with_the_reason(kind: str, why: str) -> None:
    certificates = Certificates(kind)
    with RawServer([response()], context=certificates.server_context()) as server:
        with pytest.raises(EmbedderRefusedError) as raised:
            get(ConnectionPool(server.url, ca_bundle=str(certificates.ca_file)))
        assert not server.requests
    message = str(raised.value)
    assert f"localhost:{server.port}" in message
    assert why in message
    assert "ca_bundle" in message


def test_roots_of_the_system_do_not_vouch_for_an_authority_of_ones_own(certificates: Certificates) -> None:
    with (
        RawServer([response()], context=certificates.server_context()) as server,
        pytest.raises(EmbedderRefusedError, match="does not verify"),
    ):
        get(ConnectionPool(server.url))


def test_the_variable_for_a_bundle_is_followed(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    with RawServer([response(b"fine")], context=certificates.server_context()) as server:
        assert get(ConnectionPool(server.url)) == b"fine"


def test_the_variable_for_a_directory_is_followed(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed_directory(certificates, tmp_path / "roots")))
    monkeypatch.setenv("SSL_CERT_FILE", str(Certificates().ca_file))
    with RawServer([response(b"fine")], context=certificates.server_context()) as server:
        assert get(ConnectionPool(server.url)) == b"fine"


def system(monkeypatch: pytest.MonkeyPatch, bundle: Path, directory: Path) -> None:
    """Makes these the places where the system keeps its roots."""
    monkeypatch.setattr(
        "_ssl.get_default_verify_paths", lambda: ("SSL_CERT_FILE", str(bundle), "SSL_CERT_DIR", str(directory))
    )
    monkeypatch.setattr(tls, "_USUAL_BUNDLES", ())


def test_roots_of_the_system_are_looked_up_without_reading_its_bundle(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("this would be an error if it were read")
    system(monkeypatch, bundle, hashed_directory(certificates, tmp_path / "roots"))
    with RawServer([response(b"fine")], context=certificates.server_context()) as server:
        assert get(ConnectionPool(server.url)) == b"fine"


def test_a_root_that_is_only_in_the_bundle_of_the_system_is_found_too(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system(monkeypatch, certificates.ca_file, hashed_directory(Certificates(), tmp_path / "roots"))
    with RawServer([response(b"fine")], context=certificates.server_context()) as server:
        pool = ConnectionPool(server.url)
        assert get(pool) == b"fine"
        assert get(pool) == b"fine"
        assert len(server.requests) == 2


def test_a_system_without_a_directory_of_roots_has_its_bundle_read(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system(monkeypatch, certificates.ca_file, tmp_path / "none")
    with RawServer([response(b"fine")], context=certificates.server_context()) as server:
        assert get(ConnectionPool(server.url)) == b"fine"


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read: No such file"), ("text", "no certificate")])
def test_a_bundle_that_is_none_is_named(content: str | None, said: str, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with RawServer([response()]) as server, pytest.raises(ConfigError, match=said) as raised:
        get(ConnectionPool(server.url.replace("http://", "https://"), ca_bundle=str(bundle)))
    assert str(bundle) in str(raised.value)


def test_a_server_without_tls_is_named(certificates: Certificates) -> None:
    def plain(connection: RawConnection) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with RawServer(plain) as server, pytest.raises(ConnectionFailed, match="does not agree on TLS"):
        get(ConnectionPool(server.url.replace("http://", "https://"), ca_bundle=str(certificates.ca_file)))


def test_a_body_whose_end_nobody_vouches_for_is_not_whole(certificates: Certificates) -> None:
    """Without a length only TLS's own farewell tells the end from a connection that was cut."""

    def cut(connection: RawConnection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")

    with (
        RawServer(cut, context=certificates.server_context()) as server,
        pytest.raises(ConnectionFailed, match="broke the connection"),
    ):
        get(ConnectionPool(server.url, ca_bundle=str(certificates.ca_file)))


def test_a_connection_the_server_has_closed_is_replaced_under_tls_too(certificates: Certificates) -> None:
    def once(connection: RawConnection) -> None:
        connection.request()
        connection.send(response(b"fine"))

    with RawServer(once, context=certificates.server_context()) as server:
        pool = ConnectionPool(server.url, ca_bundle=str(certificates.ca_file))
        assert [pool.request("GET", "/x", {}, b"", ENOUGH_S).body for _ in range(3)] == [b"fine"] * 3
        pool.close()
        assert server.connections == 3


def test_the_deadline_holds_for_the_handshake(certificates: Certificates) -> None:
    def silence(connection: RawConnection) -> None:
        connection.request()

    with RawServer(silence) as server, pytest.raises(ConnectionFailed, match="in time"):
        pool = ConnectionPool(server.url.replace("http://", "https://"), ca_bundle=str(certificates.ca_file))
        pool.request("GET", "/x", {}, b"", 0.15)
