"""A server on loopback that answers as Bedrock's Titan embedding model does, with made-up vectors."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from zlib import crc32

DIMENSIONS = 1536  # amazon.titan-embed-text-v1


# Rendered once, and turned for each text: the time of a query should be the client's.
_DRAWN = Random(7)
_NUMBERS = [f"{_DRAWN.uniform(-1, 1):.6f}" for _ in range(DIMENSIONS)]


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: sent apart, the second waits 40 ms for the first to be acknowledged.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["inputText"]
        turn = crc32(text.encode()) % DIMENSIONS
        vector = ", ".join(_NUMBERS[turn:] + _NUMBERS[:turn])
        body = f'{{"embedding": [{vector}], "inputTextTokenCount": {len(text) // 4}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


class TitanStandIn:
    """Listens on a free port while the `with` block runs; `endpoint` is its URL."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> TitanStandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
