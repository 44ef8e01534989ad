"""Where git keeps the ignore rules of a whole work tree: its repository and the user's configuration."""

from __future__ import annotations

import os
import re
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Hand-written ignore files are a few kB, generated ones have been seen past 100 kB. Without a bound a
# hostile tree could have us compile patterns until memory runs out.
MAX_IGNORE_FILE_BYTES = 256 * 1024
_MAX_CONFIG_BYTES = 1024 * 1024

_ESCAPES = {b"n": b"\n", b"t": b"\t", b"b": b"\b"}
_VALUE_PIECE = re.compile(rb'\\(.)|(")|([#;])|([^\\"#;]+)', re.DOTALL)


def read_ignore_file(path: bytes, *, follow: bool = False, limit: int = MAX_IGNORE_FILE_BYTES) -> bytes | None:
    """The whole text of a regular file of at most ``limit`` bytes; None if it is not one or cannot be read.

    Like git, an ignore file inside a work tree is not read through a symbolic link (``follow`` false).
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if len(data) <= limit else None


def common_directory(work_tree: bytes) -> bytes | None:
    """The directory that holds the repository of ``work_tree``; None when it is not the top of one.

    A linked work tree or a submodule has a ``.git`` file that points elsewhere, and a linked work tree shares
    most of its repository (also ``info/exclude``) with the main one.
    """
    directory = os.path.join(work_tree, b".git")
    if not os.path.isdir(directory):
        pointer = read_ignore_file(directory, follow=True)
        if pointer is None or not pointer.startswith(b"gitdir: "):
            return None
        directory = os.path.join(work_tree, pointer[len(b"gitdir: ") :].rstrip(b"\r\n"))
    common = directory
    pointer = read_ignore_file(os.path.join(directory, b"commondir"))
    if pointer is not None:
        common = os.path.join(directory, pointer.rstrip(b"\r\n"))
    whole = (
        os.path.lexists(os.path.join(directory, b"HEAD"))
        and os.path.isdir(os.path.join(common, b"objects"))
        and os.path.isdir(os.path.join(common, b"refs"))
    )
    return common if whole else None


def enclosing_work_tree(directory: bytes) -> bytes | None:
    """The top of the work tree that ``directory`` (absolute, without links) lies in; None outside of any."""
    while True:
        if common_directory(directory) is not None:
            return directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def tree_wide_rules(work_tree: bytes) -> list[bytes]:
    """Texts of the ignore files that hold for all of ``work_tree``, the one that gives way first.

    These are the user's ``core.excludesFile`` and, in a repository, its ``info/exclude``. Configuration files
    named by an ``include`` and settings from the environment (GIT_CONFIG_COUNT) are not consulted.
    """
    common = common_directory(work_tree)
    sources = [_excludes_file(work_tree, common)]
    if common is not None:
        sources.append(os.path.join(common, b"info", b"exclude"))
    texts = (read_ignore_file(source, follow=True) for source in sources if source)
    return [text for text in texts if text]


def _excludes_file(work_tree: bytes, common: bytes | None) -> bytes | None:
    home = os.environb.get(b"HOME")
    xdg = os.environb.get(b"XDG_CONFIG_HOME") or (os.path.join(home, b".config") if home else None)
    configured: bytes | None = None
    for path in _config_files(home, xdg, common):
        config = read_ignore_file(path, follow=True, limit=_MAX_CONFIG_BYTES)
        for value in _excludes_settings(config or b""):
            configured = value
    if configured is not None:
        return os.path.join(work_tree, os.path.expanduser(configured)) if configured else None
    return os.path.join(xdg, b"git", b"ignore") if xdg else None


def _config_files(home: bytes | None, xdg: bytes | None, common: bytes | None) -> Iterator[bytes]:
    """Git's configuration files, the one that gives way first."""
    if os.environb.get(b"GIT_CONFIG_NOSYSTEM", b"").lower() not in (b"1", b"true", b"yes", b"on"):
        yield os.environb.get(b"GIT_CONFIG_SYSTEM", b"/etc/gitconfig")
    if b"GIT_CONFIG_GLOBAL" in os.environb:
        yield os.environb[b"GIT_CONFIG_GLOBAL"]
    else:
        if xdg:
            yield os.path.join(xdg, b"git", b"config")
        if home:
            yield os.path.join(home, b".gitconfig")
    if common is not None:
        yield os.path.join(common, b"config")


def _excludes_settings(config: bytes) -> Iterator[bytes]:
    section = b""
    for line in config.replace(b"\r\n", b"\n").replace(b"\\\n", b"").split(b"\n"):
        line = line.strip()
        if line.startswith(b"["):
            header, _, line = line[1:].partition(b"]")
            section = header.strip().lower()
        key, equals, value = line.partition(b"=")
        if section == b"core" and equals and key.strip().lower() == b"excludesfile":
            yield _config_value(value)


def _config_value(text: bytes) -> bytes:
    value = b""
    solid = 0  # length up to the last byte that is not trailing white space
    quoted = False
    for piece in _VALUE_PIECE.finditer(text.lstrip()):
        escaped, quote, comment, plain = piece.groups()
        if quote:
            quoted = not quoted
            continue
        if comment and not quoted:
            break
        if escaped:
            value += _ESCAPES.get(escaped, escaped)
            solid = len(value)
        else:
            value += comment or plain
            solid = len(value) if quoted else max(solid, len(value.rstrip()))
    return value[:solid]
