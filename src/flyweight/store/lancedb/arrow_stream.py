"""Record batches through Arrow's C interfaces, as Python lists; what pyarrow would be loaded for, which costs 40 MB.

Specifications: https://arrow.apache.org/docs/format/CDataInterface.html, CStreamInterface.html and
CDataInterface/PyCapsuleInterface.html.
"""

from __future__ import annotations

import ctypes
from array import array
from itertools import count
from typing import Any

_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.c_void_p),
    ("release", _RELEASE),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.c_void_p),
    ("release", _RELEASE),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)),
    ("release", _RELEASE),
    ("private_data", ctypes.c_void_p),
]

# Formats of the specification: Python's typecode and the name that str(pyarrow.DataType) gives.
_NUMBERS = {
    b"i": ("i", "int32"),
    b"I": ("I", "uint32"),
    b"l": ("q", "int64"),
    b"L": ("Q", "uint64"),
    b"f": ("f", "float"),
}
_TEXTS = {b"u": ("i", "string"), b"U": ("q", "large_string"), b"z": ("i", "binary"), b"Z": ("q", "large_binary")}

Columns = dict[str, list[Any]]


_exported: dict[int, tuple[Any, ...]] = {}  # what must live until LanceDB releases it
_numbered = count(1)


class RecordBatchReader:
    """Stands for pyarrow's where LanceDB's core hands over a stream."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    @staticmethod
    def _import_from_c(address: int) -> RecordBatchReader:
        return RecordBatchReader(_moved(_Stream, address))

    def read_next_batch(self) -> Columns:
        schema, batch = _Schema(), _Array()
        here = ctypes.addressof(self._stream)
        try:
            for status in (self._stream.get_schema(here, schema), self._stream.get_next(here, batch)):
                if status:
                    said = self._stream.get_last_error(here) or b""
                    raise OSError(status, said.decode("utf-8", "replace"))
            return _columns(schema, batch)
        finally:
            for part in (batch, schema, self._stream):
                _release(part)


class Schema:
    """Stands for pyarrow's: `metadata`, and fields of a name and a type."""

    def __init__(self, schema: _Schema) -> None:
        self.metadata = _metadata(schema.metadata)
        self._fields = {field.name: field for field in map(Field, _children(schema))}

    @staticmethod
    def _import_from_c(address: int) -> Schema:
        schema = _moved(_Schema, address)
        try:
            return Schema(schema)
        finally:
            _release(schema)

    def field(self, name: str) -> Field:
        return self._fields[name]


class Field:
    def __init__(self, schema: _Schema) -> None:
        self.name = schema.name.decode()
        self.type = _type_name(schema)


class Vector:
    """float32 bytes as an array that LanceDB's core takes for a query."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        number = next(_numbered)
        buffer = ctypes.create_string_buffer(self._data, len(self._data))
        buffers = (ctypes.c_void_p * 2)(None, ctypes.addressof(buffer))
        schema = _Schema(format=b"f", name=b"", flags=2, release=_IGNORE)
        values = _Array(
            length=len(self._data) // 4,
            n_buffers=2,
            buffers=ctypes.cast(buffers, ctypes.POINTER(ctypes.c_void_p)),
            release=_FORGET,
            private_data=number,
        )
        _exported[number] = (buffer, buffers, schema, values)
        return _capsule(ctypes.addressof(schema), b"arrow_schema"), _capsule(ctypes.addressof(values), b"arrow_array")


def columns_of(batch: Any) -> Columns:
    """Of a batch from `RecordBatchReader`, or from the real pyarrow where that is loaded."""
    if isinstance(batch, dict):
        return batch
    schema_capsule, array_capsule = batch.__arrow_c_array__()
    schema = _Schema.from_address(_pointer(schema_capsule, b"arrow_schema"))
    return _columns(schema, _Array.from_address(_pointer(array_capsule, b"arrow_array")))


def _columns(schema: _Schema, batch: _Array) -> Columns:
    fields = _children(schema)
    return {field.name.decode(): _values(field, batch.children[i].contents) for i, field in enumerate(fields)}


def _values(field: _Schema, values: _Array) -> list[Any]:
    length, offset, kind = values.length, values.offset, field.format
    if not length:
        return []
    if kind in _NUMBERS:
        typecode = _NUMBERS[kind][0]
        read: list[Any] = _numbers(values.buffers[1], typecode, offset, length).tolist()
    elif kind in _TEXTS:
        ends = _numbers(values.buffers[1], _TEXTS[kind][0], offset, length + 1)
        data = ctypes.string_at(values.buffers[2], ends[-1]) if ends[-1] else b""
        read = [data[ends[i] : ends[i + 1]] for i in range(length)]
        if kind in (b"u", b"U"):
            read = [text.decode("utf-8", "replace") for text in read]
    elif kind in (b"+l", b"+L"):
        ends = _numbers(values.buffers[1], "i" if kind == b"+l" else "q", offset, length + 1)
        items = _values(_children(field)[0], values.children[0].contents)
        read = [items[ends[i] : ends[i + 1]] for i in range(length)]
    elif kind.startswith(b"+w:") and _children(field)[0].format == b"f":
        size = int(kind[3:])
        items_at = values.children[0].contents
        first = (items_at.offset + offset * size) * 4
        data = ctypes.string_at(items_at.buffers[1] + first, length * size * 4)
        read = [data[i * size * 4 : (i + 1) * size * 4] for i in range(length)]
    else:
        raise TypeError(f"the column {field.name.decode()!r} has a type that is not read here: {kind.decode()!r}")
    validity = values.buffers[0] if values.null_count else None
    if validity:
        bits = ctypes.string_at(validity, (offset + length + 7) // 8)
        read = [read[i] if bits[(offset + i) // 8] >> (offset + i) % 8 & 1 else None for i in range(length)]
    return read


def _numbers(address: int, typecode: str, offset: int, length: int) -> array[Any]:
    numbers = array(typecode)
    size = numbers.itemsize
    numbers.frombytes(ctypes.string_at(address + offset * size, length * size))
    return numbers


def _children(schema: _Schema) -> list[_Schema]:
    return [schema.children[i].contents for i in range(schema.n_children)]


def _type_name(schema: _Schema) -> str:
    kind = schema.format
    if kind in _NUMBERS:
        return _NUMBERS[kind][1]
    if kind in _TEXTS:
        return _TEXTS[kind][1]
    if kind == b"+l" or kind.startswith(b"+w:"):
        item = f"item: {_type_name(_children(schema)[0])}"
        return f"list<{item}>" if kind == b"+l" else f"fixed_size_list<{item}>[{int(kind[3:])}]"
    return str(kind, "ascii", "replace")


def _metadata(address: int | None) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    if not address:
        return found

    def number() -> int:
        nonlocal address
        value = ctypes.c_int32.from_address(address).value
        address += 4
        return value

    def text() -> bytes:
        nonlocal address
        length = number()
        value = ctypes.string_at(address, length)
        address += length
        return value

    for _ in range(number()):
        key = text()
        found[key] = text()
    return found


def _moved(kind: Any, address: int) -> Any:
    """The structure at `address`, which from now on is ours to release."""
    moved = kind()
    ctypes.memmove(ctypes.byref(moved), address, ctypes.sizeof(kind))
    kind.from_address(address).release = _RELEASE()
    return moved


def _release(part: Any) -> None:
    if part.release:
        part.release(ctypes.addressof(part))


def _ignore(address: int) -> None:
    _Schema.from_address(address).release = _RELEASE()


def _forget(address: int) -> None:
    values = _Array.from_address(address)
    number = values.private_data
    values.release = _RELEASE()
    _exported.pop(number, None)


# Made once: one that went with its array would be freed while it runs, and of a schema maybe before.
_IGNORE, _FORGET = _RELEASE(_ignore), _RELEASE(_forget)


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _capsule(address: int, name: bytes) -> object:
    return _new_capsule(address, name, None)


def _pointer(capsule: object, name: bytes) -> int:
    return int(_get_pointer(capsule, name))
