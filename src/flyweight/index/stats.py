"""What an indexing run reports, while it goes on and when it is done. Read by the resident: imports nothing."""

from __future__ import annotations


class IndexProgress:
    """How far a build is. `phase` is "scan", "index" or "merge"; totals are 0 until the scan is done."""

    __slots__ = ("bytes", "chunks", "files", "phase", "seconds", "total_bytes", "total_files")

    def __init__(
        self,
        phase: str,
        files: int = 0,
        total_files: int = 0,
        chunks: int = 0,
        bytes: int = 0,
        total_bytes: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self.phase = phase
        self.files = files
        self.total_files = total_files
        self.chunks = chunks
        self.bytes = bytes
        self.total_bytes = total_bytes
        self.seconds = seconds


class IndexStats:
    """The outcome of a run.

    files, chunks: what the index now holds. added, changed, unchanged, removed: files, compared with before.
    new_chunks: chunks written by this run. skipped: reason -> number of files not indexed. bytes: source bytes read.
    seconds: wall time. generation: of the index. interrupted: the run was stopped and the index is partial.
    peak_private_bytes: the most private memory that all builder processes together were seen to hold, looking
    ten times a second.
    """

    __slots__ = (
        "added",
        "bytes",
        "changed",
        "chunks",
        "files",
        "generation",
        "interrupted",
        "new_chunks",
        "peak_private_bytes",
        "removed",
        "seconds",
        "skipped",
        "unchanged",
    )

    def __init__(self) -> None:
        self.files = 0
        self.chunks = 0
        self.new_chunks = 0
        self.added = 0
        self.changed = 0
        self.unchanged = 0
        self.removed = 0
        self.skipped: dict[str, int] = {}
        self.bytes = 0
        self.seconds = 0.0
        self.generation = 0
        self.interrupted = False
        self.peak_private_bytes = 0

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return "IndexStats(" + ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__) + ")"
