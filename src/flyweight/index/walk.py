"""Lists the files that git would take for part of a work tree, and says why others are left out."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from itertools import islice

from flyweight.errors import PathError
from flyweight.index.content import EMPTY, reason_by_name
from flyweight.index.ignore import IgnoreRules
from flyweight.index.repository import (
    common_directory,
    enclosing_work_tree,
    read_ignore_file,
    tree_wide_rules,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORED = "ignored"
SYMLINK = "symlink"
SPECIAL_FILE = "special file"
UNREADABLE = "unreadable"
VANISHED = "vanished"
TOO_LARGE = "too large"
PATH_TOO_LONG = "path too long"
VERSION_CONTROL = "version control"
INDEX_DIRECTORY = "index directory"
NESTED_REPOSITORY = "nested repository"
IGNORE_FILE_NOT_READ = "ignore file not read"

# A syntax tree takes 10 to 20 times its source, and the builder's budget is 64 MiB over all processes. Files
# written by hand stay below: the rare longer one is an amalgamation, a table or a bundle.
MAX_FILE_BYTES = 1024 * 1024

IGNORE_FILES = (b".gitignore", b".flyweightignore")  # in one directory the later wins

_PRUNED = {
    b".git": VERSION_CONTROL,
    b".hg": VERSION_CONTROL,
    b".svn": VERSION_CONTROL,
    b".flyweight": INDEX_DIRECTORY,
}

# Entries (see _entry) that say something about the directory they lie in.
_REPOSITORY_MARKERS = (b".git", b".git/", b".git\0")
_MARKERS = frozenset((*_REPOSITORY_MARKERS, *IGNORE_FILES))

# Names put in order at once for one directory: twice as many are held, 5 MB. A larger directory is listed
# again for every batch, which is slow (400,000 files: 6 s) but keeps both order and memory budget.
_BATCH_NAMES = 1 << 15


class SourceFile:
    """A regular file worth opening.

    ``path`` is relative to the root, with ``/`` between components; bytes that are not UTF-8 are kept as
    surrogate escapes, so ``os.fsencode`` gives the name back. ``mtime_ns`` and ``size_bytes`` are those seen
    during the walk.
    """

    __slots__ = ("mtime_ns", "path", "size_bytes")

    def __init__(self, path: str, size_bytes: int, mtime_ns: int) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.mtime_ns = mtime_ns

    def __repr__(self) -> str:
        return f"SourceFile({self.path!r}, size_bytes={self.size_bytes}, mtime_ns={self.mtime_ns})"


class Skipped:
    """An entry that is left out, and why; one that ends in ``/`` is a directory with all its contents."""

    __slots__ = ("path", "reason")

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason

    def __repr__(self) -> str:
        return f"Skipped({self.path!r}, {self.reason!r})"


def walk(root: str, *, max_file_bytes: int = MAX_FILE_BYTES) -> Iterator[SourceFile | Skipped]:
    """Yields every file under ``root`` as a SourceFile or as Skipped, in the bytewise order of paths (git's).

    The rules are those of ``git ls-files --cached --others --exclude-standard``: nested ``.gitignore`` files,
    those of the directories above ``root`` in its repository, ``.git/info/exclude``, ``core.excludesFile``.
    On top of them come ``.flyweightignore`` files: same syntax, winning over a ``.gitignore`` beside them.
    Meant to differ from git: its index is not read, so a tracked file that matches a rule is left out; rules
    hold outside of a repository too; ``root`` itself is never ignored; and repositories inside a directory
    that is in none are entered, each with its own ``info/exclude``.

    A link is never followed, except ``root`` itself. Nothing is opened but directories and ignore files.
    Whatever disappears or cannot be read is reported and the walk goes on. Memory is bounded by the depth of
    the tree, not by its size. When ``root`` is a file it is the only entry, with its base name for a path.

    Raises PathError, before anything is yielded, if ``root`` does not exist, is a directory that cannot be
    read or is neither a directory nor a regular file.
    """
    try:
        top = os.fsencode(root)
        status = os.stat(top)
        if stat.S_ISREG(status.st_mode):
            path = os.path.basename(top)
            return iter((_judge(path, path, top, max_file_bytes, follow=True),))
        if not stat.S_ISDIR(status.st_mode):
            raise PathError(f"cannot index {root!r}: it is neither a directory nor a file; name one of those")
        with os.scandir(top):
            pass
    except FileNotFoundError:
        raise PathError(f"cannot index {root!r}: it does not exist; check the spelling") from None
    except PermissionError:
        raise PathError(f"cannot index {root!r}: permission denied; make it readable") from None
    except OSError as error:
        raise PathError(f"cannot index {root!r}: {error.strerror}; give another path") from None
    except ValueError:
        raise PathError(f"cannot index {root!r}: no path can have such a name; give another") from None
    return _Walk(top, max_file_bytes).entries()


class _Directory:
    """A directory on the stack: what is left of its listing.

    ``prefix`` is its path from the top of the work tree with a slash at the end, empty for the top itself.
    Pending entries are kept in reverse, so that taking the next one also frees it.
    """

    __slots__ = ("in_repository", "last", "markers", "pending", "prefix", "rules", "whole")

    def __init__(self, prefix: bytes, rules: IgnoreRules, in_repository: bool) -> None:
        self.prefix = prefix
        self.rules = rules
        self.in_repository = in_repository
        self.pending: list[bytes] = []
        self.last: bytes | None = None  # the greatest entry listed so far
        self.whole = False  # nothing comes after it
        self.markers = _MARKERS  # those that may exist


class _Walk:
    """One walk. Paths are bytes relative to the work tree's top, which lies ``where`` above the root."""

    def __init__(self, root: bytes, max_file_bytes: int) -> None:
        self._root = root.rstrip(b"/") + b"/"
        self._max_file_bytes = max_file_bytes
        directory = os.path.realpath(root)
        work_tree = enclosing_work_tree(directory)
        self._in_repository = work_tree is not None
        self._work_tree = directory if work_tree is None else work_tree
        inner = os.path.relpath(directory, self._work_tree)
        self._where = b"" if inner == b"." else inner + b"/"

    def entries(self) -> Iterator[SourceFile | Skipped]:
        cut = len(self._where)
        rules = self._rules_above_root()
        stack: list[_Directory] = []
        yield from self._enter(stack, _Directory(self._where, rules, self._in_repository))
        while stack:
            directory = stack[-1]
            if not directory.pending:
                if directory.whole:
                    stack.pop()
                    continue
                try:
                    self._list(directory)
                except OSError as error:
                    stack.pop()
                    yield Skipped(os.fsdecode(directory.prefix[cut:]) or "./", _reason(error))
                continue
            entry = directory.pending.pop()
            kind = entry[-1:]
            name = entry[:-1] if kind in b"/\0" else entry
            path = directory.prefix + name
            if name in _PRUNED and (kind == b"/" or name == b".git"):
                yield Skipped(os.fsdecode(path[cut:]) + ("/" if kind == b"/" else ""), _PRUNED[name])
            elif kind == b"/":
                if directory.rules.excludes(name, path, True):
                    yield Skipped(os.fsdecode(path[cut:]) + "/", IGNORED)
                else:
                    child = _Directory(path + b"/", directory.rules, directory.in_repository)
                    yield from self._enter(stack, child)
            elif directory.rules.excludes(name, path, False):
                yield Skipped(os.fsdecode(path[cut:]), IGNORED)
            else:
                path = path[cut:]
                yield _judge(name, path, self._root + path, self._max_file_bytes)

    def _rules_above_root(self) -> IgnoreRules:
        rules = IgnoreRules()
        for tree_wide in tree_wide_rules(self._work_tree):
            rules = IgnoreRules(tree_wide, 0, rules)
        base = 0
        while base < len(self._where):
            directory = os.path.join(self._work_tree, self._where[:base])
            for name in IGNORE_FILES:
                text = read_ignore_file(os.path.join(directory, name))
                if text:
                    rules = IgnoreRules(text, base, rules)
            base = self._where.index(b"/", base) + 1
        return rules

    def _enter(self, stack: list[_Directory], directory: _Directory) -> Iterator[Skipped]:
        """Lists a directory, applies the ignore files it contains and puts it on the stack."""
        path = directory.prefix[len(self._where) :]
        try:
            self._list(directory)
        except OSError as error:
            yield Skipped(os.fsdecode(path) or "./", _reason(error))
            return
        if path and not directory.markers.isdisjoint(_REPOSITORY_MARKERS):
            work_tree = self._root + path
            if common_directory(work_tree) is not None:
                if directory.in_repository:
                    yield Skipped(os.fsdecode(path), NESTED_REPOSITORY)
                    return
                directory.in_repository = True
                for tree_wide in tree_wide_rules(work_tree):
                    directory.rules = IgnoreRules(tree_wide, len(directory.prefix), directory.rules)
        for name in IGNORE_FILES:
            if name not in directory.markers:
                continue
            text = read_ignore_file(self._root + path + name)
            if text:
                directory.rules = IgnoreRules(text, len(directory.prefix), directory.rules)
            elif text is None and directory.whole:
                directory.pending.remove(name)
                yield Skipped(os.fsdecode(path + name), IGNORE_FILE_NOT_READ)
        stack.append(directory)

    def _list(self, directory: _Directory) -> None:
        """Fills ``pending`` with the next batch of entries; raises OSError if the directory is unreadable."""
        with os.scandir(self._root + directory.prefix[len(self._where) :]) as listing:
            entries: Iterator[bytes] = map(_entry, listing)
            if directory.last is not None:
                entries = filter(directory.last.__lt__, entries)
            batch: list[bytes] = []
            directory.whole = True
            while found := list(islice(entries, _BATCH_NAMES)):
                batch.extend(found if directory.whole else filter(batch[-1].__gt__, found))
                batch.sort()
                if len(batch) > _BATCH_NAMES:
                    del batch[_BATCH_NAMES:]
                    directory.whole = False
        if directory.whole:
            directory.markers = frozenset(marker for marker in _MARKERS if _contains(batch, marker))
        else:
            directory.last = batch[-1]
        batch.reverse()
        directory.pending = batch


def _contains(ordered: list[bytes], entry: bytes) -> bool:
    position = bisect_left(ordered, entry)
    return position < len(ordered) and ordered[position] == entry


def _entry(entry: os.DirEntry[bytes]) -> bytes:
    """The name, marked at its end with what no name contains: ``/`` for a directory, NUL for links and so on.

    Because of the slash, sorting the entries of each directory puts the paths of the whole tree in order.
    """
    if entry.is_file(follow_symlinks=False):
        return entry.name
    return entry.name + (b"/" if entry.is_dir(follow_symlinks=False) else b"\0")


def _judge(
    name: bytes, path: bytes, full_path: bytes, max_file_bytes: int, follow: bool = False
) -> SourceFile | Skipped:
    shown = os.fsdecode(path)
    reason = reason_by_name(name)
    if reason is not None:
        return Skipped(shown, reason)
    try:
        status = os.stat(full_path, follow_symlinks=follow)
    except OSError as error:
        return Skipped(shown, _reason(error))
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        return Skipped(shown, SYMLINK if stat.S_ISLNK(mode) else SPECIAL_FILE)
    if status.st_size == 0:
        return Skipped(shown, EMPTY)
    if status.st_size > max_file_bytes:
        return Skipped(shown, TOO_LARGE)
    if mode & 0o444 != 0o444 and not os.access(full_path, os.R_OK, effective_ids=True):
        return Skipped(shown, UNREADABLE)
    return SourceFile(shown, status.st_size, status.st_mtime_ns)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return VANISHED
    return PATH_TOO_LONG if error.errno == errno.ENAMETOOLONG else UNREADABLE
