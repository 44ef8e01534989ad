"""From blocks to the live Python objects in them, without ever taking memory for an object.

Only references that the interpreter hands out are looked at: the collector's own list of objects, what those refer to,
and the keys of dicts. An object is *in* a block when its address, less what the interpreter puts before an object of
its type, is the block's address. Which part of it lies in other blocks (the items of a list, the table of a dict or
set, the values of an instance) is read from the object itself: one word at an offset that is fixed on the versions
named below, of an object that we hold a reference to. The addresses read there are compared and never followed.

Structures read, CPython 3.11, 3.12 and 3.13, 64 bit, with the GIL: PyListObject.ob_item, PyDictObject.ma_keys and
.ma_values, PySetObject.table, PyByteArrayObject.ob_bytes; on 3.11 and 3.12 the word before an instance that points to
its values (pycore_object.h; the shape of their block is new_values in dictobject.c).
"""

from __future__ import annotations

import gc
import sys
import time
from itertools import compress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ctypes import c_uint64
    from typing import Any

# PyGC_Head, and what _PyType_PreHeaderSize adds before it.
_GC_HEAD_BYTES = 16
_PRE_HEADER_BYTES = 16
# Py_TPFLAGS_HAVE_GC, _MANAGED_DICT and, from 3.12 on, _MANAGED_WEAKREF (object.h).
_HAVE_GC = 1 << 14
_MANAGED_DICT = 1 << 4
_PRE_HEADER = _MANAGED_DICT if sys.version_info < (3, 12) else _MANAGED_DICT | 1 << 3

_LIST_ITEMS = 24
_DICT_TABLE = 32
_DICT_VALUES = 40
_SET_TABLE = 40
_BYTEARRAY_BYTES = 32
_INSTANCE_VALUES = -32 if sys.version_info < (3, 12) else -24

# Objects whose referents are asked for at once: the lists stay small, the clock is looked at often enough.
_AT_ONCE = 512

_MAY_BE_UNTRACKED = frozenset((tuple, dict))
_UNLISTED = frozenset((bytearray, dict))

_flags_of = type.__dict__["__flags__"].__get__


class Found:
    """An object behind a block. `part` says what of it lies there, "" for the object itself; `holder` is the container
    it was found in where the collector does not know that."""

    __slots__ = ("holder", "object", "order", "part", "size_bytes")

    def __init__(self, found: object, part: str, holder: object, size_bytes: int, order: int) -> None:
        self.object = found
        self.part = part
        self.holder = holder
        self.size_bytes = size_bytes
        self.order = order


def bytes_before(kind: type) -> int:
    """What the interpreter puts before an object of this type: the object's address less this is that of its block."""
    flags = _flags_of(kind)
    return (_GC_HEAD_BYTES if flags & _HAVE_GC else 0) + (_PRE_HEADER_BYTES if flags & _PRE_HEADER else 0)


class Search:
    """The objects behind a set of blocks, searched for until all are found or the time is over.

    blocks: size by address, in the order that `Found.order` counts.
    """

    __slots__ = ("_deadline", "_ids", "_layouts", "_word", "complete", "found", "left")

    def __init__(self, blocks: dict[int, int], deadline: float) -> None:
        self.left = {address: (size, order) for order, (address, size) in enumerate(blocks.items())}
        self.found: list[Found] = []
        self.complete = True
        self._deadline = deadline
        # An object may begin at a block's address or behind its header.
        offsets = (0, _GC_HEAD_BYTES, _PRE_HEADER_BYTES + _GC_HEAD_BYTES)
        self._ids = {address + offset for address in blocks for offset in offsets}
        self._word = _word_reader()
        self._layouts: dict[type, tuple[tuple[int, str], ...]] = {}

    def run(self) -> None:
        self._everywhere(self._objects_themselves)
        self._nearby()
        self._everywhere(self._what_they_refer_to)
        self._everywhere(self._parts)

    def _everywhere(self, look: Callable[[list[object]], None]) -> None:
        for generation in (2, 1, 0):
            if not self.left or self._late():
                return
            look(gc.get_objects(generation=generation))

    def _nearby(self) -> None:
        """What a line allocates mostly hangs together: parts, members and neighbours of what was found already. In a
        heap of a million objects that spares most of the search."""
        near = [one.object for one in self.found]
        self._parts(near)
        self._what_they_refer_to(near)
        if self.left and near and not self._late():
            around = gc.get_referrers(near[0], near[len(near) // 2], near[-1])
            self._parts(around)
            self._what_they_refer_to(around)

    def _late(self) -> bool:
        if time.monotonic() < self._deadline:
            return False
        self.complete = False
        return True

    def _take(self, address: int, owner: object, part: str, holder: object = None) -> None:
        block = self.left.pop(address, None)
        if block is not None:
            self.found.append(Found(owner, part, holder, *block))

    def _look_at(self, objects: Iterable[object], holder: object = None) -> None:
        # Nearly all objects are others: no line of Python is run for those.
        objects = list(objects)
        for one in compress(objects, map(self._ids.__contains__, map(id, objects))):
            self._take(id(one) - bytes_before(type(one)), one, "", holder)

    def _objects_themselves(self, objects: list[object]) -> None:
        self._look_at(objects)

    def _what_they_refer_to(self, objects: list[object]) -> None:
        for start in range(0, len(objects), _AT_ONCE):
            if not self.left or self._late():
                return
            some = objects[start : start + _AT_ONCE]
            referents = gc.get_referents(*some)
            self._look_at(referents)
            for table in some:
                if issubclass(type(table), dict):
                    self._keys(table)
            # Containers of plain values only, which the collector has stopped to track: they hold objects all the same.
            for container in compress(referents, map(_MAY_BE_UNTRACKED.__contains__, map(type, referents))):
                if not gc.is_tracked(container):
                    self._inside(container, 0)

    def _keys(self, table: Any) -> None:
        # The collector passes over the keys of a dict whose keys are all strings: they cannot be part of a cycle.
        keys = dict.keys(table)
        if not self._ids.isdisjoint(map(id, keys)):
            self._look_at(keys, table)

    def _inside(self, container: object, depth: int) -> None:
        held = gc.get_referents(container)
        self._look_at(held, container)
        if type(container) is dict:
            self._keys(container)
        if depth < 8:
            for inner in held:
                if type(inner) is tuple and inner and not gc.is_tracked(inner):
                    self._inside(inner, depth + 1)

    def _parts(self, objects: list[object]) -> None:
        if self._word is None:
            return
        for start in range(0, len(objects), _AT_ONCE):
            if not self.left or self._late():
                return
            some = objects[start : start + _AT_ONCE]
            self._parts_of(some)
            # These two the collector does not list: it need not track them.
            referents = gc.get_referents(*some)
            self._parts_of(list(compress(referents, map(_UNLISTED.__contains__, map(type, referents)))))

    def _parts_of(self, objects: list[object]) -> None:
        at, layouts = self._word, self._layouts
        assert at is not None
        for one in objects:
            kind = type(one)
            layout = layouts.get(kind)
            if layout is None:
                layout = layouts[kind] = _layout_of(kind)
            for offset, part in layout:
                address = at(id(one) + offset).value
                if part:
                    if address in self.left:
                        self._take(address, one, part)
                elif address & 1:  # 3.12: values; even: a dict, or nothing
                    self._values(address + 1, one)
                elif sys.version_info < (3, 12) or offset > 0:
                    self._values(address, one)

    def _values(self, values: int, owner: object) -> None:
        # They lie behind a prefix of a byte for each, two more, rounded up to words. Its length stands in the byte
        # before them, but that is not ours to read: another thread may have freed them since. The block's size tells.
        for prefix in (8, 16, 24, 32):
            size_bytes = self.left.get(values - prefix, (0, 0))[0]
            if size_bytes and (size_bytes - prefix) // 8 + 2 in range(prefix - 7, prefix + 1):
                self._take(values - prefix, owner, "values")


def _layout_of(kind: type) -> tuple[tuple[int, str], ...]:
    """Where objects of a type keep the addresses of their parts, and what those are; "" for the values of an instance
    or dict, which do not begin where the address says."""
    found: list[tuple[int, str]] = []
    if issubclass(kind, list):
        found.append((_LIST_ITEMS, "items"))
    elif issubclass(kind, dict):
        found.append((_DICT_TABLE, "table"))
        if sys.version_info < (3, 13):
            found.append((_DICT_VALUES, ""))
    elif issubclass(kind, (set, frozenset)):
        found.append((_SET_TABLE, "table"))
    elif issubclass(kind, bytearray):
        found.append((_BYTEARRAY_BYTES, "bytes"))
    if _flags_of(kind) & _MANAGED_DICT and sys.version_info < (3, 13):
        found.append((_INSTANCE_VALUES, ""))
    return tuple(found)


def _word_reader() -> Callable[[int], c_uint64] | None:
    """What reads one word at an address; None where fields are not laid out as above or there is no ctypes."""
    if sys.implementation.name != "cpython" or sys.maxsize != 2**63 - 1:
        return None
    try:
        from ctypes import c_uint64
    except ImportError:
        return None
    return c_uint64.from_address
