"""Examines an index from end to end: what is wrong with it, and which run of the builder mends that."""

from __future__ import annotations

import fcntl
import os

from flyweight.errors import FlyweightError, IndexMissingError
from flyweight.index.catalogue import LiveSegment
from flyweight.index.later_times import SUFFIX as LATER_TIMES
from flyweight.index.lock import LOCK_NAME
from flyweight.index.manifest import MANIFEST_NAME, Manifest, SegmentEntry, read_manifest
from flyweight.index.reader import POINTER_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOUND = "sound"
NOTE = "note"  # worth knowing; what searches find is right all the same
PROBLEM = "problem"

# Remedies that are a run of the builder; any other remedy is a sentence.
UPDATE = "update"
REBUILD = "rebuild"

_ATTEMPTS = 3  # a writer may replace segments while they are examined
_SPARE_BYTES = 64 * 1024 * 1024
_BUILD_FILES = (MANIFEST_NAME, "spill-", "pending-")


class Finding:
    """The outcome of one check: its name, SOUND, NOTE or PROBLEM, what was found, and the remedy if any."""

    __slots__ = ("check", "message", "remedy", "status")

    def __init__(self, check: str, status: str, message: str, remedy: str = "") -> None:
        self.check = check
        self.status = status
        self.message = message
        self.remedy = remedy

    def __repr__(self) -> str:
        return f"Finding({self.check!r}, {self.status!r}, {self.message!r}, {self.remedy!r})"


def check_index(index_path: str, embedder_options: Mapping[str, object] | None = None) -> list[Finding]:
    """Checks the directory, the embedder, the manifest and every byte of every segment.

    Whatever is wrong is a Finding; only a directory that is not there raises IndexMissingError.
    """
    if not os.path.isdir(index_path):
        raise IndexMissingError(f"no index at {index_path}: run 'flyweight index PATH' to make one")
    findings: list[Finding] = []
    for _ in range(_ATTEMPTS):
        checkup = _Checkup(index_path, embedder_options or {})
        findings = list(checkup.findings())
        if not any(finding.status == PROBLEM for finding in findings) or not checkup.overtaken():
            break
    return findings


def writer_of(index_path: str) -> str | None:
    """The process id of whoever is writing the index now; None when nobody is."""
    try:
        fd = os.open(os.path.join(index_path, LOCK_NAME), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return None
    finally:
        os.close(fd)
    return None


class _Checkup:
    def __init__(self, index_path: str, embedder_options: Mapping[str, object]) -> None:
        self._index_path = index_path
        self._embedder_options = embedder_options
        self._manifest: Manifest | None = None

    def overtaken(self) -> bool:
        """Whether a writer has changed the index since the checkup began."""
        return _generation(_manifest_or_none(self._index_path)) != _generation(self._manifest)

    def findings(self) -> Iterator[Finding]:
        yield self._directory()
        try:
            self._manifest = manifest = read_manifest(self._index_path)
        except IndexMissingError as error:
            yield Finding("manifest", PROBLEM, str(error).partition(": run")[0], UPDATE)
            yield self._model(None)
        except FlyweightError as error:
            yield Finding("manifest", PROBLEM, str(error).partition(": run")[0], REBUILD)
            yield self._model(None)
        else:
            yield _manifest_finding(manifest)
            yield self._model(manifest)
            yield from self._segments(manifest)
            yield _tree(manifest)
            yield self._space(manifest)
        yield from self._strays()
        writer = writer_of(self._index_path)
        if writer is None:
            yield Finding("lock", SOUND, "nobody is writing the index")
        else:
            yield Finding("lock", NOTE, f"process {writer} is writing the index at this moment")

    def _directory(self) -> Finding:
        path = self._index_path
        if not os.access(path, os.R_OK | os.X_OK):
            return Finding("directory", PROBLEM, f"{path} cannot be read", "let its owner run: chmod u+rwx " + path)
        if not os.access(path, os.W_OK):
            return Finding(
                "directory",
                NOTE,
                f"{path} can be searched but not written by you",
                "let its owner run: chmod u+w " + path,
            )
        return Finding("directory", SOUND, f"{path} can be read and written")

    def _model(self, manifest: Manifest | None) -> Finding:
        from flyweight.index.embedder_checkup import embedder_finding

        name, dimensions = (None, 0) if manifest is None else (manifest.embedder, manifest.dimensions)
        return embedder_finding(name, dimensions, self._embedder_options)

    def _segments(self, manifest: Manifest) -> Iterator[Finding]:
        readable: list[LiveSegment] = []
        for entry in manifest.segments:
            path = os.path.join(self._index_path, entry.name)
            if not os.path.lexists(path):
                yield Finding("segment", PROBLEM, f"{entry.name} is missing", UPDATE)
                continue
            try:
                segment = LiveSegment(self._index_path, entry)
            except FlyweightError as error:
                # A run of the builder leaves out what it cannot open, and indexes those files again.
                yield Finding("segment", PROBLEM, str(error), UPDATE)
                continue
            except ValueError:
                yield Finding("segment", PROBLEM, f"the dead files of {entry.name} are not listed properly", REBUILD)
                continue
            faults = list(_faults(segment, manifest))
            for fault in faults:
                yield Finding("segment", PROBLEM, f"{entry.name} {fault}", REBUILD)
            if not faults:
                yield Finding("segment", SOUND, _contents(entry))
                readable.append(segment)
            segment.data.release()
        twice = _paths_alive_twice(readable)
        if twice:
            yield Finding("segments", PROBLEM, f"{twice} files are held twice, so results repeat themselves", REBUILD)

    def _space(self, manifest: Manifest) -> Finding:
        file_system = os.statvfs(self._index_path)
        free = file_system.f_bavail * file_system.f_frsize
        # A merge or a rebuild writes the new segments before the old ones go.
        wanted = sum(entry.size_bytes for entry in manifest.segments) + _SPARE_BYTES
        message = f"{free / 1e6:,.0f} MB free on disk"
        if free < wanted:
            return Finding(
                "space",
                NOTE,
                f"{message}; a rebuild may need {wanted / 1e6:,.0f} MB",
                "make room before indexing again",
            )
        return Finding("space", SOUND, message)

    def _strays(self) -> Iterator[Finding]:
        try:
            names = set(os.listdir(self._index_path))
        except OSError:
            return  # said by the check of the directory
        if self._manifest is not None:
            for entry in self._manifest.segments:
                names -= {entry.name, entry.name + LATER_TIMES}
        names -= {MANIFEST_NAME, LOCK_NAME, POINTER_NAME, ".gitignore"}
        left_behind = {name for name in names if ".segment" in name or name.startswith(_BUILD_FILES)}
        foreign = sorted(names - left_behind)
        if left_behind and self._manifest is not None and writer_of(self._index_path) is None:
            size = sum(_size(os.path.join(self._index_path, name)) for name in left_behind)
            message = f"{len(left_behind)} files ({size / 1e6:.1f} MB) were left by a run that was killed"
            yield Finding("strays", NOTE, message, UPDATE)
        if foreign:
            more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            yield Finding(
                "strays",
                NOTE,
                f"{', '.join(map(repr, foreign[:3]))}{more} in the index directory: not ours, and left alone",
            )


def _manifest_or_none(index_path: str) -> Manifest | None:
    try:
        return read_manifest(index_path)
    except FlyweightError:
        return None


def _generation(manifest: Manifest | None) -> int | None:
    return None if manifest is None else manifest.generation


def _manifest_finding(manifest: Manifest) -> Finding:
    parts = "1 segment" if len(manifest.segments) == 1 else f"{len(manifest.segments)} segments"
    message = f"generation {manifest.generation}, {manifest.live_chunks:,} chunks in {parts}"
    if manifest.complete:
        return Finding("manifest", SOUND, message)
    return Finding("manifest", NOTE, f"{message}; the last run did not get to its end", UPDATE)


def _tree(manifest: Manifest) -> Finding:
    if os.path.isdir(manifest.root):
        return Finding("tree", SOUND, f"{manifest.root} is there")
    return Finding(
        "tree",
        NOTE,
        f"{manifest.root}, which was indexed, is no longer there",
        "run: flyweight index PATH --rebuild (PATH: where it is now)",
    )


def _faults(segment: LiveSegment, manifest: Manifest) -> Iterator[str]:
    """What does not agree in a segment whose checksums, but for the text's, are right."""
    entry, data = segment.entry, segment.data
    if not data.text_intact():
        yield "has damaged text: the checksum of its source code is wrong"
    found = (data.size_bytes, data.file_count, data.chunk_count)
    listed = (entry.size_bytes, entry.file_count, entry.chunk_count)
    for what, here, there in zip(("bytes", "files", "chunks"), found, listed, strict=True):
        if here != there:
            yield f"has {here:,} {what}, the manifest says {there:,}"
    if data.dimensions != manifest.dimensions:
        yield f"has vectors of {data.dimensions} dimensions, the manifest says {manifest.dimensions}"
    if f"embedder={manifest.embedder}\n".encode() not in data.meta:
        yield f"was not made with {manifest.embedder}, as the manifest says"
    if len(segment.dead) != data.file_count:
        yield "has fewer files than the manifest calls dead"
        return
    dead_chunks = sum(data.file(index)[5] for index, dead in enumerate(segment.dead) if dead)
    if dead_chunks != entry.dead_chunks:
        yield f"has {dead_chunks:,} dead chunks, the manifest says {entry.dead_chunks:,}"


def _paths_alive_twice(segments: list[LiveSegment]) -> int:
    count = 0
    for position, segment in enumerate(segments):
        others = segments[position + 1 :]
        for index, dead in enumerate(segment.dead):
            if dead or not others:
                continue
            path = segment.data.file(index)[0]
            places = ((other, other.data.find_file(path)) for other in others)
            count += any(place is not None and not other.dead[place] for other, place in places)
    for segment in segments:
        segment.data.release()
    return count


def _contents(entry: SegmentEntry) -> str:
    dead = f", {entry.dead_chunks:,} dead" if entry.dead_chunks else ""
    return f"{entry.name}: {entry.file_count:,} files, {entry.chunk_count:,} chunks{dead}, checksums right"


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
