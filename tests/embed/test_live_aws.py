"""Titan as we ask for it: against the stand-in always, and against AWS itself with FLYWEIGHT_LIVE_AWS=1.

The live run needs credentials that may invoke both Titan text models in AWS_REGION, asks for some fifty embeddings and
costs less than a cent. What passes on both sides is what the stand-in is trusted for.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from source_tree import SourceTree

pytest.importorskip("botocore")
pytest.importorskip("trustme")

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.embed.remote import Answer, TextRefused, remote_embedder
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import CredentialsError, EmbedderRefusedError
from tests.standins.bedrock import V2, BedrockStandIn

if TYPE_CHECKING:
    from flyweight.embed.remote import RemoteEmbedder

LIVE = os.environ.get("FLYWEIGHT_LIVE_AWS") == "1"
TIMEOUT_S = 60.0
Make = Callable[..., "RemoteEmbedder"]


@pytest.fixture(
    scope="module",
    params=[
        "stand-in",
        pytest.param("aws", marks=pytest.mark.skipif(not LIVE, reason="FLYWEIGHT_LIVE_AWS=1 asks AWS, which costs")),
    ],
)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Makes the environment that of a client of the stand-in, or of AWS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if request.param == "aws":
            # The tests have a home of their own; the credentials lie in the user's.
            home = Path(pwd.getpwuid(os.getuid()).pw_dir, ".aws")
            for name, file in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
                if name not in os.environ:
                    patch.setenv(name, str(home / file))
            yield
        else:
            with BedrockStandIn(tls=True) as stand_in:
                stand_in.set_environment(patch)
                yield


@pytest.fixture
def embedder(service: None) -> Iterator[Make]:
    made = []

    def make(spec: str = "titan", **options: Any) -> RemoteEmbedder:
        made.append(remote_embedder(EmbedderSettings.parse(spec, options)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def vector(answer: Answer) -> npt.NDArray[np.float32]:
    (only,) = answer.vectors
    return np.frombuffer(only, "<f4")


@pytest.mark.parametrize(("spec", "dimensions"), [("titan:v1", 1536), ("titan", 1024), ("titan", 512), ("titan", 256)])
def test_a_vector_has_the_dimensions_asked_for_and_length_one(embedder: Make, spec: str, dimensions: int) -> None:
    answer = embedder(spec, dimensions=dimensions).request(["a queue with two ends"], TIMEOUT_S)
    assert len(vector(answer)) == dimensions
    assert np.linalg.norm(vector(answer)) == pytest.approx(1.0, abs=1e-4)
    assert 2 <= answer.tokens <= 20


@pytest.mark.parametrize("spec", ["titan:v1", "titan"])
def test_texts_alike_are_near(embedder: Make, spec: str) -> None:
    made = embedder(spec)
    question, answer, other = (
        vector(made.request([text], TIMEOUT_S))
        for text in (
            "retry a request with backoff",
            "sleep before the next attempt: retries, backoff",
            "parse an XML document",
        )
    )
    assert question @ answer > question @ other


def test_a_text_that_is_asked_for_again_has_the_same_vector(embedder: Make) -> None:
    made = embedder()
    first, second = (vector(made.request(["def flush(cache): ..."], TIMEOUT_S)) for _ in range(2))
    assert first @ second > 0.9999


def test_what_is_not_normalised_points_the_same_way(embedder: Make) -> None:
    text = ["def flush(cache): ..."]
    plain = vector(embedder(normalize=False).request(text, TIMEOUT_S))
    assert plain @ vector(embedder().request(text, TIMEOUT_S)) > 0.999


def test_binary_vectors_are_the_signs_of_the_others(embedder: Make) -> None:
    text = ["def flush(cache): ..."]
    binary = vector(embedder(embedding_type="binary").request(text, TIMEOUT_S))
    floats = vector(embedder().request(text, TIMEOUT_S))
    assert len(binary) == 1024
    assert np.abs(binary) == pytest.approx(np.full(1024, 1 / 32), abs=1e-4)
    assert np.mean((binary > 0) == (floats > 0)) > 0.95


def test_every_kind_of_text_arrives(embedder: Make) -> None:
    made = embedder(dimensions=256)
    for text in ("é日本語 🦀", '"quoted" \\ back\\slash', "tab\tand\nline\r\n", "\x00\x01\x7f", "\u2028\u2029"):
        assert np.isfinite(vector(made.request([text], TIMEOUT_S))).all()


def test_a_text_over_the_limit_is_cut_into_pieces_that_pass(embedder: Make) -> None:
    made = embedder(dimensions=256)
    text = "\n".join(f"def function_{number}(argument): return argument + {number}" for number in range(2000))
    with pytest.raises(TextRefused):
        made.request([text], TIMEOUT_S)
    pieces = made.pieces(text.encode())
    assert len(pieces) > 1
    assert "".join(pieces).split() == text.split()
    vectors = [made.request([piece], TIMEOUT_S).vectors[0] for piece in pieces]
    whole = np.frombuffer(made.combine(vectors, [made.estimate_tokens(piece) for piece in pieces]), "<f4")
    assert np.linalg.norm(whole) == pytest.approx(1.0, abs=1e-4)
    assert whole @ np.frombuffer(vectors[0], "<f4") > 0.8


def test_estimates_of_tokens_are_not_far_off(embedder: Make) -> None:
    made = embedder(dimensions=256)
    text = Path(__file__).read_text()[:6000]
    tokens = made.request([text], TIMEOUT_S).tokens
    assert tokens / 2 < made.estimate_tokens(text) < tokens * 2


def test_an_unknown_model_is_refused(embedder: Make) -> None:
    with pytest.raises(EmbedderRefusedError, match=r"amazon\.titan-embed-text-v9"):
        embedder("bedrock:amazon.titan-embed-text-v9", dimensions=256).request(["x"], TIMEOUT_S)


def test_a_wrong_secret_is_refused(embedder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody's secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    with pytest.raises(CredentialsError) as caught:
        embedder().request(["x"], TIMEOUT_S)
    assert "nobody's secret" not in str(caught.value)


def test_boto3_gets_the_same_vector(embedder: Make) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.session.Session().client("bedrock-runtime")
    text = "where is the cache flushed"
    answer = client.invoke_model(modelId=V2, body=json.dumps({"inputText": text}))
    theirs = np.asarray(json.loads(answer["body"].read())["embedding"])
    client.close()
    ours = vector(embedder().request([text], TIMEOUT_S))
    assert ours @ theirs / np.linalg.norm(theirs) > 0.9999


def test_a_tree_is_indexed_searched_and_not_paid_for_again(service: None, tmp_path: Path) -> None:
    tree = SourceTree(tmp_path / "code")
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    tree.write("db/pool.go", "package db\n\n// Acquire hands out a connection.\nfunc Acquire() int { return 1 }\n")
    tree.write("README.md", "# Example\n\nNothing to see here.\n")
    config = SearchConfig(tmp_path / "index", embedder="titan", when_unreachable="raise", query_timeout_s=TIMEOUT_S)
    with SemanticSearchEngine(config) as engine:
        first = engine.index(tree.root)
        assert (first.requests, first.unembedded_chunks) == (3, 0)
        assert engine.search("borrow a database connection")[0].path == "db/pool.go"
        assert engine.search("how long until the next attempt")[0].path == "net/backoff.py"
        tree.write("net/more.py", "def close_socket(connection):\n    connection.close()\n")
        assert engine.index(tree.root).requests == 1
        rebuilt = engine.index(tree.root, rebuild=True)
        assert (rebuilt.requests, rebuilt.cached_embeddings) == (0, 4)
