# mypy: ignore-errors
"""Writes our model as a model2vec directory, so that a peer embeds with the same table: MODEL DIRECTORY.

The model file is that of docs/model-format.md: six sections, whose places begin at byte 64.
"""

from __future__ import annotations

import struct
import sys

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

UNKNOWN = "[UNK]"


def convert(model_path: str, directory: str) -> None:
    with open(model_path, "rb") as file:
        data = file.read()
    dimensions, tokens = struct.unpack_from("<II", data, 12)
    places = [struct.unpack_from("<QQ", data, 64 + 24 * number) for number in range(6)]
    _, ends_of_words, words, _, scales, rows = (data[offset : offset + length] for offset, length in places)
    ends = np.frombuffer(ends_of_words, "<u4").tolist()
    vocabulary = [words[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    table = np.frombuffer(rows, np.int8).reshape(tokens, dimensions).astype(np.float32)
    table *= np.frombuffer(scales, "<f4")[:, None]
    if UNKNOWN not in vocabulary:
        vocabulary.append(UNKNOWN)
        table = np.vstack([table, np.zeros((1, dimensions), dtype=np.float32)])
    numbered = {token: row for row, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(numbered, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    StaticModel(table, tokenizer, normalize=True).save_pretrained(directory)


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2])
