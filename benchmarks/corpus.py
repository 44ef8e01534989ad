"""Trees of real code of a wanted size, and queries that suit them.

The code is what the machine has: the given folders first, then the standard libraries and packages of every
Python found, then C headers and shared scripts.  A file many of whose lines were seen before (a later version
of one already taken) is left out: chunks should differ.  Only when that runs out are files repeated with
their identifiers renamed, and the detail of a result says how many.
"""

from __future__ import annotations

import ast
import os
import re
import site
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = frozenset(
    """
    .py .rs .go .java .js .mjs .ts .tsx .c .h .cc .cpp .hpp .cs .rb .php .kt .scala .swift .ex .exs .hs .lua
    .zig .sh .sql .pl .pm
    """.split()  # noqa: SIM905 - a list of thirty strings would hide what they are
)
_SMALLEST_BYTES = 400
_LARGEST_BYTES = 400_000
_FILES_PER_FOLDER = 500
_TELLING_LINE_BYTES = 30
_LARGEST_KNOWN_SHARE = 0.3
_IDENTIFIER = re.compile(rb"\b[A-Za-z_][A-Za-z0-9_]{5,}\b")
_SENTENCE = re.compile(r"^[^.\n]+")


@dataclass(slots=True)
class Tree:
    """A folder filled up to some size; ``renamed`` files repeat another under other identifiers."""

    root: Path
    files: int = 0
    size_bytes: int = 0
    renamed: int = 0
    sources: list[Path] = field(default_factory=list)


def default_roots() -> list[Path]:
    """Where this machine keeps code that everybody has some of."""
    roots = [Path(sysconfig.get_path("stdlib")), *map(Path, site.getsitepackages())]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if pyenv.is_dir():
        roots.extend(sorted(version / "lib" for version in pyenv.iterdir()))
    roots.extend(map(Path, ("/usr/lib/python3", "/usr/share", "/usr/include", "/usr/lib/node_modules", "/usr/local")))
    return [root for root in roots if root.is_dir()]


def source_files(roots: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    """Source files below ``roots`` that are new, a file of each root in turn, so that any tree is mixed.

    The order does not depend on the file system.
    """
    seen: set[int] = set()
    walks = [_walk(root) for root in roots]
    while walks:
        for walk in list(walks):
            for path, content in walk:
                if _is_new(content, seen):
                    yield path, content
                    break
            else:
                walks.remove(walk)


def _is_new(content: bytes, seen: set[int]) -> bool:
    """Whether most of the telling lines of ``content`` were not ``seen`` yet; they are from now on."""
    lines = {zlib.crc32(line) for line in map(bytes.strip, content.splitlines()) if len(line) >= _TELLING_LINE_BYTES}
    known = len(lines & seen)
    seen |= lines
    return bool(lines) and known <= len(lines) * _LARGEST_KNOWN_SHARE


def _walk(root: Path) -> Iterator[tuple[Path, bytes]]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in ("__pycache__", ".git"))
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix not in SUFFIXES or path.is_symlink():
                continue
            try:
                if _SMALLEST_BYTES <= path.stat().st_size <= _LARGEST_BYTES:
                    yield path, path.read_bytes()
            except OSError:
                continue


def fill(root: Path, size_bytes: int, roots: Sequence[Path]) -> Tree:
    """Add files below ``root`` until they hold ``size_bytes`` or more; a tree begun earlier is continued.

    Files are copied, not linked, so that each run reads a tree of its own.
    """
    tree = Tree(root)
    root.mkdir(parents=True, exist_ok=True)
    for path, content in source_files(roots):
        if tree.size_bytes >= size_bytes:
            return tree
        _add(tree, path, content)
    originals = list(tree.sources)
    copy = 0
    while tree.size_bytes < size_bytes and originals:
        copy += 1
        for path in originals:
            if tree.size_bytes >= size_bytes:
                break
            _add(tree, path, renamed(path.read_bytes(), copy))
            tree.renamed += 1
    return tree


def _add(tree: Tree, path: Path, content: bytes) -> None:
    # The last three folders are kept: paths are part of what ranking looks at.
    # Without the root: a component "/" would make the target absolute, and the copy would land beside its original.
    folders = path.relative_to(path.anchor).parts[-4:-1]
    place = Path(f"part{tree.files // _FILES_PER_FOLDER:03d}", *folders, f"{tree.files:06d}_{path.name}")
    target = tree.root / place
    if not target.is_relative_to(tree.root):
        raise ValueError(f"{target} lies outside {tree.root}")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    tree.files += 1
    tree.size_bytes += len(content)
    tree.sources.append(path)


def renamed(content: bytes, copy: int) -> bytes:
    """The same code under other names: identifiers of six letters and more change places."""
    names = sorted(set(_IDENTIFIER.findall(content)))
    if not names:
        return content
    shift = copy % len(names) or 1
    successor = {name: names[(place + shift) % len(names)] for place, name in enumerate(names)}
    return _IDENTIFIER.sub(lambda match: successor[match.group()], content)


def queries(paths: Sequence[Path], count: int) -> list[str]:
    """Up to ``count`` queries out of Python files: first sentences of docstrings, and names of definitions.

    One in four is a bare identifier, as people also search for those.
    """
    sentences: dict[str, None] = {}
    names: dict[str, None] = {}
    step = max(1, len(paths) // (count * 4))
    for path in paths[::step]:
        if path.suffix != ".py":
            continue
        for name, docstring in _definitions(path):
            if len(name) >= 6 and not name.startswith("_"):
                names[name] = None
            sentence = _SENTENCE.match(docstring.strip())
            if sentence is not None and 3 <= len(sentence.group().split()) <= 14:
                sentences[" ".join(sentence.group().split())] = None
    wanted_names = count // 4
    chosen = _spread(list(sentences), count - wanted_names) + _spread(list(names), wanted_names)
    return list(dict.fromkeys(chosen))


def _definitions(path: Path) -> Iterator[tuple[str, str]]:
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, ast.get_docstring(node) or ""


def _spread(items: list[str], count: int) -> list[str]:
    if len(items) <= count:
        return items
    return [items[place * len(items) // count] for place in range(count)]
