"""What is alive behind a site, by type, and who keeps it."""

from __future__ import annotations

import time

from flyweight import _memory
from flyweight.errors import ConfigError, TrackingError
from flyweight.memory.chains import Chain, Chains, type_name
from flyweight.memory.live_objects import Found, Search
from flyweight.memory.packed import rows
from flyweight.memory.session import check_active, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.memory.leaks import Leak
    from flyweight.memory.sites import Site

# Objects whose chain is sought: the oldest of each of the largest types.
SAMPLED = 3
# The part of the time that may go into finding the objects; the rest is for their chains.
_SEARCH_SHARE = 0.6


class HeldType:
    """Live blocks of one kind: the objects of a type, or a part of them such as the items of lists."""

    __slots__ = ("bytes", "count", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"{self.count:,} {self.name}, {self.bytes:,} bytes"


class Holders:
    """The live objects behind a site and who keeps them.

    count, bytes: blocks that were looked at, oldest first; types: what lies in them, largest first; unknown_count,
    unknown_bytes: blocks in which no object was found: what C code keeps for itself. chains: a sample. complete: False
    when the time was over first, and with more time more would be known.
    """

    __slots__ = ("bytes", "chains", "complete", "count", "site", "types", "unknown_bytes", "unknown_count")

    def __init__(self, site: int) -> None:
        self.site = site
        self.count = self.bytes = self.unknown_count = self.unknown_bytes = 0
        self.types: list[HeldType] = []
        self.chains: list[Chain] = []
        self.complete = True

    def to_dict(self) -> dict[str, object]:
        """All of it by name, fit for JSON."""
        return {
            "count": self.count,
            "bytes": self.bytes,
            "types": [{"name": held.name, "count": held.count, "bytes": held.bytes} for held in self.types],
            "unknown_count": self.unknown_count,
            "unknown_bytes": self.unknown_bytes,
            "chains": [{"root": chain.root, "links": list(chain.links)} for chain in self.chains],
            "complete": self.complete,
        }

    def __str__(self) -> str:
        lines = [f"{self.count:,} live blocks, {self.bytes:,} bytes"]
        lines += [f"  {held!r}" for held in self.types]
        if self.unknown_count:
            lines.append(f"  {self.unknown_count:,} without a known object, {self.unknown_bytes:,} bytes")
        lines += [f"  held by {chain}" for chain in self.chains]
        if not self.complete:
            lines.append("  (the time was over before all was searched)")
        return "\n".join(lines)


def holders(
    leak_or_site: Leak | Site | int, limit: int = 10_000, *, max_depth: int = 8, time_limit_s: float = 1.0
) -> Holders:
    """The live objects behind a site of Python code, and chains of references that keep a few of them.

    leak_or_site: a Leak, a Site or a site's number. limit: most blocks that are looked at, the oldest. max_depth: most
    references in a chain. time_limit_s: seconds this may take; a step of the search (listing the collector's objects,
    one look for referrers) is not interrupted.

    On 3.11 and 3.12 the locals of running functions cannot be seen without refreshing their `frame.f_locals`; where a
    trace function is set they are left alone. Naming an attribute of a sampled holder may create its `__dict__`.

    Raises TrackingError when nothing is being recorded or the leak is of an earlier recording, ConfigError.
    """
    for name, value in (("limit", limit), ("max_depth", max_depth)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a number from 1 on, not {value!r}")
    if isinstance(time_limit_s, bool) or not isinstance(time_limit_s, (int, float)) or not time_limit_s > 0:
        raise ConfigError(f"time_limit_s must be a number of seconds above 0, not {time_limit_s!r}")
    check_active()
    begin = time.monotonic()
    found = Holders(_site_number(leak_or_site))
    blocks = {address: size for address, size, _ in rows(_memory.blocks(found.site, limit), 3)}
    found.count, found.bytes = len(blocks), sum(blocks.values())
    search = Search(blocks, begin + _SEARCH_SHARE * time_limit_s)
    search.run()
    found.unknown_count = len(search.left)
    found.unknown_bytes = sum(size for size, _ in search.left.values())
    found.types = _by_type(search.found)
    chains = Chains(max_depth, begin + time_limit_s)
    for sample in _samples(search.found, found.types):
        chain = chains.of(sample)
        if chain and str(chain) not in map(str, found.chains):
            found.chains.append(chain)
    found.complete = search.complete and chains.complete
    return found


def _site_number(leak_or_site: Leak | Site | int) -> int:
    if isinstance(leak_or_site, int):
        return leak_or_site
    session = getattr(leak_or_site, "session", None)
    if session is not None and session != status()["session"]:
        raise TrackingError("the leak was found in an earlier recording: its blocks are no longer known")
    number = getattr(leak_or_site, "site", getattr(leak_or_site, "number", None))
    if not isinstance(number, int):
        raise ConfigError(f"holders are asked for by a Leak, a Site or its number, not by {leak_or_site!r}")
    return number


def _kind(one: Found) -> str:
    name = type_name(type(one.object))
    return f"{one.part} of {name}" if one.part else name


def _by_type(found: Sequence[Found]) -> list[HeldType]:
    types: dict[str, HeldType] = {}
    for one in found:
        kind = _kind(one)
        held = types.get(kind)
        if held is None:
            held = types[kind] = HeldType(kind)
        held.count += 1
        held.bytes += one.size_bytes
    return sorted(types.values(), key=lambda held: held.bytes, reverse=True)


def _samples(found: Sequence[Found], types: Sequence[HeldType]) -> list[Found]:
    """The oldest object of each of the largest types; of few types also the one in the middle and the youngest."""
    chosen: list[Found] = []
    ordered = sorted(found, key=lambda one: one.order)
    for pick in (0.0, 0.5, 1.0):
        for held in types[:SAMPLED]:
            if len(chosen) >= SAMPLED:
                return chosen
            of_kind = [one for one in ordered if _kind(one) == held.name]
            one = of_kind[round(pick * (len(of_kind) - 1))]
            if one not in chosen:
                chosen.append(one)
    return chosen
