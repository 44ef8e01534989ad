"""Runs the programs beside it, each in an interpreter of its own, for the tests that name them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT_S = 500


def cases(program: str) -> list[str]:
    """The cases that a program has: its functions that take nothing, in order, up to its main part."""
    body = ast.parse((HERE / f"{program}.py").read_text()).body
    return [
        each.name
        for each in body
        if isinstance(each, ast.FunctionDef)
        and not each.args.args
        and not each.args.vararg
        and not each.name.startswith("_")
        and each.name not in ("has",)
    ]


def survive(
    program: str,
    case: str,
    mode: str = "native",
    *,
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs one case of a program under a mode of recording; any other ending than its own is a failure."""
    found = subprocess.run(
        [sys.executable, "-X", "faulthandler", *options, str(HERE / f"{program}.py"), mode, case],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (found.returncode, found.stdout) == (0, "survived\n"), f"{found.returncode}\n{found.stdout}\n{found.stderr}"
