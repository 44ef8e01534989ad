"""The C++ tests of the native part, built and run. `make sanitize` runs them under the sanitizers."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "native"


def _tool(name: str) -> str | None:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)


CMAKE, CTEST, NINJA = _tool("cmake"), _tool("ctest"), _tool("ninja")


@pytest.mark.skipif(CMAKE is None or CTEST is None, reason="cmake is not installed")
@pytest.mark.skipif(shutil.which("c++") is None and "CXX" not in os.environ, reason="no C++ compiler")
@pytest.mark.timeout(2400)  # all is compiled, and another run may be waited for that does the same
def test_the_native_tests_pass() -> None:
    # A fixed place, so that what has not changed is not built again; and one run at a time, for another Python's tests
    # beside this one would link the programs anew while these run.
    build = SOURCE.parents[1] / "build" / "native-tests"
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={NINJA}"] if NINJA else []
    build.mkdir(parents=True, exist_ok=True)
    with (build / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            [CMAKE, "-S", str(SOURCE), "-B", str(build), *generator],
            [CMAKE, "--build", str(build), "--parallel"],
            [CTEST, "--test-dir", str(build), "--output-on-failure"],
        ):
            outcome = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=900)
            assert outcome.returncode == 0, (
                f"{' '.join(map(str, command))}\n{outcome.stdout[-8000:]}\n{outcome.stderr[-4000:]}"
            )
