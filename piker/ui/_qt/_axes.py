"""The grid and the two axes, and labels that stand on them.

Lines are opaque and a pixel wide: a transparent grid costs twenty times what everything
else does (docs/performance.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QFont,
    QFontMetricsF,
    QPainter,
    QRegion,
    QStaticText,
    QTransform,
)

from piker.ui._layout import Layout, Strip
from piker.ui._order_lines import label_spots
from piker.ui._theme import Theme, text_on
from piker.ui._ticks import Mark

from ._shapes import color_of, rects_of

_PAD_PX: Final = 5.0
#: Labels whose widths are remembered.
_TEXTS: Final = 4096

#: Labels, and the pixel each stands at.
Marks = list[tuple[Mark, float]]


@dataclass(frozen=True)
class Tag:
    """A label on the price axis.

    Attributes:
      y: pixel of its price, from the top of the picture.
      text: what it says.
      color: behind it.
      is_fixed: it stands at its price, whatever it hides.
    """

    y: float
    text: str
    color: str
    is_fixed: bool = False


class Axes:
    """Paints grids, axes and tags with one font."""

    def __init__(self, font: QFont) -> None:
        """Measure *font*."""
        self.font = font
        self.metrics = QFontMetricsF(font)
        self.line_px = self.metrics.height() + 2
        self._rise = (self.metrics.ascent() - self.metrics.descent()) / 2
        # measuring a text takes longer than drawing it
        self.width = lru_cache(_TEXTS)(self.metrics.horizontalAdvance)
        self._laid_out = lru_cache(_TEXTS)(self._lay_out)

    def width_for(self, texts: list[str]) -> float:
        """Return how wide a price axis is for labels."""
        return max(map(self.width, texts), default=0.0) + 2 * _PAD_PX

    def write(self, painter: QPainter, at: QPointF, text: str, color: str) -> float:
        """Write a text from a place on its baseline; return how wide it is."""
        painter.setFont(self.font)
        painter.setPen(color_of(color))
        painter.drawText(at, text)
        return self.width(text)

    def _put(self, painter: QPainter, x: float, baseline: float, text: str) -> None:
        """Write a label that is written again with each picture."""
        at = QPointF(x, baseline - self.metrics.ascent())
        painter.drawStaticText(at, self._laid_out(text))

    def _lay_out(self, text: str) -> QStaticText:
        """Return a text whose letters are laid out: that is half of writing it."""
        label = QStaticText(text)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
        label.prepare(QTransform(), self.font)
        return label

    def paint_prices(
        self, painter: QPainter, layout: Layout, strip: Strip, marks: Marks,
        theme: Theme,
    ) -> None:  # fmt: skip
        """Paint a strip's labels right of it, and the grid through it."""
        grid, half = color_of(theme.grid), self.line_px / 2
        painter.setFont(self.font)
        painter.setPen(color_of(theme.faint))
        left = layout.plot_width + _PAD_PX
        for mark, y in marks:
            if strip.top <= y < strip.bottom:
                painter.fillRect(QRectF(0, round(y), layout.plot_width, 1), grid)
            if strip.top + half <= y <= strip.bottom - half:
                self._put(painter, left, y + self._rise, mark.text)

    def paint_times(
        self, painter: QPainter, layout: Layout, marks: Marks, theme: Theme,
        dirty: QRegion,
    ) -> None:  # fmt: skip
        """Paint the time axis below where it is dirty, and the grid of all strips."""
        painter.setFont(self.font)
        grid, pens = color_of(theme.grid), (theme.faint, theme.text)
        baseline = layout.plot_bottom + self.line_px - self.metrics.descent()
        spans = [
            (rect.left(), rect.right())
            for rect in rects_of(dirty)
            if rect.bottom() >= layout.plot_bottom
        ]
        for mark, x in marks:
            if 0 <= x < layout.plot_width:
                painter.fillRect(QRectF(int(x), 0, 1, layout.plot_bottom), grid)
            half = self.width(mark.text) / 2
            if half <= x <= layout.plot_width - half and any(
                left <= x + half and x - half <= right for left, right in spans
            ):
                painter.setPen(color_of(pens[mark.is_major]))
                self._put(painter, x - half, baseline, mark.text)

    def paint_tags(
        self, painter: QPainter, layout: Layout, strip: Strip, tags: list[Tag],
        marks: Marks, back: str,
    ) -> None:  # fmt: skip
        """Paint tags on a strip's price axis; but for fixed ones they're apart.

        Labels that a tag would cover in part are taken away, painted in *back*.
        """
        loose = [tag for tag in tags if not tag.is_fixed]
        height = self.line_px
        spots = label_spots([tag.y for tag in loose], height, strip.top, strip.bottom)
        placed = list(zip(loose, spots, strict=True))
        placed += [(tag, tag.y) for tag in tags if tag.is_fixed]
        placed = [
            (tag, y)
            for tag, y in placed
            if strip.top - height <= y <= strip.bottom + height
        ]
        for _, y in marks:
            if any(abs(y - at) < height for _, at in placed):
                left, top = layout.plot_width + 1, round(y - height / 2)
                box = QRectF(left, top, layout.axis_width, height)
                painter.fillRect(box, color_of(back))
        for tag, y in placed:
            # what is beyond the edge stands at it, and points there
            way = "↑ " if tag.y < strip.top else "↓ " if tag.y > strip.bottom else ""
            self._tag(painter, layout, y, replace(tag, text=way + tag.text))

    def _tag(self, painter: QPainter, layout: Layout, y: float, tag: Tag) -> None:
        box = QRectF(
            layout.plot_width,
            round(y - self.line_px / 2),
            layout.axis_width,
            self.line_px,
        )
        painter.fillRect(box, color_of(tag.color))
        at = QPointF(layout.plot_width + _PAD_PX, y + self._rise)
        self.write(painter, at, tag.text, text_on(tag.color))

    def paint_time_tag(
        self, painter: QPainter, layout: Layout, x: float, text: str, marks: Marks,
        theme: Theme,
    ) -> None:  # fmt: skip
        """Paint the label of one time on the time axis, others away below it."""
        painter.setFont(self.font)
        width = self.width(text) + 2 * _PAD_PX
        left = min(max(x - width / 2, 0.0), max(layout.plot_width - width, 0.0))
        for mark, at in marks:
            half = self.width(mark.text) / 2
            if left - half < at < left + width + half:
                top, high = layout.plot_bottom + 1, self.line_px
                away = QRectF(at - half - 1, top, 2 * half + 2, high)
                painter.fillRect(away, color_of(theme.back))
        box = QRectF(left, layout.plot_bottom, width, self.line_px)
        painter.fillRect(box, color_of(theme.cross))
        painter.setPen(color_of(text_on(theme.cross)))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
