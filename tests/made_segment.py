"""Segments written file by file, with vectors the test chooses."""

from __future__ import annotations

import os
import random
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from source_tree import WORDS

from flyweight._build import SegmentBuilder
from flyweight._search import Searcher
from flyweight.index.chunk import Chunk
from flyweight.index.manifest import Manifest, SegmentEntry, write_manifest

Vectors = NDArray[np.float32]


class MadeFile:
    """A file to be: its path and its chunks' texts, each with a symbol and a vector (by default one of zeros)."""

    def __init__(
        self,
        path: str,
        texts: list[str | bytes],
        *,
        symbols: list[str] | None = None,
        vectors: Vectors | None = None,
        language: str = "python",
        skipped: str | None = None,
    ) -> None:
        self.path = path
        self.texts = [text.encode() if isinstance(text, str) else text for text in texts]
        self.symbols = symbols or [""] * len(texts)
        self.vectors = vectors
        self.language = language
        self.skipped = skipped


def made_files(seed: int, count: int, first: int = 0, dimensions: int = 64) -> list[MadeFile]:
    """Files numbered from `first`, of up to five chunks with symbols and random vectors; a tenth of them skipped."""
    draw = random.Random(seed)
    files = []
    for number in range(first, first + count):
        path = f"{draw.choice(WORDS)}/{draw.choice(WORDS)}{number}.py"
        if draw.random() < 0.1:
            files.append(MadeFile(path, ["binary"], skipped=draw.choice(["binary", "minified"])))
            continue
        texts = [" ".join(draw.choices(WORDS, k=draw.randrange(1, 30))) for _ in range(draw.randrange(6))]
        symbols = [draw.choice(WORDS) if draw.random() < 0.7 else "" for _ in texts]
        vectors = np.random.default_rng(seed + number).standard_normal((len(texts), dimensions))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        language = draw.choice(["python", "rust", "go"])
        files.append(MadeFile(path, texts, symbols=symbols, vectors=vectors.astype(np.float32), language=language))
    return files


def write_segment(path: Path, files: list[MadeFile], dimensions: int = 64, meta: bytes = b"made") -> Path:
    builder = SegmentBuilder(os.fsencode(path), dimensions, meta)
    for file in files:
        data = b"\n".join(file.texts)
        digest = blake2b(data, digest_size=16).digest()
        if file.skipped is not None:
            builder.add_skipped(file.path, file.skipped, digest, len(data), 7)
            continue
        chunks, start, line = [], 0, 1
        for text, symbol in zip(file.texts, file.symbols, strict=True):
            end, last = start + len(text), line + text.count(b"\n")
            chunks.append(Chunk(start, end, line, last, symbol, "", "function", (symbol,) if symbol else ()))
            start, line = end + 1, last + 1
        vectors = np.zeros((len(chunks), dimensions), np.float32) if file.vectors is None else file.vectors
        builder.add_file(file.path, file.language, digest, 7, data, chunks, vectors.astype("<f4").tobytes())
    builder.finish()
    return path


def write_index(directory: Path, files: list[MadeFile], *, root: Path, embedder: str, dimensions: int) -> Path:
    """An index of one segment that claims to have been made by `embedder`."""
    directory.mkdir()
    meta = f"embedder={embedder}\ndimensions={dimensions}\n".encode()
    path = write_segment(directory / "made.segment", files, dimensions, meta)
    chunks = sum(len(file.texts) for file in files if file.skipped is None)
    entry = SegmentEntry(path.name, path.stat().st_size, len(files), chunks)
    manifest = Manifest(
        generation=1, root=str(root), embedder=embedder, dimensions=dimensions, complete=True, segments=[entry]
    )
    write_manifest(str(directory), manifest)
    return directory


def searcher_over(*segments: Path | tuple[Path, str]) -> Searcher:
    """A searcher without a model over segments, each with the list of its dead files if it has any."""
    searcher = Searcher(None, 0, 10, 0.0)
    pairs = [part if isinstance(part, tuple) else (part, "") for part in segments]
    searcher.load((0, 0, 0), [(os.fsencode(path), dead) for path, dead in pairs])
    return searcher
