"""Asks a module that runs as a program: a request in JSON as its argument, an answer in its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.settings import REPOSITORY_ROOT

_TIMEOUT_S = 300


class ChildFailed(Exception):
    """A measured process failed; says how."""


def ask(module: str, request: dict[str, Any], prefix: Sequence[str] = ()) -> dict[str, Any]:
    """The answer of one child process.  Raises ChildFailed with the end of its standard error."""
    # One hash seed: two processes that lay their dictionaries out differently are not doing the same work.
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY_ROOT),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [*prefix, sys.executable, "-P", "-m", module, json.dumps(request)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(f"no answer within {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ChildFailed(f"status {done.returncode}: {reason}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(answer, dict)
    return answer
