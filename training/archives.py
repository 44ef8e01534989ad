"""Packages to learn from: fetched by name and version, read without being installed."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).with_name("sources.txt")
MAX_FILE_BYTES = 400_000
_SKIPPED = re.compile(
    r"(?:^|/)(?:tests?|testing|testdata|specs?|__tests__|examples?|_?vendor|third[-_]party|dist|umd|cjs)/"
    r"|(?:^|/)test_|_test\.|[.-](?:test|spec|min|bundle)\.|\.d\.ts$"
)


class Source(NamedTuple):
    registry: str  # pypi, debian or npm
    name: str
    version: str


def sources() -> list[Source]:
    lines = SOURCES.read_text().splitlines()
    return [Source(*line.split()) for line in lines if line and not line.startswith("#")]


def _command(source: Source) -> list[str]:
    if source.registry == "pypi":
        wheel = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11"]
        return [sys.executable, "-m", "pip", "download", "-q", *wheel, f"{source.name}=={source.version}"]
    if source.registry == "npm":
        return ["npm", "pack", "--silent", f"{source.name}@{source.version}"]
    return ["apt-get", "download", "-q", f"{source.name}={source.version}"]


def archive_path(source: Source, folder: Path) -> Path | None:
    """Where the registry's client leaves the package."""
    if source.registry == "pypi":
        prefix = f"{source.name.replace('-', '_')}-{source.version}-".lower()
        found = [path for path in folder.glob("*.whl") if path.name.lower().startswith(prefix)]
    elif source.registry == "npm":
        found = list(folder.glob(f"{source.name.removeprefix('@').replace('/', '-')}-{source.version}.tgz"))
    else:
        found = list(folder.glob(f"{source.name}_{source.version.replace(':', '%3a')}_*.deb"))
    return found[0] if found else None


def fetch(folder: Path) -> None:
    """Downloads the packages that are missing, with pip, npm and apt-get; stops at the first that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources():
        if archive_path(source, folder) is None:
            print("fetching", *source, flush=True)
            subprocess.run(_command(source), cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for info in wheel.infolist():
                if not info.is_dir() and info.file_size <= MAX_FILE_BYTES:
                    yield info.filename, wheel.read(info)
        return
    stream: io.BytesIO | None = None
    if path.suffix == ".deb":
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, stdout=subprocess.PIPE)
        stream = io.BytesIO(unpacked.stdout)
    with tarfile.open(None if stream else path, fileobj=stream) as archive:
        for member in archive:
            if member.isfile() and member.size <= MAX_FILE_BYTES:
                content = archive.extractfile(member)
                yield member.name, content.read() if content else b""


def source_files(path: Path, extensions: frozenset[str]) -> list[tuple[str, str]]:
    """Names and texts of the files worth reading in an archive, by name."""
    found = []
    for name, content in _members(path):
        if os.path.splitext(name)[1] in extensions and not _SKIPPED.search(name):
            found.append((name, content.decode("utf-8", "ignore")))
    return sorted(found)
