"""A chart as rows of cells: bars, indicators, axes, and what lies over them.

    Scene + Places --draw--> rows of the picture

Pure.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from piker.ui._chart import Chart
from piker.ui._m4 import Columns
from piker.ui._study import Study
from piker.ui._ticks import price_marks, time_marks
from piker.ui._view import Span

from ._candles import draw_bars, draw_candles, draw_line, draw_values, draw_volume
from ._cells import Grid, Ink, Row
from ._lines import Tag, draw_lines
from ._palette import Palette
from ._scene import Places, Scene

#: Rows between two labelled prices, and cells between two labelled times, at least.
_PRICE_ROWS: Final = 3.0
_TIME_CELLS: Final = 16.0


def draw(scene: Scene, places: Places, inks: Palette) -> list[Row]:
    """Return the picture, ``places.height`` rows of ``places.width`` cells."""
    grid = Grid(places.width, places.height, inks.text)
    _draw_bars(grid, scene, places, inks)
    tags = draw_lines(grid, scene, places, inks)
    _draw_grid(grid, scene, places, inks)
    _draw_gaps(grid, scene, places, inks)
    _draw_price_axis(grid, scene, places, inks, tags)
    _draw_time_axis(grid, scene, places, inks)
    _draw_legend(grid, scene, places, inks)
    for row, (text, ink) in enumerate(scene.notices[: places.prices]):
        grid.put(0, row, text, ink)
    return grid.rows()


# -- bars -----------------------------------------------------------------------------


def _draw_bars(grid: Grid, scene: Scene, places: Places, inks: Palette) -> None:
    """Draw prices, indicators and volume, within the plot."""
    chart, zoom = scene.chart, scene.zoom
    plot = Grid(places.plot, places.height, grid.ink)
    for columns in chart.drawn():
        if not len(columns):
            continue
        _draw_prices(plot, columns, scene, inks)
        if places.volume:
            top = places.height - 1 - places.volume
            strip = (chart.volume, top, places.volume)
            draw_volume(plot, columns, (chart.view, zoom), inks.bars, strip)
        _draw_studies(plot, columns, scene, places, inks)
    grid.paste(plot)


def _draw_prices(plot: Grid, columns: Columns, scene: Scene, inks: Palette) -> None:
    chart, zoom = scene.chart, scene.zoom
    if chart.style == "line":
        draw_line(plot, columns, columns.close, chart.view, zoom, inks.bars.line)
    elif chart.style == "bars":
        draw_bars(plot, columns, chart.view, zoom, inks.bars)
    else:
        draw_candles(plot, columns, chart.view, zoom, inks.bars)


def _draw_studies(
    plot: Grid, columns: Columns, scene: Scene, places: Places, inks: Palette
) -> None:
    """Draw the indicators' lines: over the prices, or in strips of their own."""
    chart, place = scene.chart, (scene.chart.view, scene.zoom)
    strips = _strips(chart, places)
    for number, (study, name) in enumerate(_study_lines(chart)):
        strip = strips.get(study.wanted.title)
        if strip is not None:
            ink = _study_ink(number, inks)
            draw_values(plot, columns, study.at(columns, name), place, ink, strip)


def _study_lines(chart: Chart) -> list[tuple[Study, str]]:
    return [(study, name) for study in chart.studies for name in study.lines]


def _study_ink(number: int, inks: Palette) -> Ink:
    colors = inks.theme.overlays
    return inks.on_chart(colors[number % len(colors)])


def _strips(chart: Chart, places: Places) -> dict[str, tuple[Span, int, int]]:
    """Return what each indicator is drawn in: a span, its first row, how many."""
    strips, top, rows = {}, places.prices, list(places.studies)
    for study in chart.studies:
        if not study.has_strip:
            strips[study.wanted.title] = (chart.view.span, 0, places.prices)
        elif rows:
            strips[study.wanted.title] = (study.span, top, rows.pop(0))
            top += strips[study.wanted.title][2]
    return strips


def _draw_legend(grid: Grid, scene: Scene, places: Places, inks: Palette) -> None:
    """Name the indicators, each in the colour of its line, where they are drawn."""
    strips, ends = _strips(scene.chart, places), dict[int, int]()
    for number, (study, name) in enumerate(_study_lines(scene.chart)):
        strip = strips.get(study.wanted.title)
        if strip is None:
            continue
        title = study.wanted.title
        text = title if len(study.lines) == 1 else f"{title} {name}"
        at = ends.get(strip[1], 1)
        grid.put(at, strip[1], text, _study_ink(number, inks))
        ends[strip[1]] = at + len(text) + 2


def _draw_gaps(grid: Grid, scene: Scene, places: Places, inks: Palette) -> None:
    """Draw a line before bars where time is missing."""
    chart, theme = scene.chart, inks.theme
    for index, is_open in chart.gaps():
        x = scene.zoom.cell_of(chart.view, index) - 1
        ink = inks.on_chart(theme.gap if is_open else theme.closed)
        if x < places.plot:
            for row in range(places.prices):
                grid.put_under(x, row, "┊", ink)


# -- axes -----------------------------------------------------------------------------


def _marks(scene: Scene, places: Places) -> list[tuple[int, str]]:
    """Return the rows of labelled prices."""
    view, mkt = scene.chart.view, scene.chart.series.mkt
    marks = price_marks(
        view.span, view.height, mkt.price_tick, mkt.price_digits, _PRICE_ROWS
    )
    rows = [(math.floor(view.y(mark.at)), mark.text) for mark in marks]
    return [(row, text) for row, text in rows if 0 <= row < places.prices]


def _draw_grid(grid: Grid, scene: Scene, places: Places, inks: Palette) -> None:
    for row, _ in _marks(scene, places):
        for x in range(places.plot):
            grid.put_under(x, row, "┈", inks.grid)


def _draw_price_axis(
    grid: Grid, scene: Scene, places: Places, inks: Palette, tags: list[Tag]
) -> None:
    """Write the prices at the right; of tags on one row the last one stands."""
    by_row = {row: (text, inks.faint) for row, text in _marks(scene, places)}
    for tag in tags:
        by_row[tag.row] = (tag.text, tag.ink)
    for row, (text, ink) in by_row.items():
        grid.put(places.plot, row, f"{text:>{places.axis - 1}}".ljust(places.axis), ink)
    if places.volume:
        most = scene.chart.volume.highest / 1.1
        text = f"{most:.4g}" if most > 1e-9 else ""
        top = places.height - 1 - places.volume
        grid.put(places.plot, top, f"{text:>{places.axis - 1}}", inks.faint)


def _draw_time_axis(grid: Grid, scene: Scene, places: Places, inks: Palette) -> None:
    chart, row = scene.chart, places.height - 1
    series, view = chart.series, chart.view
    first, end = view.bars()
    lo, hi = (min(max(i - series.start, 0), len(series)) for i in (first, end))
    times = series.time[lo:hi]
    marks = time_marks(
        times, series.start + lo, series.period_s, view.bar_px, chart.zone, _TIME_CELLS
    )
    for mark in marks:
        x = scene.zoom.cell_of(view, int(mark.at))
        if 0 <= x <= places.plot - len(mark.text):
            grid.put(x, row, mark.text, inks.text if mark.is_major else inks.faint)
    zone = "UTC" if chart.zone is UTC else "local"
    grid.put(places.plot, row, f"{zone:>{places.axis - 1}}", inks.faint)
    at = None if scene.column is None else scene.column - series.start
    if at is not None and 0 <= at < len(series):
        text = time_text(int(series.time[at]), chart)
        x = scene.zoom.cell_of(view, at + series.start) - len(text) // 2
        x = min(max(x, 0), places.plot - len(text))
        grid.put(x, row, text, inks.tag(inks.theme.cross))


def time_text(time_s: int, chart: Chart) -> str:
    """Return a bar's time on the axis's clock, as finely as its period wants."""
    when = datetime.fromtimestamp(time_s, chart.zone)
    seconds = ":%S" if chart.series.period_s < 60 else ""
    clock = f" %H:%M{seconds}" if chart.series.period_s < 86_400 else ""
    return f"{when:%Y-%m-%d{clock}}"
