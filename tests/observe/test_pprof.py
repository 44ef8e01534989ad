"""pprof profiles, read by the published schema and by Go's own tool."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from flyweight.observe.document import Document
from flyweight.observe.pprof import SAMPLE_TYPES, pprof
from tests.observe.drawn_captures import captures
from tests.observe.made_capture import made_capture
from tests.observe.profile_schema import profile_class
from tests.observe.test_call_chains import totals

PROFILE = profile_class()


def decoded(document: Document) -> Any:
    profile = PROFILE()
    profile.ParseFromString(gzip.decompress(pprof(document)))
    return profile


@settings(max_examples=60, deadline=None)
@given(captures())
def test_samples_add_up_to_the_capture(document: Document) -> None:
    profile = decoded(document)
    assert [sum(sample.value[measure] for sample in profile.sample) for measure in range(5)] == totals(document)


@settings(max_examples=40, deadline=None)
@given(captures())
def test_every_number_refers_to_something(document: Document) -> None:
    profile = decoded(document)
    strings = profile.string_table
    mappings = {mapping.id for mapping in profile.mapping}
    functions = {function.id: function for function in profile.function}
    locations = {location.id: location for location in profile.location}
    assert strings[0] == "" and len(functions) == len(profile.function) and len(locations) == len(profile.location)
    assert 0 not in functions and 0 not in locations and 0 not in mappings
    for location in profile.location:
        assert location.mapping_id in mappings and all(line.function_id in functions for line in location.line)
    for function in profile.function:
        assert max(function.name, function.system_name, function.filename) < len(strings)
    for sample in profile.sample:
        assert sample.location_id and set(sample.location_id) <= set(locations)
        assert all(strings[label.key] in ("domain", "component") and strings[label.str] for label in sample.label)


def test_frames_read_from_the_innermost_with_names_and_lines() -> None:
    document = made_capture(1)
    profile = decoded(document)
    strings, locations = profile.string_table, {location.id: location for location in profile.location}
    functions = {function.id: function for function in profile.function}
    lines = [locations[number].line[0] for number in profile.sample[0].location_id]
    read = [
        [strings[functions[line.function_id].filename], line.line, strings[functions[line.function_id].name]]
        for line in lines
    ]
    assert read == [document["frames"][number] for number in reversed(document["stacks"][0]["frames"])]


def test_types_units_and_times_are_as_tools_know_them() -> None:
    document = made_capture(3)
    profile = decoded(document)
    strings = profile.string_table
    assert tuple((strings[kind.type], strings[kind.unit]) for kind in profile.sample_type) == SAMPLE_TYPES
    assert strings[profile.default_sample_type] == "inuse_space"
    assert profile.time_nanos == round(document["program"]["taken_unix_s"] * 1e9)
    assert profile.duration_nanos == round(document["program"]["elapsed_s"] * 1e9)
    labels = {strings[label.key]: strings[label.str] for label in profile.sample[0].label}
    site = document["sites"][0]
    assert labels == {"domain": site["domain"], "component": site["component"]}


def test_a_native_library_is_a_mapping_of_its_own() -> None:
    document = made_capture(1)
    document["frames"][3] = ("/usr/lib/libz.so.1", 0, "deflate")
    profile = decoded(document)
    files = {mapping.id: profile.string_table[mapping.filename] for mapping in profile.mapping}
    native = [location for location in profile.location if files[location.mapping_id] == "/usr/lib/libz.so.1"]
    assert len(native) == 1 and native[0].line[0].line == 0
    assert files[1] == document["program"]["arguments"][0]


def gos_pprof() -> str | None:
    """Path of the tool as it comes with Go; `go tool pprof` would build it first where it does not."""
    if shutil.which("go") is None:
        return None
    outcome = subprocess.run(["go", "env", "GOTOOLDIR"], capture_output=True, text=True, timeout=300)
    return shutil.which("pprof", path=outcome.stdout.strip()) if outcome.returncode == 0 else None


def test_gos_pprof_reads_it(tmp_path: Path) -> None:
    tool = gos_pprof()
    if tool is None:
        pytest.skip("Go is not installed with its pprof")
    document = made_capture(8)
    path = tmp_path / "heap.pb.gz"
    path.write_bytes(pprof(document))
    outcome = subprocess.run([tool, "-raw", str(path)], capture_output=True, text=True, timeout=300)
    assert outcome.returncode == 0, outcome.stderr
    samples = outcome.stdout.split("Samples:\n")[1].split("Locations\n")[0].splitlines()
    assert samples[0].split() == [f"{kind}/{unit}{'[dflt]' * (kind == 'inuse_space')}" for kind, unit in SAMPLE_TYPES]
    rows = [re.findall(r"-?\d+", line.partition(":")[0]) for line in samples[1:] if re.match(r"\s*\d", line)]
    assert [sum(int(row[measure]) for row in rows) for measure in range(5)] == totals(document)
