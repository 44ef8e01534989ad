"""The cache of paid embeddings on disk, and the claims that keep two builds from paying for the same text."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flyweight.embed.embedding_cache import (
    EmbeddingCache,
    cache_file,
    count_kept,
    default_directory,
    text_key,
)
from flyweight.errors import ConfigError, IndexWriteError

DIMENSIONS = 4
MODEL = "bedrock:amazon.titan-embed-text-v2:0"


def vector_of(number: int) -> bytes:
    return bytes([number % 256]) * (4 * DIMENSIONS)


KEYS = [text_key(f"text {number}") for number in range(8)]


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "embeddings")


def opened(directory: str, model: str = MODEL, dimensions: int = DIMENSIONS) -> EmbeddingCache:
    return EmbeddingCache(directory, model, dimensions)


def test_what_is_kept_is_found_by_the_next_run(directory: str) -> None:
    cache = opened(directory)
    cache.keep({KEYS[0]: vector_of(0), KEYS[1]: vector_of(1)})
    cache.close()
    again = opened(directory)
    assert again.find(KEYS[:3]) == {KEYS[0]: vector_of(0), KEYS[1]: vector_of(1)}
    again.close()


def test_more_keys_than_one_statement_takes_are_found(directory: str) -> None:
    cache = opened(directory)
    vectors = {text_key(str(number)): vector_of(number) for number in range(1800)}
    cache.keep(vectors)
    assert cache.find(list(vectors)) == vectors
    assert cache.find_or_claim(list(vectors)).vectors == vectors
    cache.close()


def test_models_and_dimensions_are_kept_apart(directory: str) -> None:
    one, other, shorter = opened(directory), opened(directory, model="openai:m"), opened(directory, dimensions=2)
    one.keep({KEYS[0]: vector_of(0)})
    assert other.find(KEYS) == shorter.find(KEYS) == {}
    for cache in (one, other, shorter):
        cache.close()


def test_models_whose_readable_names_are_alike_have_files_of_their_own(directory: str) -> None:
    assert cache_file(directory, "openai:a/b", 8) != cache_file(directory, "openai:a-b", 8)


def test_only_the_user_may_read_it(directory: str) -> None:
    cache = opened(directory)
    cache.keep({KEYS[0]: vector_of(0)})
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    for name in os.listdir(directory):
        assert stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) == 0o600, name
    cache.close()


def test_texts_are_not_in_it(directory: str) -> None:
    cache = opened(directory)
    cache.find_or_claim([text_key("a well kept secret")])
    cache.keep({text_key("a well kept secret"): vector_of(0)})
    cache.close()
    assert b"well kept" not in Path(cache.path).read_bytes()


def test_the_usual_place_is_the_users_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
    assert default_directory() == "/somewhere/else/flyweight/embeddings"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_directory() == "/home/someone/.cache/flyweight/embeddings"


def test_a_dry_run_counts_what_need_not_be_paid_for(directory: str) -> None:
    assert count_kept(directory, MODEL, DIMENSIONS, ["text 0"]) == 0
    assert not os.path.exists(directory)
    cache = opened(directory)
    cache.keep({KEYS[0]: vector_of(0), KEYS[1]: vector_of(1)})
    assert count_kept(directory, MODEL, DIMENSIONS, ["text 0", "text 1", "text 1", "text 2"]) == 2
    cache.close()
    assert count_kept(directory, MODEL, DIMENSIONS, ["text 0", "text 1", "text 1", "text 2"]) == 2


class TestClaims:
    def test_what_is_missing_is_claimed_once(self, directory: str) -> None:
        one, other = opened(directory), opened(directory)
        assert one.find_or_claim(KEYS[:2]).claimed == set(KEYS[:2])
        found = other.find_or_claim(KEYS[:3])
        assert (found.claimed, found.elsewhere) == ({KEYS[2]}, set(KEYS[:2]))
        one.close()
        other.close()

    def test_a_claim_of_ones_own_is_no_obstacle(self, directory: str) -> None:
        cache = opened(directory)
        cache.find_or_claim(KEYS[:1])
        assert cache.find_or_claim(KEYS[:1]).claimed == {KEYS[0]}
        cache.close()

    def test_what_was_claimed_and_kept_is_found_by_who_waited(self, directory: str) -> None:
        one, other = opened(directory), opened(directory)
        one.find_or_claim(KEYS[:1])
        one.keep({KEYS[0]: vector_of(0)})
        found = other.find_or_claim(KEYS[:1])
        assert (found.vectors, found.claimed, found.elsewhere) == ({KEYS[0]: vector_of(0)}, set(), set())
        one.close()
        other.close()

    def test_a_claim_that_is_released_passes_on(self, directory: str) -> None:
        one, other = opened(directory), opened(directory)
        one.find_or_claim(KEYS[:1])
        one.release(KEYS[:1])
        assert other.find_or_claim(KEYS[:1]).claimed == {KEYS[0]}
        one.close()
        other.close()

    def test_closing_gives_claims_up(self, directory: str) -> None:
        one, other = opened(directory), opened(directory)
        one.find_or_claim(KEYS[:1])
        one.close()
        assert other.find_or_claim(KEYS[:1]).claimed == {KEYS[0]}
        other.close()

    def test_claims_of_a_killed_process_are_void(self, directory: str) -> None:
        other = opened(directory)
        program = (
            "import sys, time\n"
            "from flyweight.embed.embedding_cache import EmbeddingCache, text_key\n"
            f"cache = EmbeddingCache({directory!r}, {MODEL!r}, {DIMENSIONS})\n"
            "cache.find_or_claim([text_key('text 0')])\n"
            "print('claimed', flush=True)\n"
            "time.sleep(1000)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"claimed\n"
            assert other.find_or_claim(KEYS[:1]).elsewhere == {KEYS[0]}
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert other.find_or_claim(KEYS[:1]).claimed == {KEYS[0]}
        other.close()


class TestDamage:
    def written(self, directory: str) -> str:
        cache = opened(directory)
        cache.keep({key: vector_of(number) for number, key in enumerate(KEYS)})
        cache.close()
        return cache.path

    def test_a_row_that_was_altered_counts_as_missing(self, directory: str) -> None:
        path = self.written(directory)
        connection = sqlite3.connect(path)
        connection.execute("UPDATE embeddings SET vector = ? WHERE key = ?", (vector_of(99), KEYS[3]))
        connection.commit()
        connection.close()
        cache = opened(directory)
        assert set(cache.find(KEYS)) == set(KEYS) - {KEYS[3]}
        assert cache.find_or_claim(KEYS).claimed == {KEYS[3]}
        cache.keep({KEYS[3]: vector_of(3)})
        assert cache.find(KEYS)[KEYS[3]] == vector_of(3)
        cache.close()

    @pytest.mark.parametrize("damage", [b"this is no database at all, and it is not an empty file either" * 40, None])
    def test_a_damaged_file_is_set_aside_and_a_new_one_begun(self, directory: str, damage: bytes | None) -> None:
        path = self.written(directory)
        content = Path(path).read_bytes()
        Path(path).write_bytes(damage or content[:100] + b"\xff" * (len(content) - 100))
        cache = opened(directory)
        assert cache.find(KEYS) == {}
        cache.keep({KEYS[0]: vector_of(0)})
        assert cache.find(KEYS[:1]) == {KEYS[0]: vector_of(0)}
        (note,) = cache.notes
        assert path in note
        assert "damaged" in note
        (aside,) = (name for name in os.listdir(directory) if ".damaged-" in name and "-wal" not in name)
        assert aside in note
        cache.close()

    def test_damage_met_on_the_way_is_treated_alike(self, directory: str) -> None:
        cache = opened(directory)
        cache.keep({text_key(str(number)): vector_of(number) for number in range(2000)})
        cache.find_or_claim(KEYS[:1])
        cache._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = os.stat(cache.path).st_size
        with open(cache.path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        cache._connection.execute("PRAGMA shrink_memory")
        assert cache.find([text_key(str(number)) for number in range(2000)]) == {}
        assert len(cache.notes) == 1
        cache.keep({KEYS[0]: vector_of(0)})
        assert cache.find(KEYS[:1]) == {KEYS[0]: vector_of(0)}
        cache.close()

    def test_another_programs_database_is_left_alone(self, directory: str) -> None:
        path = cache_file(directory, MODEL, DIMENSIONS)
        os.makedirs(directory)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE photographs (name TEXT)")
        connection.commit()
        connection.close()
        before = Path(path).read_bytes()
        with pytest.raises(ConfigError, match="another program's database"):
            opened(directory)
        assert Path(path).read_bytes() == before

    def test_a_format_of_the_future_is_left_alone(self, directory: str) -> None:
        path = self.written(directory)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 2")
        connection.close()
        with pytest.raises(ConfigError, match="format 2"):
            opened(directory)

    def test_a_file_that_was_renamed_is_not_believed(self, directory: str) -> None:
        os.rename(self.written(directory), cache_file(directory, "openai:m", DIMENSIONS))
        with pytest.raises(ConfigError, match="renamed"):
            opened(directory, model="openai:m")

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match=r"file/embeddings.*embedding_cache"):
            opened(str(tmp_path / "file" / "embeddings"))

    def test_a_full_disk_is_said_and_loses_nothing(self, directory: str) -> None:
        cache = opened(directory)
        cache.keep({KEYS[0]: vector_of(0)})
        pages = cache._connection.execute("PRAGMA page_count").fetchone()[0]
        cache._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(IndexWriteError, match="cannot grow"):
            cache.keep({text_key(str(number)): vector_of(number) for number in range(2000)})
        assert cache.find(KEYS) == {KEYS[0]: vector_of(0)}
        cache._connection.execute("PRAGMA max_page_count = 1000000")
        cache.keep({KEYS[1]: vector_of(1)})
        assert set(cache.find(KEYS)) == set(KEYS[:2])
        cache.close()


class TwoGateways(RuleBasedStateMachine):
    """Two gateways on one cache, compared with a model: a text is claimed by one of them or by none."""

    texts = st.sets(st.sampled_from(range(len(KEYS))), min_size=1)
    who = st.sampled_from([0, 1])

    @initialize()
    def open_both(self) -> None:
        import tempfile

        self.temporary = tempfile.TemporaryDirectory()
        self.caches = [opened(self.temporary.name), opened(self.temporary.name)]
        self.kept: dict[int, bytes] = {}
        self.claims: dict[int, int] = {}

    @rule(who=who, texts=texts)
    def find_or_claim(self, who: int, texts: set[int]) -> None:
        found = self.caches[who].find_or_claim([KEYS[text] for text in texts])
        wanted = {text for text in texts if text not in self.kept}
        elsewhere = {text for text in wanted if self.claims.get(text, who) != who}
        assert found.vectors == {KEYS[text]: self.kept[text] for text in texts - wanted}
        assert found.elsewhere == {KEYS[text] for text in elsewhere}
        assert found.claimed == {KEYS[text] for text in wanted - elsewhere}
        self.claims.update(dict.fromkeys(wanted - elsewhere, who))

    @rule(who=who, texts=texts)
    def keep_what_was_claimed(self, who: int, texts: set[int]) -> None:
        mine = {text for text in texts if self.claims.get(text) == who}
        self.caches[who].keep({KEYS[text]: vector_of(text) for text in mine})
        for text in mine:
            self.kept[text] = vector_of(text)
            del self.claims[text]

    @rule(who=who, texts=texts)
    def release(self, who: int, texts: set[int]) -> None:
        self.caches[who].release([KEYS[text] for text in texts])
        self.claims = {text: owner for text, owner in self.claims.items() if owner != who or text not in texts}

    @rule(who=who)
    def end_and_begin_again(self, who: int) -> None:
        self.caches[who].close()
        self.caches[who] = opened(self.temporary.name)
        self.claims = {text: owner for text, owner in self.claims.items() if owner != who}

    @invariant()
    def both_see_what_is_kept(self) -> None:
        expected = {KEYS[text]: vector for text, vector in self.kept.items()}
        assert all(cache.find(KEYS) == expected for cache in self.caches)

    def teardown(self) -> None:
        for cache in getattr(self, "caches", []):
            cache.close()
        self.temporary.cleanup()


TestTwoGateways = TwoGateways.TestCase
TestTwoGateways.settings = settings(max_examples=120, stateful_step_count=15, deadline=None)
