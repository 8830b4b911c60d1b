"""Tables of ``piker store``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from piker.storage import StoreInfo
    from piker.tsp import Gap


def at(time_s: int) -> str:
    """Return a time, epoch s, in words."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"


def store_table(found: list[StoreInfo]) -> Table:
    """Return what is stored, a row each."""
    from ._show import new_table

    numbers = ("period", "bars", "MiB", "bad")
    table = new_table("market", *numbers, "from", "to", right=numbers)
    table.columns[0].min_width = max(len(info.fqme) for info in found)
    for info in found:
        ends = (info.first_s, info.last_s)
        span = [at(t)[:10] if info.bars else "-" for t in ends]
        cells: list[Any] = [f"{info.period_s} s", f"{info.bars:,}"]
        cells += [f"{info.size / 2**20:.1f}", str(info.damaged) if info.damaged else ""]
        table.add_row(info.fqme, *cells, *span)
    return table


def gap_table(listed: list[Gap]) -> Table:
    """Return gaps, a row each."""
    from ._show import new_table

    numbers = ("periods", "missing")
    table = new_table("from (UTC)", "to", *numbers, "kind", right=numbers)
    for gap in listed:
        span = (at(gap.start_s), at(gap.end_s))
        table.add_row(*span, str(gap.periods), str(gap.missing), gap.kind)
    return table
