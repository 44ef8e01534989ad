from __future__ import annotations

import base64
import json
import math
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest

from tests.standins.faults import CONTENT_FAULTS, ERROR_FAULTS, Faults
from tests.standins.openai import OpenAIStandIn

TEXTS = ["retry with backoff", "sleep before the next attempt: retries, backoff", "parse XML"]


def ask(service: OpenAIStandIn, fields: dict[str, Any], api_key: str | None = None) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
    request = urllib.request.Request(f"{service.base_url}/embeddings", json.dumps(fields).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=300) as answer:
        return json.loads(answer.read())


def refusal(service: OpenAIStandIn, fields: dict[str, Any], api_key: str | None = None) -> tuple[int, str]:
    """(status, code) of the answer."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(service, fields, api_key)
    with caught.value as answer:
        return answer.code, json.loads(answer.read())["error"]["code"]


def test_a_batch_is_answered_text_by_text() -> None:
    with OpenAIStandIn() as service:
        content = ask(service, {"model": "small-code", "input": TEXTS})
        assert service.ledger.embeddings == 3
        assert [service.ledger.times_answered(text) for text in TEXTS] == [1, 1, 1]
    vectors = [np.asarray(row["embedding"]) for row in content["data"]]
    assert [row["index"] for row in content["data"]] == [0, 1, 2]
    assert {len(vector) for vector in vectors} == {384}
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert content["usage"]["prompt_tokens"] == content["usage"]["total_tokens"] > 3


def test_floats_and_base64_are_the_same_vector() -> None:
    with OpenAIStandIn() as service:
        floats, coded = (
            ask(service, {"model": "small-code", "input": "x", "encoding_format": encoding})["data"][0]["embedding"]
            for encoding in ("float", "base64")
        )
    assert np.frombuffer(base64.b64decode(coded), "<f4") == pytest.approx(np.asarray(floats), abs=1e-6)


def test_answers_may_come_in_another_order() -> None:
    with OpenAIStandIn(shuffled=True) as service:
        content = ask(service, {"model": "small-code", "input": TEXTS})
    assert sorted(row["index"] for row in content["data"]) == [0, 1, 2]
    assert [row["index"] for row in content["data"]] != [0, 1, 2]


def test_only_some_models_take_dimensions() -> None:
    with OpenAIStandIn() as service:
        content = ask(service, {"model": "text-embedding-3-small", "input": "x", "dimensions": 512})
        assert len(content["data"][0]["embedding"]) == 512
        assert refusal(service, {"model": "small-code", "input": "x", "dimensions": 100})[0] == 400


def test_what_does_not_fit_is_refused() -> None:
    with OpenAIStandIn(api_key="sk-tests", max_texts=2) as service:
        fields: dict[str, Any] = {"model": "small-code", "input": "x"}
        assert refusal(service, fields) == (401, "invalid_api_key")
        assert refusal(service, fields, "sk-other") == (401, "invalid_api_key")
        assert refusal(service, fields | {"model": "none"}, "sk-tests") == (404, "model_not_found")
        assert refusal(service, fields | {"input": TEXTS}, "sk-tests")[0] == 413
        assert refusal(service, fields | {"input": ["x", ""]}, "sk-tests")[0] == 400
        assert refusal(service, {"model": "small-code"}, "sk-tests")[0] == 400
        assert service.ledger.embeddings == 0
        assert len(ask(service, fields, "sk-tests")["data"]) == 1


def test_what_is_over_the_rate_is_throttled() -> None:
    with OpenAIStandIn(rate_per_s=0.0001, burst=1) as service:
        fields = {"model": "small-code", "input": "x"}
        ask(service, fields)
        assert refusal(service, fields) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("kind", ERROR_FAULTS)
def test_injected_errors_have_a_status(kind: str) -> None:
    with OpenAIStandIn(faults=Faults(script=[kind])) as service:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(service, {"model": "small-code", "input": "x"})
        caught.value.close()
        assert caught.value.code >= 400
        assert service.ledger.faults == {kind: 1}
        assert service.ledger.embeddings == 0


@pytest.mark.parametrize("kind", CONTENT_FAULTS)
def test_spoilt_answers_are_not_what_was_asked_for(kind: str) -> None:
    with OpenAIStandIn(faults=Faults(script=[kind])) as service:
        fields = {"model": "small-code", "input": TEXTS}
        if kind in ("not_json", "empty"):
            with pytest.raises(ValueError):
                ask(service, fields)
        else:
            rows = [row["embedding"] for row in ask(service, fields)["data"]]
            right = len(rows) == 3 and all(
                len(row) == 384 and all(isinstance(value, float) and math.isfinite(value) for value in row)
                for row in rows
            )
            assert not right
        assert service.ledger.embeddings == 0
