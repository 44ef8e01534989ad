"""A server on loopback that answers as Bedrock's Titan embedding models do, with made-up vectors."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, cast
from urllib.parse import unquote
from zlib import crc32

from flyweight.observe.bench.certificate import Certificate

DIMENSIONS = 1536  # amazon.titan-embed-text-v1
_V2_DIMENSIONS = 1024


# Rendered once, and turned for each text: the time of a query should be the client's.
_DRAWN = Random(7)
_NUMBERS = [f"{_DRAWN.uniform(-1, 1):.6f}" for _ in range(DIMENSIONS)]
_UNIT: dict[int, list[str]] = {}


def _numbers(dimensions: int, normalized: bool) -> list[str]:
    if not normalized:
        return _NUMBERS[:dimensions]
    if dimensions not in _UNIT:
        values = [float(number) for number in _NUMBERS[:dimensions]]
        length = sum(value * value for value in values) ** 0.5
        _UNIT[dimensions] = [f"{value / length:.8f}" for value in values]
    return _UNIT[dimensions]


def answer_to(model: str, request: dict[str, Any]) -> str:
    """The body that answers a request to a model, JSON."""
    text = request["inputText"]
    second = "v2" in model
    numbers = _numbers(
        request.get("dimensions", _V2_DIMENSIONS) if second else DIMENSIONS, second and request.get("normalize", True)
    )
    turn = crc32(text.encode()) % len(numbers)
    turned = numbers[turn:] + numbers[:turn]
    vector = ", ".join(turned)
    tokens = f'"inputTextTokenCount": {max(1, len(text) // 4)}'
    if not second:
        return f'{{"embedding": [{vector}], {tokens}}}'
    kinds = request.get("embeddingTypes", ["float"])
    by_type = []
    if "float" in kinds:
        by_type.append(f'"float": [{vector}]')
    if "binary" in kinds:
        by_type.append(f'"binary": [{", ".join("0" if number[0] == "-" else "1" for number in turned)}]')
    first = f'"embedding": [{vector}], ' if "float" in kinds else ""
    return f'{{{first}"embeddingsByType": {{{", ".join(by_type)}}}, {tokens}}}'


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None
    requests = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a handshake that hangs holds up nobody else.
        wrapped = request if self.context is None else self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(wrapped, client_address)
        finally:
            if wrapped is not request:
                wrapped.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a client that has gone is no news."""


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: sent apart, the second waits 40 ms for the first to be acknowledged.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = answer_to(unquote(self.path), request).encode()
        cast(_Listening, self.server).requests += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Amzn-Bedrock-Input-Token-Count", str(max(1, len(request["inputText"]) // 4)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


class TitanStandIn:
    """Listens on a free port while the `with` block runs; `endpoint` is its URL.

    certificate: to serve HTTPS with; None: plain HTTP. requests: answered so far.
    """

    def __init__(self, certificate: Certificate | None = None) -> None:
        self._server = _Listening(("127.0.0.1", 0), _Answering)
        self._certificate = certificate
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.file, certificate.key_file)
            self._server.context = context
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        scheme = "http" if certificate is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> int:
        return self._server.requests

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables by which an AWS client finds this server and nothing of the user's; embeddings go to `cache`."""
        found = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
            "XDG_CACHE_HOME": str(cache),
        }
        return found | ({} if self._certificate is None else {"AWS_CA_BUNDLE": str(self._certificate.file)})

    def __enter__(self) -> TitanStandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
