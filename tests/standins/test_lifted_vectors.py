from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("numpy")

# A daemon thread keeps the module's names alive to the end, as a server or a cycle of references may.
SCRIPT = """
import threading
from tests.standins.lifted_vectors import token_count
print(token_count("model"))
threading.Thread(target=lambda kept: threading.Event().wait(), args=(token_count,), daemon=True).start()
"""


def test_the_model_does_not_outlive_the_interpreter() -> None:
    outcome = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert (outcome.stdout, outcome.stderr) == ("1\n", "")
