"""semble beside us: its process, set up to run without a network on the same static model as ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks import shipped_model
from benchmarks.evaluation_set import Unavailable
from benchmarks.peer_process import PeerProcess, require
from benchmarks.settings import REPOSITORY_ROOT, Settings


def start(settings: Settings, environment: dict[str, str] | None = None) -> PeerProcess:
    """A semble process with nothing loaded yet; its caches go to the work folder, not to the user's home."""
    python = require(settings.peers_python, "semble")
    own = {
        "SEMBLE_CACHE_LOCATION": str(settings.folder("semble-cache")),
        "HF_HUB_OFFLINE": "1",
    }
    return PeerProcess(python, "semble", own | (environment or {}))


def model_directory(settings: Settings) -> Path:
    """A model2vec directory with our token table, so that only the two programs differ, not their models."""
    if settings.peer_model is not None:
        return settings.peer_model
    python = require(settings.peers_python, "model2vec")
    directory = settings.folder("static-model")
    table = settings.work / "token-table.npz"
    shipped_model.write_table(table)
    done = subprocess.run(
        [str(python), "-m", "benchmarks.peers.static_model", str(table), str(directory)],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(f"cannot write a model2vec directory for semble: {done.stderr.strip()}")
    return directory
