"""Writes and reads a model file, as `docs/model-format.md` specifies it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAGIC = b"FLYWMOD\n"
VERSION = 1
HEADER_BYTES = 256
ALIGNMENT = 64
SLOTS_PER_BUCKET = 8
# At most 0.55 entries per slot: a bucket of eight then overflows once in a hundred.
MAX_LOAD = 0.55

_MASK = 2**64 - 1


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def word_hash(word: str) -> int:
    """Hash of a vocabulary entry: FNV-1a from a start that depends on `##`, then MurmurHash3's finalizer."""
    continuation = word.startswith("##")
    state = 0x84222325CBF29CE4 if continuation else 0xCBF29CE484222325
    for byte in word.removeprefix("##").encode():
        state = (state ^ byte) * 0x100000001B3 & _MASK
    state = (state ^ state >> 33) * 0xFF51AFD7ED558CCD & _MASK
    state = (state ^ state >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return state ^ state >> 33


def _buckets(vocabulary: list[str]) -> npt.NDArray[np.uint64]:
    count = 1
    while count * SLOTS_PER_BUCKET * MAX_LOAD < len(vocabulary):
        count *= 2
    buckets: list[list[int]] = [[] for _ in range(count)]
    for number, word in enumerate(vocabulary):
        hashed = word_hash(word)
        home = hashed & (count - 1)
        while len(buckets[home]) == SLOTS_PER_BUCKET:
            home = (home + 1) & (count - 1)
        buckets[home].append(hashed & ~0xFFFF | number + 1)
    slots = np.zeros((count, SLOTS_PER_BUCKET), np.uint64)
    for home, entries in enumerate(buckets):
        slots[home, : len(entries)] = entries
    identities = [(word_hash(word) & ~0xFFFF) for word in vocabulary]
    if len(set(identities)) != len(vocabulary):
        raise ValueError("two words of the vocabulary have the same 48-bit hash: change the hash's start")
    return slots


def quantized(table: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """int8 rows and the scale of each: row * scale is nearest to the given one."""
    scales = np.abs(table).max(axis=1) / 127
    scales[scales == 0] = 1
    rows = np.rint(table / scales[:, None]).astype(np.int8)
    return rows, scales.astype(np.float32)


def write_model(
    path: Path, vocabulary: list[str], table: npt.NDArray[np.float32], model_id: str, provenance: str
) -> None:
    """Writes the file whole or not at all. `table` is float32 [tokens, dimensions], weights included."""
    rows, scales = quantized(table)
    words = [word.encode("ascii") for word in vocabulary]
    buckets = _buckets(vocabulary)
    sections = [
        model_id.encode() + b"\0" + provenance.encode(),
        np.cumsum([len(word) for word in words]).astype("<u4").tobytes(),
        b"".join(words),
        buckets.astype("<u8").tobytes(),
        scales.astype("<f4").tobytes(),
        rows.tobytes(),
    ]
    body = b""
    entries = b""
    for section in sections:
        padded = section + bytes(-len(section) % ALIGNMENT)
        entries += struct.pack("<QQII", HEADER_BYTES + len(body), len(section), crc32c(padded), 0)
        body += padded
    header = struct.pack(
        "<8sIIIIIIQ24x",
        MAGIC,
        VERSION,
        table.shape[1],
        len(vocabulary),
        len(buckets),
        max(len(word.removeprefix("##")) for word in vocabulary),
        len(sections),
        HEADER_BYTES + len(body),
    )
    header = (header + entries).ljust(HEADER_BYTES - 4, b"\0")
    partial = path.with_suffix(".partial")
    partial.write_bytes(header + struct.pack("<I", crc32c(header)) + body)
    os.replace(partial, path)


def read_model(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Vocabulary and float32 table of a model file, which is trusted."""
    data = path.read_bytes()
    dimensions, tokens = struct.unpack_from("<II", data, 12)
    sections = []
    for number in range(6):
        offset, length = struct.unpack_from("<QQ", data, 64 + 24 * number)
        sections.append(data[offset : offset + length])
    ends = np.frombuffer(sections[1], "<u4")
    starts = np.concatenate([[0], ends[:-1]])
    vocabulary = [sections[2][a:b].decode() for a, b in zip(starts, ends, strict=True)]
    rows = np.frombuffer(sections[5], np.int8).reshape(tokens, dimensions)
    return vocabulary, rows.astype(np.float32) * np.frombuffer(sections[4], "<f4")[:, None]
