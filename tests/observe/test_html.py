"""The HTML report in a real browser: its figures, tables, looks and defences. What needs no browser is in
test_html_packing.py, the timeline, the treemap and the flame graph are in test_html_pictures.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.memory.units import size_text
from flyweight.observe.html import html
from tests.observe.browser import Browser, Page, Show
from tests.observe.made_capture import MB, made_capture

PARTS = ("summary", "timeline", "resident", "calls", "leaks", "sites", "phases", "queries", "budgets")
HOSTILE = (
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "\"'><svg onload=window.hit=1>",
    "<!--<script>",
    "]]>&lt;&amp;{{data}}",
    "name\u202egnp.exe\u0000\u0007\ud800\u2028",
)


def figure(page: Page, name: str) -> str:
    found: str = page.evaluate(
        f"(() => {{ const it = document.querySelector('[data-figure={name}]');"
        " return it.title || (it.querySelector('[title]') ?? it.querySelector('dd')).title; })()"
    )
    return found


def exactly(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes"


def test_every_part_of_a_full_capture_is_drawn(show: Show) -> None:
    page = show(made_capture())
    for part in PARTS:
        said = "".join(page.texts(f"#{part} .content"))
        assert len(said) > 20, part
        assert "null" not in said and "undefined" not in said and "NaN" not in said, part
    assert page.texts(".fault") == []
    assert page.texts(".empty") == []


def test_the_summary_states_the_figures_of_the_capture(report: Page) -> None:
    document = made_capture()
    attribution, totals = document["attribution"], document["report"]
    assert attribution is not None
    assert figure(report, "rss") == exactly(attribution["rss_bytes"])
    assert figure(report, "private") == exactly(attribution["private_bytes"])
    assert figure(report, "pss") == exactly(attribution["pss_bytes"])
    assert figure(report, "tracked") == exactly(totals["current_bytes"])
    assert figure(report, "peak") == exactly(totals["peak_bytes"])
    assert figure(report, "own").split("\n") == [exactly(totals["own_bytes"]), "site table 300.0 kB", "shadow 700.0 kB"]
    assert report.texts(".headline b") == ["46.0"]
    assert report.texts("[data-figure=named] dd") == ["99.9 %"]
    assert report.texts(".findings li") == [
        "1 site leaks: 40.0 kB more per second",
        "Not steady: use rises by 40.0 kB/s, and would reach twice its peak in 33 min",
        "17 blocks from before the recording were freed",
    ]


def test_a_limit_that_was_set_is_what_use_would_reach(show: Show) -> None:
    document = made_capture()
    document["report"]["memory_limit"] = 100 * MB
    assert "would reach its memory limit of 100.0 MB in 33 min" in show(document).texts(".findings li")[1]


def test_the_program_shares_its_colour_with_nobody_in_the_first_pictures(show: Show) -> None:
    document = made_capture()
    attribution, timeline = document["attribution"], document["timeline"]
    assert attribution is not None and timeline is not None
    for number in range(12):
        attribution["rows"].append({**attribution["rows"][0], "component": f"package{number}"})
        attribution["rss_bytes"] += attribution["rows"][0]["rss_bytes"]
    timeline["components"]["program"] = [3 * MB] * 60
    page = show(document)
    colours = dict(
        page.evaluate(
            "[...document.querySelectorAll('.strip i, #timeline .layer')].map((it) => [it.dataset.component ??"
            " it.title.split(':')[0], it.style.background || it.style.fill])"
        )
    )
    assert [name for name, colour in colours.items() if colour == colours["program"]] == ["program"]


def test_memory_above_the_line_of_what_is_resident_is_explained(show: Show) -> None:
    document = made_capture()
    timeline = document["timeline"]
    assert timeline is not None
    assert "Above the line" not in "".join(show(document).texts("#timeline"))
    timeline["components"]["numpy"][-1] = 1_100 * MB
    assert "Above the line: memory that was asked for and is not resident" in "".join(show(document).texts("#timeline"))


def test_sites_that_were_added_up_have_no_peak_of_their_own(show: Show) -> None:
    document = made_capture(3)
    document["sites"][0].update(file="", function="(other sites)", peak_bytes=0)
    assert show(document).texts("#sites tbody tr:first-child td:nth-child(6)") == ["–"]


def test_the_rows_of_resident_memory_end_in_their_sum(report: Page) -> None:
    assert report.texts("#resident tr.total td")[:4] == ["Sum of all rows", "", "46.0 MB", "38.0 MB"]
    assert "sum to what the system says, to the byte: 46,000,000 bytes" in "".join(report.texts("#resident"))


def test_a_column_sorts_the_sites_both_ways(show: Show) -> None:
    document = made_capture()
    page = show(document)
    by_count = sorted((site["total_count"] for site in document["sites"]), reverse=True)
    head = "#sites th[data-key=total_count]"
    column = "#sites tbody td:nth-child(8)"
    page.click_on(f"{head} button")
    assert page.attribute(head, "aria-sort") == "descending"
    assert page.texts(column) == [f"{count:,}" for count in by_count[:25]]
    page.click_on(f"{head} button")
    assert page.attribute(head, "aria-sort") == "ascending"
    assert page.texts(column) == [f"{count:,}" for count in by_count[::-1][:25]]
    page.click_on("#sites th[data-key=place] button")
    assert page.attribute("#sites th[data-key=place]", "aria-sort") == "ascending"
    assert page.attribute(head, "aria-sort") is None


def test_sites_are_filtered_by_text_and_turned_by_page(show: Show) -> None:
    page = show(made_capture())
    assert page.texts("#sites .status") == ["1–25 of 40 rows"]
    page.evaluate("[...document.querySelectorAll('#sites .pager button')][1].click()")
    assert page.texts("#sites .status") == ["26–40 of 40 rows"]
    page.evaluate("document.querySelector('#sites .filter').focus()")
    page.type("HANDLE_3")
    assert page.texts("#sites .status") == ["11 rows"]
    assert page.texts("#sites tbody .place .name")[:2] == ["handle_3", "handle_30"]
    page.key("Escape")
    assert page.texts("#sites .status") == ["1–25 of 40 rows"]


def test_a_leak_tells_its_evidence_and_who_holds_it(report: Page) -> None:
    assert [text.split()[0] for text in report.texts(".leak summary .verdict")] == ["growing", "steady"]
    first = report.texts(".leak")[0]
    for said in ("handle_0", "1.0 MB", "40.0 kB/s", "The trough rose in 7 of 7 steps", "99.9 %", "function"):
        assert said in first
    assert (
        report.texts(".leak .chains li")[0] == "module shop.app → listeners: list of 3000 → [179]: function subscribe"
    )
    heights = report.evaluate(
        "[...document.querySelector('.leak .bars').querySelectorAll('rect')]"
        ".map((it) => Number(it.getAttribute('height')))"
    )
    assert [height / heights[-1] for height in heights] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_phases_queries_and_budgets_show_their_figures(report: Page) -> None:
    assert [text for text in report.texts("#phases tbody tr")[1].split("\t") if text][:5] == [
        "After Init",
        "19.0 s",
        "22.0 MB",
        "+12.0 MB",
        "23.0 MB",
    ]
    queries = [text.split("\t")[:4] for text in report.texts("#queries tbody tr")]
    assert queries == [
        ["where are retries handled", "10", "no", "3.2 ms"],
        ["where are retries handled", "10", "yes", "20 µs"],
    ]
    assert report.texts("#budgets tbody tr")[0].split()[:7] == ["the", "process", "40.0", "MB", "20.0", "MB", "50.0"]


def test_a_budget_that_is_exceeded_is_said_first(show: Show) -> None:
    document = made_capture(leaks=[], steady=None)
    budget = document["budgets"][0]
    document["budgets"].append({**budget, "component": "numpy", "limit_bytes": 16 * MB, "over": True, "exceeded": 1})
    page = show(document)
    assert page.texts(".findings li")[:2] == [
        "No site leaks",
        "The budget of numpy is exceeded: 20.0 MB of 16.0 MB",
    ]
    assert page.texts("#budgets tbody tr")[1].split()[:7] == ["numpy", "16.0", "MB", "20.0", "MB", "125.0", "%"]
    assert page.texts("#leaks .empty p")[0].startswith("No site leaks")


def test_many_leaks_are_drawn_when_asked_for(show: Show) -> None:
    document = made_capture()
    assert document["leaks"] is not None
    document["leaks"] = document["leaks"] * 125
    page = show(document)
    assert len(page.texts(".leak")) == 25
    page.press("Show 175 more sites")
    assert len(page.texts(".leak")) == 200
    assert "no room for the 50 sites that follow; all 250 together hold" in page.texts("#leaks .soft")[-1]
    assert page.texts(".findings li")[0].startswith("125 sites leak: 5.0 MB more per second")
    assert page.texts("button.more") == []


def test_empty_parts_say_why_and_how_to_get_them(show: Show) -> None:
    page = show(
        made_capture(
            sites=0,
            attribution=None,
            phases=[],
            tracked=[],
            timeline=None,
            leaks=None,
            steady=None,
            budgets=[],
            queries=[],
        )
    )
    for part in PARTS[1:]:
        said = page.texts(f"#{part} .empty")
        assert len(said) == 1, part
        assert len(said[0]) > 40
        assert page.evaluate(f"document.querySelectorAll('#{part} .empty code').length + ({part == 'leaks':d})") >= 1
    assert figure(page, "rss") == "0 bytes"


def test_no_name_becomes_markup_or_code(show: Show) -> None:
    capture = made_capture()
    document = json.loads(json.dumps(capture))
    hostile = iter(HOSTILE * 1000)

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [poisoned(part, key) for part in value]
        return next(hostile) if isinstance(value, str) and key not in ("format", "domain", "verdict", "mode") else value

    document = poisoned(document)
    document["timeline"]["components"] = {name: [1.0 * MB] * 60 for name in HOSTILE}
    page = show(document)
    page.press("Lines first")
    page.click_on(".treemap .cell")
    box = page.box(".icicle canvas")
    page.hover(box["x"] + 20, box["y"] + 30)
    assert page.evaluate("typeof window.hit") == "undefined"
    assert page.texts(".fault") == []
    allowed = "script:not([src]), svg.timeline, svg.bars"
    assert (
        page.evaluate(f"document.querySelectorAll('img, svg:not(.timeline, .bars), iframe, {allowed}').length")
        == 2 + 1 + 4
    )
    assert "</script><script>window.hit = 1</script>" in "".join(page.texts("body"))
    assert page.evaluate("document.title").startswith("Memory of </script><script>window.hit = 1</script>")
    assert not set("\u202e\x00\x07\u2028") & set("".join(page.texts("body")))


def test_the_policy_of_the_page_lets_no_other_script_or_style_in(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(
        html(made_capture()).replace(
            "</main>", "<p style='color: red' onclick='window.hit = 1'>x</p><script>window.hit = 1</script></main>"
        ),
        encoding="utf-8",
    )
    page = browser.page()
    page.open(path)
    page.evaluate("document.querySelector('main > p').click()")
    assert page.evaluate("typeof window.hit") == "undefined"
    assert page.evaluate("getComputedStyle(document.querySelector('main > p')).color") != "rgb(255, 0, 0)"
    with pytest.raises(RuntimeError, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<p>x</p>'")
    page.close()


@pytest.mark.parametrize("dark", [False, True])
def test_texts_are_readable_in_light_and_dark(show: Show, dark: bool) -> None:
    page = show(made_capture(), dark=dark)
    paper = page.evaluate("flyweight.palette.resolved('--paper')")
    assert (paper < "#808080") is dark
    pairs = [(text, ground) for text in ("ink", "soft", "accent", "bad", "good") for ground in ("paper", "surface")]
    for text, ground in [*pairs, ("soft", "sunken"), ("accent", "accent-wash"), ("ink", "sunken")]:
        contrast = page.evaluate(
            f"flyweight.palette.contrast(...['--{text}', '--{ground}'].map(flyweight.palette.resolved))"
        )
        assert contrast >= 4.5, (text, ground)
    labels = page.evaluate(
        "[...document.querySelectorAll('.treemap .cell')].map((it) => [it.style.color, it.style.backgroundColor]"
        ".map((colour) => '#' + colour.match(/\\d+/g)"
        ".map((part) => Number(part).toString(16).padStart(2, '0')).join('')))"
    )
    assert len(labels) == 8
    for text, ground in labels:
        assert page.evaluate(f"flyweight.palette.contrast({text!r}, {ground!r})") >= 4.5


@pytest.mark.parametrize("width", [375, 768, 2560])
def test_nothing_overflows_the_page(show: Show, width: int) -> None:
    page = show(made_capture(), width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for selector in (".timeline", ".treemap", ".icicle canvas", ".strip"):
        box = page.box(selector)
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, selector
        assert box["width"] > 0.5 * width, selector


def test_on_paper_all_leaks_are_open_and_controls_are_gone(show: Show) -> None:
    page = show(made_capture(), dark=True)
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 1
    cell = "document.querySelector('.treemap .cell').style.backgroundColor"
    dark_cell = page.evaluate(cell)
    page.prefer(dark=True, media="print")
    page.settle()
    assert page.evaluate(cell) != dark_cell
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 2
    assert page.evaluate("getComputedStyle(document.querySelector('nav.parts')).display") == "none"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_page_can_be_walked_by_tab(show: Show) -> None:
    page = show(made_capture())
    page.evaluate("document.activeElement.blur()")
    met = []
    for _ in range(14):
        page.key("Tab")
        met.append(page.evaluate("document.activeElement.className.baseVal ?? document.activeElement.className"))
    assert met[0] == "skip"
    assert "timeline" in met
    assert "cell" in met


@given(
    st.lists(st.integers(-(10**15), 10**15) | st.integers(-2000, 2000).map(lambda number: number * 250), max_size=200)
)
@settings(max_examples=30, deadline=None)
def test_sizes_are_written_as_in_every_other_report(report: Page, sizes: list[int]) -> None:
    assert report.evaluate(f"{sizes}.map(flyweight.format.size)") == [size_text(size) for size in sizes]


def test_a_capture_of_5000_sites_makes_a_page_below_3_mb_that_shows_them(show: Show) -> None:
    document = made_capture(sites=5_000)
    assert len(html(document).encode()) < 3 * MB
    page = show(document)
    assert page.texts("#sites .status") == ["1–25 of 5,000 rows"]
    assert page.texts(".fault") == []
