"""Copies of the libraries that a client over TLS loads, for the measured process alone.

A page of a library is private while one process maps it. OpenSSL is mapped by half the programs of a machine, the
stand-in of the service among them, and what the measured process needs of it would look as if it cost nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_TIMEOUT_S = 60
_LOADED_BY = "_ssl", "_socket", "_hashlib", "_json", "select", "zlib"
_LIST = f"""
import importlib
def mapped():
    return {{line.split(maxsplit=5)[5].rstrip() for line in open("/proc/self/maps") if ".so" in line}}
before = mapped()
for name in {_LOADED_BY!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(*sorted(mapped() - before), sep="\\n")
"""


def own_libraries(directory: Path) -> dict[str, str]:
    """Variables by which a process of this interpreter loads copies, made in `directory`, instead of the originals."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _LIST], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
    )
    directory.mkdir(parents=True, exist_ok=True)
    for path in done.stdout.splitlines():
        shutil.copyfile(path, directory / os.path.basename(path))
    return {
        name: os.pathsep.join([str(directory), *filter(None, [os.environ.get(name)])])
        for name in ("LD_LIBRARY_PATH", "PYTHONPATH")
    }
