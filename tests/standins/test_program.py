from __future__ import annotations

import json
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

pytest.importorskip("botocore")
pytest.importorskip("trustme")

from tests.standins.program import StandInProgram


def test_a_stand_in_in_a_process_of_its_own_is_controlled_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    with StandInProgram("bedrock", "--tls", "--fault", "server_error=1") as service:
        service.set_environment(monkeypatch)
        client = boto3.session.Session().client("bedrock-runtime")
        service.set_faults(script=["closed"])
        asked = {"modelId": "amazon.titan-embed-text-v2:0", "body": json.dumps({"inputText": "x"})}
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda delay_s: None))
        client.invoke_model(**asked)["body"].read()
        client.close()
        ledger = service.ledger
        assert ledger.times_answered("x") == ledger.embeddings == 1
        assert ledger.requests == 2
        assert ledger.faults == {"closed": 1}
        service.ask("/_reset")
        assert service.ledger.requests == 0
        with pytest.raises(urllib.error.HTTPError) as caught:
            service.ask("/_nothing")
        caught.value.close()
        process = service._process
    assert process is not None and process.returncode == 0


def test_openai_has_a_program_too() -> None:
    with StandInProgram("openai") as service:
        body = json.dumps({"model": "small-code", "input": "x"}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{service.endpoint}/v1/embeddings", body, timeout=300) as answer:
            assert len(json.loads(answer.read())["data"]) == 1
        assert service.ledger.embeddings == 1
