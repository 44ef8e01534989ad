"""Packs the units of a file into pieces of about the size wanted, and says what each piece is about."""

from __future__ import annotations

from collections.abc import Iterator

from flyweight.index.lines import spans
from flyweight.index.units import Symbol, Unit

# Definitions of one line, as a rule, which say little about the chunk they happen to be in.
_MINOR_KINDS = frozenset({"variable", "constant", "macro", "type"})
_SPACE_KINDS = frozenset({"module", "namespace"})


class Piece:
    """Bytes `start` to `end` of a source, what they are about and the symbols that begin in them."""

    __slots__ = ("end", "main", "start", "symbols")

    def __init__(self, start: int, end: int, main: Symbol | None, symbols: list[Symbol]) -> None:
        self.start = start
        self.end = end
        self.main = main
        self.symbols = symbols


def pack(units: list[Unit], source: bytes, target: int, hard: int) -> Iterator[Piece]:
    """Yields the pieces of a source in order: together all of it, none longer than `hard` bytes."""
    groups = _groups(units, target, hard)
    limit = target * 3 // 2
    for number, group in enumerate(groups):
        start = group[0].start if number else 0
        end = groups[number + 1][0].start if number + 1 < len(groups) else len(source)
        if end - start <= limit or (end - start <= hard and len(group) > 1):
            main, symbols = _about(group, end)
            yield Piece(start, end, main, symbols)
        else:
            yield from _cut(group, source, start, end, target, hard)


def _cut(group: list[Unit], source: bytes, start: int, end: int, target: int, hard: int) -> Iterator[Piece]:
    """A group that holds something too long to stay whole, such as a literal or a line, cut by its lines."""
    main, symbols = _about(group, end)
    for low, high in spans(source, start, end, target, hard):
        begun = [symbol for symbol in symbols if low <= symbol.start < high]
        yield Piece(low, high, begun[0] if begun else main, begun)


def _groups(units: list[Unit], target: int, hard: int) -> list[list[Unit]]:
    """Which units share a piece.

    A definition of some size stands alone, smaller neighbours come together until the target is reached, and
    a few bytes on their own (the head of a class, a stray statement) go with what follows them.
    """
    alone_bytes, tiny_bytes = target * 2 // 5, target // 8
    most = target * 3 // 2 + tiny_bytes
    groups: list[list[Unit]] = []
    group: list[Unit] = []
    begin, size, alone = 0, 0, False
    for unit in units:
        length = unit.end - unit.start
        owner = unit.owner
        heavy = length >= alone_bytes and bool(unit.symbols)
        if group:
            leaves = owner is not group[-1].owner
            total = unit.end - begin
            if total > most:
                joins = False
            elif size <= tiny_bytes:
                joins = not (leaves and _is_rest(group, groups, hard))
            elif alone or heavy or (size >= alone_bytes and leaves):
                joins = False
            else:
                goal = owner.goal if owner is not None and owner.goal else target
                joins = total - length // 2 <= goal
            if not joins:
                _close(group, groups, tiny_bytes, hard)
                group = []
        if not group:
            begin = unit.start
        group.append(unit)
        size = unit.end - begin
        alone = heavy and unit.symbols[0] is not owner
    if group:
        _close(group, groups, tiny_bytes, hard)
    return groups


def _is_rest(group: list[Unit], groups: list[list[Unit]], hard: int) -> bool:
    """Whether a group carries on what the last one is about, so that it may rather end that one."""
    return (
        bool(groups)
        and group[-1].end - groups[-1][0].start <= hard
        and (group[0].owner is groups[-1][-1].owner or group[0].owner in groups[-1][-1].symbols)
    )


def _close(group: list[Unit], groups: list[list[Unit]], tiny_bytes: int, hard: int) -> None:
    if group[-1].end - group[0].start <= tiny_bytes and _is_rest(group, groups, hard):
        groups[-1].extend(group)
    else:
        groups.append(group)


def _about(group: list[Unit], end: int) -> tuple[Symbol | None, list[Symbol]]:
    """The main symbol of a group and all that begin in it, main first."""
    symbols = [symbol for unit in group for symbol in unit.symbols]
    owner = group[0].owner
    if not symbols:
        return owner, symbols
    main = symbols[0]
    if len(symbols) > 1:
        main = max(symbols, key=lambda symbol: _weight(symbol, end))
        # A namespace, or a class of which only the head is here, is named after what fills it.
        for symbol in symbols:
            if symbol.start >= main.start and symbol is not main and (main.goal or main.kind in _SPACE_KINDS):
                share = 2 if main.kind in _SPACE_KINDS else 4
                if _weight(symbol, end) * share >= _weight(main, end) * (share - 1):
                    main = symbol
    if owner is not None and owner not in symbols:
        rest = sum(unit.end - unit.start for unit in group if not unit.symbols and unit.owner is owner)
        if rest > 2 * _weight(main, end):
            return owner, symbols
    if main is not symbols[0]:
        symbols.remove(main)
        symbols.insert(0, main)
    if main.kind in _MINOR_KINDS and 4 * (main.end - main.start) < end - group[0].start:
        return owner, symbols
    return main, symbols


def _weight(symbol: Symbol, end: int) -> int:
    size = min(symbol.end, end) - symbol.start
    return size // 4 if symbol.kind in _MINOR_KINDS else size
