"""Examines an index from end to end: what is wrong with it, and which run of the builder mends that."""

from __future__ import annotations

import fcntl
import os

from flyweight._build import Segment
from flyweight._search import StaticModel
from flyweight.embed.static import model_path
from flyweight.errors import FlyweightError, IndexMissingError
from flyweight.index.catalogue import LiveSegment
from flyweight.index.lock import LOCK_NAME
from flyweight.index.manifest import MANIFEST_NAME, Manifest, SegmentEntry, read_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SOUND = "sound"
NOTE = "note"  # worth knowing; searches are right all the same
PROBLEM = "problem"

# Remedies that are a command; any other remedy is a sentence.
UPDATE = "update"
REBUILD = "rebuild"

_ATTEMPTS = 3  # a writer may replace segments while they are examined
_LEAST_FREE_BYTES = 64 * 1024 * 1024


class Finding:
    """The outcome of one check: its name, SOUND, NOTE or PROBLEM, what was found, and the remedy if there is need."""

    __slots__ = ("check", "message", "remedy", "status")

    def __init__(self, check: str, status: str, message: str, remedy: str = "") -> None:
        self.check = check
        self.status = status
        self.message = message
        self.remedy = remedy

    def as_dict(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ("check", "status", "message", "remedy")}

    def __repr__(self) -> str:
        return f"Finding({self.check!r}, {self.status!r}, {self.message!r}, {self.remedy!r})"


def check_index(index_path: str) -> list[Finding]:
    """Checks directory, model, manifest and every byte of every segment. Raises IndexMissingError when there is no
    such directory; whatever else is wrong is a Finding."""
    if not os.path.isdir(index_path):
        raise IndexMissingError(f"no index at {index_path}: run 'flyweight index PATH' to make one")
    for _ in range(_ATTEMPTS):
        findings = list(_Checkup(index_path).findings())
        generation = _generation(index_path)
        if all(finding.status != PROBLEM for finding in findings) or generation == _generation_of(findings):
            break
    return findings
