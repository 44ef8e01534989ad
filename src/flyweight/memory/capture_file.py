"""A capture as a file: the JSON document is written here, everything that is made of it by a child process."""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from flyweight.errors import PathError
from flyweight.memory.json_stream import pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.memory.capture_parts import Parts

# What file names end in; which format each means is a matter of flyweight.observe.render.
CAPTURE_SUFFIX = ".json"
RENDERED_SUFFIXES = (".html", ".md", ".txt", ".pb.gz", ".speedscope.json", ".collapsed", ".prom")
_FLUSH_CHARACTERS = 1 << 16
_PARENT_READS = 1 << 16


def write(path: str | os.PathLike[str], parts: Parts) -> None:
    """Writes a capture, or what its name's suffix says that it should become. Raises PathError."""
    target = os.fsdecode(path)
    rendered = target.endswith(RENDERED_SUFFIXES)
    if not rendered and not target.endswith(CAPTURE_SUFFIX):
        raise PathError(
            f"{target} does not say what to write: its name must end in .json for the capture itself, or in "
            f"{', '.join(RENDERED_SUFFIXES[:-1])} or {RENDERED_SUFFIXES[-1]}"
        )
    # In the same directory, so that the rename stays within one file system.
    draft = f"{target}.{os.getpid()}-{get_ident()}.tmp"
    try:
        _write_json(draft, target, parts)
        if rendered:
            _render(draft, target)
        else:
            os.replace(draft, target)
    except OSError as error:
        raise PathError(f"the capture cannot be written to {target}: {error.strerror or error}") from None
    finally:
        try:
            os.unlink(draft)
        except OSError:
            pass


def _write_json(draft: str, target: str, parts: Parts) -> None:
    with open(draft, "w", encoding="ascii") as file:
        waiting: list[str] = []
        size = 0
        for piece in pieces(parts):
            waiting.append(piece)
            size += len(piece)
            if size >= _FLUSH_CHARACTERS:
                file.write("".join(waiting))
                waiting.clear()
                size = 0
        waiting.append("\n")
        file.write("".join(waiting))


def _render(draft: str, target: str) -> None:
    read_fd, write_fd = os.pipe()
    try:
        # -P: the directory the program runs in may hold a module named like one of ours.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "flyweight.observe.render", draft, target],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, write_fd, 2)],
        )
    except OSError as error:
        os.close(read_fd)
        raise PathError(
            f"{target} cannot be made, since {sys.executable or 'Python'} cannot be started: {error.strerror}; "
            f"save a {CAPTURE_SUFFIX} file and run 'flyweight report' on it"
        ) from None
    finally:
        os.close(write_fd)
    try:
        said = b""
        while piece := os.read(read_fd, _PARENT_READS):
            said += piece
    finally:
        os.close(read_fd)
        status = _status_of(pid)
    lines = os.fsdecode(said).strip().splitlines()
    failed = bool(lines) if status is None else status != 0
    if failed:
        reason = lines[-1].removeprefix("flyweight: ") if lines else f"its writer ended with status {status}"
        raise PathError(f"{target} cannot be made: {reason}")


def _status_of(pid: int) -> int | None:
    """How a child has ended; None where the program lets all its children go unasked, or has asked before us."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None
