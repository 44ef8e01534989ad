"""What goes into the HTML report and how it is kept from being anything but data; needs no browser."""

from __future__ import annotations

import itertools
import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.observe.document import Document
from flyweight.observe.html import SCRIPTS, embedded, html, packing
from flyweight.observe.html.packing import pack
from tests.observe.made_capture import made_capture

_NAMES = st.text(max_size=12) | st.sampled_from(
    ["</script>", "<!--", "-->", "]]>", "{{data}}", "&lt;", "\u2028", "\ud800"]
)


class _Elements(HTMLParser):
    """The elements of a page as any parser finds them, and what stands in its scripts and its title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.policy = ""
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attributes)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self._open = given.get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open] = self.inside.get(self._open, "") + data


def tree_of(packed: dict[str, Any]) -> dict[tuple[str, str], dict[str, int]]:
    """The figures of each call chain by its frames and domain, from the packed tree."""
    texts, frames, nodes, chains = (packed[name] for name in ("texts", "frames", "nodes", "chains"))
    found: dict[tuple[str, str], dict[str, int]] = {}
    for place, node in enumerate(chains["node"]):
        names = []
        while node > 0:
            names.append(texts[frames["function"][nodes["frame"][node]]])
            node = nodes["parent"][node]
        figures = found.setdefault((";".join(reversed(names)), texts[chains["domain"][place]]), {})
        for measure in ("live_bytes", "peak_bytes", "total_bytes", "total_count"):
            figures[measure] = figures.get(measure, 0) + chains[measure][place]
    return found


@given(st.lists(_NAMES, min_size=4, max_size=4), st.floats())
@settings(max_examples=60, deadline=None)
def test_whatever_a_capture_holds_the_page_has_the_same_elements_and_the_data_comes_back(
    names: list[str], number: float
) -> None:
    document = made_capture(sites=3)
    document["program"]["arguments"] = names
    document["sites"][0]["function"], document["frames"][0][2:] = names[0], [names[1]]  # type: ignore[index]
    document["queries"][0]["query"] = names[2]
    document["queries"][0]["elapsed_ms"] = number
    document["phases"][0]["components"] = {names[3]: 1}
    found = _Elements(html(document))
    assert found.tags == _Elements(html(made_capture(sites=3))).tags
    packed = json.loads(found.inside["capture"])
    assert packed["program"]["arguments"] == names
    assert packed["texts"][packed["sites"]["columns"]["function"][0]] == names[0]
    assert names[1] in packed["texts"]
    assert packed["queries"][0]["query"] == names[2]
    assert packed["phases"][0]["components"] == {names[3]: 1}
    shown = packed["queries"][0]["elapsed_ms"]
    assert shown == pytest.approx(number, rel=1e-5, abs=1e-3) if math.isfinite(number) else shown is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_embedded_data_spells_no_tag_and_is_the_same_again(value: object) -> None:
    text = embedded(value)
    assert text.isascii() and not set("<>&") & set(text)
    assert json.loads(text) == value


def test_the_policy_allows_the_page_its_own_script_and_style_and_nothing_from_outside() -> None:
    page = _Elements(html(made_capture()))
    rules = dict(rule.partition(" ")[::2] for rule in page.policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["style-src"])
    assert rules["img-src"] == "data:"
    text = html(made_capture(sites=0, attribution=None, timeline=None))
    outside = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert outside <= {"http://www.w3.org/2000/svg"}


def test_no_script_of_the_page_makes_markup_of_text_or_ends_its_element() -> None:
    for name in SCRIPTS:
        script = (files("flyweight.observe.html") / name).read_text(encoding="utf-8")
        assert script.startswith('"use strict";\n'), name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "</script", "<!--"):
            assert word not in script, name


def test_every_script_of_the_package_is_part_of_the_page() -> None:
    found = {entry.name for entry in files("flyweight.observe.html").iterdir() if entry.name.endswith(".js")}
    assert found == set(SCRIPTS)


def test_call_chains_keep_their_figures_in_the_tree() -> None:
    document = made_capture(sites=7)
    tree = tree_of(pack(document))
    for site in document["sites"]:
        figures = [tree[f"main;{way};{site['function']}", site["domain"]] for way in ("serve", "nightly")]
        for measure, column in (
            ("live_bytes", "live_bytes"),
            ("peak_bytes", "at_peak_bytes"),
            ("total_count", "total_count"),
        ):
            assert sum(part[measure] for part in figures) == site[column]  # type: ignore[literal-required]


def test_a_line_that_no_sample_hit_stands_below_callers_that_are_not_known() -> None:
    document = made_capture(sites=3)
    document["stacks"] = document["stacks"][:2]
    document["stacks"].append({**document["stacks"][0], "site": 1, "frames": [4]})
    assert sorted({chain for chain, _ in tree_of(pack(document))}) == [
        "(callers not sampled);handle_2",
        "handle_1",
        "main;nightly;handle_0",
        "main;serve;handle_0",
    ]


def test_modules_whose_import_no_sample_hit_stand_together() -> None:
    document = made_capture(sites=3)
    for site in document["sites"][1:]:
        site["function"] = "<import>"
    document["stacks"] = document["stacks"][:2]
    assert "(imports);<import>" in {chain for chain, _ in tree_of(pack(document))}


def test_beyond_the_most_nodes_the_smallest_chains_stand_as_one_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = made_capture(sites=40)
    monkeypatch.setattr(packing, "MAX_NODES", 20)
    packed: dict[str, Any] = pack(document)
    tree = tree_of(packed)
    assert len(packed["nodes"]["parent"]) <= 21
    assert packed["chains"]["left_out"] > 40
    assert tree["(smaller call chains)", "native"]["live_bytes"] > 0
    assert ("main;serve;handle_0", "python") in tree
    whole = sum(site["total_bytes"] for site in document["sites"])
    assert sum(figures["total_bytes"] for figures in tree.values()) == whole


def test_of_thousands_of_leaks_the_first_are_kept_and_all_are_counted() -> None:
    document = made_capture()
    assert document["leaks"] is not None
    growing, steady = document["leaks"]
    document["leaks"] = [*[growing] * 3_000, *[steady] * 2_000]
    packed: dict[str, Any] = pack(document)
    assert len(packed["leaks"]) == packing.MAX_LEAKS
    assert packed["leak_totals"] == {
        "count": 5_000,
        "growing": 3_000,
        "bytes": 3_000 * growing["bytes"] + 2_000 * steady["bytes"],
        "growth_bytes_per_s": 3_000 * 40_000.0,
    }
    assert len(html(document)) < 500_000


def test_the_title_names_the_program_in_one_printable_line() -> None:
    assert _Elements(html(made_capture())).inside["title"] == "Memory of /srv/shop/app.py --port 8080"
    long = with_arguments(["a\nb\u202e", "x" * 500])
    title = _Elements(html(long)).inside["title"]
    assert title.startswith("Memory of a\ufffdb\ufffd xxx") and len(title) <= 130
    assert _Elements(html(with_arguments([]))).inside["title"] == "Memory report"


def with_arguments(arguments: list[str]) -> Document:
    document = made_capture(sites=1)
    document["program"]["arguments"] = arguments
    return document


# Simulation of colour blindness: Machado, Oliveira, Fernandes, 2009, severity 1, on linear RGB.
_VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(colour: str, vision: str) -> tuple[float, ...]:
    """A colour in CIE L*a*b* as eyes of that vision see it."""
    linear = []
    for start in (1, 3, 5):
        part = int(colour[start : start + 2], 16) / 255
        linear.append(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    seen = [min(1.0, max(0.0, sum(map(float.__mul__, map(float, row), linear)))) for row in _VISIONS[vision]]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in (
            sum(map(float.__mul__, row, seen)) / white for row, white in zip(to_xyz, (0.9505, 1, 1.089), strict=True)
        )
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("vision", _VISIONS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_components_differ_for_every_kind_of_eyes(theme: str, vision: str) -> None:
    style = (files("flyweight.observe.html") / "style.css").read_text(encoding="utf-8")
    colours = re.findall(r"--series-\d: (#\w{6})", style)
    assert len(colours) == 20
    seen = [lab(colour, vision) for colour in (colours[:10] if theme == "light" else colours[10:])]
    assert min(itertools.starmap(math.dist, itertools.pairwise(seen))) > 20
    assert min(itertools.starmap(math.dist, itertools.combinations(seen[:7], 2))) > 15
