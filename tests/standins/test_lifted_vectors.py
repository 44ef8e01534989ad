from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("numpy")

import numpy as np

from tests.standins.lifted_vectors import lifted_vector

# A daemon thread keeps the module's names alive to the end, as a server or a cycle of references may.
SCRIPT = """
import threading
from tests.standins.lifted_vectors import token_count
print(token_count("model"))
threading.Thread(target=lambda kept: threading.Event().wait(), args=(token_count,), daemon=True).start()
"""


@pytest.mark.parametrize("dimensions", [256, 384, 1024, 1536])
def test_texts_are_as_near_to_each_other_in_any_number_of_dimensions(dimensions: int) -> None:
    texts = ("wait between attempts", "retry with backoff", "parse an XML document")
    model = np.stack([lifted_vector(text, 256) for text in texts])
    lifted = np.stack([lifted_vector(text, dimensions) for text in texts])
    assert lifted.shape == (3, dimensions)
    assert np.linalg.norm(lifted, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert lifted @ lifted.T == pytest.approx(model @ model.T, abs=1e-5)


def test_the_model_does_not_outlive_the_interpreter() -> None:
    outcome = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert (outcome.stdout, outcome.stderr) == ("1\n", "")
