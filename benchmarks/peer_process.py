"""Runs a peer in its own interpreter and process, and says plainly when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.evaluation_set import Unavailable
from flyweight.observe.bench.line_process import LineProcess

_ROOT = Path(__file__).resolve().parents[1]


class PeerProcess(LineProcess):
    """A process of the module ``benchmarks.peers.MODULE``; requests and answers are JSON objects."""

    def __init__(self, python: Path, module: str, environment: dict[str, str] | None = None) -> None:
        settings = os.environ | {"PYTHONPATH": str(_ROOT), "TOKENIZERS_PARALLELISM": "true"} | (environment or {})
        super().__init__([str(python), "-m", f"benchmarks.peers.{module}"], settings)
        self.answer()

    def ask(self, verb: str, **request: object) -> dict[str, Any]:
        answer = json.loads(self.tell(json.dumps({"verb": verb, **request})))
        assert isinstance(answer, dict)
        return answer


def require(python: Path | None, package: str) -> Path:
    """The peers' interpreter if it has ``package``; raises Unavailable with the way out if not."""
    if python is None or not python.exists():
        raise Unavailable("peers are not installed: run 'make bench-peers'")
    done = subprocess.run([str(python), "-c", f"import {package}"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"{package} cannot be imported by {python} ({reason}): run 'make bench-peers'")
    return python
