"""An environment without AWS settings, and a home to put some into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shared_files import SharedFiles


@pytest.fixture
def shared_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedFiles:
    for name in os.environ:
        if name.startswith("AWS_") or name.upper().endswith("_PROXY") or name == "BOTO_CONFIG":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return SharedFiles(tmp_path)
