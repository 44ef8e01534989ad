"""Phases as tables of plain text."""

from __future__ import annotations

from flyweight.memory.units import size_text, table_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.memory.phase_table import Phase

_MOST_COMPONENTS = 12
_OTHERS = "(others)"
_NONE = "-"


def phase_table_text(phases: Sequence[Phase]) -> str:
    """Memory by phase, and below it RSS by component and phase; empty without phases."""
    if not phases:
        return ""
    parts = [_memory_by_phase(phases)]
    if any(phase.components for phase in phases):
        parts.append(_components_by_phase(phases))
    if any(not phase.peak_rss_exact for phase in phases):
        parts.append("~ at least: what was seen four times a second and at both ends of the phase")
    return "\n\n".join(parts)


def _memory_by_phase(phases: Sequence[Phase]) -> str:
    recorded = any(phase.tracked_bytes for phase in phases)
    built = any(phase.builder_peak_bytes for phase in phases)
    stored = any(phase.store_private_bytes for phase in phases)
    heads = ["phase", "time", "RSS", "change", "peak", "private", "change"]
    heads += ["Python", "native", "tracked peak"] if recorded else []
    heads += ["builders"] if built else []
    heads += ["store"] if stored else []
    lines = []
    for number, phase in enumerate(phases):
        line = [
            phase.name,
            f"{phase.elapsed_s:.2f} s" if phase.elapsed_s else _NONE,
            size_text(phase.rss_bytes),
            _change(phase.rss_delta_bytes) if number else _NONE,
            ("" if phase.peak_rss_exact else "~") + size_text(phase.peak_rss_bytes),
            size_text(phase.private_bytes),
            _change(phase.private_delta_bytes) if number else _NONE,
        ]
        if recorded:
            line += [
                size_text(phase.python_bytes),
                size_text(phase.native_bytes + phase.mapped_bytes),
                size_text(phase.peak_tracked_bytes),
            ]
        if built:
            line.append(size_text(phase.builder_peak_bytes) if phase.builder_peak_bytes else _NONE)
        if stored:
            line.append(size_text(phase.store_private_bytes) if phase.store_private_bytes else _NONE)
        lines.append(line)
    return table_text(heads, lines)


def _components_by_phase(phases: Sequence[Phase]) -> str:
    """Components by their largest RSS; those beyond a dozen are added up."""
    largest: dict[str, int] = {}
    for phase in phases:
        for name, rss_bytes in phase.components.items():
            largest[name] = max(largest.get(name, 0), rss_bytes)
    names = sorted(largest, key=lambda name: -largest[name])
    shown, others = names[:_MOST_COMPONENTS], names[_MOST_COMPONENTS:]
    lines = [[name, *(size_text(phase.components.get(name, 0)) for phase in phases)] for name in shown]
    if others:
        sums = (sum(phase.components.get(name, 0) for name in others) for phase in phases)
        lines.append([_OTHERS, *map(size_text, sums)])
    return table_text(["RSS of", *(phase.name for phase in phases)], lines)


def _change(bytes_change: int) -> str:
    return f"{'+' if bytes_change > 0 else ''}{size_text(bytes_change)}"
