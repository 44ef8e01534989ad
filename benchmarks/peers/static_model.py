"""Writes a token table as a model2vec directory, so that a peer embeds with the same model as we do.

    python -m benchmarks.peers.static_model TABLE.npz DIRECTORY

TABLE.npz holds ``vocab`` (WordPiece tokens in the order of their rows) and ``table`` (float32, one row per
token).
"""

from __future__ import annotations

import sys

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer


def convert(table_path: str, directory: str) -> None:
    with np.load(table_path) as archive:
        vocabulary = [str(token) for token in archive["vocab"]]
        table = np.ascontiguousarray(archive["table"], dtype=np.float32)
    unknown = "[UNK]"
    if unknown not in vocabulary:
        vocabulary.append(unknown)
        table = np.vstack([table, np.zeros((1, table.shape[1]), dtype=np.float32)])
    numbered = {token: row for row, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(numbered, unk_token=unknown, max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    StaticModel(table, tokenizer, normalize=True).save_pretrained(directory)


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2])
