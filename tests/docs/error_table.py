"""The table of errors of a page."""

from __future__ import annotations

import re

from tests.docs.page import ROOT

_ROW = re.compile(r"^\| `(.+?)` \| .+ \|$", re.MULTILINE)


def listed_errors(page: str) -> list[str]:
    """What the errors of the page's last section of that kind say, `…` for what varies."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = text.partition("\n## When it does not work\n")[2].partition("\n## ")[0]
    return _ROW.findall(section)


def says(message: str, listed: str) -> bool:
    """Whether an error says what the page lists."""
    pattern = ".*".join(re.escape(part) for part in re.split(" ?…", listed))
    return re.match(pattern, message, re.DOTALL) is not None
