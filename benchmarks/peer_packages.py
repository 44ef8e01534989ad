"""The peers' packages for processes of our own interpreter, which must be of the same Python version."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.settings import Settings

_ASKED = "import sys, sysconfig, json; print(json.dumps([list(sys.version_info[:2]), sysconfig.get_path('purelib')]))"


def peer_packages(settings: Settings) -> tuple[str, str]:
    """The peers' site-packages, or an empty string and why there are none to use."""
    if settings.peers_python is None:
        return "", "not installed: run 'make bench-peers'"
    done = subprocess.run([str(settings.peers_python), "-c", _ASKED], capture_output=True, text=True, check=True)
    version, purelib = json.loads(done.stdout)
    if tuple(version) != sys.version_info[:2]:
        return "", f"installed for Python {version[0]}.{version[1]}: run 'make bench-peers'"
    return str(purelib), ""
