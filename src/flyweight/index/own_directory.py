"""Directories that hold an index and nothing else: no walk takes them for source."""

from __future__ import annotations

import os


def make_own_directory(path: str) -> None:
    """Makes the directory; one that is empty gets a .gitignore that hides it from git and from us. Raises OSError."""
    os.makedirs(path, exist_ok=True)
    if not os.listdir(path):  # elsewhere it would hide the user's files
        with open(os.path.join(path, ".gitignore"), "w") as file:
            file.write("*\n")
