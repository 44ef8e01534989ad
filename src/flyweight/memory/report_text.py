"""A report as a page of plain text."""

from __future__ import annotations

from flyweight.memory.units import size_text, table_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyweight.memory.report import Counters, Report


def report_text(report: Report) -> str:
    """Totals by domain, the profiler's own memory row by row, and whatever qualifies the figures."""
    parts = [_headline(report), _domains(report), _own_memory(report)]
    said = notes(report)
    if report.tracks_native and report.mapped.current_bytes > report.python.current_bytes + report.native.current_bytes:
        said.append("mapped counts addresses: of them only pages that were touched are resident")
    if said:
        parts.append("\n".join(f"note: {note}" for note in said))
    return "\n\n".join(parts)


def _headline(report: Report) -> str:
    what = "Python and native" if report.tracks_native else "Python only"
    how = "exact" if not report.estimated else f"estimated, a sample every {size_text(report.sample_interval_bytes)}"
    state = "" if report.recording else ", stopped"
    return f"Memory over {report.elapsed_s:.1f} s: {what}, {how}{state}"


def _domains(report: Report) -> str:
    heads = ("", "current", "peak", "allocated", "freed", "blocks", "allocations", "frees")
    lines = [_line("python", report.python)]
    if report.tracks_native:
        lines += [_line("native", report.native), _line("mapped", report.mapped), _line("all", report)]
    return table_text(heads, lines)


def _line(name: str, counters: Counters) -> tuple[str, ...]:
    return (
        name,
        size_text(counters.current_bytes),
        size_text(counters.peak_bytes),
        size_text(counters.allocated_bytes),
        size_text(counters.freed_bytes),
        f"{counters.live_count:,}",
        f"{counters.allocation_count:,}",
        f"{counters.deallocation_count:,}",
    )


def _own_memory(report: Report) -> str:
    lines = [(f"  {kind}", size_text(size_bytes)) for kind, size_bytes in report.own_memory.items() if size_bytes]
    return table_text(("profiler's own memory", size_text(report.own_bytes)), lines)


def notes(report: Report) -> list[str]:
    """Whatever qualifies the figures, a sentence each."""
    notes = []
    if report.degraded is not None:
        notes.append(
            f"exact recording turned into sampling after {report.degraded_at_s:.1f} s, because {report.degraded}: "
            "raise own_memory_limit to record longer"
        )
    if report.untracked_frees:
        notes.append(f"{report.untracked_frees:,} blocks from before the recording were freed")
    if report.lost_frees:
        notes.append(f"{report.lost_frees:,} frees were seen late: another tool stood in between")
    if report.displaced:
        notes.append(
            f"another tool had taken out {' and '.join(report.displaced)} hooks; what was allocated meanwhile is not "
            "counted"
        )
    if report.limit_hits:
        limit = f"the limit of {size_text(report.memory_limit)}" if report.memory_limit else "a memory limit"
        refused = "1 allocation was" if report.limit_hits == 1 else f"{report.limit_hits:,} allocations were"
        notes.append(f"{refused} refused by {limit}")
    if report.page_fault:
        notes.append(f"the figures are not shown to other processes: {report.page_fault}")
    return notes
