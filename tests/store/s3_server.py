"""An S3 server on loopback: moto's, in a process of its own, so that no thread of it is in the test run."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

# The port is the system's choice, so nobody has to guess one that is free.
_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class S3Server:
    """endpoint: its URL. Any key is good until `require_known_keys`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def make_bucket(self, name: str) -> None:
        self._request("PUT", f"/{name}", b"")

    def require_known_keys(self, required: bool = True) -> None:
        """Whether requests have to be signed with keys that moto knows: it knows none."""
        count = b"0" if required else b"inf"
        self._request("POST", "/moto-api/reset-auth", count, {"Content-Type": "application/octet-stream"})

    def options(self, **more: str) -> dict[str, str]:
        """Store options that reach it."""
        return {"endpoint_url": self.endpoint, "region": "us-east-1", **more}

    def storage_options(self) -> dict[str, str]:
        """The same as LanceDB spells them."""
        return {
            "aws_endpoint": self.endpoint,
            "aws_region": "us-east-1",
            "allow_http": "true",
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
        }

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        request = urllib.request.Request(self.endpoint + path, body, headers or {}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=300) as answer:
            answer.read()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"},
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        port = next(line for line in process.stdout if line.strip().isdigit())
        yield S3Server(f"http://127.0.0.1:{int(port)}")
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
