"""What hands out credentials on AWS, on loopback: containers, instances (IMDSv2), STS and the single sign-on portal."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROLE = "flyweight-role"
_STS = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>
<AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>secret-of-role</SecretAccessKey>
<SessionToken>token-of-role</SessionToken><Expiration>{expiration}</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId>
</AssumedRoleUser></{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"""
_STS_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>
<RequestId>1</RequestId></ErrorResponse>"""


class CredentialServices:
    """A server for all of them. Every request is kept: its path, its headers and the fields of its form.

    lifetime_s: of the credentials handed out. deny: STS refuses. hold: answers wait until the server is closed. Access
    keys say who gave them.
    """

    def __init__(self) -> None:
        self.lifetime_s = 3600.0
        self.deny = False
        self.hold = False
        self._closing = threading.Event()
        self.requests: list[tuple[str, dict[str, str], dict[str, list[str]]]] = []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                services._answer(self)

            do_POST = do_PUT = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CredentialServices:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def expiration(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.lifetime_s))

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        form = parse_qs(body.decode())
        path = urlsplit(request.path).path
        self.requests.append((path, dict(request.headers.items()), form))
        if self.hold:
            self._closing.wait()
            request.close_connection = True
            return
        status, text = self._service(path, request.headers.get("X-aws-ec2-metadata-token"), form)
        request.send_response(status)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text.encode())

    def _service(self, path: str, metadata_token: str | None, form: dict[str, list[str]]) -> tuple[int, str]:
        if path == "/container":
            return 200, json.dumps(self._keys("ASIACONTAINER"))
        if path == "/latest/api/token":
            return 200, "session"
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if metadata_token != "session":
                return 401, ""
            found = {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "LastUpdated": self.expiration,
                **self._keys("ASIAINSTANCE"),
            }
            return 200, json.dumps(found) if path.endswith(ROLE) else ROLE
        if path == "/federation/credentials":
            keys = {
                "accessKeyId": "ASIASSO",
                "secretAccessKey": "secret-of-sso",
                "sessionToken": "token-of-sso",
                "expiration": int((time.time() + self.lifetime_s) * 1000),
            }
            return 200, json.dumps({"roleCredentials": keys})
        if form:
            action = form["Action"][0]
            if self.deny:
                return 403, _STS_ERROR
            access_key = (
                "ASIAWEB" if action == "AssumeRoleWithWebIdentity" else f"ASIA{form['RoleArn'][0][-5:].upper()}"
            )
            return 200, _STS.format(action=action, access_key=access_key, expiration=self.expiration)
        return 404, ""

    def _keys(self, access_key: str) -> dict[str, Any]:
        return {
            "AccessKeyId": access_key,
            "SecretAccessKey": "secret-of-service",
            "Token": "token-of-service",
            "Expiration": self.expiration,
        }
