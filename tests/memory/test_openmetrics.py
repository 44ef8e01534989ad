"""What a live process serves at /metrics: cheap to make, and read by the parser of prometheus_client."""

from __future__ import annotations

import json

from bare_process import run_script
from prometheus_client.openmetrics.parser import text_string_to_metric_families

SCRIPT = """
import json, sys
from flyweight import memory
if {record}:
    memory.start(native=False, publish=False)
kept = [bytes(1000) for _ in range(2000)]
before = set(sys.modules)
text = memory.openmetrics()
print(json.dumps([text, sorted(set(sys.modules) - before), memory.report().current_bytes if {record} else 0]))
"""
HEAVY = {"json", "re", "typing", "collections", "enum", "dataclasses", "flyweight.memory.capture", "flyweight.observe"}


def served(record: bool) -> tuple[dict[str, dict[tuple[str, ...], float]], list[str], int]:
    """Values by labels, by family; the modules that were loaded for it; current bytes right afterwards."""
    text, loaded, current_bytes = json.loads(run_script(SCRIPT.format(record=record)))
    families = {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }
    return families, loaded, current_bytes


def test_a_recorded_process_serves_its_figures() -> None:
    families, loaded, current_bytes = served(True)
    live = families["flyweight_memory_live_bytes"]
    assert 2_000_000 < live["python",] <= current_bytes
    by_component = families["flyweight_memory_component_live_bytes"]
    assert by_component["program",] > 2_000_000
    assert families["flyweight_memory_allocations"]["python",] >= 2000
    assert sum(families["flyweight_memory_resident_bytes"].values()) > 2_000_000
    assert not HEAVY & set(loaded)


def test_without_a_recording_rss_is_served_still() -> None:
    families, _, _ = served(False)
    assert sum(families["flyweight_memory_private_bytes"].values()) > 1_000_000
    assert "flyweight_memory_live_bytes" not in families
