"""A capture as a pprof profile: https://github.com/google/pprof/blob/main/proto/profile.proto, gzipped.

Sample types are named as Go's heap profiles name them, so that tools know what they mean, with the bytes at the peak
behind them. Each sample is labelled with its domain and component; mappings are the program and its native libraries.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from flyweight.observe.call_chains import call_chains
from flyweight.observe.document import Document

# In the order of call_chains.MEASURES.
SAMPLE_TYPES = (
    ("inuse_space", "bytes"),
    ("inuse_objects", "count"),
    ("alloc_space", "bytes"),
    ("alloc_objects", "count"),
    ("peak_space", "bytes"),
)
_VARINT, _LENGTH = 0, 2  # wire types: https://protobuf.dev/programming-guides/encoding


def pprof(document: Document) -> bytes:
    """The profile, gzipped as readers expect it."""
    frames, chains = call_chains(document)
    program, report = document["program"], document["report"]
    strings = _Strings()
    parts = [_message(1, _value_type(strings, *kind)) for kind in SAMPLE_TYPES]
    for chain in chains:
        labels = (("domain", chain.domain), ("component", chain.component))
        sample = _packed(1, [number + 1 for number in reversed(chain.frames)])  # the innermost comes first
        sample += _packed(2, chain.values)
        for key, value in labels:
            if value:
                sample += _message(3, _number(1, strings[key]) + _number(2, strings[value]))
        parts.append(_message(2, sample))
    mappings = {(program["arguments"] or ["python"])[0]: 1}
    locations: list[bytes] = []
    functions: list[bytes] = []
    numbers: dict[tuple[str, str], int] = {}
    for place, (file, line, function) in enumerate(frames, 1):
        native = line <= 0 and "/" in file  # the file is a library then
        mapping = mappings.setdefault(file, len(mappings) + 1) if native else 1
        name = function or file
        number = numbers.setdefault((name, file), len(numbers) + 1)
        if number > len(functions):
            functions.append(
                _message(
                    5,
                    _number(1, number)
                    + _number(2, strings[name])
                    + _number(3, strings[name])
                    + _number(4, strings[file]),
                )
            )
        where = _number(1, number) + _number(2, max(line, 0))
        locations.append(_message(4, _number(1, place) + _number(2, mapping) + _message(4, where)))
    for file, number in mappings.items():
        # Names are there already: no tool need look for symbols.
        parts.append(
            _message(
                3, _number(1, number) + _number(5, strings[file]) + b"".join(_number(field, 1) for field in (7, 8, 9))
            )
        )
    parts += locations + functions
    comment = strings[f"flyweight capture of {' '.join(program['arguments'])}"]
    space = _value_type(strings, "space", "bytes")
    default = strings[SAMPLE_TYPES[0][0]]
    parts += [_message(6, text) for text in strings.encoded()]
    parts += [
        _number(9, round(program["taken_unix_s"] * 1e9)),
        _number(10, round(program["elapsed_s"] * 1e9)),
        _message(11, space),
        _number(12, report["sample_interval_bytes"] if report["estimated"] else 1),
        _packed(13, [comment]),
        _number(14, default),
    ]
    return gzip.compress(b"".join(parts), mtime=0)


class _Strings:
    """The string table: numbers by text; the first is the empty one."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def __getitem__(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def encoded(self) -> Iterable[bytes]:
        return [text.encode("utf-8", "backslashreplace") for text in self._numbers]


def _value_type(strings: _Strings, kind: str, unit: str) -> bytes:
    return _number(1, strings[kind]) + _number(2, strings[unit])


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as two's complement
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(content)) + content


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_varint, values)))
