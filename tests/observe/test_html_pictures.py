"""The pictures of the HTML report in a real browser: timeline, treemap and flame graph."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.memory.units import size_text
from tests.observe.browser import Page, Show
from tests.observe.made_capture import MB, made_capture


def test_a_match_below_another_match_is_not_summed_twice(report: Page) -> None:
    found = report.evaluate(
        "(() => { const tree = flyweight.callTree.tree(flyweight.shown, 'live_bytes', 'all', false);"
        " const {nodes, total} = flyweight.callTree.search(tree, flyweight.shown.frames.map(() => true));"
        " return [nodes.size, total]; })()"
    )
    assert found == [1 + 2 + 2 * 40, sum(site["live_bytes"] for site in made_capture()["sites"])]


def pixel(page: Page, x: float, y: float) -> str:
    """The colour of a point of the flame graph."""
    red, green, blue = page.evaluate(
        "(() => { const brush = document.createElement('canvas').getContext('2d', {willReadFrequently: true});"
        f" brush.drawImage(document.querySelector('.icicle canvas'), {x}, {y}, 1, 1, 0, 0, 1, 1);"
        " return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3); })()"
    )
    return f"#{red:02x}{green:02x}{blue:02x}"


def test_areas_of_the_treemap_are_in_the_ratio_of_resident_bytes(report: Page) -> None:
    for selector, count in (("[data-component].block", 5), (".cell", 8)):
        boxes = report.evaluate(
            f"[...document.querySelectorAll('.treemap {selector}')].map((it) => [Number(it.dataset.bytes),"
            " parseFloat(it.style.width) * parseFloat(it.style.height)])"
        )
        whole = report.evaluate(
            "(({clientWidth, clientHeight}) => clientWidth * clientHeight)(document.querySelector('.treemap'))"
        )
        assert len(boxes) == count
        for size_bytes, area in boxes:
            assert area / whole == pytest.approx(size_bytes / (46 * MB), rel=1e-3)


@given(
    st.lists(st.integers(1, 10**10), min_size=1, max_size=40),
    st.floats(20, 2000),
    st.floats(20, 2000),
)
@settings(max_examples=40, deadline=None)
def test_squarified_rectangles_fill_theirs_in_proportion_without_overlap(
    report: Page, sizes: list[int], width: float, height: float
) -> None:
    sizes.sort(reverse=True)
    boxes = report.evaluate(f"flyweight.treemap.squarify({sizes}, 0, 0, {width}, {height})")
    assert len(boxes) == len(sizes)
    slack = 1e-6 * (width + height)
    for size, box in zip(sizes, boxes, strict=True):
        assert box["width"] * box["height"] == pytest.approx(size / sum(sizes) * width * height, rel=1e-6)
        assert box["x"] >= -slack and box["x"] + box["width"] <= width + slack
        assert box["y"] >= -slack and box["y"] + box["height"] <= height + slack
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
            down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
            assert across <= slack or down <= slack


def test_a_component_of_the_treemap_is_zoomed_by_a_click_and_left_by_escape(show: Show) -> None:
    page = show(made_capture())
    assert page.texts(".trail .sum") == ["46.0 MB"]
    page.click_on(".treemap [data-component=numpy] .cell")
    assert page.texts(".trail .sum") == ["17.0 MB"]
    assert page.evaluate("[...document.querySelectorAll('.treemap .cell')].map((it) => it.dataset.bytes)") == [
        str(9 * MB),
        str(6 * MB),
        str(2 * MB),
    ]
    page.key("Escape")
    assert page.texts(".trail .sum") == ["46.0 MB"]


def test_arrow_keys_walk_through_the_treemap_and_enter_zooms(show: Show) -> None:
    page = show(made_capture())
    page.evaluate("document.querySelector('.treemap .cell').focus()")
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.component") == "numpy"
    page.key("Enter")
    assert page.texts(".trail .sum") == ["17.0 MB"]


@pytest.mark.parametrize("end", [False, True])
def test_the_flame_graph_sums_to_the_sites_by_every_measure_and_domain(report: Page, end: bool) -> None:
    document = made_capture()
    columns = {
        "live_bytes": "live_bytes",
        "peak_bytes": "at_peak_bytes",
        "total_bytes": "total_bytes",
        "total_count": "total_count",
    }
    for measure, column in columns.items():
        for domain in ("all", "python", "native", "mapped"):
            total = report.evaluate(
                f"flyweight.callTree.tree(flyweight.shown, {measure!r}, {domain!r}, {json.dumps(end)}).total"
            )
            sites = [site for site in document["sites"] if domain in ("all", site["domain"])]
            assert total == sum(site[column] for site in sites)  # type: ignore[literal-required]


def test_a_frame_of_the_flame_graph_is_zoomed_by_a_click_and_left_by_escape(show: Show) -> None:
    page = show(made_capture())
    box = page.box(".icicle canvas")
    row = page.evaluate("flyweight.icicle.rowHeight()")
    page.hover(box["x"] + 20, box["y"] + 2.5 * row)
    assert page.texts(".tooltip strong") == ["serve"]
    page.click(box["x"] + 20, box["y"] + 2.5 * row)
    page.hover(box["x"] + box["width"] - 20, box["y"] + 2.5 * row)
    assert page.texts(".tooltip strong") == ["serve"]
    assert page.texts(".reading b") == ["serve"]
    assert page.evaluate("document.querySelector('button.back').hidden") is False
    page.key("Escape")
    assert page.evaluate("document.querySelector('button.back').hidden") is True
    page.hover(box["x"] + box["width"] - 20, box["y"] + 2.5 * row)
    assert page.texts(".tooltip strong") == ["nightly"]


def test_the_flame_graph_is_walked_by_keys(show: Show) -> None:
    page = show(made_capture())
    page.evaluate("document.querySelector('.icicle canvas').focus()")
    said = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowDown", "ArrowUp", "Enter"):
        page.key(key)
        said += page.texts(".reading b")
    assert said == ["main", "serve", "nightly", "handle_0", "nightly", "nightly"]
    assert page.evaluate("document.querySelector('button.back').hidden") is False


def test_a_search_sums_and_colours_what_matches_and_escape_clears_it(show: Show) -> None:
    document = made_capture()
    page = show(document)
    page.evaluate("document.body.focus()")
    page.key("/")
    assert page.evaluate("document.activeElement.className") == "search"
    page.type("HANDLE_0")
    found = document["sites"][0]["live_bytes"]
    whole = sum(site["live_bytes"] for site in document["sites"])
    assert page.texts(".matched") == [f"{size_text(found)}, {100 * found / whole:.1f} % in 2 frames"]
    row = page.evaluate("flyweight.icicle.rowHeight()")
    assert pixel(page, 3, 3.5 * row) == page.evaluate("flyweight.palette.resolved('--match')")
    assert pixel(page, 3, 2.5 * row) == page.evaluate("flyweight.palette.resolved('--faded')")
    page.key("Escape")
    assert page.texts(".matched") == [""]
    assert pixel(page, 3, 2.5 * row) != page.evaluate("flyweight.palette.resolved('--faded')")


def test_the_flame_graph_shows_another_measure_domain_and_end(show: Show) -> None:
    page = show(made_capture())
    box = page.box(".icicle canvas")
    row = page.evaluate("flyweight.icicle.rowHeight()")

    def root_reading() -> str:
        page.hover(box["x"] + 20, box["y"] + 0.5 * row)
        return page.texts(".tooltip dd")[0]

    sites = made_capture()["sites"]
    assert root_reading() == size_text(sum(site["live_bytes"] for site in sites))
    page.press("Count")
    assert root_reading() == f"{sum(site['total_count'] for site in sites):,}"
    page.evaluate(
        "(() => { const it = document.querySelector('#calls select'); it.value = 'native';"
        " it.dispatchEvent(new Event('change')); })()"
    )
    assert root_reading() == f"{sum(site['total_count'] for site in sites if site['domain'] == 'native'):,}"
    page.press("All bytes")
    page.press("Lines first")
    page.hover(box["x"] + 20, box["y"] + 1.5 * row)
    assert page.texts(".tooltip strong") == ["handle_1"]


def test_a_line_without_a_sampled_caller_is_shown_as_such(show: Show) -> None:
    page = show(made_capture(stacks=[]))
    box = page.box(".icicle canvas")
    row = page.evaluate("flyweight.icicle.rowHeight()")
    page.hover(box["x"] + 20, box["y"] + 1.5 * row)
    assert page.texts(".tooltip strong") == ["(callers not sampled)"]
    page.hover(box["x"] + 20, box["y"] + 2.5 * row)
    assert page.texts(".tooltip strong") == ["handle_0"]


def test_the_timeline_stacks_components_marks_phases_and_reads_values_by_key(show: Show) -> None:
    page = show(made_capture())
    layers = page.evaluate("[...document.querySelectorAll('.timeline .layer')].map((it) => it.dataset.component)")
    assert sorted(layers) == ["engine", "numpy", "program", "python"]
    assert page.evaluate("document.querySelectorAll('.timeline .resident').length") == 1
    marks = page.evaluate("[...document.querySelectorAll('.timeline .phase text')].map((it) => it.textContent)")
    assert marks == ["Initial", "After Init", "After Queries", "Final"]
    page.evaluate("document.querySelector('.timeline').focus()")
    page.key("Home")
    page.key("ArrowRight")
    said = dict(zip(page.texts(".tooltip dt"), page.texts(".tooltip dd"), strict=True))
    assert page.texts(".tooltip strong") == ["at 2.0 s"]
    assert said == {
        "resident": "20.8 MB",
        "tracked": "800.0 kB",
        "python": "80.0 kB",
        "numpy": "160.0 kB",
        "program": "240.0 kB",
        "engine": "320.0 kB",
    }


def test_the_layers_of_the_timeline_sum_to_its_components(report: Page) -> None:
    timeline = made_capture()["timeline"]
    assert timeline is not None
    top = report.evaluate("flyweight.timeline.layers(flyweight.shown.timeline).top")
    assert top == [sum(values) for values in zip(*timeline["components"].values(), strict=True)]


def test_colours_follow_the_theme_while_the_page_is_open(show: Show) -> None:
    page = show(made_capture())
    row = page.evaluate("flyweight.icicle.rowHeight()")
    page.box(".icicle canvas")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor"), pixel(page, 3, 1.5 * row)
    page.prefer(dark=True)
    page.settle()
    page.settle()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor"), pixel(page, 3, 1.5 * row)
    assert before[0] != after[0] and before[1] != after[1]


def test_a_site_leads_to_its_frames_in_the_flame_graph(show: Show) -> None:
    page = show(made_capture())
    page.press("Lines first")
    page.evaluate("[...document.querySelectorAll('#sites button.place')][1].click()")
    page.settle()
    site = made_capture()["sites"][1]
    assert page.evaluate("document.querySelector('.search').value") == f"{site['file']}:{site['line']}"
    assert page.texts(".matched")[0].startswith(size_text(site["live_bytes"]))
    assert page.texts(".matched")[0].endswith("in 1 frame")
