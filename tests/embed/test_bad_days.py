"""What a user is told when Titan cannot be used: the thing, the value, the way out, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from source_tree import SourceTree

pytest.importorskip("botocore")
pytest.importorskip("trustme")

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import EmbedderRefusedError, FlyweightError
from tests.embed.bad_days import BY_NAME, DAYS, PROXY_PASSWORD, ROLE, SECRETS, Day, no_credentials
from tests.standins.bedrock import V2, BedrockStandIn
from tests.standins.certificates import Certificates
from tests.standins.proxy import ProxyStandIn

FILES = {
    "net/backoff.py": "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n",
    "db/pool.go": "package db\n\n// Acquire hands out a database connection.\nfunc Acquire() int { return 1 }\n",
}
QUESTION = "how long until the next attempt"


def named(days: Sequence[Day]) -> Any:
    return pytest.mark.parametrize("day", days, ids=[day.name for day in days])


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is not tried again: pauses are longer than any deadline."""
    monkeypatch.setattr("flyweight.embed.query_embedder._jittered", lambda most_s: 1e6)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, certificates: Certificates, tmp_path: Path) -> Iterator[BedrockStandIn]:
    with BedrockStandIn(tls=True, certificates=certificates, credentials=ROLE) as service:
        service.set_environment(monkeypatch)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield service


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SourceTree:
    tree = SourceTree(tmp_path_factory.mktemp("code") / "code")
    for path, text in FILES.items():
        tree.write(path, text)
    return tree


@pytest.fixture(scope="module")
def titan_index(tree: SourceTree, certificates: Certificates) -> str:
    """An index that was made on a good day."""
    index_path = str(tree.root.parent / "index")
    with (
        pytest.MonkeyPatch.context() as patch,
        BedrockStandIn(tls=True, certificates=certificates, credentials=ROLE) as service,
    ):
        service.set_environment(patch)
        patch.setenv("XDG_CACHE_HOME", str(tree.root.parent / "cache"))
        with SemanticSearchEngine(SearchConfig(index_path, embedder="titan", max_embedding_dim=256)) as engine:
            assert engine.index(tree.root).requests == len(FILES)
    return index_path


def assert_clear(error: FlyweightError, day: Day) -> None:
    message = str(error)
    assert isinstance(error, day.kind), f"{type(error).__name__}: {message}"
    for word in day.words:
        assert word in message, f"{word!r} is missing in: {message}"
    assert "Traceback" not in message
    everything = "".join(traceback.format_exception(error)) + repr(error)
    assert not [secret for secret in SECRETS if secret in everything]


@named(DAYS)
def test_a_search_says_why_it_gets_no_vector(
    day: Day, service: BedrockStandIn, titan_index: str, one_attempt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        options = day.set_up(service, monkeypatch, stack)
        with pytest.raises(FlyweightError) as caught:
            config = SearchConfig(
                titan_index,
                embedder="titan",
                embedder_options=options | {"dimensions": 256},
                when_unreachable="raise",
                query_timeout_s=4.0 if day.name == "silence" else 60.0,
            )
            with SemanticSearchEngine(config) as engine:
                engine.search(QUESTION)
    assert_clear(caught.value, day)


@named([BY_NAME[name] for name in ("no credentials", "access denied", "expired token", "outage", "proxy gone")])
def test_a_search_goes_by_words_and_says_so_unless_told_to_raise(
    day: Day, service: BedrockStandIn, titan_index: str, one_attempt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        options = day.set_up(service, monkeypatch, stack)
        config = SearchConfig(titan_index, embedder=None, embedder_options=options, query_timeout_s=60.0)
        with SemanticSearchEngine(config) as engine:
            found = engine.search("wait_with_backoff")
            assert found.degraded
            assert [hit.path for hit in found] == ["net/backoff.py"]
            for word in day.words:
                assert word in found.reason
            assert not [secret for secret in SECRETS if secret in found.reason]
            assert not engine.search("wait_with_backoff").cached


@named(
    [
        BY_NAME[name]
        for name in (
            "no credentials",
            "access denied",
            "wrong clock",
            "expired token",
            "unknown authority",
            "proxy denies",
        )
    ]
)
def test_indexing_ends_in_the_same_error(
    day: Day, service: BedrockStandIn, tree: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        options = day.set_up(service, monkeypatch, stack)
        config = SearchConfig(tmp_path / "index", embedder="titan", embedder_options=options)
        with SemanticSearchEngine(config) as engine, pytest.raises(FlyweightError) as caught:
            engine.index(tree.root)
    assert_clear(caught.value, day)
    assert service.ledger.embeddings == 0
    assert_no_secrets_in(tmp_path)


def test_a_clock_that_is_wrong_by_an_hour_does_not_matter(service: BedrockStandIn, titan_index: str) -> None:
    service.control("/_settings", {"clock_offset_s": 3600.0})
    config = SearchConfig(titan_index, embedder="titan", max_embedding_dim=256, when_unreachable="raise")
    with SemanticSearchEngine(config) as engine:
        assert not engine.search(QUESTION).degraded
        assert service.ledger.refusals == {"InvalidSignatureException": 1}
        engine.search("another question")
        assert service.ledger.refusals == {"InvalidSignatureException": 1}


def test_an_unknown_model_is_named(service: BedrockStandIn, tree: SourceTree, tmp_path: Path) -> None:
    config = SearchConfig(tmp_path / "index", embedder="bedrock:amazon.titan-embed-text-v9", max_embedding_dim=256)
    with SemanticSearchEngine(config) as engine, pytest.raises(EmbedderRefusedError) as caught:
        engine.index(tree.root)
    assert "amazon.titan-embed-text-v9" in str(caught.value)
    assert "list-foundation-models" in str(caught.value)


def flyweight(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flyweight", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_lists_where_it_looked_for_credentials(
    service: BedrockStandIn, tree: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        no_credentials(service, monkeypatch, stack)
        outcome = flyweight(
            "index", str(tree.root), "--index", str(tmp_path / "index"), "--embedder", "titan", cwd=tmp_path
        )
    assert outcome.returncode != 0
    assert "Traceback" not in outcome.stderr
    found = [outcome.stderr.index(word) for word in ("environment", "credentials file", "config file", "metadata")]
    assert found == sorted(found)
    assert not [secret for secret in SECRETS if secret in outcome.stdout + outcome.stderr]


def test_the_command_shows_what_it_found_by_words_and_why(
    service: BedrockStandIn, titan_index: str, tmp_path: Path
) -> None:
    service.denied = {V2}
    outcome = flyweight("search", "--index", titan_index, "wait_with_backoff", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "net/backoff.py" in outcome.stdout
    assert "denies access" in outcome.stderr
    assert not [secret for secret in SECRETS if secret in outcome.stdout + outcome.stderr]


def test_no_secret_is_written_anywhere(
    service: BedrockStandIn, tree: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProxyStandIn(credentials=("user", PROXY_PASSWORD)) as stand_in:
        monkeypatch.delenv("NO_PROXY")
        options = {"proxy": stand_in.url, "endpoint_url": service.endpoint, "dimensions": 256}
        config = SearchConfig(tmp_path / "index", embedder="titan", embedder_options=options)
        with SemanticSearchEngine(config) as engine:
            stats = engine.index(tree.root)
            assert stats.requests == len(FILES)
            assert not engine.search(QUESTION).degraded
            said = json.dumps(stats.as_dict()) + repr(config) + repr(engine)
    assert not [secret for secret in SECRETS if secret in said]
    assert_no_secrets_in(tmp_path)
    assert stand_in.asked


def assert_no_secrets_in(directory: Path) -> None:
    read = 0
    for place, _, names in os.walk(directory):
        for name in names:
            path = Path(place, name)
            if path.is_file():
                content = path.read_bytes()
                read += 1
                assert not [secret for secret in SECRETS if secret.encode() in content], path
    assert read
