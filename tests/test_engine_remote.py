"""An engine whose embedder is a service: what it asks, what it keeps, and what it does when nobody answers."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bare_process import run_script
from different_questions import DIFFERENT_QUESTIONS
from source_tree import SourceTree

from flyweight import SearchConfig, SearchFilters, SearchResults, SemanticSearchEngine
from flyweight.errors import (
    ConfigError,
    CredentialsError,
    EmbedderRefusedError,
    EmbedderUnreachableError,
    FlyweightError,
    IndexMismatchError,
)

pytest.importorskip("botocore")

from tests.standins.bedrock import CREDENTIALS, V2, BedrockStandIn

QUESTION = "where do we wait with backoff between attempts"
MakeEngine = Callable[..., SemanticSearchEngine]


def described(hits: SearchResults) -> list[dict[str, object]]:
    return [hit.as_dict() for hit in hits]


@pytest.fixture(scope="module")
def titan_index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An index embedded by Titan, 256 dimensions. Not to be changed."""
    directory = tmp_path_factory.mktemp("titan")
    tree = SourceTree(directory / "code", seed=3)
    tree.grow(12)
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    with pytest.MonkeyPatch.context() as patch, BedrockStandIn() as service:
        service.set_environment(patch)
        patch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        config = SearchConfig(index_path=directory / "index", embedder="titan", max_embedding_dim=256)
        with SemanticSearchEngine(config) as engine:
            stats = engine.index(tree.root)
    assert stats.files == len(tree.files) and not stats.unembedded_chunks
    return str(directory / "index")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockStandIn]:
    with BedrockStandIn() as service:
        service.set_environment(monkeypatch)
        yield service


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for a service that is not there."""
    with BedrockStandIn() as service:
        service.set_environment(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")


@pytest.fixture
def make_engine(titan_index: str) -> Iterator[MakeEngine]:
    made = []

    def make(**settings: object) -> SemanticSearchEngine:
        patient = {"query_timeout_s": 60.0}  # a machine that does much else may take long to answer
        given = {"index_path": titan_index, "embedder": "titan", "max_embedding_dim": 256, **patient, **settings}
        made.append(SemanticSearchEngine(SearchConfig(**given)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for engine in made:
        engine.close()


# Answers


def test_a_question_is_embedded_by_the_service_and_answered(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    hits = make_engine().search(QUESTION)
    assert hits[0].path == "net/backoff.py"
    assert (hits.degraded, hits.reason, hits.cached) == (False, "", False)
    assert service.ledger.times_answered(QUESTION) == 1


def test_a_repeated_question_goes_to_no_service(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    engine = make_engine()
    first = engine.search(QUESTION)
    requests = service.ledger.requests
    again = engine.search(QUESTION)
    assert described(again) == described(first)
    assert (again.cached, again.degraded) == (True, False)
    assert service.ledger.requests == requests
    assert engine.cache_stats()["hits"] == 1


def test_a_question_with_other_filters_needs_no_new_vector(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.search(QUESTION)
    engine.search(QUESTION, limit=3, filters=SearchFilters(language="python"))
    assert service.ledger.times_answered(QUESTION) == 1


def test_the_vector_finds_what_shares_no_word(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    assert make_engine().search("zyzzyva")
    service.control("/_settings", {"denied": [V2]})
    assert not make_engine().search("zyzzyva")


def test_the_embedder_can_be_left_to_the_index(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    named, left = make_engine(), make_engine(embedder=None, max_embedding_dim=None)
    assert described(left.search(QUESTION)) == described(named.search(QUESTION))
    with pytest.raises(ConfigError, match="needs an embedder"):
        left.index(".")


@pytest.mark.parametrize("query", ["", "  \t\n"])
def test_a_blank_question_finds_nothing_and_asks_nobody(
    query: str, service: BedrockStandIn, make_engine: MakeEngine
) -> None:
    hits = make_engine().search(query)
    assert (list(hits), hits.degraded) == ([], False)
    assert service.ledger.embeddings == 0


def test_a_pasted_file_is_one_request(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    assert make_engine().search("how is the record written " * 40_000)
    assert service.ledger.requests == 1


def test_a_measured_query_tells_whether_it_was_cached(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    engine = make_engine()
    assert [engine.measure_query(QUESTION).cached for _ in range(2)] == [False, True]


def test_an_openai_compatible_service_is_asked_how_many_dimensions_it_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.standins.openai import OpenAIStandIn

    tree = SourceTree(tmp_path / "code", seed=3)
    tree.write("net/backoff.py", "def wait_with_backoff(attempt):\n    return min(60, 2 ** attempt)\n")
    tree.grow(2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-tests")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAIStandIn(api_key="sk-of-the-tests") as service:
        spec = f"openai:{service.base_url}#small-code"
        config = SearchConfig(index_path=tmp_path / "index", embedder=spec, query_timeout_s=60)
        with SemanticSearchEngine(config) as engine:
            engine.index(tree.root)
            assert (engine.manifest.embedder, engine.manifest.dimensions) == ("openai:small-code", 384)
            hits = engine.search(QUESTION)
        assert not hits.degraded and hits[0].path == "net/backoff.py"
        left = SearchConfig(index_path=tmp_path / "index", embedder=None, query_timeout_s=60)
        with SemanticSearchEngine(left) as engine, pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
            engine.search(QUESTION)
        monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
        with SemanticSearchEngine(left) as engine:
            assert described(engine.search(QUESTION)) == described(hits)


# Out of reach


def test_out_of_reach_words_alone_answer_and_the_results_say_so(silence: None, make_engine: MakeEngine) -> None:
    hits = make_engine().search("wait_with_backoff")
    assert hits[0].path == "net/backoff.py"
    assert hits.degraded
    assert "cannot be reached" in hits.reason
    assert not hits.cached


def test_an_answer_by_words_alone_is_not_kept(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    engine = make_engine()
    service.control("/_settings", {"denied": [V2]})
    assert [engine.search(QUESTION).degraded for _ in range(2)] == [True, True]
    assert engine.cache_stats()["entries"] == 0
    service.control("/_settings", {"denied": []})
    assert [(hits.degraded, hits.cached) for hits in (engine.search(QUESTION), engine.search(QUESTION))] == [
        (False, False),
        (False, True),
    ]


NOBODY_ANSWERS = """
import gc, sys
from flyweight import SearchConfig, SemanticSearchEngine
config = SearchConfig(sys.argv[1], embedder="titan", max_embedding_dim=256, query_timeout_s=60.0)
with SemanticSearchEngine(config) as engine:
    engine.search("record")
    gc.collect()
    gc.disable()
    for number in range(3):
        assert engine.search(f"record {number}").degraded
    print(gc.collect())
"""


@pytest.mark.parametrize("keys", [True, False])
def test_a_question_without_an_answer_leaves_nothing_to_the_collector(
    keys: bool, silence: None, titan_index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not keys:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert run_script(NOBODY_ANSWERS, titan_index) == "0\n"


def test_different_questions_leave_no_blocks_behind(service: BedrockStandIn, titan_index: str) -> None:
    assert run_script(DIFFERENT_QUESTIONS, titan_index, "titan") == "True\n"


def test_streaming_goes_on_by_words_alone_too(silence: None, make_engine: MakeEngine) -> None:
    paths = [hit.path for hit in make_engine().stream("wait_with_backoff", limit=3)]
    assert paths[0] == "net/backoff.py"


def test_an_engine_may_be_told_to_raise_instead(silence: None, make_engine: MakeEngine) -> None:
    with pytest.raises(EmbedderUnreachableError, match="cannot be reached"):
        make_engine(when_unreachable="raise").search(QUESTION)


@pytest.mark.parametrize("when_unreachable", ["lexical", "raise"])
def test_a_service_that_was_out_of_reach_is_not_asked_for_a_while(
    when_unreachable: str, silence: None, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyweight.embed.circuit_breaker.FIRST_PAUSE_S", 1e6)
    engine = make_engine(when_unreachable=when_unreachable)
    reasons = []
    for number in range(4):
        try:
            hits = engine.search(f"wait_with_backoff {number}")
            assert hits[0].path == "net/backoff.py" and hits.degraded
            reasons.append(hits.reason)
        except EmbedderUnreachableError as error:
            reasons.append(str(error))
        if number == 2:
            engine.trim()
    assert ["the next try is in" in reason for reason in reasons] == [False, False, True, True]
    assert all("cannot be reached: Connection refused" in reason for reason in reasons)


def test_a_refusal_is_the_reason_or_the_error(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    service.control("/_settings", {"denied": [V2]})
    hits = make_engine().search("wait_with_backoff")
    assert hits.degraded and "access" in hits.reason
    with pytest.raises(EmbedderRefusedError):
        make_engine(when_unreachable="raise").search(QUESTION)


def test_missing_credentials_are_the_reason_or_the_error(
    service: BedrockStandIn, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    hits = make_engine().search("wait_with_backoff")
    assert hits and hits.degraded
    assert "AWS_ACCESS_KEY_ID" in hits.reason
    with pytest.raises(CredentialsError):
        make_engine(when_unreachable="raise").search(QUESTION)


def test_what_is_given_back_is_not_the_credentials(
    service: BedrockStandIn, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A role or single sign-on takes a process, and seconds."""
    keys = {"Version": 1, "AccessKeyId": CREDENTIALS.access_key, "SecretAccessKey": CREDENTIALS.secret_key}
    (tmp_path / "keys").write_text(json.dumps(keys))
    (tmp_path / "program").write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\nexec cat {tmp_path}/keys\n")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = /bin/sh {tmp_path}/program\n")
    for name in CREDENTIALS.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    engine = make_engine()
    for query in (QUESTION, "zyzzyva"):
        assert not engine.search(query).degraded
        engine.trim()
    assert (tmp_path / "runs").read_text() == "run\n"
    assert service.ledger.connections == 2


def test_a_damaged_index_is_an_error_whether_or_not_the_service_answers(
    service: BedrockStandIn, tmp_path: Path, make_engine: MakeEngine
) -> None:
    with pytest.raises(FlyweightError, match="no index"):
        make_engine(index_path=tmp_path / "none").search(QUESTION)
    assert service.ledger.embeddings == 0


# Whose vectors


@pytest.mark.parametrize(
    "other",
    [
        {"embedder": "static"},
        {"embedder": "titan:v1", "max_embedding_dim": None},
        {"max_embedding_dim": 512},
        {"embedder_options": {"normalize": False}},
        {"embedder": "openai:http://127.0.0.1:9#nomic"},
    ],
    ids=str,
)
def test_an_index_is_searched_with_its_own_embedder_only(
    other: dict[str, object], service: BedrockStandIn, make_engine: MakeEngine
) -> None:
    engine = make_engine(**other)
    for ask in (lambda: engine.search(QUESTION), lambda: engine.manifest):
        with pytest.raises(IndexMismatchError, match=f"bedrock:{V2}, 256 dimensions") as raised:
            ask()
        assert " 0 dimensions" not in str(raised.value)
    assert service.ledger.embeddings == 0


def test_a_titan_engine_refuses_an_index_of_the_static_embedder(
    service: BedrockStandIn, make_engine: MakeEngine, shared_index: str
) -> None:
    with pytest.raises(IndexMismatchError, match="minilm"):
        make_engine(index_path=shared_index).search(QUESTION)


def test_nothing_of_the_credentials_is_in_the_index_or_its_cache(titan_index: str) -> None:
    secret = BedrockStandIn().credentials[0].secret_key.encode()
    files = [path for path in Path(titan_index).parent.rglob("*") if path.is_file()]
    assert any("cache" in str(path) for path in files)
    assert not [path for path in files if secret in path.read_bytes()]


# Threads, processes, ends


def test_threads_share_one_engine(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    engine = make_engine(cache_size=0)
    questions = [f"{QUESTION} {number}" for number in range(4)]
    expected = [described(engine.search(question)) for question in questions]
    wrong: list[object] = []

    def ask(offset: int) -> None:
        for number in range(8):
            place = (number + offset) % len(questions)
            hits = engine.search(questions[place])
            if hits.degraded or described(hits) != expected[place]:
                wrong.append((place, hits.reason))

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORKS = """
import os, sys
from flyweight import SearchConfig, SemanticSearchEngine
config = SearchConfig(index_path=sys.argv[1], embedder="titan", max_embedding_dim=256, cache_size=0, query_timeout_s=60)
engine = SemanticSearchEngine(config)

def answers(who):
    found = [engine.search(f"{who} waits with backoff {number}") for number in range(5)]
    assert all(hits and not hits.degraded for hits in found), [hits.reason for hits in found]
    return [[hit.path for hit in hits] for hits in found]

answers("first")  # a connection is open, and its signature and its credentials are known
pids = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            answers(f"child {child}")
            engine.close()
            status = 0
        finally:
            os._exit(status)
    pids.append(pid)
answers("parent")
print([os.waitpid(pid, 0)[1] for pid in pids])
answers("parent again")
"""


def test_a_child_and_its_parent_ask_on_connections_of_their_own(service: BedrockStandIn, titan_index: str) -> None:
    assert run_script(FORKS, titan_index) == "[0, 0, 0]\n"
    assert service.ledger.embeddings == 5 * 6


def test_a_closed_engine_lets_go_of_its_connections(service: BedrockStandIn, make_engine: MakeEngine) -> None:
    port = f":{int(service.endpoint.rpartition(':')[2]):04X}"

    def sockets() -> int:
        """Those of this process that lead to the service."""
        rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
        to_service = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(port)}
        held = 0
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # the service lets go of its own meanwhile
                held += os.readlink(f"/proc/self/fd/{fd}") in to_service
        return held

    engines = [make_engine(cache_size=0) for _ in range(3)]
    for engine in engines:
        engine.search(QUESTION)
    assert sockets() == 3
    for engine in engines:
        engine.close()
        with pytest.raises(FlyweightError, match="closed"):
            engine.search(QUESTION)
    assert sockets() == 0


def test_trimming_ends_connections_and_the_next_question_makes_one(
    service: BedrockStandIn, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    before = described(engine.search(QUESTION))
    engine.trim()
    again = engine.search(QUESTION)
    assert described(again) == before
    assert not again.cached and service.ledger.times_answered(QUESTION) == 2
