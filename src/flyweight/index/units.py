"""The units chunks are packed from, and the symbols defined in them."""

from __future__ import annotations


class Symbol:
    """A definition: its name, the scopes around it joined with dots, its kind and its extent in bytes.

    `goal` is the size of chunk aimed at when the definition is too large to stay whole, else 0.
    """

    __slots__ = ("end", "goal", "kind", "name", "scope", "start")

    def __init__(self, name: str, scope: str, kind: str, start: int, end: int) -> None:
        self.name = name
        self.scope = scope
        self.kind = kind
        self.start = start
        self.end = end
        self.goal = 0

    def share(self, target: int) -> None:
        """Sets the goal for cutting the definition into equal parts of about `target` bytes."""
        size = self.end - self.start
        self.goal = -(-size // -(-size // target))


class Unit:
    """Bytes that stay together, the symbols that begin in them, and the split definition they are part of."""

    __slots__ = ("end", "owner", "start", "symbols")

    def __init__(self, start: int, end: int, owner: Symbol | None, symbols: list[Symbol]) -> None:
        self.start = start
        self.end = end
        self.owner = owner
        self.symbols = symbols
