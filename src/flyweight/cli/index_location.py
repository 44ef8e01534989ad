"""Where the index is that a verb is about, and what to type to bring it up to date."""

from __future__ import annotations

import os
import shlex

from flyweight.errors import IndexMissingError
from flyweight.index.manifest import manifest_path
from flyweight.index.reader import pointer_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.index.reader import IndexInfo

INDEX_NAME = ".flyweight"


def find_index(directory: str) -> str | None:
    """The index of `directory` or of the nearest directory above it that has one; None when none has."""
    while True:
        candidate = os.path.join(directory, INDEX_NAME)
        if any(os.path.lexists(path) for path in (manifest_path(candidate), pointer_path(candidate))):
            return candidate
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def chosen_index(option: str | None) -> str:
    """The absolute path of the index to use: that of `--index`, else the one `find_index` finds.

    Raises IndexMissingError.
    """
    if option is not None:
        return os.path.realpath(option)
    here = os.path.realpath(os.getcwd())
    found = find_index(here)
    if found is None:
        raise IndexMissingError(
            f"there is no index in {here} or above it: run 'flyweight index' in the top directory of the code"
        )
    return found


def index_to_read(option: str | None, store: str | None) -> str:
    """As `chosen_index`; where a store is named, the directory need not be there.

    Raises IndexMissingError.
    """
    try:
        return chosen_index(option)
    except IndexMissingError:
        # One that has lost its manifest is what a doctor is for.
        here = os.path.join(os.path.realpath(os.getcwd()), INDEX_NAME)
        if store is None and not os.path.isdir(here):
            raise
        return here


def tree_of(manifest: IndexInfo, index_path: str) -> str:
    """The directory that was indexed: where it was then, or where it is now if the index moved with it."""
    if not os.path.isdir(manifest.root) and os.path.basename(index_path) == INDEX_NAME:
        return os.path.dirname(index_path)
    return manifest.root


def index_command(tree: str, index_path: str, *options: str) -> str:
    """What to type, in the present directory, to index `tree` into `index_path`."""
    words = ["flyweight", "index"]
    if tree != os.path.realpath(os.getcwd()):
        words.append(tree)
    if index_path != os.path.join(tree, INDEX_NAME):
        words += ["--index", index_path]
    return shlex.join([*words, *options])
