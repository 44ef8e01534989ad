"""The outline of a source file: its syntax tree flattened to a sequence of units that chunks are packed from.

Only nodes that could be cut or could define something are visited. What fits into a chunk is one unit, with
the names defined in it; what does not is taken apart into its children, and they know whom they were taken
from.
"""

from __future__ import annotations

from flyweight.index.grammars import LEADING, TRAILING, Grammar
from flyweight.index.lines import headline_units
from flyweight.index.syntax import Rule, qualified
from flyweight.index.units import Symbol, Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tree_sitter import Node

_FUNCTION_KINDS = frozenset({"function", "method", "macro", "test"})
_CLASS_KINDS = frozenset(
    {"class", "struct", "interface", "trait", "impl", "record", "enum", "object", "protocol", "extension",
     "union", "instance", "annotation", "given"}
)  # fmt: skip
_VALUE_KINDS = frozenset({"variable", "constant"})
_SPACE_KINDS = frozenset({"", "module", "namespace"})

# Deeper than this a tree is not code that anyone wrote by hand; the rest is cut by lines.
_MAX_DEPTH = 96
# A node whose children are this small on average is a table or a token soup: cut it by lines, not by nodes.
_DENSE_BYTES = 16
_MANY_CHILDREN = 512


def outline(grammar: Grammar, source: bytes, target: int, limit: int) -> list[Unit]:
    """The units of a source in order, or none if it does not parse well enough to be cut along its tree.

    Nodes of more than `limit` bytes are taken apart; definitions that are get a goal of about `target` bytes.
    """
    tree = grammar.parse(source)
    if tree is None:
        return []
    root = tree.root_node
    if root.has_error:
        if grammar.syntax.headlines is not None:
            return headline_units(source, grammar.syntax.headlines)
        if _astray_bytes(root) * 2 > len(source):
            return []
    builder = _Builder(source, grammar, target, limit)
    builder.split(root, None, 0)
    return builder.units


class _Builder:
    """Builds the units of one parsed source."""

    def __init__(self, source: bytes, grammar: Grammar, target: int, limit: int) -> None:
        self.units: list[Unit] = []
        self._source = source
        self._rules = grammar.rules
        self._nests = grammar.syntax.nests
        self._target = target
        self._limit = limit

    def split(self, node: Node, owner: Symbol | None = None, start: int = -1, depth: int = 0) -> None:
        """Appends the units of a node's children; the first begins at `start`, unless that is negative."""
        units, rules, source, limit = self.units, self._rules, self._source, self._limit
        first = len(units)
        lead = lead_end = -1  # comments and attributes waiting for what they belong to
        for child in node.children:
            begin, end = child.start_byte, child.end_byte
            if begin == end:
                continue
            rule = rules.get(child.kind_id)
            if lead >= 0 and source.count(b"\n", lead_end, begin) > 1:
                if len(units) > first and source.count(b"\n", units[-1].end, lead) <= 1:
                    units[-1].end = lead_end
                else:
                    units.append(Unit(lead, lead_end, owner, []))
                lead = -1
            if rule is LEADING:
                if lead < 0 and len(units) > first and not _starts_line(source, begin):
                    units[-1].end = end  # a remark on the line that ends here
                    continue
                if lead < 0:
                    lead = begin
                lead_end = end
                continue
            if lead >= 0:
                begin, lead = lead, -1
            size = end - begin
            if rule is TRAILING:
                self._extend(child, owner, begin, first, depth)
            elif rule is not None and size <= limit:
                symbols: list[Symbol] = []
                self._collect(child, rule, owner, symbols, begin)
                self._append(Unit(begin, end, owner, symbols), first)
            elif rule is not None:
                self._descend(child, self._define(child, rule, owner, begin), owner, begin, first, depth)
            elif size > limit and not _is_dense(child, size):
                self._descend(child, None, owner, begin, first, depth)
            elif len(units) > first and ((size <= 3 and not child.is_named) or not _starts_line(source, begin)):
                units[-1].end = end
            else:
                units.append(Unit(begin, end, owner, []))
        if lead >= 0:
            units.append(Unit(lead, lead_end, owner, []))
        if start >= 0 and len(units) > first:
            units[first].start = start
        elif start >= 0:
            units.append(Unit(start, node.end_byte, owner, []))

    def _descend(
        self, node: Node, symbol: Symbol | None, owner: Symbol | None, start: int, first: int, depth: int
    ) -> None:
        """Takes a node apart; what defines `symbol` begins with the first of its units."""
        units = self.units
        head = len(units)
        if symbol is not None:
            symbol.share(self._target)
            owner = symbol
        if depth < _MAX_DEPTH:
            self.split(node, owner, start, depth + 1)
        else:
            units.append(Unit(start, node.end_byte, owner, []))
        if symbol is not None:
            units[head].symbols.insert(0, symbol)
        if head > first and not _starts_line(self._source, start):
            last, begun = units[head - 1], units.pop(head)
            last.end = begun.end
            last.owner = begun.owner
            last.symbols += begun.symbols

    def _extend(self, node: Node, owner: Symbol | None, start: int, first: int, depth: int) -> None:
        """Adds what belongs to the unit before it: a body that the grammar keeps apart from its signature."""
        last = self.units[-1] if len(self.units) > first else None
        symbol = last.symbols[-1] if last is not None and last.symbols else None
        if last is None or symbol is None:
            self._descend(node, None, owner, start, first, depth)
            return
        symbol.end = node.end_byte
        if symbol.end - last.start <= self._limit:
            last.end = symbol.end
            return
        last.owner = symbol
        symbol.share(self._target)
        self._descend(node, None, symbol, start, first, depth)

    def _append(self, unit: Unit, first: int) -> None:
        """Adds a unit, or lengthens the last one by the rest of its line or one more part of a function."""
        units = self.units
        if len(units) > first:
            last = units[-1]
            if not _starts_line(self._source, unit.start):
                last.end = unit.end
                last.symbols += unit.symbols
                return
            if unit.symbols and last.symbols and unit.end - last.start <= self._target:
                symbol, before = unit.symbols[0], last.symbols[-1]
                if symbol.name == before.name and symbol.scope == before.scope and len(unit.symbols) == 1:
                    last.end = before.end = unit.end
                    return
        units.append(unit)

    def _define(self, node: Node, rule: Rule, owner: Symbol | None, start: int) -> Symbol | None:
        """What a node defines, or None."""
        if rule.read is None:
            return None
        found = rule.read(node, self._source)
        if found is None:
            return None
        kind, written = found
        around = owner.kind if owner is not None else ""
        if kind in _VALUE_KINDS and around not in _SPACE_KINDS:
            return None
        if kind == "function" and around in _CLASS_KINDS:
            kind = "method"
        scopes, name = qualified(written)
        if not name.strip("_"):
            return None
        if owner is not None:
            if self._nests or owner.kind not in _FUNCTION_KINDS:
                scopes = (owner.name, *scopes)
            if owner.scope:
                scopes = (owner.scope, *scopes)
        return Symbol(name, ".".join(scopes), kind, start, node.end_byte)

    def _collect(
        self, node: Node, rule: Rule, owner: Symbol | None, found: list[Symbol], start: int, depth: int = 0
    ) -> None:
        """Gathers what a node that is not taken apart defines, members of classes and the like included."""
        symbol = self._define(node, rule, owner, start)
        if symbol is not None:
            found.append(symbol)
            if not rule.opens or symbol.kind in _FUNCTION_KINDS:
                return
            owner = symbol
        elif rule.read is not None and not rule.opens:
            return
        if depth >= _MAX_DEPTH:
            return
        rules = self._rules
        for child in node.children:
            below = rules.get(child.kind_id)
            if below is not None and below is not LEADING and below is not TRAILING:
                self._collect(child, below, owner, found, child.start_byte, depth + 1)


def _is_dense(node: Node, size: int) -> bool:
    count = node.child_count
    return count == 0 or (count > _MANY_CHILDREN and size < count * _DENSE_BYTES)


def _starts_line(source: bytes, position: int) -> bool:
    """Whether only blanks stand before a position on its line."""
    if source[position - 1 : position] == b"\n":
        return True
    line = source.rfind(b"\n", max(0, position - 256), position)
    if line < 0 and position > 256:
        return False
    return not source[line + 1 : position].strip()


def _astray_bytes(root: Node) -> int:
    """Bytes inside error nodes that are not part of anything the parser recognised there after all."""
    astray = 0
    pending = [root]
    while pending:
        node = pending.pop()
        if node.is_error:
            astray += node.end_byte - node.start_byte
        for child in node.children:
            if node.is_error and (child.is_error or (child.is_named and child.child_count)):
                astray -= child.end_byte - child.start_byte
            if child.has_error:
                pending.append(child)
    return astray
