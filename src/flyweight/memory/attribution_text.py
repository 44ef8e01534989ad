"""The account of resident memory as text."""

from __future__ import annotations

from flyweight.memory.units import place_text, size_text, table_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyweight.memory.attribution import Attribution, AttributionRow

DEFAULT_ROWS = 25
_FIGURES = ("rss_bytes", "private_bytes", "shared_bytes", "dirty_bytes")


def attribution_text(account: Attribution, most_rows: int = DEFAULT_ROWS) -> str:
    """A table of the largest rows and the sum of the others, under a line with what it all comes to."""
    shown, others = account.rows[:most_rows], account.rows[most_rows:]
    lines = [_line(row, account) for row in shown]
    if others:
        sums = [sum(getattr(row, name) for row in others) for name in _FIGURES]
        lines.append((*_figures(sums, account), "", "", f"{len(others)} smaller rows"))
    totals = [getattr(account, name) for name in _FIGURES]
    lines.append((*_figures(totals, account), "", "", "all"))
    heads = ("resident", "share", "private", "shared", "dirty", "component", "kind", "name")
    table = table_text(heads, lines, left=(5, 6, 7))
    return f"{_summary(account)}\n\n{table}"


def _summary(account: Attribution) -> str:
    swapped = f", {size_text(account.swap_bytes)} more swapped out" if account.swap_bytes else ""
    first = (
        f"Resident {size_text(account.rss_bytes)}: private {size_text(account.private_bytes)}, shared "
        f"{size_text(account.shared_bytes)}; proportional {size_text(account.pss_bytes)}{swapped}. "
        f"{account.named_share:.2%} has a name."
    )
    if account.store_private_bytes:
        first += f"\nBeside it, the store process holds {size_text(account.store_private_bytes)} private."
    if not account.tracked:
        return f"{first}\nNothing is being recorded, so heaps are one row each: memory.start() tells packages apart."
    if account.estimated:
        return f"{first}\nShares of the heaps (~) are estimates from samples; what the heaps hold is counted."
    return first


def _line(row: AttributionRow, account: Attribution) -> tuple[str, ...]:
    figures = _figures([getattr(row, name) for name in _FIGURES], account, "~" if row.estimated else "")
    name = row.name if row.detail in ("", row.name) or row.kind != "mapped file" else place_text(row.detail)
    return (*figures, row.component, row.kind, name)


def _figures(figures: Sequence[int], account: Attribution, mark: str = "") -> tuple[str, ...]:
    resident, *others = figures
    share = resident / account.rss_bytes if account.rss_bytes else 0.0
    return (f"{mark}{size_text(resident)}", f"{share:.1%}", *(size_text(figure) for figure in others))
