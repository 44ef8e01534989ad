from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from command_process import environment

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def run_demo(path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), str(path)],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_demo_indexes_asks_and_measures(project: Path, tmp_path: Path) -> None:
    outcome = run_demo(project, tmp_path)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "Indexed 4 files, " in outcome.stdout
    assert len(re.findall(r"\d\.\d\d ms, again \d+ µs", outcome.stdout)) == 5
    figures = {
        name: float(private)
        for name, private in re.findall(
            r"^ +(resident|bare Python) +[\d.]+ MB +([\d.]+) MB", outcome.stdout, re.MULTILINE
        )
    }
    assert figures["resident"] > figures["bare Python"] > 0
    assert "bank/ledger.py" in outcome.stdout


def test_what_the_demo_says_to_type_next_works(project: Path, tmp_path: Path) -> None:
    said = run_demo(project, tmp_path).stdout.splitlines()[-1]
    command = said.removeprefix("The index stays: ").replace("your own question", "ledger")
    outcome = subprocess.run(
        command, shell=True, cwd=tmp_path, env={**environment(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    assert outcome.returncode == 0, outcome.stderr
    assert b"ledger.py" in outcome.stdout


def test_a_path_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    outcome = run_demo(tmp_path / "nowhere", tmp_path)
    assert outcome.returncode == 2
    assert "does not exist" in outcome.stdout
    assert "Traceback" not in outcome.stdout + outcome.stderr
