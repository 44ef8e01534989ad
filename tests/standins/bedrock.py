"""Amazon Bedrock's runtime on loopback: its wire format, its signatures, its limits and its bad days.

In a test:

    with BedrockStandIn(latency_s=0.1, rate_per_s=50) as service:
        service.set_environment(monkeypatch)
        ...
        assert service.ledger.paid_twice == 0

As a program of its own, also for people: `python -m tests.standins.bedrock --latency 0.1 --rate 50`.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Iterable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from tests.standins.http_service import Answer, HttpService, Request
from tests.standins.lifted_vectors import lifted_vector
from tests.standins.program import run
from tests.standins.rate_limit import TokenBucket
from tests.standins.signatures import ApiKey, Credentials, Refusal, SignatureCheck
from tests.standins.titan_models import TitanModel

if TYPE_CHECKING:
    import pytest


V1 = "amazon.titan-embed-text-v1"
V2 = "amazon.titan-embed-text-v2:0"
REGION = "us-east-1"
CREDENTIALS = Credentials("AKIAFLYWEIGHTTESTS00", "stand-in/secret+of+no+account/000000000000")
_ERRORS = {
    "throttle": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "not_ready": (
        429,
        "ModelNotReadyException",
        "The model is not ready for inference. Wait and try your model again.",
    ),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error. Try again."),
    "unavailable": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "model_timeout": (408, "ModelTimeoutException", "Model has timed out in processing the request. Try again."),
    "expired_token": (403, "ExpiredTokenException", "The security token included in the request is expired"),
    "denied": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "text_refused": (400, "ValidationException", "Malformed input request: the text cannot be embedded."),
}


class BedrockStandIn(HttpService):
    """rate_per_s, burst: requests let through; what is more is throttled. tokens_per_s: the same for input tokens.
    credentials: those it accepts, by default CREDENTIALS. api_keys: those it accepts in place of a signature; a client
    that takes its environment from here bears the first. region: where it stands; None accepts any. denied: models
    it denies access to; retired: models it had once. clock_offset_s: its clock, relative to this machine's;
    tells_time: whether its answers say what that clock shows, as a proxy in between may not. service: of HttpService.
    """

    def __init__(
        self,
        *,
        rate_per_s: float | None = None,
        burst: float | None = None,
        tokens_per_s: float | None = None,
        credentials: Credentials | Iterable[Credentials] = CREDENTIALS,
        api_keys: Iterable[ApiKey] = (),
        region: str | None = REGION,
        denied: Iterable[str] = (),
        retired: Iterable[str] = (),
        clock_offset_s: float = 0.0,
        tells_time: bool = True,
        **service: Any,
    ) -> None:
        super().__init__(**service)
        self.credentials = [credentials] if isinstance(credentials, Credentials) else list(credentials)
        self.region = region
        self.denied = set(denied)
        self.retired = set(retired)
        self._signatures = SignatureCheck(self.credentials, "bedrock", region)
        self._signatures.api_keys = list(api_keys)
        self._signatures.now_offset_s = clock_offset_s
        self.tells_time = tells_time
        self._requests = TokenBucket(rate_per_s, burst) if rate_per_s else None
        self._tokens = TokenBucket(tokens_per_s, burst) if tokens_per_s else None
        self._models = {
            V1: TitanModel(1, (1536,)),
            V2: TitanModel(2, (1024, 512, 256)),
            "amazon.titan-embed-g1-text-02": TitanModel(1, (1536,)),
        }
        self._random = random.Random(1)

    def rotate_credentials(self, *credentials: Credentials) -> None:
        """Only these hold from now on."""
        self.credentials = list(credentials)
        self._signatures.accept(self.credentials)

    def replace_api_keys(self, *api_keys: ApiKey) -> None:
        """Only these hold from now on."""
        self._signatures.api_keys = list(api_keys)

    def environment(self) -> dict[str, str]:
        """Variables by which an AWS client finds this service; of the user's own, none should be left."""
        found = {
            **(self.credentials[0].environment() if self.credentials else {}),
            **(self._signatures.api_keys[0].environment() if self._signatures.api_keys else {}),
            "AWS_REGION": self.region or REGION,
            "AWS_DEFAULT_REGION": self.region or REGION,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "localhost,127.0.0.1",
        }
        return found | ({"AWS_CA_BUNDLE": self.ca_file} if self.ca_file else {})

    def set_environment(self, patch: pytest.MonkeyPatch) -> None:
        """Makes this process, and what it starts, a client of this service alone."""
        clear_environment(patch)
        for name, value in self.environment().items():
            patch.setenv(name, value)

    def control(self, path: str, fields: dict[str, Any]) -> Any:
        if path == "/_credentials":
            self.rotate_credentials(*(Credentials(**one) for one in fields["credentials"]))
            return {}
        if path == "/_settings":
            if "rate_per_s" in fields:
                rate = fields["rate_per_s"]
                self._requests = TokenBucket(rate, fields.get("burst")) if rate else None
            if "clock_offset_s" in fields:
                self._signatures.now_offset_s = fields["clock_offset_s"]
            for name in ("denied", "retired"):
                if name in fields:
                    setattr(self, name, set(fields[name]))
        return super().control(path, fields)

    def answer(self, request: Request) -> Answer:
        started_s = time.monotonic()
        try:
            return self._embedding(request, started_s)
        except Refusal as refusal:
            return self._error(refusal.status, refusal.kind, refusal.message)

    def _embedding(self, request: Request, started_s: float) -> Answer:
        self._signatures.check(request, time.time())
        parts = request.target.partition("?")[0].split("/")
        if request.method != "POST" or len(parts) != 4 or (parts[1], parts[3]) != ("model", "invoke"):
            raise Refusal(404, "UnknownOperationException", "The operation is not known.")
        name = request.path[len("/model/") : -len("/invoke")].rpartition("/")[2]
        model = self._model(name)
        fields = model.checked(request.body)
        text = fields["inputText"]
        if self._requests is not None and not self._requests.take(started_s):
            return self._throttled("Too many requests, please wait before trying again.", self._requests.wait_s())
        fault = self.faults.choose([text])
        if fault is not None:
            self.ledger.add_fault(fault)
        if fault in _ERRORS or fault == "bad_gateway":
            return self._faulty_error(fault)
        body, tokens = model.answer(fields)
        if self._tokens is not None and not self._tokens.take(started_s, tokens):
            return self._throttled("Too many tokens, please wait before trying again.", self._tokens.wait_s(tokens))
        headers = self._headers() | {
            "X-Amzn-Bedrock-Invocation-Latency": str(round((self.latency_s + time.monotonic() - started_s) * 1000)),
            "X-Amzn-Bedrock-Input-Token-Count": str(tokens),
        }
        spoilt = self._spoilt(fault, body, model, fields)
        paid = (f"{name} {fields.get('dimensions', model.dimensions[0])}", [text], tokens)
        if spoilt is not None:
            return Answer(200, spoilt, headers)
        return Answer(200, body, headers, paid=paid, manner=fault)

    def _model(self, name: str) -> TitanModel:
        if name in self.denied:
            raise Refusal(*_ERRORS["denied"])
        if name in self.retired:
            raise Refusal(
                404,
                "ResourceNotFoundException",
                "This model version has reached the end of its life. Please refer to the AWS documentation.",
            )
        if name not in self._models:
            raise Refusal(400, "ValidationException", "The provided model identifier is invalid.")
        return self._models[name]

    def _spoilt(self, fault: str | None, body: bytes, model: TitanModel, fields: dict[str, Any]) -> bytes | None:
        if fault == "not_json":
            return body[: len(body) // 2]
        if fault == "empty":
            return b""
        if fault == "wrong_json":
            return b'{"embeddings":{"message":"not what was asked for"}}'
        if fault == "wrong_dimensions":
            asked = fields.get("dimensions", model.dimensions[0])
            return model.answer(fields, dimensions=asked // 2)[0]
        if fault in ("nan", "nulls"):
            content = json.loads(body)
            for values in (content.get("embedding"), *content.get("embeddingsByType", {}).values()):
                if values:
                    values[len(values) // 3] = None if fault == "nulls" else float("nan")
            return json.dumps(content).encode()
        return None

    def _faulty_error(self, fault: str) -> Answer:
        if fault == "bad_gateway":
            return Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})
        answer = self._error(*_ERRORS[fault])
        if fault == "throttle" and self.faults.retry_after_s is not None:
            answer.headers["Retry-After"] = f"{self.faults.retry_after_s:g}"
        return answer

    def _throttled(self, message: str, wait_s: float) -> Answer:
        answer = self._error(429, "ThrottlingException", message)
        if self.faults.retry_after_s is not None:
            answer.headers["Retry-After"] = f"{max(wait_s, self.faults.retry_after_s):g}"
        return answer

    def _error(self, status: int, kind: str, message: str) -> Answer:
        self.ledger.add_refusal(kind)
        headers = self._headers()
        headers["x-amzn-ErrorType"] = f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"
        return Answer(status, json.dumps({"message": message}).encode(), headers)

    def _headers(self) -> dict[str, str]:
        offset_s = self._signatures.now_offset_s if self.tells_time else 0.0
        return {
            "Date": formatdate(time.time() + offset_s, usegmt=True),
            "Content-Type": "application/json",
            "Connection": "keep-alive",
            "x-amzn-RequestId": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
        }


def clear_environment(patch: pytest.MonkeyPatch) -> None:
    """Takes out of the environment what the user may have set for AWS, for OpenAI and for proxies."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.startswith(("AWS_", "OPENAI_")) or upper.endswith("_PROXY"):
            patch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        patch.setenv(name, "/dev/null")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


if __name__ == "__main__":
    lifted_vector("the first text waits for the matrix", 1024)
    run(BedrockStandIn, "Amazon Bedrock's runtime on loopback")
