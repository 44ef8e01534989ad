from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_process import Run, on_terminal

from flyweight import cli

ESCAPE = "\x1b"


def test_a_result_is_a_heading_and_indented_code(shared_project: Path, run: Run) -> None:
    outcome = run("search", "post", "an", "amount", "to", "an", "account", cwd=shared_project)
    assert outcome.returncode == 0
    heading, first_line, *_ = outcome.stdout.splitlines()
    place, language, symbol, score = heading.split("\t")
    path, _, lines = place.partition(":")
    assert path == "bank/ledger.py"
    assert re.fullmatch(r"\d+-\d+", lines)
    assert language == "python"
    assert "Ledger" in symbol
    assert float(score) > 0
    assert first_line.startswith("    ")


def test_results_come_best_first_and_no_more_than_asked(shared_project: Path, run: Run) -> None:
    hits = json.loads(run("search", "account", "--json", cwd=shared_project).stdout)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert len(json.loads(run("search", "account", "-k", "1", "--json", cwd=shared_project).stdout)) == 1


def test_json_has_all_there_is_to_know_and_paths_from_the_top(shared_project: Path, run: Run) -> None:
    hits = json.loads(run("search", "retry with backoff", "--json", cwd=shared_project / "net").stdout)
    assert hits[0]["path"] == "net/retry.rs"
    assert set(hits[0]) == {
        "path", "start_line", "end_line", "language", "kind", "symbol", "scope", "score", "text",
    }  # fmt: skip
    lines = (shared_project / "net/retry.rs").read_text().splitlines()
    assert hits[0]["text"] == "\n".join(lines[hits[0]["start_line"] - 1 : hits[0]["end_line"]])


@pytest.mark.parametrize(
    ("directory", "path"), [(".", "net/retry.rs"), ("net", "retry.rs"), ("bank", "../net/retry.rs")]
)
def test_the_index_is_found_from_below_and_paths_are_seen_from_there(
    directory: str, path: str, shared_project: Path, run: Run
) -> None:
    outcome = run("search", "retry with backoff", "-k", "1", "--no-text", cwd=shared_project / directory)
    assert outcome.stdout.startswith(f"{path}:")


def test_from_outside_of_the_tree_paths_are_absolute(shared_project: Path, tmp_path: Path, run: Run) -> None:
    index = str(shared_project / ".flyweight")
    outcome = run("search", "ledger", "--index", index, "-k", "1", "--no-text", cwd=tmp_path)
    assert outcome.stdout.startswith(f"{shared_project}/")


def test_filters_narrow_the_search(shared_project: Path, run: Run) -> None:
    def paths(*arguments: str) -> set[str]:
        hits = json.loads(run("search", "account", "--json", *arguments, cwd=shared_project).stdout)
        return {hit["path"] for hit in hits}

    assert paths("-l", "rs") == {"net/retry.rs"}
    assert paths("-l", "rust", "-l", "py") == {"net/retry.rs", "bank/ledger.py"}
    assert paths("--path", "bank/**") == {"bank/ledger.py"}
    assert {"bank/ledger.py", "net/retry.rs"}.isdisjoint(paths("--exclude", "bank", "--exclude", "*.rs"))


def test_nothing_found_is_said_and_is_status_1(shared_project: Path, run: Run) -> None:
    outcome = run("search", "ledger", "-l", "zig", cwd=shared_project)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr == "nothing found for 'ledger' with these filters\n"


def test_nothing_found_says_what_paths_and_scores_were_asked_for(shared_project: Path, run: Run) -> None:
    outcome = run("search", "ledger", "--path", f"{shared_project}/bank/ledger.py", cwd=shared_project)
    assert outcome.stderr == (
        f"nothing found for 'ledger' with these filters: paths are matched from the top of {shared_project}\n"
    )
    outcome = run("search", "ledger", "--min-score", "7.5", cwd=shared_project)
    assert outcome.stderr == "nothing found for 'ledger' that scores 7.5 or more\n"


def test_nothing_found_in_an_index_of_nothing_says_so(tmp_path: Path, run: Run) -> None:
    (tmp_path / "picture.png").write_bytes(b"\0" * 64)
    assert run("index", cwd=tmp_path).returncode == 0
    outcome = run("search", "ledger", cwd=tmp_path)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr == (
        "nothing found for 'ledger': the index holds nothing; "
        "'flyweight index --dry-run' says why each file is left out\n"
    )


def test_nothing_found_is_an_empty_array_in_json(shared_project: Path, run: Run) -> None:
    outcome = run("search", "ledger", "--min-score", "1000", "--json", cwd=shared_project)
    assert (outcome.returncode, json.loads(outcome.stdout)) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["x", "-l", "pyhton"], "flyweight: unknown language 'pyhton': did you mean python?"),
        (["x", "-l", "qqqqqq"], "flyweight: unknown language 'qqqqqq': 'flyweight status' lists"),
        (["x", "--path", "src/["], "flyweight: bad path pattern 'src/['"),
        (["x", "-k", "0"], "flyweight: limit must be a whole number from 1 to"),
        (["x", "-k", "many"], "'many' is not a valid integer"),
        (["x", "--min-score", "-1"], "flyweight: min_score must be a number that is not negative"),
        (["x", "--min-score", "nan"], "flyweight: min_score must be a number that is not negative"),
        ([" "], "flyweight: the query is empty"),
        ([], "Missing argument 'QUERY...'"),
        (["x", "--index", "nowhere"], "no index at "),
    ],
)
def test_a_wrong_argument_is_refused_with_the_reason(
    arguments: list[str], complaint: str, shared_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_project)
    outcome = CliRunner().invoke(cli._verbs, ["search", *arguments])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert complaint in outcome.stderr


def test_lines_limits_the_code_shown(shared_project: Path, run: Run) -> None:
    def lines(*arguments: str) -> int:
        outcome = run("search", "ledger", "-k", "1", *arguments, cwd=shared_project)
        return len(outcome.stdout.splitlines())

    assert lines("--lines", "2") == 3
    assert lines("--lines", "0") == lines("--no-text") == 1


def test_a_pipe_gets_no_escape_sequences(shared_project: Path, run: Run) -> None:
    assert ESCAPE not in run("search", "ledger", cwd=shared_project).stdout


def test_a_terminal_gets_highlighted_code_with_line_numbers(shared_project: Path) -> None:
    shown = on_terminal("search", "ledger", "-k", "1", cwd=shared_project)
    assert f"{ESCAPE}[" in shown
    bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.search(r"^bank/ledger\.py:\d+-\d+  python  .*\d\.\d{3}$", bare, re.MULTILINE)
    assert re.search(r"^ +\d+ +class Ledger:", bare, re.MULTILINE)


def test_colours_can_be_turned_off(shared_project: Path) -> None:
    shown = on_terminal("search", "ledger", "-k", "1", cwd=shared_project, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


def test_code_cannot_send_escape_sequences_to_the_terminal(project: Path, run: Run) -> None:
    (project / "evil.py").write_text("TITLE = '\x1b]0;gotcha\x07'  # zanzibar\n")
    assert run("index", cwd=project).returncode == 0
    for shown in (
        run("search", "zanzibar", "-k", "1", cwd=project).stdout,
        on_terminal("search", "zanzibar", "-k", "1", cwd=project),
    ):
        assert "gotcha" in shown
        assert f"{ESCAPE}]" not in shown


def test_file_names_that_would_split_a_line_are_escaped(project: Path, run: Run) -> None:
    (project / "two\nlines.py").write_text("zanzibar = 1\n")
    with open(os.fsencode(project) + b"/caf\xe9.py", "w") as file:
        file.write("zanzibar = 2\n")
    assert run("index", cwd=project).returncode == 0
    listing = run("search", "zanzibar", "--no-text", cwd=project).stdout
    assert "two\\nlines.py:1-1\t" in listing
    assert "caf\\xe9.py:1-1\t" in listing


def test_a_search_in_a_pipe_loads_nothing_that_draws(shared_project: Path) -> None:
    program = (
        "import sys; sys.argv[1:] = ['search', 'ledger']\n"
        "from flyweight.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "drawing = {'rich', 'pygments', 'json', 'flyweight.index.build', 'tree_sitter'}\n"
        "print(*drawing & set(sys.modules), file=sys.stderr)"
    )
    outcome = subprocess.run([sys.executable, "-c", program], cwd=shared_project, capture_output=True, text=True)
    assert outcome.stderr == "\n"


def test_a_result_that_no_longer_stands_is_pointed_out(indexed_project: Path, run: Run) -> None:
    time.sleep(0.05)
    (indexed_project / "bank/ledger.py").write_text("class Ledger:\n    pass\n")
    outcome = run("search", "post an amount to an account", cwd=indexed_project)
    assert outcome.returncode == 0
    assert outcome.stderr == "note: bank/ledger.py has changed since: 'flyweight index' brings the index up to date\n"


def test_a_file_that_was_touched_but_not_changed_is_not(indexed_project: Path, run: Run) -> None:
    os.utime(indexed_project / "bank/ledger.py", (time.time() + 10, time.time() + 10))
    assert run("search", "post an amount to an account", cwd=indexed_project).stderr == ""


def test_a_tree_that_was_moved_can_be_searched(indexed_project: Path, tmp_path: Path, run: Run) -> None:
    moved = indexed_project.rename(tmp_path / "elsewhere")
    outcome = run("search", "post an amount to an account", "-k", "1", "--no-text", cwd=moved)
    assert outcome.stdout.startswith("bank/ledger.py:")
    assert "'flyweight index --rebuild' corrects that" in outcome.stderr
    assert run("index", "--rebuild", cwd=moved).returncode == 0
    assert run("search", "ledger", cwd=moved).stderr == ""
