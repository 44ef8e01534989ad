"""Scripts in an interpreter of their own, free of what the tests have imported."""

from __future__ import annotations

import os
import subprocess
import sys


def run_script(script: str, *arguments: str | os.PathLike[str], timeout_s: float = 500.0) -> str:
    """What the script printed. Fails with its error when it ends in one, or does not end in time."""
    outcome = subprocess.run(
        [sys.executable, "-P", "-c", script, *map(os.fspath, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert outcome.returncode == 0, f"status {outcome.returncode}\n{outcome.stdout}\n{outcome.stderr}"
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome.stdout
