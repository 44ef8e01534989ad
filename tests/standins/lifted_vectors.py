"""Vectors that mean something in any number of dimensions: the static model's, turned into a larger space."""

from __future__ import annotations

import atexit
import re
from functools import cache

import numpy as np
import numpy.typing as npt

from flyweight._search import StaticModel
from flyweight.embed.static import model_path

_MODEL_DIMENSIONS = 256
_MARK = re.compile(r"[^\w\s]")


@cache
def _model() -> StaticModel:
    return StaticModel(model_path())


# Native objects that outlive the interpreter are reported as leaked.
atexit.register(_model.cache_clear)


@cache
def _lift(dimensions: int) -> npt.NDArray[np.float32]:
    """A fixed turn of the model's space into one of `dimensions`: cosines stay as they were when none are lost."""
    drawn = np.random.default_rng(dimensions).standard_normal((max(dimensions, 256), _MODEL_DIMENSIONS))
    # By Cholesky instead of np.linalg.qr, whose threads wait for each other: seconds where the machine is busy.
    basis = np.linalg.solve(np.linalg.cholesky(drawn.T @ drawn), drawn.T).T
    return np.ascontiguousarray(basis[:dimensions], dtype=np.float32)


def token_count(text: str) -> int:
    """The static model's tokens, and the marks between them that it leaves out: about as many as services count."""
    return max(1, len(_model().tokenize(text.encode("utf-8", "surrogatepass"))) + len(_MARK.findall(text)))


def lifted_vector(text: str, dimensions: int) -> npt.NDArray[np.float32]:
    """Of length one; a text without known tokens points into a direction of its own."""
    vector = np.frombuffer(_model().embed(text.encode("utf-8", "surrogatepass"), _MODEL_DIMENSIONS), "<f4")
    if not vector.any():
        vector = np.random.default_rng(len(text)).standard_normal(_MODEL_DIMENSIONS).astype(np.float32)
    lifted = _lift(dimensions) @ vector
    return np.asarray(lifted / np.linalg.norm(lifted), dtype=np.float32)
