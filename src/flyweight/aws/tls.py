"""TLS over any byte stream: over TCP, or over the TLS of a proxy. Resident.

`_ssl`, not `ssl`: the module around it brings `socket`, `enum`, `collections` and `base64`, 3 MB that a client does not
use. What `ssl.create_default_context` promises a client, `_ssl` sets by itself for PROTOCOL_TLS_CLIENT: certificates
required, host names checked, TLS 1.2 or later, no weak ciphers; the tests hold it to that.
"""

from __future__ import annotations

import _ssl
import os

from flyweight.aws.byte_stream import CertificateDistrusted, TlsFailed, reason
from flyweight.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flyweight.aws.byte_stream import PlainStream

_READ_BYTES = 32 * 1024
# Where distributions keep their roots, for an OpenSSL that was built for another one.
_USUAL_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class TlsClient:
    """The certificates a client trusts. Nothing is read before the first handshake.

    ca_bundle: a file or a directory of certificates to trust instead of the system's.
    """

    __slots__ = ("_ca_bundle", "_context", "knows_every_root")

    def __init__(self, ca_bundle: str | None = None) -> None:
        self._ca_bundle = ca_bundle
        self._context: tuple[bool, Any] | None = None  # and whether it knows every root
        self.knows_every_root = ca_bundle is not None

    def handshake(self, stream: PlainStream | TlsStream, host: str) -> TlsStream:
        """Raises CertificateDistrusted, TlsFailed, OSError, TimeoutError, ConfigError."""
        made = self._context
        if made is None or made[0] != self.knows_every_root:
            context = self._made_context()
            made = self._context = (self.knows_every_root, context)
        return TlsStream(stream, made[1], host)

    def learn_every_root(self) -> None:
        """Goes from the roots that are looked up one by one to the whole bundle, should it hold others."""
        self.knows_every_root = True

    def _made_context(self) -> Any:
        context: Any = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)
        context._set_alpn_protocols(b"\x08http/1.1")
        if self._ca_bundle is not None:
            _load(context, self._ca_bundle)
            return context
        file_variable, file, directory_variable, directory = _ssl.get_default_verify_paths()
        own_file = os.environ.get(file_variable)
        directory = os.environ.get(directory_variable) or directory
        if _is_hashed(directory):
            # Roots are looked up by the hash of their names, as a chain asks for them: 1.4 MB less than the bundle,
            # which distributions fill with the same, and which is read when none of them will do.
            context.load_verify_locations(None, directory, None)
            if not self.knows_every_root:
                return context
        self.knows_every_root = True
        for bundle in (own_file,) if own_file else (file, *_USUAL_BUNDLES):
            if os.path.exists(bundle):
                _load(context, bundle)
                break
        return context


class TlsStream:
    """An encrypted stream over another: the record layer works in memory, bytes go through `stream`."""

    __slots__ = ("_incoming", "_outgoing", "_stream", "_tls")

    def __init__(self, stream: PlainStream | TlsStream, context: Any, host: str) -> None:
        self._stream = stream
        self._incoming = _ssl.MemoryBIO()
        self._outgoing = _ssl.MemoryBIO()
        self._tls = context._wrap_bio(self._incoming, self._outgoing, False, host)
        try:
            self._drive(self._tls.do_handshake)
            self._flush()
        except _ssl.SSLCertVerificationError as error:
            why = error.verify_message or reason(error)
            raise CertificateDistrusted(f"the certificate of {host} does not verify: {why}") from None
        except _ssl.SSLError as error:
            raise TlsFailed(reason(error)) from None

    @property
    def deadline(self) -> float:
        return self._stream.deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._stream.deadline = deadline

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._drive(self._tls.write, view) :]
            self._flush()

    def receive(self) -> bytes:
        try:
            received: bytes = self._drive(self._tls.read, _READ_BYTES)
        except _ssl.SSLZeroReturnError:
            return b""  # the peer's farewell
        return received

    def receive_now(self) -> bytes | None:
        """What has come already: None for nothing yet, b"" for the end. Session tickets are taken on the way."""
        while True:
            try:
                received: bytes = self._tls.read(_READ_BYTES)
                return received
            except _ssl.SSLWantReadError:
                pass
            except _ssl.SSLZeroReturnError:
                return b""
            arrived = self._stream.receive_now()
            if not arrived:
                return arrived
            self._incoming.write(arrived)

    def is_quiet(self) -> bool:
        try:
            return self.receive_now() is None
        except OSError:
            return False

    def close(self) -> None:
        self._stream.close()

    def _drive(self, step: Any, *arguments: Any) -> Any:
        """Repeats `step` until it has what it needs from the peer."""
        while True:
            try:
                return step(*arguments)
            except _ssl.SSLWantReadError:
                self._flush()
                arrived = self._stream.receive()
                if arrived:
                    self._incoming.write(arrived)
                else:
                    self._incoming.write_eof()
            except _ssl.SSLError:
                self._say_why()
                raise

    def _say_why(self) -> None:
        """An alert tells the peer what we did not like; it is no matter if it does not get there."""
        try:
            self._flush()
        except OSError:
            pass

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._stream.send(self._outgoing.read())


def _load(context: Any, ca_bundle: str) -> None:
    try:
        if os.path.isdir(ca_bundle):
            context.load_verify_locations(None, ca_bundle, None)
        else:
            context.load_verify_locations(ca_bundle, None, None)
    except _ssl.SSLError:
        raise ConfigError(f"the CA bundle {ca_bundle} holds no certificate: it must be a file in PEM format") from None
    except OSError as error:
        raise ConfigError(f"the CA bundle {ca_bundle} cannot be read: {error.strerror}") from None


def _is_hashed(directory: str) -> bool:
    """Whether certificates can be looked up in it: by links such as 5ed36f99.0."""
    try:
        with os.scandir(directory) as entries:
            return any(len(entry.name) == 10 and entry.name.endswith(".0") for entry in entries)
    except OSError:
        return False
