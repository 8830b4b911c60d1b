"""A chart's picture: shapes made when the view changes, drawn whenever it is painted.

    view, past, size --make()--> labels, shapes of closed bars and of lines
    each tick        --paint()-> these, as far as they are to be seen, the newest column

Nothing is kept as pixels: to copy a window's pixels takes as long as to draw them anew,
and what a tick changes is a strip of them, outside of which Qt draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QFont, QPainter, QPen, QRegion

from piker.ui._chart import Chart
from piker.ui._layout import Layout, Strip, lay_out
from piker.ui._m4 import Columns, joined
from piker.ui._study import Study
from piker.ui._theme import Theme
from piker.ui._ticks import Mark, price_marks, time_marks
from piker.ui._view import Span
from piker.ui._wanted import span_text

from ._annot_shapes import AnnotShapes
from ._axes import Axes, Tag
from ._bars import BarsPainter
from ._shapes import Floats, Line, color_of

#: Parts of the height.
_VOLUME_SHARE: Final = 0.16
_STUDY_SHARE: Final = 0.14
_STUDY_LABELS_PX: Final = 28.0
_LEGEND_PX: Final = 14
_STROKE_PX: Final = 1.25
_DASHES: Final = {
    "solid": Qt.PenStyle.SolidLine,
    "dot": Qt.PenStyle.DotLine,
    "dash": Qt.PenStyle.DashLine,
}
_FINE: Final = Decimal("1e-9")


@dataclass
class _Stroke:
    """A line over a strip: an overlay's, or a study's.

    Attributes:
      color: of it.
      strip: name of the strip.
      source: columns to pixels from the strip's top.
      title: of it, for the legend.
    """

    color: str
    strip: str
    source: _Source
    title: str = ""
    line: Line = field(default_factory=Line)
    tail: Line = field(default_factory=Line)


@dataclass(frozen=True)
class _Source:
    """Where a line's values come from."""

    chart: Chart
    study: Study | None = None
    name: str = ""
    overlay: int = -1
    height: float = 0.0

    def ys(self, columns: Columns) -> Floats:
        """Return its pixels at the middles of columns."""
        view = self.chart.view
        if self.study is None:
            line = self.chart.overlays[self.overlay].line(self.chart.series, columns)
            return view.ys(line)
        values = self.study.at(columns, self.name)
        if self.study.has_strip:
            return (1 - self.study.span.fractions(values)) * self.height
        return view.ys(values)


@dataclass
class Picture:
    """Paints one chart.

    Attributes:
      chart: what.
      theme: in which colours.
      font: of labels.
      shows_volume: whether there is a strip of it.
      layout: where its parts lie.
    """

    chart: Chart
    theme: Theme
    font: QFont
    shows_volume: bool = True
    layout: Layout = field(default_factory=lambda: lay_out(1, 1, 0, 0, {"prices": 1.0}))

    def __post_init__(self) -> None:
        self.axes = Axes(self.font)
        self._bars, self._tip = BarsPainter(), BarsPainter()
        self._strokes: list[_Stroke] = []
        self._times: list[tuple[Mark, float]] = []
        self._marked: tuple[object, ...] = ()
        self._marks: list[Mark] = []
        self._prices: list[tuple[Strip, list[tuple[Mark, float]]]] = []
        self._breaks: list[tuple[float, bool]] = []
        self._annots = AnnotShapes(self.axes)

    def lay_out(self, width: float, height: float) -> None:
        """Divide the picture; the price axis is as wide as its labels."""
        chart = self.chart
        shares = {"prices": 1.0}
        if self.shows_volume:
            shares["volume"] = _VOLUME_SHARE
        for study in chart.studies:
            if study.has_strip:
                shares[study.wanted.title] = _STUDY_SHARE
        line = self.axes.line_px
        digits = chart.series.mkt.price_digits
        sample = f"{chart.view.span.highest:,.{digits}f}"
        axis = self.axes.width_for([sample, "0" * 8])
        self.layout = lay_out(width, height, round(axis), round(line * 1.4), shares)
        prices = self.layout["prices"]
        chart.view.resize(self.layout.plot_width, prices.height)

    # -- making -------------------------------------------------------------------

    def make(self) -> None:
        """Make what changes with the view only."""
        chart, view = self.chart, self.chart.view
        self._times = [(mark, view.x(mark.at)) for mark in self._time_marks()]
        self._prices = list(self._price_marks())
        self._breaks = [(view.x(at - 0.5), is_gap) for at, is_gap in chart.gaps()]
        self._annots.make(chart, self.theme)
        still = chart.drawn().still
        self._bars.make(chart, still, self._volume_px, self.theme)
        self._strokes = list(self._lines())
        xs = view.xs(still.middle) + 0.5
        for stroke in self._strokes:
            stroke.line.put(xs, stroke.source.ys(still))

    @property
    def _volume_px(self) -> float:
        strips = self.layout.strips
        return next((s.height for s in strips if s.name == "volume"), 0.0)

    def _time_marks(self) -> list[Mark]:
        chart = self.chart
        series, (first, end) = chart.series, chart.view.bars()
        lo = max(first, series.start)
        rows = slice(lo - series.start, max(min(end, series.end), lo) - series.start)
        time_s = series.time[rows]
        ends = (int(time_s[0]), int(time_s[-1])) if len(time_s) else ()
        key = (series, lo, len(time_s), ends, chart.view.bar_px, str(chart.zone))
        if key != self._marked:
            least_px = self.axes.width("00:00:00") + 30
            self._marked, self._marks = key, time_marks(
                time_s, lo, series.period_s, chart.view.bar_px, chart.zone, least_px
            )  # fmt: skip
        return self._marks

    def _price_marks(self) -> Iterator[tuple[Strip, list[tuple[Mark, float]]]]:
        """Yield the strips with their labels and where these are."""
        chart, mkt = self.chart, self.chart.series.mkt
        spans = {"prices": chart.view.span, "volume": chart.volume}
        spans |= {study.wanted.title: study.span for study in chart.studies}
        for strip in self.layout.strips:
            span = spans[strip.name]
            if strip.name == "prices":
                marks = price_marks(
                    span, strip.height, mkt.price_tick, mkt.price_digits
                )
            else:
                marks = _short_marks(span, strip)
            ys = [strip.bottom - span.fraction(m.at) * strip.height for m in marks]
            yield strip, list(zip(marks, ys, strict=True))

    def _lines(self) -> Iterator[_Stroke]:
        """Yield the lines over the strips, in the order in which they get colours."""
        chart = self.chart
        for i, overlay in enumerate(chart.overlays):
            source = _Source(chart, overlay=i)
            title = overlay.series.mkt.fqme
            yield _Stroke(_nth(self.theme, overlay.color), "prices", source, title)
        number = 0
        heights = {strip.name: strip.height for strip in self.layout.strips}
        for study in chart.studies:
            strip = study.wanted.title if study.has_strip else "prices"
            if strip not in heights:
                continue  # there is no room for it
            for name in study.lines:
                number += 1
                color = _nth(self.theme, number)
                source = _Source(chart, study, name, height=heights[strip])
                yield _Stroke(color, strip, source, study.wanted.title)

    # -- painting -----------------------------------------------------------------

    def paint(self, painter: QPainter, dirty: QRegion) -> None:
        """Paint what was made, and the newest column over it, as far as it is dirty."""
        theme, layout = self.theme, self.layout
        painter.fillRect(dirty.boundingRect(), color_of(theme.back))
        self.axes.paint_times(painter, layout, self._times, theme, dirty)
        for strip, marks in self._prices:
            self.axes.paint_prices(painter, layout, strip, marks, theme)
        self._make_tip()
        for strip in layout.strips:
            with _within(painter, layout, strip):
                self._paint_strip(painter, strip, dirty)
        if dirty.intersects(self._legend_rect()):
            self._paint_legends(painter)
        self._paint_edges(painter)

    def _make_tip(self) -> None:
        """Make the newest column, and the ends of all lines."""
        chart, (still, tip) = self.chart, self.chart.drawn()
        self._tip.make(chart, tip, self._volume_px, self.theme)
        if not len(tip):
            for stroke in self._strokes:
                stroke.tail.clear()
            return
        # what an overlay returned is counted from the left edge
        shown = joined(still if chart.overlays else still.newest(), tip)
        xs = chart.view.xs(shown.middle[-2:]) + 0.5
        for stroke in self._strokes:
            stroke.tail.put(xs, stroke.source.ys(shown)[-2:])

    def _paint_strip(self, painter: QPainter, strip: Strip, dirty: QRegion) -> None:
        if strip.name == "prices":
            self._paint_breaks(painter, strip)
            # behind the bars
            self._annots.draw(painter, self.theme, dirty)
            for bars in (self._bars, self._tip):
                bars.draw(painter, self.theme)
        elif strip.name == "volume":
            for bars in (self._bars, self._tip):
                bars.draw_volume(painter, self.theme)
        for stroke in self._strokes:
            if stroke.strip == strip.name:
                stroke.line.draw(painter, stroke.color, _STROKE_PX)
                stroke.tail.draw(painter, stroke.color, _STROKE_PX)

    def _paint_breaks(self, painter: QPainter, strip: Strip) -> None:
        """Paint where the market was closed, and where bars are missing."""
        theme, bar_px = self.theme, self.chart.view.bar_px
        for x, is_gap in self._breaks:
            wide = max(bar_px * 0.6, 3.0) if is_gap else 1.0
            color = theme.gap if is_gap else theme.closed
            left = int(x) - (wide / 2 if is_gap else 0)
            painter.fillRect(QRectF(left, 0, wide, strip.height), color_of(color))

    def _paint_legends(self, painter: QPainter) -> None:
        """Write what is shown at the upper left of strips, lines in their colours."""
        series, line_px = self.chart.series, self.axes.line_px
        named = f"{series.mkt.fqme}  {span_text(series.period_s)}"
        for strip in self.layout.strips:
            told = [(named, self.theme.text)] if strip.name == "prices" else []
            told += [
                (stroke.title, stroke.color)
                for stroke in self._strokes
                if stroke.strip == strip.name
            ]
            if not told:
                continue
            texts, x = dict(told), 8.0
            wide = sum(self.axes.width(text) + _LEGEND_PX for text in texts)
            # bars shine through, and yet it can be read over them
            below = QRectF(4, strip.top + 0.35 * line_px, wide - 6, 1.1 * line_px)
            painter.fillRect(below, color_of(self.theme.haze))
            for text, color in texts.items():
                at = QPointF(x, strip.top + 1.2 * line_px)
                x += self.axes.write(painter, at, text, color) + _LEGEND_PX

    def _legend_rect(self) -> QRect:
        """Return where legends may be."""
        has_studies = len(self.layout.strips) > 2
        high = self.layout.plot_bottom if has_studies else 2 * self.axes.line_px
        return QRect(0, 0, int(self.layout.plot_width / 2), int(high))

    def _paint_edges(self, painter: QPainter) -> None:
        layout, edge = self.layout, color_of(self.theme.edge)
        wide = layout.plot_width + layout.axis_width
        for strip in layout.strips:
            painter.fillRect(QRectF(0, strip.bottom, wide, 1), edge)
        painter.fillRect(QRectF(layout.plot_width, 0, 1, layout.plot_bottom), edge)

    def paint_tags(self, painter: QPainter, tags: list[Tag]) -> None:
        """Paint tags on the axis of the prices."""
        strip = self.layout["prices"]
        marks = next((marks for at, marks in self._prices if at == strip), [])
        self.axes.paint_tags(painter, self.layout, strip, tags, marks, self.theme.back)

    def paint_time_tag(self, painter: QPainter, x: float, text: str) -> None:
        """Paint the label of one time at a pixel."""
        self.axes.paint_time_tag(painter, self.layout, x, text, self._times, self.theme)

    def tip_rect(self) -> QRectF:
        """Return where the newest column is, over the whole height."""
        view, tip = self.chart.view, self.chart.drawn().tip
        if not len(tip):
            return QRectF()
        # lines over the prices come from the column before
        left = view.x(float(tip.index[0]) - 1.5 * tip.bars)
        right = view.x(float(tip.index[-1]) + tip.bars)
        return QRectF(left - 2, 0, right - left + 4, self.layout.plot_bottom)

    def paint_level(
        self, painter: QPainter, price: float, color: str, dashes: str = "dot"
    ) -> None:
        """Paint a line across the prices at one of them."""
        strip = self.layout["prices"]
        y = self.chart.view.y(price)
        if not 0 <= y < strip.height:
            return
        pen = QPen(color_of(color))
        pen.setStyle(_DASHES[dashes])
        pen.setCosmetic(True)
        painter.setPen(pen)
        at = int(strip.top + round(y))
        painter.drawLine(0, at, int(self.layout.plot_width), at)


def _short_marks(span: Span, strip: Strip) -> list[Mark]:
    """Return labels of a strip that isn't of prices, with k, M and B for thousands."""
    marks = price_marks(span, strip.height, _FINE, 9, _STUDY_LABELS_PX)
    return [Mark(mark.at, short(mark.at)) for mark in marks]


def _nth(theme: Theme, number: int) -> str:
    """Return a colour of further lines."""
    return theme.overlays[number % len(theme.overlays)]


def short(value: float) -> str:
    """Return a number in few letters: 1.5k, 20M."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


@contextmanager
def _within(painter: QPainter, layout: Layout, strip: Strip) -> Iterator[None]:
    """Paint within a strip, its upper left corner at the origin."""
    painter.save()
    rect = QRectF(0, strip.top, layout.plot_width, strip.height)
    painter.setClipRect(rect, Qt.ClipOperation.IntersectClip)
    painter.translate(0, strip.top)
    try:
        yield
    finally:
        painter.restore()
