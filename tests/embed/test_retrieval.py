"""Search over vectors from a service finds what search over the static model's own vectors finds.

The stand-ins' vectors are the static model's in another space, so whatever is lost is lost on the way: in transport,
in dimensions, in sketches and scans.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("botocore")

from flyweight import SearchConfig, SemanticSearchEngine
from tests.standins.bedrock import BedrockStandIn, clear_environment
from tests.standins.openai import OpenAIStandIn

SOURCES = Path(__file__).resolve().parents[2] / "src/flyweight/index"
# In other words than the files use, as far as that goes; the one file that answers.
QUESTIONS = {
    "leave out what git would leave out": "ignore.py",
    "only one process may change it at the same time": "lock.py",
    "which programming language is this source in": "language_names.py",
    "how is a long definition divided": "chunk.py",
    "small parts are put together when there are many": "compaction.py",
    "is it text or binary, and which encoding": "content.py",
    "send a value from one process to another": "channel.py",
    "what a person sees while it runs and in the end": "stats.py",
    "how much memory does a process hold": "memory.py",
    "recurse into directories": "walk.py",
    "list what would be done without doing it": "plan.py",
    "position of lines in bytes": "lines.py",
}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("retrieval") / "code"
    place.mkdir()
    for name in sorted(set(QUESTIONS.values())):
        shutil.copy(SOURCES / name, place / name)
    return place


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield patch


def answers(code: Path, index_path: Path, embedder: str) -> dict[str, list[tuple[str, int]]]:
    """The ten best hits of each question, by path and line."""
    config = SearchConfig(index_path, embedder=embedder, when_unreachable="raise", query_timeout_s=60)
    with SemanticSearchEngine(config) as engine:
        assert engine.index(code).unembedded_chunks == 0
        return {
            question: [(hit.path, hit.start_line) for hit in engine.search(question, limit=10)]
            for question in QUESTIONS
        }


def mean_reciprocal_rank(found: dict[str, list[tuple[str, int]]]) -> float:
    total = 0.0
    for question, wanted in QUESTIONS.items():
        ranks = [rank for rank, (path, _) in enumerate(found[question], 1) if path == wanted]
        total += 1 / ranks[0] if ranks else 0.0
    return total / len(QUESTIONS)


def overlap(found: dict[str, list[tuple[str, int]]], expected: dict[str, list[tuple[str, int]]]) -> float:
    """The share of the three best hits that are the expected ones."""
    common = sum(len(set(found[question][:3]) & set(expected[question][:3])) for question in QUESTIONS)
    return common / (3 * len(QUESTIONS))


@pytest.fixture(scope="module")
def static(code: Path) -> dict[str, list[tuple[str, int]]]:
    return answers(code, code.parent / "static", "static")


@pytest.mark.parametrize("embedder", ["titan", "titan:v1", "openai"])
def test_a_service_finds_what_the_static_model_finds(
    embedder: str, code: Path, static: dict[str, list[tuple[str, int]]], environment: pytest.MonkeyPatch
) -> None:
    with BedrockStandIn() as bedrock, OpenAIStandIn() as openai:
        for name, value in bedrock.environment().items():
            environment.setenv(name, value)
        spec = f"openai:{openai.base_url}#small-code" if embedder == "openai" else embedder
        found = answers(code, code.parent / embedder.replace(":", "-"), spec)
        assert (openai if embedder == "openai" else bedrock).ledger.paid_twice == 0
    assert mean_reciprocal_rank(static) > 0.4
    assert mean_reciprocal_rank(found) > mean_reciprocal_rank(static) - 0.05
    assert overlap(found, static) > 0.9


def test_words_alone_do_not_find_it(
    code: Path, static: dict[str, list[tuple[str, int]]], environment: pytest.MonkeyPatch
) -> None:
    """So that it is vectors that the test above compares."""
    config = SearchConfig(code.parent / "words", embedder="titan", query_timeout_s=0.01)
    with SemanticSearchEngine(config) as engine:
        with BedrockStandIn() as bedrock:
            for name, value in bedrock.environment().items():
                environment.setenv(name, value)
            engine.index(code)
        found = {}
        for question in QUESTIONS:
            results = engine.search(question, limit=10)
            assert results.degraded
            found[question] = [(hit.path, hit.start_line) for hit in results]
    assert overlap(found, static) < 0.85
