"""Colours that people with any colour vision tell apart, on dark and on light ground.

Blue, orange, vermilion and bluish green of M. Okabe and K. Ito, Color universal design (2008), made lighter on dark
ground and darker on light ground until text in them has a contrast of at least 4.5 to 1 (WCAG 2.1, 1.4.3).
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

DARK = Theme(
    name="flyweight-dark",
    primary="#56B4E9",
    secondary="#8FA3B8",
    accent="#E69F00",
    success="#2FC49B",
    warning="#E69F00",
    error="#FF8A50",
    foreground="#E4E8EE",
    background="#10141A",
    surface="#161C24",
    panel="#212A35",
    dark=True,
    variables={
        "border": "#3A4757",
        "border-blurred": "#3A4757",
        "block-cursor-background": "#2B5D80",
        "block-cursor-foreground": "#FFFFFF",
        "block-cursor-blurred-background": "#243242",
        "block-cursor-blurred-foreground": "#E4E8EE",
        "footer-key-foreground": "#56B4E9",
        "quiet": "#8FA3B8",
        "track": "#2A3542",
    },
)
LIGHT = Theme(
    name="flyweight-light",
    primary="#00639C",
    secondary="#56616E",
    accent="#9A5B00",
    success="#00704F",
    warning="#8F5400",
    error="#B13A00",
    foreground="#1B222B",
    background="#FBFAF7",
    surface="#F3F1EC",
    panel="#E6E3DB",
    dark=False,
    variables={
        "border": "#B9B4A8",
        "border-blurred": "#B9B4A8",
        "block-cursor-background": "#BFE0F5",
        "block-cursor-foreground": "#10141A",
        "block-cursor-blurred-background": "#E1E9EE",
        "block-cursor-blurred-foreground": "#1B222B",
        "footer-key-foreground": "#00639C",
        "quiet": "#56616E",
        "track": "#DAD6CC",
    },
)
_LIGHT_GROUNDS = ("7", "15")


def prefers_light(environment: Mapping[str, str]) -> bool:
    """Whether the terminal says that its ground is light, as rxvt, Konsole and others do in COLORFGBG.

    >>> prefers_light({"COLORFGBG": "0;15"}), prefers_light({"COLORFGBG": "15;default;0"}), prefers_light({})
    (True, False, False)
    """
    return environment.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT_GROUNDS
