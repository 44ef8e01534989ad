"""What `flyweight bench memory` measures, and the verdicts on it: parts that need no measured process."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from flyweight import SearchConfig
from flyweight.config import MODEL_DIMENSIONS
from flyweight.errors import ConfigError, PathError
from flyweight.observe.bench.configurations import Configuration, configurations
from flyweight.observe.bench.growth_chart import bar, growth_chart
from flyweight.observe.bench.job import job_of
from flyweight.observe.bench.measurement import PHASES, PhaseMemory, Run
from flyweight.observe.bench.titan_stand_in import DIMENSIONS, TitanStandIn
from flyweight.observe.bench.verdicts import growth_of, recommended
from flyweight.observe.process_memory import Memory


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    for number in range(1, 6):
        path = root / f"part{number % 2}" / f"file{number}.rs"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("// a line that says something\n" * number + f"fn f{number}() {{}}\n")
    (root / "large.py").write_text("# a comment\n" * 500)
    return root


def test_the_largest_files_of_the_language_are_taken(sources: Path) -> None:
    job = job_of(str(sources), files=3, language="rs")
    assert [path for path, _ in job.files] == ["part1/file5.rs", "part0/file4.rs", "part1/file3.rs"]
    assert job.source_bytes == sum((sources / path).stat().st_size for path, _ in job.files)


def test_the_copy_holds_these_files_and_no_others(sources: Path, tmp_path: Path) -> None:
    job = job_of(str(sources), files=2)
    copy = job.copy_to(tmp_path / "copy")
    assert sorted(path.name for path in copy.rglob("*.rs")) == ["file4.rs", "file5.rs"]
    assert (copy / job.files[0][0]).read_bytes() == (sources / job.files[0][0]).read_bytes()


def test_too_few_files_are_refused_with_the_number_there_is(sources: Path) -> None:
    with pytest.raises(PathError, match=r"holds 5 rust files, 10 are needed: name another PATH, or say --files 5"):
        job_of(str(sources))


def test_a_tree_without_the_language_names_one_that_it_has(sources: Path) -> None:
    with pytest.raises(PathError, match=r"holds 0 go files, 2 are needed: .* --language rust \(5 files\)"):
        job_of(str(sources), files=2, language="go")


def test_an_empty_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="name a PATH with source code"):
        job_of(str(tmp_path))


@pytest.mark.parametrize("path", ["nowhere", "large.py"])
def test_a_path_that_is_no_directory_is_refused(sources: Path, path: str) -> None:
    with pytest.raises(PathError, match="is not a directory"):
        job_of(str(sources / path))


def test_an_unknown_language_is_refused(sources: Path) -> None:
    with pytest.raises(ConfigError, match="unknown language 'rusty'"):
        job_of(str(sources), language="rusty")


def test_minimal_and_default_are_measured() -> None:
    minimal, default = configurations(["static"], ["segments"])
    assert (minimal.name, default.name) == ("minimal", "default")
    assert minimal.settings == {"cache_size": 10, "cache_ttl": 30.0, "batch_size": 1, "max_embedding_dim": 64}
    assert minimal.code() == "SearchConfig(cache_size=10, cache_ttl=30.0, batch_size=1, max_embedding_dim=64)"
    assert default.code() == "SearchConfig()"
    assert min(MODEL_DIMENSIONS) == minimal.settings["max_embedding_dim"]


def growth(*sizes: int, step: int = 100) -> list[dict[str, int]]:
    return [{"queries": number * step, "private_over_bare_bytes": size} for number, size in enumerate(sizes)]


def test_memory_that_stays_is_stable() -> None:
    verdict = growth_of(growth(1_900_000, *[2_000_000] * 10))
    assert (verdict.verdict, verdict.slope_bytes, verdict.queries) == ("stable", 0.0, 1000)


def test_a_page_that_comes_and_goes_is_stable() -> None:
    assert growth_of(growth(0, *[2_000_000, 2_004_096] * 6)).verdict == "stable"


def test_memory_that_rises_with_queries_is_called_so() -> None:
    verdict = growth_of(growth(*range(2_000_000, 2_120_000, 10_000)))
    assert verdict.verdict == "rises"
    assert verdict.slope_bytes == pytest.approx(100_000)
    assert verdict.low_bytes <= 100_000 <= verdict.high_bytes


def test_less_than_a_page_in_ten_thousand_queries_is_no_rise() -> None:
    assert growth_of(growth(*range(2_000_000, 2_000_012), step=10)).verdict == "stable"


def test_a_few_points_give_no_verdict() -> None:
    assert growth_of(growth(1, 2, 3)).verdict == "undecided"
    assert growth_of([]).verdict == "undecided"


def run_of(configuration: Configuration, over_bare_bytes: int) -> Run:
    config = SearchConfig(**configuration.settings)  # type: ignore[arg-type]
    in_force = {name: str(getattr(config, name)) for name in config.__slots__}
    run = Run(configuration.name, "flyweight", configuration.code(), in_force)
    run.phases = [PhaseMemory(name, Memory(private_dirty_bytes=over_bare_bytes), Memory(), 0.0) for name in PHASES]
    return run


def test_the_default_is_recommended_while_it_costs_hardly_more() -> None:
    minimal, default = configurations(["static"], ["segments"])
    taken = recommended([run_of(minimal, 2_000_000), run_of(default, 2_200_000)])
    assert (taken.name, taken.code) == ("default", "SearchConfig()")
    assert "0.80 MB below the target" in taken.reason
    assert "minimal would save 0.20 MB, for " in taken.reason
    assert "cache_size 10 instead of 50" in taken.reason
    assert "max_embedding_dim 64 instead of 256" in taken.reason


@pytest.mark.parametrize(("minimal_bytes", "default_bytes"), [(1_000_000, 2_000_000), (2_900_000, 3_100_000)])
def test_the_leanest_is_recommended_where_the_default_is_dear(minimal_bytes: int, default_bytes: int) -> None:
    minimal, default = configurations(["static"], ["segments"])
    taken = recommended([run_of(minimal, minimal_bytes), run_of(default, default_bytes)])
    assert taken.name == "minimal"
    assert f"default costs {(default_bytes - minimal_bytes) / 1e6:.2f} MB more" in taken.reason


def test_a_recommendation_above_the_target_says_so() -> None:
    (_, default) = configurations(["static"], ["segments"])
    assert "1.00 MB above the target" in recommended([run_of(default, 4_000_000)]).reason


def test_bars_are_in_proportion() -> None:
    assert [bar(share, 4) for share in (0, 0.5, 0.28125, 1, 2, -1)] == ["", "██", "█▏", "████", "████", ""]
    first, second = growth_chart([(10, 1_000_000), (1000, 2_000_000)]).splitlines()
    assert first == "   10 queries  1.000 MB  " + "█" * 25
    assert second == "1,000 queries  2.000 MB  " + "█" * 50


def test_the_stand_in_answers_each_text_with_its_own_vector() -> None:
    def vector(text: str) -> list[float]:
        body = json.dumps({"inputText": text}).encode()
        with urllib.request.urlopen(f"{server.endpoint}/model/any/invoke", body, timeout=300) as answer:
            found: list[float] = json.load(answer)["embedding"]
        return found

    with TitanStandIn() as server:
        one, same, other = vector("one"), vector("one"), vector("other")
    assert len(one) == DIMENSIONS
    assert one == same != other
