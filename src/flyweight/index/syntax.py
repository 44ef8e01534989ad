"""What a language's syntax tree says about definitions, as data a table can hold.

A `Syntax` names the node types that define something, those that merely contain definitions and those that
belong to whatever follows them. How to read kind and name off a defining node is a `Reader`; the factories
below cover the shapes grammars come in, so that a language is one entry in `syntax_table.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tree_sitter import Node

    Reader = Callable[[Node, bytes], tuple[str, str] | None]
    Path = str | tuple[str | int, ...]

_SEPARATOR = re.compile(r"::|[.\\:]")
_ARGUMENTS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
_WORD = re.compile(r"[^\s(,;]+")
# Names on the left of an assignment that say where a value goes, not what it belongs to.
_PLACES = frozenset({"module", "exports", "prototype", "self", "this", "window", "globalThis"})
_NAME_LIMIT = 120


class Rule:
    """How one node type takes part in the outline of a file.

    `read` gives the kind and the name of what a node defines, or None when this node defines nothing; a rule
    without `read` marks a mere container of definitions. `opens` says that members are looked for inside.
    """

    __slots__ = ("opens", "read")

    def __init__(self, read: Reader | None = None, *, opens: bool = False) -> None:
        self.read = read
        self.opens = opens


class Syntax:
    """Where definitions are in the trees of one grammar.

    `definitions` maps node types to rules. `containers` are searched for definitions without opening a scope.
    `leading` nodes (besides comments) and `leading_tokens` belong to the definition after them, `trailing`
    ones to the one before. With `nests` off, a function inside another can only be a slip of the parser.
    `headlines`, for languages with more dialects than their grammar knows, finds definitions (groups `kind`
    and `name`) in sources that do not parse throughout.
    """

    __slots__ = ("containers", "definitions", "headlines", "leading", "leading_tokens", "nests", "trailing")

    def __init__(
        self,
        definitions: Mapping[str, Rule],
        *,
        containers: tuple[str, ...] = (),
        leading: tuple[str, ...] = (),
        leading_tokens: tuple[str, ...] = (),
        trailing: tuple[str, ...] = (),
        nests: bool = True,
        headlines: re.Pattern[bytes] | None = None,
    ) -> None:
        self.definitions = definitions
        self.containers = containers
        self.leading = leading
        self.leading_tokens = leading_tokens
        self.trailing = trailing
        self.nests = nests
        self.headlines = headlines


def text(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def qualified(name: str) -> tuple[tuple[str, ...], str]:
    """Splits a name as written into enclosing scopes and symbol: `a::B<T>::c` gives `(("a", "B"), "c")`."""
    name = name.strip()[:_NAME_LIMIT]
    if name.isidentifier():
        return (), name
    if name[:1] in "\"'`" and name.count(name[:1]) <= 2:
        return (), name.strip("\"'`")
    if name[:1] == "(":
        return (), name.strip("() ")
    if name[:1] == "[" and name[1:2].isalpha():
        name = name.replace("[", "").replace("]", "")
    operator = name.find("operator")
    if operator > 0 and name[operator - 1] == ":":
        scopes, last = qualified(name[: operator - 2])
        return (*scopes, last), name[operator:]
    if operator == 0 or not (name[:1].isalpha() or name[:1] in "_$@~\"'`"):
        return (), name
    while (plain := _ARGUMENTS.sub("", name)) != name:
        name = plain
    name = name.split("<", 1)[0]
    parts = [part.strip(" \"`'*&()[]") for part in _SEPARATOR.split(name)]
    parts = [part for part in parts if part]
    return (tuple(parts[:-1]), parts[-1]) if parts else ((), name)


def _follow(node: Node, path: Path) -> Node | None:
    """The node down a path of field names, child node types (where there are no fields) or child numbers."""
    found: Node | None = node
    for step in (path,) if isinstance(path, str) else path:
        assert found is not None
        if isinstance(step, int):
            below = found.named_child(step) if step < found.named_child_count else None
        else:
            below = found.child_by_field_name(step)
        if below is None:
            below = next((child for child in found.children if child.type == step), None)
        if below is None:
            return None
        found = below
    return found


def named(kind: str, path: Path = "name", *, having: Path = "") -> Reader:
    """A definition whose name is at `path`; with `having`, only nodes that carry that field or child."""

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        if having and _follow(node, having) is None:
            return None
        name = _follow(node, path)
        return None if name is None else (kind, text(name, source))

    return read


def fixed(kind: str, name: str) -> Reader:
    """A definition the language itself names, such as a constructor."""

    def read(_node: Node, _source: bytes) -> tuple[str, str] | None:
        return kind, name

    return read


def keyworded(kinds: Mapping[str, str], path: Path = "name") -> Reader:
    """One node type for several kinds, told apart by the keyword among its children."""

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        name = _follow(node, path)
        if name is None:
            return None
        for child in node.children:
            kind = kinds.get(child.type)
            if kind is not None:
                return kind, text(name, source)
        return None

    return read


def assigned(left: Path, right: Path, kinds: Mapping[str, str], otherwise: str = "", *, plain: str = "") -> Reader:
    """A name bound to a value: the kind follows from the value's node type.

    `otherwise` is the kind of any other value, and if empty those define nothing; with `plain`, only names
    whose node has that type get it, so that `x.y[0] = 1` is no definition.
    """

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        name = _follow(node, left)
        if name is None:
            return None
        value = _follow(node, right)
        kind = kinds.get(value.type, "") if value is not None else ""
        if not kind:
            kind = otherwise if not plain or name.type == plain else ""
        if not kind:
            return None
        written = text(name, source)
        if "." in written:
            written = ".".join(part for part in written.split(".") if part not in _PLACES)
        return (kind, written) if written else None

    return read


def received(kind: str, receiver: Path, name_path: Path = "name") -> Reader:
    """A function outside the type it belongs to, which its receiver names: `func (b *Bucket) Take()`."""

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        name = _follow(node, name_path)
        if name is None:
            return None
        owner = _follow(node, receiver)
        if owner is None:
            return kind, text(name, source)
        written = re.split(r"[<\[]", text(owner, source), maxsplit=1)[0].split()
        owner_name = written[-1].strip("()*&?") if written else ""
        return kind, f"{owner_name}.{text(name, source)}" if owner_name else text(name, source)

    return read


def declared(otherwise: str = "") -> Reader:
    """C and its relatives, where the name is at the bottom of declarators; non-functions are `otherwise`."""

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        function = False
        at = node.child_by_field_name("declarator")
        while at is not None:
            kind = at.type
            function = function or kind == "function_declarator"
            below = at.child_by_field_name("declarator")
            if below is None and kind.endswith("_declarator"):
                below = next((child for child in at.named_children if not child.type.endswith("qualifier")), None)
            if below is None:
                break
            at = below
        if at is None or not (function or otherwise):
            return None
        return "function" if function else otherwise, text(at, source)

    return read


def called(head: Path, name: Path, kinds: Mapping[str, str]) -> Reader:
    """Languages whose definitions are calls of a macro: `defmodule Counter do`, `(defn count [x])`."""

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        target = _follow(node, head)
        if target is None:
            return None
        kind = kinds.get(text(target, source)) if target.end_byte - target.start_byte <= 32 else None
        if kind is None:
            return None
        found = _follow(node, name)
        word = _WORD.match(text(found, source)) if found is not None else None
        return (kind, word[0]) if word else None

    return read


def first_of(*readers: Reader) -> Reader:
    """The first of several readers that recognises a node."""

    def read(node: Node, source: bytes) -> tuple[str, str] | None:
        for reader in readers:
            found = reader(node, source)
            if found is not None:
                return found
        return None

    return read
