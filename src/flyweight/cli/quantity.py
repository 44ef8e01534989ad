"""Numbers with units, as people write and read them."""

from __future__ import annotations

import click

_UNITS = "KMGT"


def size_bytes(text: str) -> int:
    """The type of an option whose value is a size; units are powers of 1024.

    >>> size_bytes("64M"), size_bytes("1.5GiB"), size_bytes("4096")
    (67108864, 1610612736, 4096)
    """
    number = text.strip().upper().removesuffix("B").removesuffix("I")
    exponent = 1 + _UNITS.index(number[-1]) if number and number[-1] in _UNITS else 0
    try:
        return int(float(number[:-1] if exponent else number) * 1024**exponent)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not a size: write a number with K, M or G, such as 64M") from None


def size_text(size: float) -> str:
    """Bytes for people; units are powers of 1000.

    >>> size_text(999), size_text(1_500), size_text(64_000_000)
    ('999 bytes', '1.5 kB', '64.0 MB')
    """
    if size < 1e3:
        return f"{size:.0f} bytes"
    if size < 1e6:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def duration_text(seconds: float) -> str:
    """
    >>> duration_text(0.0123), duration_text(75), duration_text(7260)
    ('0.01 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count_text(count: int, thing: str) -> str:
    """
    >>> count_text(1, "file"), count_text(1234, "file")
    ('1 file', '1,234 files')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def tally(counts: dict[str, int], most: int = 10) -> str:
    """The `most` names that are most frequent, with their counts.

    >>> tally({"binary": 3, "ignored": 1200})
    '1,200 ignored, 3 binary'
    >>> tally({"go": 3, "lua": 2, "c": 1}, most=1)
    '3 go and 2 more kinds'
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{count:,} {name}" for name, count in ordered[:most])
    return listed if len(ordered) <= most else f"{listed} and {count_text(len(ordered) - most, 'more kind')}"
