"""The token table that ships with Flyweight, as float32, for peers that are to embed with the same model."""

from __future__ import annotations

from pathlib import Path

from benchmarks.evaluation_set import Unavailable


def write_table(path: Path) -> None:
    """Write ``vocab`` and ``table`` (float32) of the shipped model to an .npz archive.

    The vocabulary is WordPiece's; peers split words their own way, which is theirs to answer for.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise Unavailable("numpy is needed to read our token table: pip install numpy") from error
    from flyweight.embed.static import model_path
    from training.model_file import read_model

    vocabulary, table = read_model(Path(model_path()))
    np.savez(path, vocab=np.array(vocabulary), table=table)
