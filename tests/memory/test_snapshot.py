"""Snapshots: differences between two of them, and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bare_process import run_script
from hypothesis import given
from hypothesis import strategies as st

from flyweight import _memory, memory
from flyweight.errors import ConfigError, PathError
from flyweight.memory.report import Counters
from flyweight.memory.snapshot import COLUMNS, MAX_SITES, Snapshot, _pack, _packed, changes_text

NAMES = ["a.py", "b.py", "load", "save"]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),  # file
        st.integers(2, 3),  # function
        st.integers(1, 3),  # line
        st.integers(0, 2),  # domain
        *[st.integers(0, 2**40)] * 4,
    ),
    max_size=12,
)


def made(rows: list[tuple[int, ...]]) -> Snapshot:
    return Snapshot(_pack(rows), Counters([0] * 7), 1.5, NAMES)


def sums(rows: list[tuple[int, ...]]) -> dict[tuple[int, ...], list[int]]:
    found: dict[tuple[int, ...], list[int]] = {}
    for row in rows:
        total = found.setdefault(row[:4], [0, 0, 0, 0])
        total[:] = [before + more for before, more in zip(total, row[4:], strict=True)]
    return found


@given(ROWS, ROWS)
def test_a_difference_is_newer_less_older_for_every_site(
    older: list[tuple[int, ...]], newer: list[tuple[int, ...]]
) -> None:
    before, after = sums(older), sums(newer)
    expected = {
        key: [now - then for now, then in zip(after.get(key, [0] * 4), before.get(key, [0] * 4), strict=True)]
        for key in before | after
    }
    changes = made(newer).compare(made(older))
    found = {
        (NAMES.index(c.file), NAMES.index(c.function), c.line, memory_domain(c.domain)): [
            c.count_change,
            c.bytes_change,
            c.allocation_count,
            c.allocated_bytes,
        ]
        for c in changes
    }
    assert found == {key: change for key, change in expected.items() if change[0] or change[1]}
    growth = [change.bytes_change for change in changes]
    assert growth == sorted(growth, reverse=True)


def memory_domain(name: str) -> int:
    return ("python", "native", "mapped").index(name)


@given(ROWS)
def test_a_file_holds_the_whole_snapshot(rows: list[tuple[int, ...]]) -> None:
    import tempfile

    snapshot = made(rows)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "before.json"
        snapshot.save(path)
        loaded = memory.load_snapshot(path)
    assert loaded.compare(snapshot) == [] and snapshot.compare(loaded) == []
    assert loaded._figures() == snapshot._figures()
    assert (loaded.taken_unix_s, len(loaded)) == (1.5, len(rows))


def test_names_that_are_not_utf8_survive_a_file(tmp_path: Path) -> None:
    names = ["caf\udce9.py", "b", "f", "g"]
    snapshot = Snapshot(_pack([(0, 2, 1, 0, 1, 2, 3, 4)]), Counters([0] * 7), 0.0, names)
    snapshot.save(tmp_path / "odd.json")
    assert memory.load_snapshot(tmp_path / "odd.json").compare(made([]))[0].file == "caf\udce9.py"


def test_growth_is_found_where_it_happened() -> None:
    shown = run_script(
        """
import json, sys
from flyweight import _memory, memory
memory.start(native=False)
kept = []
def fill(start, stop):
    for number in range(start, stop):
        kept[number] = bytes(1000)
kept += [None] * 600
fill(0, 100)
before = memory.snapshot()
fill(100, 600)
after = memory.snapshot()
del kept
later = memory.snapshot()
memory.stop()
print(json.dumps([after.compare(before)[0].to_dict(), later.compare(after)[-1].to_dict(), len(after)]))
"""
    )
    grown, shrunk, size = json.loads(shown)
    assert (grown["line"], grown["count_change"], grown["bytes_change"]) == (8, 500, 500 * 1033)
    assert grown["allocated_bytes"] == 500 * 1033
    assert (shrunk["line"], shrunk["count_change"]) == (8, -600)
    assert size > 1


def test_names_are_found_after_another_recording_has_begun() -> None:
    shown = run_script(
        """
from flyweight import _memory, memory
memory.start(native=False)
kept = [None] * 2000
for number in range(2000):
    kept[number] = bytes(1000)
before = memory.snapshot()
memory.stop()
memory.start(native=False)
memory.stop()
largest = min(memory.snapshot().compare(before), key=lambda change: change.bytes_change)
print(largest.file, largest.line, largest.count_change)
"""
    )
    assert shown == "<string> 6 -2000\n"


def test_a_snapshot_is_bounded_and_adds_up_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import struct

    count = MAX_SITES + 1000
    width = len(_memory.SITE_COLUMNS)
    known = [(site, site, 0, 1, site % 3, 1, site, site, 2, 2 * site, site) for site in range(1, count + 1)]
    rows = [(*row, *[0] * (width - len(row))) for row in known]
    monkeypatch.setattr("flyweight._memory.string", str)
    packed = _packed(struct.pack(f"{width * count}q", *(value for row in rows for value in row)))
    snapshot = Snapshot(packed, Counters([0] * 7), 0.0)
    assert len(snapshot) == MAX_SITES + 3
    assert len(packed) == 8 * len(COLUMNS) * len(snapshot)
    figures = snapshot._figures()
    assert sum(figure[1] for figure in figures.values()) == count * (count + 1) // 2
    others = {place: figure for place, figure in figures.items() if place[0] == "(other sites)"}
    assert sum(figure[0] for figure in others.values()) == 1000
    assert max(figure[1] for figure in others.values()) < 1000 * 1000


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '"flyweight-snapshot/1"',
        '{"format": "flyweight-snapshot/2"}',
        "not json",
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "wrong.json").write_text(content)
    with pytest.raises(PathError, match=r"wrong\.json is no snapshot"):
        memory.load_snapshot(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content["sites"][0].pop(),
        lambda content: content["sites"][0].append(1),
        lambda content: content["sites"][0].__setitem__(0, 99),
        lambda content: content["sites"][0].__setitem__(0, -1),
        lambda content: content["sites"][0].__setitem__(3, 7),
        lambda content: content["sites"][0].__setitem__(4, "many"),
        lambda content: content["sites"][0].__setitem__(4, 2**70),
        lambda content: content.__setitem__("columns", ["file"]),
        lambda content: content["totals"].pop("live_count"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: object) -> None:
    made([(0, 2, 1, 0, 1, 2, 3, 4)]).save(tmp_path / "damaged.json")
    content = json.loads((tmp_path / "damaged.json").read_text())
    damage(content)  # type: ignore[operator]
    (tmp_path / "damaged.json").write_text(json.dumps(content))
    with pytest.raises(PathError, match="no snapshot"):
        memory.load_snapshot(tmp_path / "damaged.json")


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"gone\.json cannot be read: No such file"):
        memory.load_snapshot(tmp_path / "gone.json")
    with pytest.raises(PathError, match="cannot be written"):
        made([]).save(tmp_path / "nowhere" / "x.json")


def test_only_snapshots_can_be_compared() -> None:
    with pytest.raises(ConfigError, match="another"):
        made([]).compare(None)  # type: ignore[arg-type]


def test_changes_are_shown_with_their_signs_and_cut_short() -> None:
    older = made([(0, 2, 1, 0, 10, 5000, 10, 5000), (1, 3, 2, 1, 0, 0, 0, 0)])
    newer = made([(0, 2, 1, 0, 4, 2000, 10, 5000), (1, 3, 2, 1, 7, 900, 8, 950)])
    changes = newer.compare(older)
    _, grown, shrunk = changes_text(changes).split("\n")
    assert " ".join(grown.split()) == "+900 B +7 900 B 7 950 B native b.py:2 save"
    assert " ".join(shrunk.split()) == "-3.0 kB -6 2.0 kB 4 0 B python a.py:1 load"
    assert str(changes) == changes_text(changes)
    assert changes_text(changes, most=1).endswith("(1 more sites)")
