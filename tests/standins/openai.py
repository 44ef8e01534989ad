"""The embeddings call of OpenAI's API on loopback, as Ollama, vLLM, TEI and LiteLLM speak it.

with OpenAIStandIn(api_key="sk-...") as service:
    spec = f"openai:{service.base_url}#small-code"
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.standins.http_service import Answer, HttpService, Request
from tests.standins.lifted_vectors import lifted_vector, token_count
from tests.standins.program import run
from tests.standins.rate_limit import TokenBucket

# Dimensions by model; a negative number: of that many, and fewer when asked for fewer.
MODELS = {"small-code": 384, "large-code": 768, "text-embedding-3-small": -1536}
_ERRORS = {
    "throttle": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "not_ready": (503, "model_overloaded", "Model is overloaded"),
    "server_error": (500, "server_error", "The server had an error while processing your request."),
    "unavailable": (503, "service_unavailable", "The service is temporarily unavailable."),
    "model_timeout": (408, "timeout", "Request timed out."),
    "expired_token": (401, "invalid_api_key", "Incorrect API key provided."),
    "denied": (403, "permission_denied", "You are not allowed to sample from this model."),
    "text_refused": (400, "context_length_exceeded", "This model's maximum context length is 8192 tokens."),
}


class OpenAIStandIn(HttpService):
    """api_key: the key it demands, None for none. models: dimensions by name, as MODELS. max_texts: more in one
    request are refused. shuffled: answers come in another order than the texts, with their index, as the API allows.
    service: of HttpService.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        models: Mapping[str, int] = MODELS,
        max_texts: int = 2048,
        shuffled: bool = False,
        rate_per_s: float | None = None,
        burst: float | None = None,
        **service: Any,
    ) -> None:
        super().__init__(**service)
        self.api_key = api_key
        self.models = dict(models)
        self.max_texts = max_texts
        self.shuffled = shuffled
        self._requests = TokenBucket(rate_per_s, burst) if rate_per_s else None

    @property
    def base_url(self) -> str:
        return f"{self.endpoint}/v1"

    def environment(self) -> dict[str, str]:
        """Variables a client needs, apart from the base URL."""
        found = {"NO_PROXY": "localhost,127.0.0.1"}
        return found | ({"OPENAI_API_KEY": self.api_key} if self.api_key else {})

    def answer(self, request: Request) -> Answer:
        if request.method != "POST" or request.path != "/v1/embeddings":
            return self._error(404, "not_found", f"Invalid URL ({request.method} {request.path})")
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return self._error(
                401, "invalid_api_key", "Incorrect API key provided. You can find your API key elsewhere."
            )
        try:
            fields = json.loads(request.body)
            texts = [fields["input"]] if isinstance(fields["input"], str) else list(fields["input"])
            name = str(fields["model"])
        except (ValueError, KeyError, TypeError):
            return self._error(400, "invalid_request_error", "We could not parse the JSON body of your request.")
        if name not in self.models:
            return self._error(
                404, "model_not_found", f"The model `{name}` does not exist or you do not have access to it."
            )
        dimensions, fixed = abs(self.models[name]), self.models[name] > 0
        asked = fields.get("dimensions", dimensions)
        if not isinstance(asked, int) or not 0 < asked <= dimensions or (fixed and asked != dimensions):
            return self._error(
                400, "invalid_request_error", f"This model does not support specifying dimensions {asked}."
            )
        if not texts or not all(isinstance(text, str) and text for text in texts):
            return self._error(400, "invalid_request_error", "'$.input' is invalid.")
        if len(texts) > self.max_texts:
            return self._error(
                413, "validation", f"batch size {len(texts)} > maximum allowed batch size {self.max_texts}"
            )
        return self._embeddings(name, texts, asked, fields.get("encoding_format", "float"))

    def _embeddings(self, name: str, texts: list[str], dimensions: int, encoding: str) -> Answer:
        if self._requests is not None and not self._requests.take(time.monotonic()):
            answer = self._error(*_ERRORS["throttle"])
            if self.faults.retry_after_s is not None:
                answer.headers["Retry-After"] = f"{max(self._requests.wait_s(), self.faults.retry_after_s):g}"
            return answer
        fault = self.faults.choose(texts)
        if fault is not None:
            self.ledger.add_fault(fault)
        if fault == "bad_gateway":
            return Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})
        if fault in _ERRORS:
            answer = self._error(*_ERRORS[fault])
            if fault == "throttle" and self.faults.retry_after_s is not None:
                answer.headers["Retry-After"] = f"{self.faults.retry_after_s:g}"
            return answer
        vectors = [
            lifted_vector(text, dimensions // 2 if fault == "wrong_dimensions" else dimensions) for text in texts
        ]
        tokens = sum(map(token_count, texts))
        data: list[dict[str, Any]] = []
        for index, vector in enumerate(vectors):
            values: Any = np.round(vector.astype(np.float64), 7).tolist()
            if fault in ("nan", "nulls"):
                values[len(values) // 3] = None if fault == "nulls" else float("nan")
            if encoding == "base64":
                values = base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": values})
        if fault == "wrong_json":
            data.pop()
        if self.shuffled:
            data.reverse()
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = json.dumps({"object": "list", "data": data, "model": name, "usage": usage}).encode()
        if fault in ("not_json", "empty"):
            body = body[: len(body) // 2] if fault == "not_json" else b""
        spoilt = fault in ("nan", "nulls", "wrong_json", "wrong_dimensions", "not_json", "empty")
        paid = None if spoilt else (f"{name} {dimensions}", texts, tokens)
        return Answer(200, body, {"Content-Type": "application/json"}, paid, None if spoilt else fault)

    def _error(self, status: int, code: str, message: str) -> Answer:
        self.ledger.add_refusal(code)
        content = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
        return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


if __name__ == "__main__":
    run(OpenAIStandIn, "OpenAI's embeddings call on loopback")
