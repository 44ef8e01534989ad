"""A certificate authority of the tests, and servers it vouches for more or less."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Certificates:
    """kind: "good"; "other_host": for another name; "expired"; "unknown_authority": `ca_file` is not that of its
    signer. hosts: names the certificate holds for besides localhost. The file goes when the object does."""

    def __init__(self, kind: str = "good", hosts: tuple[str, ...] = ()) -> None:
        authority = trustme.CA()
        names = ("other.invalid",) if kind == "other_host" else ("localhost", "127.0.0.1", "::1", *hosts)
        ended = datetime.now(UTC) - timedelta(days=1) if kind == "expired" else None
        self._server = authority.issue_cert(*names, not_after=ended)
        directory = tempfile.mkdtemp(prefix="flyweight-certificates-")
        weakref.finalize(self, shutil.rmtree, directory)
        self.ca_file = Path(directory) / "ca.pem"
        (trustme.CA() if kind == "unknown_authority" else authority).cert_pem.write_to_path(os.fspath(self.ca_file))

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        return context
