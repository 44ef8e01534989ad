"""What an indexing run reports, while it goes on and when it is done. Read by the resident: imports nothing."""

from __future__ import annotations


class IndexProgress:
    """How far a build is. `phase` is "scan", "index", "merge" or "optimise"; totals are 0 until the scan is done.

    requests, tokens, cached_embeddings: as in IndexStats, so far. trouble: what keeps the embedding service from
    answering at the moment, "" if nothing does.
    """

    __slots__ = (
        "bytes",
        "cached_embeddings",
        "chunks",
        "files",
        "phase",
        "requests",
        "seconds",
        "tokens",
        "total_bytes",
        "total_files",
        "trouble",
    )

    def __init__(
        self,
        phase: str,
        files: int = 0,
        total_files: int = 0,
        chunks: int = 0,
        bytes: int = 0,
        total_bytes: int = 0,
        seconds: float = 0.0,
        requests: int = 0,
        tokens: int = 0,
        cached_embeddings: int = 0,
        trouble: str = "",
    ) -> None:
        self.phase = phase
        self.files = files
        self.total_files = total_files
        self.chunks = chunks
        self.bytes = bytes
        self.total_bytes = total_bytes
        self.seconds = seconds
        self.requests = requests
        self.tokens = tokens
        self.cached_embeddings = cached_embeddings
        self.trouble = trouble


class IndexStats:
    """The outcome of a run.

    files, chunks: what the index now holds (files: of a rebuild that was cut short, those it got to).
    added, changed, unchanged, removed: files, compared with before.
    new_chunks: chunks written by this run. skipped: reason -> number of files not indexed. bytes: source bytes read.
    seconds: wall time. generation: of the index. interrupted: the run was stopped and the index is partial.
    peak_private_bytes: the most private memory that all builder processes together were seen to hold, looking
    ten times a second; gateway_private_bytes: that of the embedding gateway, which is part of it;
    store_private_bytes: that of a store's own process, which is no part of it.
    requests, tokens: asked of the embedding service by this run, and paid for. cached_embeddings: chunks whose vectors
    an earlier run had paid for. unembedded_chunks: chunks the service gave no vector for; they are found by their words
    only, and the next run asks again. unembedded: the first hundred of them as (path, first line, last line, reason).
    notes: what else a person should be told.
    stopped: which limit ended the run early ("" if none did); what was embedded by then is in the index, or, of a
    rebuild, in the embedding cache only: the index from before stands.
    """

    __slots__ = (
        "added",
        "bytes",
        "cached_embeddings",
        "changed",
        "chunks",
        "files",
        "gateway_private_bytes",
        "generation",
        "interrupted",
        "new_chunks",
        "notes",
        "peak_private_bytes",
        "removed",
        "requests",
        "seconds",
        "skipped",
        "stopped",
        "store_private_bytes",
        "tokens",
        "unchanged",
        "unembedded",
        "unembedded_chunks",
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
        self.gateway_private_bytes = 0
        self.store_private_bytes = 0
        self.requests = 0
        self.tokens = 0
        self.cached_embeddings = 0
        self.unembedded: list[tuple[str, int, int, str]] = []
        self.unembedded_chunks = 0
        self.stopped = ""
        self.notes: list[str] = []

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return "IndexStats(" + ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__) + ")"
