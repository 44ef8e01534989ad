"""Who keeps an object alive: chains of references from a module or a running function down to it, in words.

Nothing of the program is run for this: no attribute is asked of an object through its type, nothing is compared, hashed
or printed but plain keys of dicts.
"""

from __future__ import annotations

import gc
import sys
import time
from types import (
    AsyncGeneratorType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)

from flyweight.memory.live_objects import Found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Of each level of a chain, the search goes on from so many holders; an object that thousands hold is one of them held.
_FRONTIER = 64
_LONGEST_KEY = 40
_OPTIMIZED = 1  # CO_OPTIMIZED: the locals of a function, not the namespace of a module or a class

_OWN = __file__[: __file__.rindex("/") + 1]

_module_of = type.__dict__["__module__"].__get__
_name_of = type.__dict__["__qualname__"].__get__
_class_namespace = type.__dict__["__dict__"].__get__
_mro_of = type.__dict__["__mro__"].__get__
_module_namespace = ModuleType.__dict__["__dict__"].__get__  # type: ignore[index]


class Chain:
    """One way in which an object is kept alive: `root` is a module, a function that runs, or what is known instead;
    `links` lead from there to the object, each saying how it is held and by what."""

    __slots__ = ("links", "root")

    def __init__(self, root: str, links: tuple[str, ...]) -> None:
        self.root = root
        self.links = links

    def __str__(self) -> str:
        return " -> ".join((self.root, *self.links))

    __repr__ = __str__


def type_name(kind: type) -> str:
    """
    >>> type_name(int), type_name(Chain)
    ('int', 'flyweight.memory.chains.Chain')
    """
    module = _module_of(kind)
    name: str = _name_of(kind)
    return name if module == "builtins" or not isinstance(module, str) else f"{module}.{name}"


class _Node:
    """An object on the way from a sample up to what holds it; `below` is the one it holds."""

    __slots__ = ("below", "object")

    def __init__(self, one: object, below: _Node | None) -> None:
        self.object = one
        self.below = below


class Chains:
    """Looks for the shortest chain, level by level, from an object up to a module or a running function."""

    __slots__ = ("_deadline", "_locals", "_max_depth", "_modules", "complete")

    def __init__(self, max_depth: int, deadline: float) -> None:
        self.complete = True
        self._max_depth = max_depth
        self._deadline = deadline
        self._modules: dict[int, str] = {}
        for module in list(sys.modules.values()):
            if issubclass(type(module), ModuleType):
                namespace = _module_namespace(module)
                name = namespace.get("__name__")
                self._modules[id(namespace)] = name if isinstance(name, str) else "?"
        self._locals = _running_locals()

    def of(self, sample: Found) -> Chain | None:
        node = _Node(sample.object, None)
        if sample.holder is not None:
            node = _Node(sample.holder, node)
        level = [node]
        visited = {id(sample.object), id(sample.holder)}
        local: _Node | None = None
        unheld: _Node | None = None
        returned = False
        for depth in range(self._max_depth + 1):
            for node in level:
                root = self._root(node)
                if root:
                    return _chain(root, node, sample)
                # A function that merely looks at the object is not why it lives: a module that holds it comes first.
                if local is None and id(node.object) in self._locals:
                    local = node
            late = time.monotonic() >= self._deadline
            if depth == self._max_depth or late:
                self.complete = self.complete and not late
                if local is None:
                    return _chain("...", level[0], sample)
                break
            above, alone, back = self._above(level, visited)
            unheld = unheld or alone
            returned = returned or back
            if not above:
                break
            level = above
        if local is not None:
            return _chain(self._locals[id(local.object)], local, sample)
        if unheld is not None:
            return _chain("something the collector does not see (a running function, C code)", unheld, sample)
        if returned:
            off = "" if gc.isenabled() else ", and automatic collection is off"
            return _chain(f"nobody: a cycle of references that has not been collected{off}", level[0], sample)
        return None

    def _root(self, node: _Node) -> str:
        """The module or other namespace that a node is, "" for any other object."""
        one = node.object
        module = self._modules.get(id(one))
        if module is not None:
            return f"module {module}"
        if type(one) is dict and node.below and "__builtins__" in one and isinstance(one.get("__name__"), str):
            return f"namespace {one['__name__']}"
        return ""

    def _above(self, level: list[_Node], visited: set[int]) -> tuple[list[_Node], _Node | None, bool]:
        """The holders of a level's objects; also the first object that has none, and whether one was met before."""
        held = tuple(node.object for node in level)
        by_id = {id(node.object): node for node in level}
        ours = {id(held), id(by_id), id(level)}
        alone = set(by_id)
        returned = False
        above: list[_Node] = []
        referrers = gc.get_referrers(*held)
        for holder in referrers:
            if id(holder) in ours or type(holder) is _Node or type(holder) is Found:
                continue
            if id(holder) in visited and len(alone) == 0:
                returned = True
                continue
            for reached in set(filter(by_id.__contains__, map(id, gc.get_referents(holder)))):
                alone.discard(reached)
                if id(holder) in visited:
                    returned = True
                    continue
                visited.add(id(holder))
                above.append(_Node(holder, by_id[reached]))
        above.sort(key=self._promise)
        return above[:_FRONTIER], by_id[alone.pop()] if alone else None, returned

    def _promise(self, node: _Node) -> int:
        """Roots first, then what a programmer would name."""
        if id(node.object) in self._modules or id(node.object) in self._locals:
            return 0
        return 1 if type(node.object) in (dict, list, FunctionType, MethodType, CellType) else 2


def _running_locals() -> dict[int, str]:
    """Names of the local variables of all functions that run now but the profiler's, by the id of their value."""
    names: dict[int, str] = {}
    before_313 = sys.version_info < (3, 13)
    if before_313 and sys.gettrace() is not None:
        return names
    for top in list(sys._current_frames().values()):
        frame: FrameType | None = top
        while frame is not None:
            code = frame.f_code
            if (
                not code.co_filename.startswith(_OWN)
                and code.co_flags & _OPTIMIZED
                and not (before_313 and frame.f_trace is not None)
            ):
                variables = frame.f_locals
                for name, value in variables.items():
                    names.setdefault(id(value), f"local {name} of {code.co_qualname}() at line {frame.f_lineno}")
                value = None
                # Until 3.13 the frame keeps this copy, and with it everything it names, until the function returns.
                # Emptied, unless somebody else has it (then there is one reference more than the frame's and ours).
                if before_313 and type(variables) is dict and sys.getrefcount(variables) <= 3:
                    variables.clear()
                del variables
            frame = frame.f_back
    # One of these was this function's own frame, which would keep itself and its callers alive.
    top = frame = None  # type: ignore[assignment]
    return names


def _chain(root: str, node: _Node, sample: Found) -> Chain:
    """The chain from a root's node down to the sample, with what the reader need not see left out."""
    links: list[str] = []
    holder = node
    root_name = root
    if root.startswith(("module ", "namespace ")) and node.below is not None:
        # The namespace itself is not shown: its names are the module's.
        links.append(f"{_plain_name(_key_of(node.object, node.below.object))}: {_what(node.below.object)}")
        holder = node.below
    else:
        root_name = f"{root}: {_what(node.object)}"
    while holder.below is not None:
        how, holder = _step(holder, holder.below)
        links.append(f"{how}: {_what(holder.object)}")
    if sample.part:
        links.append(f"its {sample.part}")
    return Chain(root_name, tuple(links))


def _step(holder: _Node, below: _Node) -> tuple[str, _Node]:
    """How `holder` holds what comes next, and the node that the step leads to: namespaces and cells are passed over."""
    one: Any = holder.object
    held: Any = below.object
    kind = type(one)
    if issubclass(kind, type) and type(held) is dict and below.below and _is_namespace_of(held, one):
        return f".{_plain_name(_key_of(held, below.below.object))}", below.below
    if kind is FunctionType:
        closed = below.below
        if type(held) is tuple and held is one.__closure__:
            if closed and closed.below:
                return f"closure variable {_closure_name(one, closed.object)}", closed.below
            return "closure", below
        if type(held) is tuple and held is one.__defaults__:
            return ("default argument", closed) if closed else ("default arguments", below)
        if held is one.__dict__ and closed:
            return f".{_plain_name(_key_of(held, closed.object))}", closed
        return "reference", below
    if kind is MethodType:
        return (".__self__" if held is one.__self__ else ".__func__"), below
    if kind is CellType:
        return "variable", below
    if kind in (GeneratorType, CoroutineType, AsyncGeneratorType):
        return "local variable", below
    if kind is ModuleType and type(held) is dict and below.below:
        return f".{_plain_name(_key_of(held, below.below.object))}", below.below
    if issubclass(kind, dict):
        key = _key_of(one, held)
        if key:
            return key, below
    if issubclass(kind, (list, tuple)):
        for index, item in enumerate(list.__iter__(one) if issubclass(kind, list) else tuple.__iter__(one)):
            if item is held:
                return f"[{index}]", below
    if issubclass(kind, (set, frozenset)):
        return "member", below
    name = _slot_of(one, held) or _attribute_of(one, held)
    if name:
        return f".{name}", below
    attributes = _attributes(one)
    if attributes is not None:
        if attributes is held and below.below:
            return f".{_plain_name(_key_of(held, below.below.object))}", below.below
        key = _key_of(attributes, held)
        if key:
            return f".{_plain_name(key)}", below
    return "reference", below


def _key_of(table: Any, held: object) -> str:
    """The place of a value in a dict as one writes it, "" where it is not."""
    try:
        for key, value in dict.items(table):
            if value is held:
                return f"[{_key_text(key)}]"
        for key in dict.keys(table):
            if key is held:
                return "key"
    except RuntimeError:  # another thread has changed it meanwhile
        return "[?]"
    return ""


def _key_text(key: Any) -> str:
    kind = type(key)
    if kind is str or kind is bytes:
        return repr(key) if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]!r}..."
    if kind is float or kind is bool or key is None or (kind is int and int.bit_length(key) < 128):
        return repr(key)
    if kind is tuple and tuple.__len__(key) <= 4:
        return f"({', '.join(_key_text(part) for part in tuple.__iter__(key))})"
    return f"a {type_name(kind)}"


def _plain_name(key: str) -> str:
    """
    >>> _plain_name("['cache']"), _plain_name("[3]")
    ('cache', '[3]')
    """
    return key[2:-2] if key.startswith("['") and key.endswith("']") and key[2:-2].isidentifier() else key


def _what(one: Any) -> str:
    """What an object is, with its length where that is a plain container's, and its name where it has one."""
    kind = type(one)
    if issubclass(kind, type):
        return f"class {type_name(one)}"
    if kind is FunctionType:
        return f"function {one.__module__}.{one.__qualname__}"
    if kind is MethodType and type(one.__func__) is FunctionType:
        return f"method {one.__func__.__qualname__}"
    if kind in (GeneratorType, CoroutineType, AsyncGeneratorType):
        return f"{_name_of(kind)} {one.__qualname__}"
    for plain in (list, tuple, dict, set, frozenset):
        if issubclass(kind, plain):
            return f"{type_name(kind)} of {plain.__len__(one)}"
    return type_name(kind)


def _closure_name(function: FunctionType, cell: object) -> str:
    for name, variable in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        if variable is cell:
            return name
    return "?"


def _is_namespace_of(held: object, owner: object) -> bool:
    return any(namespace is held for namespace in gc.get_referents(_class_namespace(owner)))


def _slot_of(one: object, held: object) -> str:
    for owner in _mro_of(type(one)):
        for name, member in _class_namespace(owner).items():
            if type(member) is MemberDescriptorType:
                try:
                    if member.__get__(one) is held:
                        return str(name)
                except AttributeError:  # an empty slot
                    pass
    return ""


def _attribute_of(one: object, held: object) -> str:
    """The instance attribute that holds something, of those that methods of the class speak of.

    Asking for the instance's dict would create it: on every sampled holder, for good.
    """
    namespaces = [_class_namespace(owner) for owner in _mro_of(type(one))]
    for namespace in namespaces:
        for method in list(namespace.values()):
            if type(method) is not FunctionType:
                continue
            for name in method.__code__.co_names:
                # A name that the class has may be a property, whose code must not run.
                if any(name in other for other in namespaces):
                    continue
                try:
                    if object.__getattribute__(one, name) is held:
                        return name
                except AttributeError:
                    pass
    return ""


def _attributes(one: object) -> object | None:
    """The instance's dict, None where it has none or its class has made `__dict__` something else."""
    for owner in _mro_of(type(one)):
        member = _class_namespace(owner).get("__dict__")
        if member is not None:
            if type(member) is not GetSetDescriptorType:
                return None
            attributes: object = member.__get__(one)
            return attributes if issubclass(type(attributes), dict) else None
    return None
