"""Requests as bytes, signed by botocore, for tests that look at the wire itself."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from tests.standins.bedrock import CREDENTIALS, REGION, V2, BedrockStandIn
from tests.standins.signatures import Credentials


def signed_request(
    service: BedrockStandIn,
    fields: dict[str, Any] | bytes,
    *,
    model: str = V2,
    credentials: Credentials = CREDENTIALS,
    region: str = REGION,
    aws_service: str = "bedrock",
    headers: dict[str, str] | None = None,
) -> bytes:
    """The whole request. `fields` is its JSON, or the body itself; `headers` are signed with it."""
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    path = f"/model/{model.replace(':', '%3A').replace('/', '%2F')}/invoke"
    host = service.endpoint.partition("://")[2]
    request: Any = AWSRequest("POST", service.endpoint + path, {"Host": host, **(headers or {})}, body)
    login = BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token)
    SigV4Auth(login, aws_service, region).add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


def connect(service: BedrockStandIn) -> socket.socket:
    """A connection that gives up after 30 seconds without a byte."""
    plain = socket.create_connection(("127.0.0.1", service.port), timeout=300)
    if service.ca_file is None:
        return plain
    return ssl.create_default_context(cafile=service.ca_file).wrap_socket(plain, server_hostname="localhost")


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """(status, headers with names in lower case, body) of one answer that says its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    while len(body) < int(headers["content-length"]):
        body += _some(connection)
    return int(first.split(" ")[1]), headers, body


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    while more := connection.recv(1 << 16):
        data += more
    return data


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    assert data, "the connection was closed in the middle of an answer"
    return data
