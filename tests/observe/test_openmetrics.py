"""OpenMetrics text, read by the parser of prometheus_client."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from flyweight.observe.document import Document
from flyweight.observe.openmetrics import openmetrics
from tests.observe.drawn_captures import DOMAINS, captures
from tests.observe.made_capture import made_capture


def families(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def total(family: Any) -> float:
    return sum(sample.value for sample in family.samples)


@settings(max_examples=40, deadline=None)
@given(captures())
def test_the_parser_reads_every_capture_and_sums_agree(document: Document) -> None:
    found, report = families(openmetrics(document)), document["report"]
    for name, key in (
        ("live_bytes", "current_bytes"),
        ("allocated_bytes", "allocated_bytes"),
        ("allocations", "allocation_count"),
        ("live_blocks", "live_count"),
    ):
        assert total(found[f"flyweight_memory_{name}"]) == float(sum(report[domain][key] for domain in DOMAINS))
    by_component = {site["component"] for site in document["sites"]}
    if by_component:
        family = found["flyweight_memory_component_live_bytes"]
        assert {sample.labels["component"] for sample in family.samples} == by_component
        assert total(family) == sum(float(sample.value) for sample in family.samples)
    if document["attribution"] is not None:
        assert total(found["flyweight_memory_resident_bytes"]) == document["attribution"]["rss_bytes"]


def test_units_and_types_are_declared() -> None:
    text = openmetrics(made_capture(4))
    found = families(text)
    assert text.endswith("\n# EOF\n")
    assert {family.type for family in found.values()} == {"gauge", "counter"}
    assert found["flyweight_memory_freed_bytes"].type == "counter"
    for name, family in found.items():
        assert family.documentation
        if name.endswith("_bytes"):
            assert family.unit == "bytes", name


def test_components_of_rss_are_labels() -> None:
    document = made_capture(4)
    family = families(openmetrics(document))["flyweight_memory_private_bytes"]
    rows = document["attribution"]["rows"] if document["attribution"] else []
    expected: dict[str, int] = {}
    for row in rows:
        expected[row["component"]] = expected.get(row["component"], 0) + row["private_bytes"]
    assert {sample.labels["component"]: sample.value for sample in family.samples} == expected


def test_a_budget_shows_use_and_limit() -> None:
    document = made_capture(4)
    (budget,) = document["budgets"]
    document["budgets"] = [budget, {**budget, "limit_bytes": 1000}, {**budget, "component": "numpy"}]
    found = families(openmetrics(document))
    limits = {
        sample.labels["component"]: sample.value for sample in found["flyweight_memory_budget_limit_bytes"].samples
    }
    assert limits == {"(process)": 1000, "numpy": budget["limit_bytes"]}
    assert total(found["flyweight_memory_budget_used_bytes"]) == 2 * budget["used_bytes"]


def test_leaks_are_counted_where_they_were_looked_for() -> None:
    document = made_capture(4)
    assert total(families(openmetrics(document))["flyweight_memory_leaking_sites"]) == 1
    document["leaks"] = None
    assert "flyweight_memory_leaking_sites" not in families(openmetrics(document))
