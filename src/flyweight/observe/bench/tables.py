"""The document of a bench as tables and short texts, in the order in which they are read."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from flyweight.cli.printable import printable_path
from flyweight.memory.units import size_text
from flyweight.observe.bench.distribution import components_by_phase, distribution, inside
from flyweight.observe.bench.growth_chart import growth_chart
from flyweight.observe.bench.section import Section, change_text, mb_text, percent_text
from flyweight.observe.steady_text import steady_reason

Document = Mapping[str, Any]
_LEAKS_SHOWN = 5


def sections(document: Document) -> list[Section]:
    """Everything there is to show."""
    ours, peers = document["runs"], document["peers"]
    shown = [_job(document), *(_phases(run, document) for run in ours)]
    shown += [_side_by_side_rss(ours + peers, document), _side_by_side_private(ours + peers)]
    shown += _beside_the_resident(ours + peers)
    shown += [*(_queries(run) for run in ours), _query_times(ours + peers)]
    for run in ours:
        shown.append(distribution(run))
        if run["tracked"] is not None:
            shown += [inside(run), components_by_phase(run)]
    shown += [_estimates(document), _target(document), *(_growth(run) for run in ours)]
    shown += [_verdicts(document), _recommendation(document)]
    if document["missing_configurations"]:
        missing = [(each["name"], each["reason"]) for each in document["missing_configurations"]]
        shown.append(Section("Not measured", ("", "why"), missing))
    if peers or document["missing_peers"]:
        shown.append(_peers(document))
    return shown


def _job(document: Document) -> Section:
    job = document["job"]
    files = job["files"]
    machine = document["machine"]
    return Section(
        "The job",
        notes=(
            f"{len(files)} {job['language']} files of {printable_path(job['root'])} "
            f"({job['source_bytes'] / 1e3:,.0f} kB, the largest: {printable_path(files[0]['path'])}); "
            f"{len(job['queries'])} queries, each asked twice, then repeated.",
            f"Python {machine['python']}, Linux {machine['kernel']}, {machine['processor']}, {machine['cores']} cores. "
            "MB are 10⁶ bytes. Every run is a process of its own.",
            "Private memory is counted over a bare interpreter that was alive at the same time: what the system "
            "would get back. Processes that an engine starts have columns of their own: builders and their embedding "
            "gateway are gone when a phase is written, so theirs is the peak; a LanceDB store process lives on while "
            "it is asked.",
        ),
    )


def _phases(run: Mapping[str, Any], document: Document) -> Section:
    published = document["published"]
    beside = _columns_beside(run)
    rows = []
    before = None
    for phase in run["phases"]:
        rss, over = phase["rss_bytes"], phase["private_over_bare_bytes"]
        rows.append(
            (
                phase["name"],
                mb_text(rss),
                change_text(rss, before and before["rss_bytes"]),
                mb_text(phase["private_bytes"]),
                mb_text(over),
                change_text(over, before and before["private_over_bare_bytes"]),
                mb_text(phase["builder_peak_bytes"]) if phase["builders"] else "",
                *(mb_text(phase[key]) if phase[key] else "" for key in beside),
                f"{phase['elapsed_s']:.3f}",
                _quoted(published["rss_mb"], phase["name"]),
            )
        )
        before = phase
    return Section(
        f"Memory by phase: {run['name']}",
        (
            "phase",
            "RSS MB",
            "±",
            "private MB",
            "over bare",
            "±",
            "builders' peak MB",
            *(f"{_BESIDE[key]} MB" for key in beside),
            "seconds",
            f"{published['name']}, RSS",
        ),
        rows,
        notes=(
            f"{run['about']}; {run['chunks']:,} chunks, an index of {run['store_bytes'] / 1e6:.2f} MB. Recording off, "
            "measured from outside by smaps_rollup.",
        ),
    )


# What runs beside a resident, by its key in a phase.
_BESIDE = {
    "gateway_peak_bytes": "gateway's peak",
    "store_peak_bytes": "store's peak",
    "store_rss_bytes": "store process, RSS",
    "store_private_bytes": "store process, private",
}


def _columns_beside(run: Mapping[str, Any]) -> list[str]:
    """Keys of what this run had beside its resident at any time."""
    return [key for key in _BESIDE if any(phase.get(key) for phase in run["phases"])]


def _beside_the_resident(runs: Sequence[Mapping[str, Any]]) -> list[Section]:
    """What a store process costs by phase; nothing where no run had one."""
    if not any("store_rss_bytes" in _columns_beside(run) for run in runs):
        return []
    rows = [
        (
            phase["name"],
            *(
                mb_text(_phase(run, phase["name"])["rss_bytes"] + _phase(run, phase["name"])["store_rss_bytes"])
                for run in runs
            ),
        )
        for phase in runs[0]["phases"]
    ]
    return [
        Section(
            "Resident and store process together, RSS by phase (MB)",
            ("phase", *_names(runs)),
            rows,
            notes=("What both map is counted twice. A store process ends when it has not been asked for a while.",),
        )
    ]


def _side_by_side_rss(runs: Sequence[Mapping[str, Any]], document: Document) -> Section:
    published = document["published"]
    names = [phase["name"] for phase in runs[0]["phases"]]
    rows = [
        (name, *(mb_text(_phase(run, name)["rss_bytes"]) for run in runs), _quoted(published["rss_mb"], name))
        for name in names
    ]
    return Section(
        "RSS by phase, side by side (MB)", ("phase", *(run["name"] for run in runs), published["name"]), rows
    )


def _side_by_side_private(runs: Sequence[Mapping[str, Any]]) -> Section:
    names = [phase["name"] for phase in runs[0]["phases"]]
    rows = [(name, *(mb_text(_phase(run, name)["private_over_bare_bytes"]) for run in runs)) for name in names]
    return Section("Private memory over a bare interpreter, side by side (MB)", ("phase", *_names(runs)), rows)


def _queries(run: Mapping[str, Any]) -> Section:
    inside: dict[str, list[Mapping[str, Any]]] = {}
    for measured in (run["tracked"] or {}).get("queries", ()):
        inside.setdefault(measured["query"], []).append(measured)
    rows = []
    for query in run["queries"]:
        first, again = query["first"], query["again"]
        accounts = inside.get(query["query"], [])
        retained = [f"{account['retained_bytes']:,}" for account in accounts[:2]]
        rows.append(
            (
                query["query"],
                f"{first['hits']}",
                f"{first['elapsed_ms']:.3f}",
                f"{again['elapsed_ms']:.3f}",
                "yes" if again["cached"] else "no",
                f"{first['private_delta_bytes'] / 1e3:+,.0f}",
                f"{again['private_delta_bytes'] / 1e3:+,.0f}",
                *(retained if len(retained) == 2 else ("–", "–")),
            )
        )
    return Section(
        f"Queries, the first time and again: {run['name']}",
        ("query", "hits", "first ms", "again ms", "cached", "± first kB", "± again kB", "kept first B", "kept again B"),
        rows,
        notes=(
            "±: change of private memory, from outside. Kept: bytes the query allocated and did not free, to the byte, "
            "from the run with recording on; the first query opens index and model.",
        ),
    )


def _query_times(runs: Sequence[Mapping[str, Any]]) -> Section:
    rows = [
        (
            run["name"],
            f"{_median(run, 'first'):.3f}",
            f"{_median(run, 'again'):.3f}",
            f"{sum(_deltas(run)) / 1e6:+.2f}",
            f"{run['chunks']:,}",
        )
        for run in runs
    ]
    return Section(
        "Queries, side by side",
        ("", "first ms (median)", "again ms (median)", "private over all queries, MB", "chunks"),
        rows,
    )


def _estimates(document: Document) -> Section:
    published = document["published"]
    return Section(
        f"Distribution of the {published['name']}: quoted, by its own estimate",
        ("component", "MB"),
        [(name, f"{size:.1f}") for name, size in published["components_mb"].items()],
    )


def _target(document: Document) -> Section:
    rows = []
    for run in document["runs"] + document["peers"]:
        target = run["target_bytes"]
        final = run["phases"][-1]
        over = final["private_over_bare_bytes"]
        rows.append(
            (
                run["name"],
                mb_text(over),
                f"{target / 1e6:.0f}",
                percent_text(over, target),
                f"{mb_text(target - over)} left" if over <= target else f"{over / target:.1f} times over",
                "met" if over <= target else "missed",
            )
        )
    published = document["published"]
    final_mb = published["rss_mb"]["Final"]
    rows.append((published["name"], f"{final_mb:.2f} (RSS)", f"{published['target_mb']:.0f}", "", "", "missed"))
    return Section(
        f"Against the target of {document['target_bytes'] / 1e6:.0f} MB",
        ("", "private over bare, MB", "target, MB", "of the target", "", ""),
        rows,
        notes=(
            "The resident at the end, after all queries. With Titan or a LanceDB store it may have more: the column "
            "says how much. The last row is quoted.",
        ),
    )


def _growth(run: Mapping[str, Any]) -> Section:
    points = [(point["queries"], point["private_over_bare_bytes"]) for point in run["growth"]]
    return Section(
        f"Private memory over bare as queries are asked: {run['name']}",
        text=growth_chart(points),
        notes=("Half of the queries are repeats, which the cache answers, half are new.",),
    )


def _verdicts(document: Document) -> Section:
    # Not before everything is measured: they load the profiler's core.
    from flyweight.memory.sites import where_text
    from flyweight.observe.sections import short_path

    rows = []
    for run in document["runs"] + document["peers"]:
        growth = run["growth_verdict"]
        rows.append((run["name"], "growth, from outside", growth["verdict"], growth["reason"]))
        tracked = run["tracked"]
        if tracked is None:
            continue
        steady = tracked["steady"]
        why = steady_reason(steady, f"the limit of {size_text(steady['limit_bytes'])}")
        rows.append((run["name"], "steady state", "yes" if steady["steady"] else "no", why))
        leaks = tracked["leaks"]
        places = [where_text(short_path(leak["file"]), leak["line"], leak["function"]) for leak in leaks]
        found = "; ".join(places[:_LEAKS_SHOWN])
        rows.append(
            (run["name"], "leaks", "none" if not leaks else str(len(leaks)), found or "no site was seen to leak")
        )
    return Section(
        "Verdicts",
        ("", "question", "answer", "why"),
        rows,
        notes=(
            document["not_recorded"] or "Steady state and leaks are the profiler's, from the run with recording on.",
        ),
    )


def _recommendation(document: Document) -> Section:
    taken = document["recommendation"]
    return Section("Recommended", text=taken["code"], notes=(f"{taken['reason']}.",))


def _peers(document: Document) -> Section:
    rows = [(run["name"], run["about"]) for run in document["peers"]]
    rows += [(peer["name"], f"not measured: {peer['reason']}") for peer in document["missing_peers"]]
    return Section("Peers: what was exercised", ("", ""), rows)


def _names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [run["name"] for run in runs]


def _phase(run: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(phase for phase in run["phases"] if phase["name"] == name)
    return found


def _median(run: Mapping[str, Any], turn: str) -> float:
    median: float = statistics.median(query[turn]["elapsed_ms"] for query in run["queries"])
    return median


def _deltas(run: Mapping[str, Any]) -> list[int]:
    return [query[turn]["private_delta_bytes"] for query in run["queries"] for turn in ("first", "again")]


def _quoted(published: Mapping[str, float], name: str) -> str:
    return f"{published[name]:.2f}" if name in published else ""
