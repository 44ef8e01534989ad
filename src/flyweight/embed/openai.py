"""The OpenAI-compatible embeddings call, which Ollama, vLLM, TEI and LiteLLM speak. Resident.

Wire format: OpenAI API Reference, "Create embeddings".
"""

from __future__ import annotations

import os

from flyweight.aws.json_text import quoted
from flyweight.embed.pooled_embedder import PooledEmbedder
from flyweight.embed.remote import Answer, TemporarilyUnavailable, TextRefused, Throttled
from flyweight.embed.service_answer import (
    error_object,
    exchange,
    parsed_object,
    printable,
    refuse_by_status,
    retry_after_s,
)
from flyweight.embed.unit_vector import BadVector, checked_vector
from flyweight.errors import ConfigError, CredentialsError, EmbedderRefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.aws.http_response import Response
    from flyweight.embed.settings import EmbedderSettings

_TEXTS_PER_REQUEST = 32  # what TEI accepts by default; the others accept more


class OpenAIEmbedder(PooledEmbedder):
    """See flyweight.embed.remote.RemoteEmbedder. The key: the option api_key, else OPENAI_API_KEY, else none.

    Raises ConfigError.
    """

    texts_per_request = _TEXTS_PER_REQUEST

    def __init__(self, settings: EmbedderSettings) -> None:
        base_url = settings.base_url or ""
        self._who = f"{settings.model} at {base_url}"
        self._fields = f'{{"model":{quoted(settings.model)},"encoding_format":"float",'
        if settings.asks_for_dimensions:
            self._fields += f'"dimensions":{settings.dimensions},'
        self._key = settings.api_key or os.environ.get("OPENAI_API_KEY") or ""
        if not self._key.isascii() or not self._key.isprintable():
            raise ConfigError("the key for the embedding service holds characters that no key has: see OPENAI_API_KEY")
        super().__init__(settings, base_url, settings.ca_bundle)

    def request(self, texts: list[str], timeout_s: float) -> Answer:
        """See flyweight.embed.remote.RemoteEmbedder."""
        body = f'{self._fields}"input":[{",".join(quoted(text) for text in texts)}]}}'.encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        response = exchange(self._pool, "/embeddings", headers, body, timeout_s)
        if response.status != 200:
            self._refuse(response)
        return self._answer(response, texts)

    def _answer(self, response: Response, texts: list[str]) -> Answer:
        content = parsed_object(response, self._who)
        rows = content.get("data")
        if not isinstance(rows, list) or len(rows) != len(texts):
            came = f"{len(rows)} embeddings" if isinstance(rows, list) else "no list of embeddings"
            raise TemporarilyUnavailable(f"{self._who} sent {came} for {len(texts)} texts")
        vectors = [b""] * len(texts)
        try:
            for position, row in enumerate(rows):
                index = row.get("index", position) if isinstance(row, dict) else None
                if type(index) is not int or not 0 <= index < len(texts) or vectors[index]:
                    raise BadVector("its embeddings are not numbered as the texts are")
                vectors[index] = checked_vector(_numbers(row.get("embedding")), self.dimensions)
        except BadVector as fault:
            raise TemporarilyUnavailable(f"{self._who} sent what cannot be used: {fault}") from None
        return Answer(vectors, _tokens(content) or sum(map(self.estimate_tokens, texts)))

    def _refuse(self, response: Response) -> None:
        """Raises what an error of the service stands for."""
        status = response.status
        code, message = self._fault(response)
        what = f"{self._who}: {message or f'status {status}'}"
        if status == 401:
            needs = "does not accept the key it was given" if self._key else "wants a key"
            raise CredentialsError(f"{what}: it {needs}: set OPENAI_API_KEY or the option api_key")
        if code == "insufficient_quota":
            raise EmbedderRefusedError(f"{what}: see to the account's quota, or use another embedder")
        if status == 429:
            raise Throttled(what, retry_after_s(response))
        if status in (400, 413, 422) and message and not _is_about_the_model(code, message):
            raise TextRefused(message)
        way_out = "check the base URL, the model's name (openai:<base-url>#<model>) and the option dimensions"
        refuse_by_status(response, self._who, way_out, (self._key,))

    def _fault(self, response: Response) -> tuple[str, str]:
        content = error_object(response)
        error = content.get("error", content)
        if isinstance(error, str):  # TEI
            return "", printable(error, (self._key,))
        if not isinstance(error, dict):
            return "", ""
        message = error.get("message") or error.get("detail") or content.get("message") or ""
        return str(error.get("code") or ""), printable(str(message), (self._key,))


def _is_about_the_model(code: str, message: str) -> bool:
    return code == "model_not_found" or "dimensions" in message or "matryoshka" in message


def _numbers(embedding: object) -> object:
    """A list as it is; from text in base64, the float32 it holds."""
    if not isinstance(embedding, str):
        return embedding
    from binascii import Error, a2b_base64
    from struct import unpack

    try:
        data = a2b_base64(embedding, strict_mode=True)
        return list(unpack(f"<{len(data) // 4}f", data)) if len(data) % 4 == 0 else None
    except (Error, ValueError):
        raise BadVector("an embedding is text that is not base64") from None


def _tokens(content: dict[str, object]) -> int:
    usage = content.get("usage")
    if not isinstance(usage, dict):
        return 0
    for name in ("total_tokens", "prompt_tokens"):
        count = usage.get(name)
        if type(count) is int and count > 0:
            return count
    return 0
