"""The two files in which users of AWS keep their profiles."""

from __future__ import annotations

from pathlib import Path


class SharedFiles:
    """Those of a user whose home is `home`."""

    def __init__(self, home: Path) -> None:
        self.config_path = home / ".aws" / "config"
        self.credentials_path = home / ".aws" / "credentials"
        self.config_path.parent.mkdir()

    def config(self, text: str) -> None:
        self.config_path.write_text(text)

    def credentials(self, text: str) -> None:
        self.credentials_path.write_text(text)
