"""Whether results still stand in the files they come from."""

from __future__ import annotations

import os

from flyweight.cli.printable import printable_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight import SearchHit


def outdated_files(hits: list[SearchHit], tree: str, indexed_ns: int) -> list[str]:
    """The files among the hits' that are gone or no longer contain what was found in them, each once.

    A file that was last changed before `indexed_ns` is not opened.
    """
    verdicts: dict[str, bool] = {}
    for hit in hits:
        if not verdicts.get(hit.path):
            verdicts[hit.path] = not _stands(hit, os.path.join(tree, hit.path), indexed_ns)
    return [printable_path(path) for path, outdated in verdicts.items() if outdated]


def _stands(hit: SearchHit, path: str, indexed_ns: int) -> bool:
    try:
        if os.stat(path).st_mtime_ns <= indexed_ns:
            return True
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return hit.text in file.read()
    except OSError:
        return False
