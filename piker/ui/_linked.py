"""Two charts of one market: which part of the longer bars the shorter ones show."""

from __future__ import annotations

from ._chart import Chart

Region = tuple[float, float]


def region_of(fast: Chart, slow: Chart) -> Region | None:
    """Return the edges of what *fast* shows, in indexes of *slow*.

    None where either has no bars.
    """
    series, longer = fast.series, slow.series
    if not len(series) or not len(longer):
        return None
    edges = []
    for at in (fast.view.left, fast.view.right):
        row = round(at) - series.start
        inside = min(max(row, 0), len(series) - 1)
        at_s = float(series.time[inside]) + (row - inside) * series.period_s
        index = longer.index_at(at_s)
        into_s = at_s - float(longer.time[index - longer.start])
        part = min(max(into_s / longer.period_s, 0.0), 1.0)
        edges.append(index + part - 0.5)
    return edges[0], edges[1]


def go_to(fast: Chart, slow: Chart, left: float) -> None:
    """Have *fast* show what begins at an index of *slow*, as much as it showed."""
    series, longer = fast.series, slow.series
    if not len(series) or not len(longer):
        return
    row = min(max(round(left) - longer.start, 0), len(longer) - 1)
    into_s = (left + 0.5 - round(left)) * longer.period_s
    at = series.index_at(float(longer.time[row]) + into_s)
    shift_px = (fast.view.left - at) * fast.view.bar_px
    fast.view.pan(shift_px, 0, series.start, series.end)
