"""A chart on a widget: what of it is painted, and when.

view, past or colours changed --> all of it    a tick --> its column and the labels
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QWidget

from piker.ui._chart import Chart
from piker.ui._measure import Box, measured
from piker.ui._series import Change
from piker.ui._theme import Theme
from piker.ui._ticks import written

from ._axes import Tag
from ._picture import Picture
from ._shapes import color_of, painting_on


class Grabber:
    """What may take the mouse before the chart does, e.g. lines of orders."""

    def grabs(self, y: float) -> bool:
        """Tell whether there is something at a pixel that can be dragged."""
        return False

    def begin(self, y: float) -> None:
        """Take hold of what is there."""

    def move(self, y: float) -> None:
        """Move it."""

    def drop(self, y: float) -> None:
        """Let go of it there."""

    def cancel(self) -> None:
        """Let go of it where it was."""

    def paint(self, painter: QPainter, picture: Picture) -> list[Tag]:
        """Paint lines over the prices; return their tags for the axis."""
        return []


class Surface(QWidget):
    """A chart that can be looked at.

    Attributes:
      chart: what is shown.
      picture: paints it.
      grabber: paints over the prices.
      tags: gives labels for the price axis.
      box: measured, None for none.
      mouse: where it is, pixels; None: elsewhere.
      shows_values: of the bar below the mouse, beside it.
      painted: it was painted, some of it at least.
      moved: prices or bars are elsewhere than they were.
    """

    painted = Signal()
    moved = Signal()

    def __init__(self, chart: Chart, theme: Theme, font: QFont) -> None:
        """Show *chart*."""
        super().__init__()
        self.chart = chart
        self.picture = Picture(chart, theme, font)
        self.grabber = Grabber()
        self.tags: Callable[[], list[Tag]] = list
        self.box: Box | None = None
        self.shows_values = False
        self._made: tuple[object, ...] = ()
        self._looked_at: tuple[object, ...] = ()
        self.mouse: QPointF | None = None
        self._tip_rect, self._last_y = QRectF(), 0.0
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(160, 80)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a good size."""
        return QSize(900, 420)

    # -- what changes it ------------------------------------------------------------

    def show_chart(self, chart: Chart) -> None:
        """Show another chart."""
        self.chart = self.picture.chart = chart
        self.box = None
        self.look()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.picture.theme = theme
        self.look()

    def take(self, change: Change) -> None:
        """Show what changed in the series: a new tip costs its strip only."""
        self.chart.take(change)
        if not change.tip_only or self._is_stale():
            self.update()
            return
        self._looked_at = self._glance()
        self.update_tip()

    def update_tip(self) -> None:
        """Repaint the newest column, the last price and the labels at the right."""
        rect = self.picture.tip_rect()
        layout = self.picture.layout
        for part in (rect, self._tip_rect):
            self.update(part.toAlignedRect())
        self._tip_rect = rect
        axis = QRectF(layout.plot_width, 0, layout.axis_width, self.height())
        self.update(axis.toAlignedRect())
        for y in self._level_ys():
            self.update(0, int(y) - 1, int(layout.plot_width), 3)
        if self.box is not None:
            self.update()
        elif self.mouse is not None:  # its bar's values stand at the upper left
            wide = int(layout.plot_width)
            self.update(0, 0, wide, int(3 * self.picture.axes.line_px))

    def _level_ys(self) -> list[float]:
        """Return where the last price's line was, and is."""
        series, before = self.chart.series, self._last_y
        if len(series):
            self._last_y = self.chart.view.y(float(series.close[-1]))
        return [before, self._last_y]

    def look(self) -> None:
        """Show the view as it is now: something else than a tick moved it."""
        self._looked_at = ()
        self.update()

    def forget(self) -> None:
        """Paint all of it anew, whatever is known of it."""
        self._made = ()
        self.look()

    # -- painting -------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep bars as wide as they were."""
        self.picture.lay_out(self.width(), self.height())
        super().resizeEvent(event)

    def _key(self) -> tuple[object, ...]:
        """Return what the picture was made for."""
        chart, view = self.chart, self.chart.view
        studies = tuple(
            (study.wanted.title, study.span.lowest, study.span.highest)
            for study in chart.studies
        )
        return (
            chart.series, chart.series.past, len(chart.series), chart.drawn_as,
            view.left, view.right, view.span.lowest, view.span.highest, view.span.log,
            chart.volume.highest, str(chart.zone), studies,
            tuple((o.series, o.series.past, o.color) for o in chart.overlays),
            self.picture.theme.name, self.size().toTuple(), self.devicePixelRatioF(),
        )  # fmt: skip

    def _glance(self) -> tuple[object, ...]:
        """Return what is told at a glance of whether anything but a tip changed."""
        view, series = self.chart.view, self.chart.series
        return (
            series, series.past, len(series), view.left, view.right, view.span.lowest,
            view.span.highest, float(series.close[-1]) if len(series) else 0.0,
            self.size(), self.devicePixelRatioF(), self._made,
        )  # fmt: skip

    def _is_stale(self) -> bool:
        """Fit the prices; return whether the picture must be made anew."""
        self.picture.lay_out(self.width(), self.height())
        self.chart.fit()
        return self._key() != self._made

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint what is to be seen of the chart."""
        # a tick was looked at when it came
        if self._glance() != self._looked_at and self._is_stale():
            self.picture.make()
            self._made = self._key()
            self.moved.emit()
            if event.rect() != self.rect():
                self.update()  # all of it has moved, not just what is painted now
        with painting_on(self) as painter:
            self.picture.paint(painter, event.region())
            self._paint_live(painter)
        self.painted.emit()

    def _paint_live(self, painter: QPainter) -> None:
        picture = self.picture
        self._paint_region(painter)
        tags = self._last_tag(painter) + self.tags()
        tags += self.grabber.paint(painter, picture)
        if self.box is not None:
            self._paint_box(painter, self.box)
        tags += self._paint_cross(painter)
        picture.paint_tags(painter, tags)

    def _last_tag(self, painter: QPainter) -> list[Tag]:
        series, theme = self.chart.series, self.picture.theme
        if not len(series):
            return []
        last, opened = float(series.close[-1]), float(series.open[-1])
        color = theme.up if last >= opened else theme.down
        self.picture.paint_level(painter, last, color)
        text = written(last, series.mkt.price_digits)
        return [Tag(self.chart.view.y(last), text, color)]

    def _paint_region(self, painter: QPainter) -> None:
        if self.chart.region is None:
            return
        left, right = (self.chart.view.x(at) for at in self.chart.region)
        left, right = max(left, 0.0), min(right, self.picture.layout.plot_width)
        if right > left:
            color = color_of(self.picture.theme.region)
            # however short the time, it can be seen and taken hold of
            wide = max(right - left, 3.0)
            painter.fillRect(
                QRectF(right - wide, 0, wide, self.picture.layout.plot_bottom), color
            )

    def _paint_cross(self, painter: QPainter) -> list[Tag]:
        """Paint the lines below the mouse and what they point at."""
        at, layout = self.mouse, self.picture.layout
        if at is None or at.x() >= layout.plot_width or at.y() >= layout.plot_bottom:
            return []
        theme, view, series = self.picture.theme, self.chart.view, self.chart.series
        color = color_of(theme.cross)
        row = self.chart.row_at(at.x())
        x = at.x() if row is None else view.x(series.start + row)
        painter.fillRect(QRectF(int(x), 0, 1, layout.plot_bottom), color)
        painter.fillRect(QRectF(0, int(at.y()), layout.plot_width, 1), color)
        if row is not None:
            when = datetime.fromtimestamp(int(series.time[row]), self.chart.zone)
            text = f"{when:%a %d %b %Y %H:%M:%S}"
            self.picture.paint_time_tag(painter, x, text)
            self._paint_values(painter, row, at)
        if at.y() >= layout["prices"].bottom:
            return []
        price = written(view.price(at.y()), series.mkt.price_digits)
        return [Tag(at.y(), price, theme.cross, is_fixed=True)]

    def _paint_values(self, painter: QPainter, row: int, at: QPointF) -> None:
        """Write the values of the bar below the mouse at the upper left, or by it."""
        series, theme = self.chart.series, self.picture.theme
        digits = series.mkt.price_digits
        prices = (series.open, series.high, series.low, series.close)
        told = [
            f"{name} {written(float(column[row]), digits)}"
            for name, column in zip("OHLC", prices, strict=True)
        ]
        told += [f"V {series.volume[row]:,.6g}", f"n {series.count[row]:,}"]
        rose = series.close[row] >= series.open[row]
        painter.setFont(self.picture.font)
        painter.setPen(color_of(theme.up if rose else theme.down))
        line_px = self.picture.axes.line_px
        painter.drawText(QPointF(8, 2.6 * line_px), "  ".join(told))
        if self.shows_values:
            told.insert(0, f"#{series.start + row}  {series.time[row]}")
            self._write_lines(painter, told, at + QPointF(16, 16))

    def _paint_box(self, painter: QPainter, box: Box) -> None:
        view, theme = self.chart.view, self.picture.theme
        corners = [
            QPointF(view.x(index), view.y(price))
            for index, price in (box.one, box.other)
        ]
        rect = QRectF(corners[0], corners[1]).normalized()
        painter.fillRect(rect, color_of(theme.box))
        lines = measured(self.chart.series, box)
        self._write_lines(painter, lines, rect.bottomLeft() + QPointF(0, 4))

    def _write_lines(self, painter: QPainter, lines: list[str], at: QPointF) -> None:
        """Write lines in a box at a place, or as near to it as there is room."""
        theme, axes = self.picture.theme, self.picture.axes
        painter.setFont(self.picture.font)
        wide, high = axes.width_for(lines), axes.line_px * len(lines)
        top = min(max(at.y(), 0.0), max(self.height() - high, 0.0))
        left = min(max(at.x(), 0.0), max(self.picture.layout.plot_width - wide, 0.0))
        painter.fillRect(QRectF(left, top, wide, high), color_of(theme.panel))
        painter.setPen(color_of(theme.text))
        for i, line in enumerate(lines):
            baseline = top + axes.line_px * (i + 1) - axes.metrics.descent() - 1
            painter.drawText(QPointF(left + 5, baseline), line)
