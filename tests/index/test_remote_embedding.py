"""Builds whose vectors come from a service: what they ask for, what they pay for, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("botocore")

from index_contents import expected_chunks, live_files, served_chunks
from source_tree import SourceTree

from flyweight import IndexProgress, IndexStats
from flyweight._build import Segment
from flyweight.embed.settings import EmbedderSettings
from flyweight.errors import (
    BuildError,
    ConfigError,
    CredentialsError,
    EmbedderRefusedError,
    FlyweightError,
    IndexMismatchError,
)
from flyweight.index.manifest import read_manifest
from flyweight.index.request import BuildRequest
from flyweight.index.spawn import run_builder
from tests.standins.bedrock import V2, BedrockStandIn
from tests.standins.faults import Faults
from tests.standins.signatures import Credentials

BUDGET = 64 << 20


class Remote:
    """Builds one index of one tree with the Bedrock stand-in."""

    def __init__(self, service: BedrockStandIn, tree: SourceTree, index_path: Path, cache: Path) -> None:
        self.service = service
        self.tree = tree
        self.index_path = index_path
        self.cache = cache
        self.options: dict[str, object] = {}

    def index(
        self,
        *,
        spec: str = "titan",
        rebuild: bool = False,
        progress: Callable[[IndexProgress], object] | None = None,
        **caps: int,
    ) -> IndexStats:
        return run_builder(
            root=str(self.tree.root),
            index_path=str(self.index_path),
            embedder=EmbedderSettings.parse(spec, {"dimensions": 256, **self.options}).fields(),
            batch_size=32,
            memory_budget=BUDGET,
            rebuild=rebuild,
            workers=0,
            progress=progress,
            embedding_cache=str(self.cache),
            **caps,
        )

    def index_fails(self, **settings: int) -> FlyweightError:
        with pytest.raises(FlyweightError) as caught:
            self.index(**settings)
        return caught.value

    @property
    def paid(self) -> int:
        return self.service.ledger.embeddings


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockStandIn]:
    with BedrockStandIn() as service:
        service.set_environment(monkeypatch)
        yield service


@pytest.fixture
def remote(service: BedrockStandIn, tree: SourceTree, index_path: Path, memory_path: Path) -> Remote:
    return Remote(service, tree, index_path, memory_path / "embeddings")


def test_a_service_embeds_every_chunk_of_the_tree_once(remote: Remote) -> None:
    remote.tree.grow(40)
    seen: list[IndexProgress] = []
    stats = remote.index(progress=seen.append)
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)
    assert stats.files == stats.added == 40
    assert stats.requests == remote.paid > 0
    assert remote.service.ledger.paid_twice == 0
    assert stats.tokens == remote.service.ledger.tokens
    assert (stats.cached_embeddings, stats.unembedded_chunks, stats.stopped) == (0, 0, "")
    assert max(progress.requests for progress in seen) <= stats.requests
    manifest = read_manifest(str(remote.index_path))
    assert (manifest.embedder, manifest.dimensions, manifest.complete) == (f"bedrock:{V2}", 256, True)


def test_vectors_are_those_of_the_chunks_they_stand_beside(remote: Remote) -> None:
    """The stand-in's vectors have meaning: the same words lie close to each other, whichever file they are in."""
    remote.tree.write("a/one.py", "def fetch_invoice_totals(ledger):\n    return sum(ledger.invoices)\n")
    remote.tree.write("a/two.rs", "pub fn open_websocket_channel(port: u16) -> Channel {\n    Channel::new(port)\n}\n")
    remote.tree.write("a/one.go", "package a\n\nfunc FetchInvoiceTotals() int { return sumOfLedgerInvoices() }\n")
    remote.index()
    manifest = read_manifest(str(remote.index_path))
    segment = Segment.open(str(remote.index_path / manifest.segments[0].name))
    rows = {segment.file(n)[0]: memoryview(segment.vector(n)).cast("f") for n in range(segment.file_count)}

    def likeness(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(rows[one], rows[other], strict=True))

    assert likeness("a/one.py", "a/one.go") > likeness("a/one.py", "a/two.rs") + 0.1


def test_nothing_is_asked_when_nothing_has_changed(remote: Remote) -> None:
    remote.tree.grow(10)
    remote.index()
    remote.service.stop()
    stats = remote.index()
    assert (stats.unchanged, stats.requests, stats.gateway_private_bytes) == (10, 0, 0)


def test_only_changed_chunks_are_paid_for(remote: Remote) -> None:
    first = "def first(value):\n    return value + 1\n" * 30
    remote.tree.write("many.py", first + "\n\ndef second(value):\n    return value * 2\n" * 30)
    remote.tree.grow(5)
    remote.index()
    before = remote.paid
    remote.tree.write("many.py", first + "\n\ndef second(value):\n    return value * 3\n" * 30)
    stats = remote.index()
    assert stats.changed == 1
    assert 0 < stats.requests == remote.paid - before < stats.new_chunks
    assert stats.requests + stats.cached_embeddings >= stats.new_chunks
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)


def test_a_rebuild_is_paid_for_already(remote: Remote) -> None:
    remote.tree.grow(15)
    first = remote.index()
    stats = remote.index(rebuild=True)
    assert (stats.added, stats.requests, stats.cached_embeddings) == (15, 0, first.requests)
    assert remote.service.ledger.paid_twice == 0


def test_a_cap_on_requests_stops_in_good_order_and_the_next_run_goes_on(remote: Remote) -> None:
    remote.tree.grow(30)
    stats = remote.index(max_requests=10)
    assert (stats.requests, remote.paid) == (10, 10)
    assert "cap of 10 requests" in stats.stopped
    assert not stats.interrupted
    manifest = read_manifest(str(remote.index_path))
    assert not manifest.complete
    assert set(served_chunks(remote.index_path)) <= set(expected_chunks(remote.tree.files))
    stats = remote.index()
    assert stats.stopped == ""
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)
    assert remote.service.ledger.paid_twice == 0


def test_a_cap_on_tokens_is_not_passed(remote: Remote) -> None:
    remote.tree.grow(30)
    stats = remote.index(max_tokens=500)
    assert 0 < stats.tokens == remote.service.ledger.tokens <= 500
    assert "cap of 500 tokens" in stats.stopped


def test_a_cap_that_is_reached_in_a_rebuild_leaves_the_old_index(remote: Remote) -> None:
    remote.tree.grow(10)
    remote.index()
    before = served_chunks(remote.index_path)
    remote.tree.change(10)
    stats = remote.index(rebuild=True, max_requests=1)
    assert "cap of 1 requests" in stats.stopped
    assert served_chunks(remote.index_path) == before
    assert read_manifest(str(remote.index_path)).complete


def test_a_changed_file_is_served_as_it_was_until_it_can_be_embedded(remote: Remote) -> None:
    remote.tree.write("a.py", "def old_name():\n    return 1\n")
    remote.index()
    before = served_chunks(remote.index_path)
    remote.tree.write("a.py", "def new_name():\n    return 2\n")
    remote.tree.write("b.py", "def other_name():\n    return 3\n")
    remote.service.denied = {V2}
    assert isinstance(remote.index_fails(), EmbedderRefusedError)
    assert served_chunks(remote.index_path) == before
    remote.service.denied = set()
    remote.index()
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)


def test_texts_the_service_refuses_are_named_served_by_their_words_and_tried_again(remote: Remote) -> None:
    remote.tree.grow(5)
    remote.tree.write("bad/place.py", "import os\n\n\ndef poisoned(value):\n    return value\n")
    remote.service.faults = Faults(texts={"poisoned": "text_refused"})
    for _ in range(2):
        stats = remote.index()
        assert (stats.unembedded_chunks, stats.stopped) == (1, "")
        ((path, first_line, last_line, reason),) = stats.unembedded
        assert (path, first_line, last_line) == ("bad/place.py", 1, 5)
        assert "cannot be embedded" in reason
        assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)
    remote.service.faults = Faults()
    stats = remote.index()
    assert (stats.changed, stats.unembedded_chunks, stats.requests) == (1, 0, 1)
    stats = remote.index()
    assert (stats.unchanged, stats.requests) == (6, 0)
    data = remote.tree.files["bad/place.py"]
    assert live_files(remote.index_path)["bad/place.py"].size_bytes == len(data)


def test_faults_on_the_way_lose_no_chunk(remote: Remote) -> None:
    remote.tree.grow(30)
    remote.service.faults = Faults(0.2, seed=5)
    stats = remote.index()
    assert remote.service.ledger.faults.total() > 0
    assert stats.unembedded_chunks == 0
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)


def test_credentials_that_end_in_the_middle_keep_what_was_paid_for(remote: Remote) -> None:
    remote.tree.grow(40)
    remote.index(max_requests=15)
    remote.service.rotate_credentials(Credentials("AKIANOBODYKNOWSTHIS0", "another secret"))
    error = remote.index_fails()
    assert isinstance(error, (CredentialsError, EmbedderRefusedError))
    assert "stand-in/secret" not in str(error)
    served_chunks(remote.index_path)
    remote.service.rotate_credentials(
        *[Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])]
    )
    remote.index()
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)
    assert remote.service.ledger.paid_twice == 0


def test_another_embedder_than_that_of_the_index_is_refused_before_anything_is_asked(remote: Remote) -> None:
    remote.tree.grow(3)
    remote.index()
    remote.tree.change(2)
    before = remote.service.ledger.requests
    remote.options = {"dimensions": 512}
    error = remote.index_fails()
    assert isinstance(error, IndexMismatchError)
    assert "in 256 dimensions" in str(error)
    assert remote.service.ledger.requests == before


def builder_of_this_process() -> int | None:
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as listing:
        return next(map(int, listing.read().split()), None)


class Interruption:
    """Signals the builder, seen from a progress callback, once `answers` embeddings have been sent."""

    def __init__(self, remote: Remote, number: int, answers: int, *, group: bool) -> None:
        self._remote = remote
        self._number = number
        self._answers = answers
        self._group = group
        self._done = False

    def __call__(self, progress: IndexProgress) -> None:
        pid = builder_of_this_process()
        deadline_s = time.monotonic() + 300
        while not self._done and pid is not None and progress.phase == "index":
            if self._remote.paid >= self._answers or time.monotonic() > deadline_s:
                self._done = True
                (os.killpg if self._group else os.kill)(pid, self._number)
            else:
                time.sleep(0.001)


@pytest.mark.parametrize("group", [True, False])
def test_a_killed_builder_pays_for_nothing_twice(remote: Remote, group: bool) -> None:
    remote.tree.grow(60)
    remote.service.latency_s = 0.02
    for answers in (1, 25):
        with contextlib.suppress(BuildError):
            remote.index(progress=Interruption(remote, signal.SIGKILL, answers, group=group))
    stats = remote.index()
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)
    assert remote.service.ledger.paid_twice == 0
    assert stats.files == 60


def test_an_interrupted_builder_commits_and_pays_for_nothing_twice(remote: Remote) -> None:
    remote.tree.grow(60)
    remote.service.latency_s = 0.02
    stats = remote.index(progress=Interruption(remote, signal.SIGINT, 20, group=False))
    assert stats.interrupted
    assert stats.stopped == ""
    assert 20 <= stats.requests == remote.paid
    assert not read_manifest(str(remote.index_path)).complete
    remote.index()
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)
    assert remote.service.ledger.paid_twice == 0


def test_an_interrupt_is_heard_while_the_service_is_silent(remote: Remote) -> None:
    """All is cut and handed over; what would otherwise follow is minutes of asking again."""
    remote.tree.grow(5)
    remote.options = {"timeout_s": 1}
    remote.service.faults = Faults({"silent": 1.0})

    def interrupt(progress: IndexProgress) -> None:
        builder = builder_of_this_process()
        if builder is not None and remote.service.ledger.requests > 0 and not interrupted:
            interrupted.append(builder)
            os.kill(builder, signal.SIGINT)

    interrupted: list[int] = []
    stats = remote.index(progress=interrupt)
    assert stats.interrupted
    assert (stats.requests, stats.chunks) == (0, 0)


def test_a_budget_too_small_for_a_gateway_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least \d+ bytes \(62M\) with an embedding service"):
        BuildRequest("/code", "/index", batch_size=32, memory_budget=48 << 20, with_gateway=True)
    assert BuildRequest("/code", "/index", batch_size=32, memory_budget=BUDGET, with_gateway=True).worker_count() == 1


def test_a_gateway_that_is_killed_is_named_and_the_next_run_goes_on(remote: Remote) -> None:
    remote.tree.grow(60)
    remote.service.latency_s = 0.02

    def kill_gateway(progress: IndexProgress) -> None:
        builder = builder_of_this_process()
        if builder is None or remote.paid < 10:
            return
        with open(f"/proc/{builder}/task/{builder}/children") as listing:
            for pid in map(int, listing.read().split()):
                with contextlib.suppress(OSError):  # the others end when their work is done
                    if b"flyweight.embed.gateway" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)

    with pytest.raises(BuildError, match=r"gateway was ended by signal 9.*run again"):
        remote.index(progress=kill_gateway)
    remote.index()
    assert served_chunks(remote.index_path) == expected_chunks(remote.tree.files)


def test_no_setting_is_on_a_command_line(remote: Remote) -> None:
    remote.tree.grow(20)
    remote.service.latency_s = 0.02
    remote.options = {"profile": None, "proxy": None, "region": "us-east-1", "endpoint_url": remote.service.endpoint}
    lines: set[bytes] = set()

    def look(progress: IndexProgress) -> None:
        builder = builder_of_this_process()
        if builder is not None:
            with open(f"/proc/{builder}/task/{builder}/children") as listing:
                for pid in [builder, *map(int, listing.read().split())]:
                    with contextlib.suppress(OSError):
                        lines.add(Path(f"/proc/{pid}/cmdline").read_bytes())

    remote.index(progress=look)
    assert any(b"flyweight.embed.gateway" in line for line in lines)
    for line in lines:
        assert remote.service.endpoint.encode() not in line
        assert b"us-east-1" not in line


def test_the_gateway_lives_within_the_memory_budget(remote: Remote) -> None:
    remote.tree.grow(200)
    stats = remote.index()
    assert 0 < stats.gateway_private_bytes < stats.peak_private_bytes <= BUDGET
