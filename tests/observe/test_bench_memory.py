"""`flyweight bench memory` from end to end, on a small tree."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bare_process import run_script
from command_process import run_flyweight

from flyweight.observe.bench import peers
from flyweight.observe.bench.job import Job, job_of
from flyweight.observe.bench.line_process import BareInterpreter, LineProcess, ProcessEnded
from flyweight.observe.bench.measurement import PHASES, Effort
from flyweight.observe.bench.peers import Peer, PeerMissing, measure_peer
from flyweight.observe.bench.tables import sections
from flyweight.observe.bench.writers import WRITERS

# Threads of the interpreter may touch a page between two looks.
A_FEW_PAGES = 16 * 4096
FUNCTION = """
/// Handles the error of request {number}.
pub async fn handle_{number}(value: u32) -> Result<u32, Error> {{
    let connection = database.connect(value).await?;
    connection.query("select {number}").map_err(Error::from)
}}
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for number in range(4):
        text = "".join(FUNCTION.format(number=10 * number + each) for each in range(6 + number))
        (root / f"part{number}.rs").write_text(text)
    return root


@pytest.fixture(scope="module")
def job(sources: Path) -> Job:
    return job_of(str(sources), files=3, queries=("error handling", "database connection"))


@pytest.fixture(scope="module")
def document(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    output = home / "memory.json"
    done = run_flyweight(
        "bench", "memory", str(sources), "--files", "3", "--queries", "error handling", "--queries",
        "database connection", "--embedder", "static", "--store", "segments", "--no-peers", "--quick", "--format",
        "json", "-o", str(output), cwd=home, home=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def test_the_document_names_its_format_and_its_job(document: dict[str, Any]) -> None:
    assert (document["format"], document["version"]) == ("flyweight-bench-memory", 1)
    assert [file["path"] for file in document["job"]["files"]] == ["part3.rs", "part2.rs", "part1.rs"]
    assert document["job"]["queries"] == ["error handling", "database connection"]
    assert [run["name"] for run in document["runs"]] == ["minimal", "default"]
    assert [run["settings"]["cache_size"] for run in document["runs"]] == ["10", "50"]
    assert (document["peers"], document["missing_peers"]) == ([], [])


def test_every_phase_is_measured_from_outside(document: dict[str, Any]) -> None:
    for run in document["runs"]:
        assert [phase["name"] for phase in run["phases"]] == list(PHASES)
        for phase in run["phases"]:
            assert phase["rss_bytes"] >= phase["private_bytes"] > 0
            assert phase["bare_private_bytes"] > 0
            over = phase["private_bytes"] - phase["bare_private_bytes"]
            assert phase["private_over_bare_bytes"] == over


def test_builders_have_their_own_column(document: dict[str, Any]) -> None:
    for run in document["runs"]:
        by_name = {phase["name"]: phase for phase in run["phases"]}
        assert by_name["After Index"]["builders"] >= 1
        assert by_name["After Index"]["builder_peak_bytes"] > 1_000_000
        assert by_name["After Queries"]["builder_peak_bytes"] == 0


def test_a_repeated_query_is_answered_by_the_cache(document: dict[str, Any]) -> None:
    for run in document["runs"]:
        for query in run["queries"]:
            assert (query["first"]["cached"], query["again"]["cached"]) == (False, True)
            assert query["first"]["hits"] == query["again"]["hits"] > 0
            assert query["first"]["elapsed_ms"] > 0


def test_the_distribution_adds_up_to_what_the_kernel_says(document: dict[str, Any]) -> None:
    for run in document["runs"]:
        for explained in (run["attribution"], run["tracked"]["attribution"]):
            for name in ("rss_bytes", "private_bytes"):
                assert sum(row[name] for row in explained["rows"]) == explained[name]
                assert abs(explained[name] - explained["rollup"][name]) <= A_FEW_PAGES


def test_the_run_under_the_profiler_knows_each_query_and_phase(document: dict[str, Any]) -> None:
    for run in document["runs"]:
        tracked = run["tracked"]
        assert [(query["query"], query["cached"]) for query in tracked["queries"]] == [
            ("error handling", False),
            ("error handling", True),
            ("database connection", False),
            ("database connection", True),
        ]
        assert [phase["name"] for phase in tracked["phases"]] == list(PHASES)
        assert tracked["steady"]["reason"]
        assert isinstance(tracked["leaks"], list)


def test_growth_is_judged_over_all_repeats(document: dict[str, Any]) -> None:
    for run in document["runs"]:
        asked = [point["queries"] for point in run["growth"]]
        assert asked == sorted(asked)
        assert run["growth_verdict"]["queries"] == asked[-1] - asked[0] > 0


def test_a_configuration_is_recommended_with_its_reason(document: dict[str, Any]) -> None:
    assert document["recommendation"]["code"].startswith("SearchConfig(")
    assert "over a bare interpreter" in document["recommendation"]["reason"]


TABLES = (
    "Memory by phase: default",
    "RSS by phase, side by side (MB)",
    "Queries, the first time and again: minimal",
    "Distribution by component: default",
    "Distribution of the starting report: quoted, by its own estimate",
    "Against the target of 3 MB",
    "Private memory over bare as queries are asked: default",
    "Verdicts",
    "Recommended",
)


def test_every_table_of_the_starting_report_is_there(document: dict[str, Any]) -> None:
    titles = [section.title for section in sections(document)]
    assert [title for title in TABLES if title not in titles] == []


def test_without_recording_there_is_the_distribution_from_outside(document: dict[str, Any]) -> None:
    runs = [{**run, "tracked": None} for run in document["runs"]]
    shown = {section.title: section for section in sections({**document, "runs": runs, "not_recorded": "no GIL"})}
    assert shown["Distribution by component: default"].columns[-1] == "of private"
    assert shown["Verdicts"].notes == ("no GIL",)
    for section in shown.values():
        assert {len(row) for row in section.rows} <= {len(section.columns)}


@pytest.mark.parametrize("format_name", ["terminal", "markdown"])
def test_a_format_shows_every_table(document: dict[str, Any], format_name: str) -> None:
    text = WRITERS[format_name](document)
    assert [section.title for section in sections(document) if section.title not in text] == []
    assert "69.61" in text


def test_rows_of_a_table_are_as_wide_as_its_head(document: dict[str, Any]) -> None:
    for section in sections(document):
        assert {len(row) for row in section.rows} <= {len(section.columns)}


def test_verdicts_are_told_in_units_and_by_places_a_reader_knows(document: dict[str, Any]) -> None:
    run = copy.deepcopy(document["runs"][0])
    leak = {"file": "/usr/lib/python3.11/site-packages/shop/cart.py", "line": 7, "function": "Cart.add"}
    run["tracked"]["leaks"] = [leak]
    run["tracked"]["steady"].update(
        steady=False, reason="", limit_bytes=3_000_000, current_bytes=2_000_000, highest_bytes=2_000_000
    )
    run["tracked"]["steady"].update(slope_bytes_per_s=10_000.0, slope_low=10_000.0, slope_high=10_000.0)
    shown = next(each for each in sections({**document, "runs": [run]}) if each.title == "Verdicts")
    said = {row[1]: row[2:] for row in shown.rows}
    assert said["leaks"] == ("1", "shop/cart.py:7 Cart.add")
    assert said["steady state"] == ("no", "use rises by 10.0 kB/s, and would reach the limit of 3.0 MB in 2 min")


def test_what_cannot_be_measured_is_one_line(sources: Path, tmp_path: Path) -> None:
    done = run_flyweight("bench", "memory", str(sources), "--files", "9", cwd=tmp_path, home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith("holds 4 rust files, 9 are needed: name another PATH, or say --files 4")
    )


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1] if len(sys.argv) > 1 else {programs!r})
from conversation import chunks_of, serve

class Program:
    def init(self):
        print("noise")
    def index(self, directory):
        self.chunks = list(chunks_of(directory))
        return len(self.chunks)
    def query(self, text):
        return sum(text.split()[0] in chunk for _, chunk in self.chunks)

serve(Program())
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A peer that searches for words."""
    program = tmp_path / "other.py"
    program.write_text(PROGRAM.format(programs=str(Path(peers.__file__).parent / "peer_programs")))
    monkeypatch.setitem(peers.PEERS, "other", Peer(str(program.with_suffix("")), ("click",), "a search for words"))
    return "other"


def test_a_peer_does_the_same_job(other: str, job: Job, tmp_path: Path) -> None:
    tree = job.copy_to(tmp_path / "tree")
    run = measure_peer(other, sys.executable, job, tree, tmp_path / "work", Effort(points=4, repeats=1))
    assert [phase.name for phase in run.phases] == list(PHASES)
    assert [(query["query"], query["first"]["hits"] > 0) for query in run.queries] == [
        ("error handling", True),
        ("database connection", True),
    ]
    assert run.chunks > 0
    assert len(run.growth) == 5
    assert run.about.startswith("click ")


def test_a_peer_that_is_not_installed_says_so(other: str, job: Job, tmp_path: Path) -> None:
    peers.PEERS[other] = Peer("other", ("no-such-package-of-ours",), "nothing")
    with pytest.raises(PeerMissing, match=f"no-such-package-of-ours not installed in {sys.executable}"):
        measure_peer(other, sys.executable, job, tmp_path, tmp_path / "work", Effort())


def test_a_peer_that_fails_says_how(other: str, job: Job, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("raise SystemExit('no disk left')")
    with pytest.raises(PeerMissing, match="status 1: no disk left"):
        measure_peer(other, sys.executable, job, tmp_path, tmp_path / "work", Effort())


def test_a_measured_process_that_is_silent_is_given_up() -> None:
    with (
        LineProcess([sys.executable, "-c", "input()"], keep_errors=True, timeout_s=0.2) as process,
        pytest.raises(ProcessEnded, match=r"no answer within 0\.2 s"),
    ):
        process.answer()


def test_the_bare_interpreter_holds_nothing() -> None:
    with BareInterpreter() as bare, LineProcess([sys.executable, "-c", WITH_JSON]) as other:
        other.answer()
        assert bare.memory().private_bytes < other.memory().private_bytes


WITH_JSON = "import json, sys; print(flush=True); sys.stdin.readline()"


def test_the_measured_process_loads_nothing_of_the_observer() -> None:
    script = Path(peers.__file__).with_name("measured.py")
    done = run_script(
        f"""
import io, sys
sys.stdin = io.StringIO("")
with open({str(script)!r}) as script:
    exec(compile(script.read(), script.name, "exec"), {{"__name__": "__main__"}})
print([name for name in sys.modules if name.startswith(("flyweight.observe", "json", "typing", "rich"))])
"""
    )
    assert done == "ready\n[]\n"
    assert subprocess.run([sys.executable, str(script)], input="", capture_output=True, text=True).stdout == "ready\n"


def test_the_measuring_process_maps_nothing_of_the_engine() -> None:
    shown = run_script(
        """
import sys
import flyweight.cli.bench
print([name for name in sys.modules if name.startswith("flyweight._") or name == "flyweight.engine"])
"""
    )
    assert shown == "[]\n"
