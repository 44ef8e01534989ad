"""The sources under `fixtures/`, one per language, each read under the language it is detected as."""

from __future__ import annotations

from pathlib import Path

from flyweight.index.language import detect

FOLDER = Path(__file__).parent / "fixtures"


def sample(name: str) -> tuple[bytes, str]:
    """Contents and language of a fixture."""
    data = (FOLDER / name).read_bytes()
    return data, detect(name, data)


def samples() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir() if path.is_file())
