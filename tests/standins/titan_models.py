"""The Titan text embedding models as the service answers for them: what they accept, what they send back."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np

from tests.standins.lifted_vectors import lifted_vector, token_count
from tests.standins.signatures import Refusal

MAX_TOKENS = 8192
MAX_CHARACTERS = 50_000
_KEPT_BYTES = 64 << 20


class TitanModel:
    """dimensions: those it may be asked for, the default first. Only version 2 takes anything but the text."""

    def __init__(self, version: int, dimensions: tuple[int, ...]) -> None:
        self.version = version
        self.dimensions = dimensions
        self._kept: OrderedDict[tuple[Any, ...], tuple[bytes, int]] = OrderedDict()
        self._kept_bytes = 0

    def answer(self, fields: dict[str, Any], *, dimensions: int | None = None) -> tuple[bytes, int]:
        """The body to send and the tokens of the text; `dimensions` overrules what was asked for."""
        asked = fields.get("dimensions", self.dimensions[0]) if dimensions is None else dimensions
        kinds = tuple(fields.get("embeddingTypes", ("float",)))
        key = (fields["inputText"], asked, fields.get("normalize", True), kinds)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._made(*key)
            self._kept[key] = kept
            self._kept_bytes += len(kept[0])
            while self._kept_bytes > _KEPT_BYTES:
                _, (body, _) = self._kept.popitem(last=False)
                self._kept_bytes -= len(body)
        return kept

    def checked(self, body: bytes) -> dict[str, Any]:
        """The fields of a request. Raises Refusal in the words of the service."""
        try:
            fields = json.loads(body)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise _malformed("expected type: JSONObject, found: Null")
        known = ("inputText", "dimensions", "normalize", "embeddingTypes")[: 4 if self.version == 2 else 1]
        for name in fields:
            if name not in known:
                raise _malformed(f"extraneous key [{name}] is not permitted")
        text = fields.get("inputText")
        if text is None:
            raise _malformed("required key [inputText] not found")
        if not isinstance(text, str):
            raise _malformed(f"#/inputText: expected type: String, found: {type(text).__name__}")
        if not text:
            raise _malformed("#/inputText: expected minLength: 1, actual: 0")
        if len(text) > MAX_CHARACTERS:
            raise _malformed(f"#/inputText: expected maxLength: {MAX_CHARACTERS}, actual: {len(text)}")
        if fields.get("dimensions", self.dimensions[0]) not in self.dimensions:
            raise _malformed(f"#/dimensions: {fields['dimensions']} is not a valid enum value")
        if not isinstance(fields.get("normalize", True), bool):
            raise _malformed("#/normalize: expected type: Boolean")
        kinds = fields.get("embeddingTypes", ["float"])
        if not isinstance(kinds, list) or not kinds or not set(kinds) <= {"float", "binary"}:
            raise _malformed("#/embeddingTypes: not a valid enum value")
        # A text of so few bytes cannot have too many tokens, and counting takes time.
        if len(text) > MAX_TOKENS and (tokens := token_count(text)) > MAX_TOKENS:
            raise Refusal(
                400,
                "ValidationException",
                f"400 Bad Request: Too many input tokens. Max input tokens: {MAX_TOKENS}, "
                f"request input token count: {tokens} ",
            )
        return fields

    def _made(self, text: str, dimensions: int, normalize: bool, kinds: tuple[str, ...]) -> tuple[bytes, int]:
        vector = lifted_vector(text, dimensions).astype(np.float64)
        tokens = token_count(text)
        # What the service sends unnormalised has any length: that of version 1 always, that of version 2 if asked.
        if self.version == 1 or not normalize:
            vector *= 3.0 + tokens % 7
        floats = json.dumps(np.round(vector, 7).tolist(), separators=(",", ":"))
        if self.version == 1:
            return f'{{"embedding":{floats},"inputTextTokenCount":{tokens}}}'.encode(), tokens
        by_type = {"float": floats, "binary": json.dumps((vector > 0).astype(int).tolist())}
        # "embedding" is there only where floats were asked for, as litellm's issue 14680 shows.
        content = [f'"embedding":{floats}'] if "float" in kinds else []
        content.append(
            '"embeddingsByType":{' + ",".join(f'"{kind}":{by_type[kind]}' for kind in sorted(set(kinds))) + "}"
        )
        return f'{{{",".join(content)},"inputTextTokenCount":{tokens}}}'.encode(), tokens


def _malformed(what: str) -> Refusal:
    message = f"Malformed input request: {what}, please reformat your input and try again."
    return Refusal(400, "ValidationException", message)
