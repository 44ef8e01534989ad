"""The tour of the profiler, as a reader of the documentation runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_process import environment

TOUR = Path(__file__).parents[1] / "examples" / "memory_profile_demo.py"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def shown(directory: Path) -> dict[str, str]:
    """What the tour prints, by heading."""
    done = subprocess.run(
        [sys.executable, str(TOUR), "report.html"],
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    titles_and_texts = re.split(r"^== (.*)$", done.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True))


def test_the_budget_names_the_component_and_who_holds_most(shown: dict[str, str]) -> None:
    text = shown["A budget that is exceeded"]
    assert "over the budget of 600.0 kB" in text
    assert "answer" in text


def test_the_phases_show_the_heavy_import(shown: dict[str, str]) -> None:
    rows = re.findall(r"^(Started|Heavy import|Served) .* MB", shown["Where memory came from"], re.MULTILINE)
    assert rows == ["Started", "Heavy import", "Served"]


def test_all_but_a_hundredth_of_rss_has_a_name(shown: dict[str, str]) -> None:
    found = re.search(r"([\d.]+)% has a name", shown["Whose RSS is, row by row"])
    assert found is not None
    assert float(found[1]) >= 99


def test_the_leak_is_found_with_its_holder(shown: dict[str, str]) -> None:
    text = shown["What leaks, and who holds it"]
    assert re.search(r"^log_in, line \d+: growing; ", text, re.MULTILINE)
    assert "held by module __main__ -> sessions: list of " in text
    assert "answer, line" not in text


def test_the_cache_is_acquitted(shown: dict[str, str]) -> None:
    assert re.search(r"^answer, line \d+: steady; ", shown["What is old and innocent"], re.MULTILINE)


def test_the_report_is_one_page_of_html(shown: dict[str, str], directory: Path) -> None:
    assert "The whole report: report.html" in shown
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "log_in" in page
