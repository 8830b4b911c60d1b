"""What others have drawn, as shapes: thousands of them cost a picture little.

annotations, bars --once--> where they lie --make()--> boxes on whole pixels, texts
                                        --draw()--> what of them is to be painted
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PySide6.QtCore import QPointF, QRect
from PySide6.QtGui import QPainter, QRegion

from piker.ui._annots import Spots, spots_of
from piker.ui._chart import Chart
from piker.ui._theme import Theme

from ._axes import Axes
from ._shapes import Floats, Ints, Rects, rects_of

#: How far out of sight a rectangle is at most.
_BEYOND_PX: Final = 10.0
#: Between a rectangle's edge and its text.
_PAD_PX: Final = 3.0
#: No picture is so large, pixels.
_LARGEST_PX: Final = 1 << 15

#: Left, top, right and bottom of boxes, shape (4, n), pixels.
_Edges = Floats
_NOTHING: Final[_Edges] = np.empty((4, 0))


class AnnotShapes:
    """What others have drawn in a chart, made once and drawn as often as is wanted."""

    def __init__(self, axes: Axes) -> None:
        """Begin with nothing; texts are written as those of *axes* are."""
        self._axes = axes
        self._spots: Spots | None = None
        self._looked_up: tuple[object, ...] = ()
        self._boxes, self._color = _NOTHING, np.empty(0, np.int64)
        self._colors: list[str] = []
        self._texts: list[tuple[QPointF, str]] = []
        self._around = _NOTHING

    def make(self, chart: Chart, theme: Theme) -> None:
        """Make the shapes of what is in sight."""
        self._texts, self._boxes = [], _NOTHING
        if not chart.annots:
            return
        spots = self._spots_in(chart)
        rows = spots.within(chart.view.left, chart.view.right)
        if not len(rows):
            return
        edges = _edges(chart, spots, rows)
        self._colors = [color or theme.mark for color in spots.colors]
        self._boxes, self._color = _fewer(edges, spots.color[rows])
        self._make_texts(chart, spots, rows, edges)

    def _spots_in(self, chart: Chart) -> Spots:
        """Return where they lie, looked up once until they or the bars change."""
        key = (chart.annots, chart.series, chart.series.past)
        if self._spots is None or key != self._looked_up:
            self._spots, self._looked_up = spots_of(chart.annots, chart.series), key
        return self._spots

    def _make_texts(
        self, chart: Chart, spots: Spots, rows: Ints, edges: _Edges
    ) -> None:
        """Place the texts for which there is room in their rectangles."""
        axes, around = self._axes, []
        # a text stays in sight as its corner leaves it
        left, top = np.maximum(edges[:2], 0.0)
        room = np.minimum(edges[2], chart.view.width) - left - 2 * _PAD_PX
        is_seen = (edges[1] < chart.view.height) & (edges[3] > 0)
        for i in np.flatnonzero(is_seen & (room >= axes.width("i"))).tolist():
            text = spots.rects[rows[i]].text
            if text and axes.width(text) <= room[i]:
                at = QPointF(left[i] + _PAD_PX, top[i] + axes.line_px)
                self._texts.append((at, text))
                right = at.x() + axes.width(text)
                around.append((at.x(), top[i], right, at.y() + axes.metrics.descent()))
        self._around = np.array(around).reshape(-1, 4).T

    def draw(self, painter: QPainter, theme: Theme, dirty: QRegion) -> None:
        """Draw what is dirty of them; the painter's origin is that of the prices."""
        parts = rects_of(dirty)
        if not self._boxes.size or not parts:
            return
        # Qt takes long to find out what it isn't to paint of each
        cuts = [_cut(self._boxes, part) for part in parts]
        boxes = np.concatenate([cut for cut, _ in cuts], axis=1)
        color = np.concatenate([self._color[at] for _, at in cuts])
        for number, at in _by_color(color):
            left, top, right, bottom = boxes[:, at]
            shapes = Rects()
            shapes.put((left, top, right - left, bottom - top))
            shapes.draw(painter, self._colors[number])
        texts = np.concatenate([_cut(self._around, part)[1] for part in parts])
        for i in np.unique(texts).tolist():
            at, text = self._texts[i]
            self._axes.write(painter, at, text, theme.text)


def _edges(chart: Chart, spots: Spots, rows: Ints) -> _Edges:
    """Return where some rectangles lie, at least a pixel wide and high."""
    view = chart.view
    lowest, highest = spots.lowest[rows], spots.highest[rows]
    edges = np.array([
        view.xs(spots.left[rows]),
        np.where(np.isnan(highest), 0.0, view.ys(highest)),
        view.xs(spots.right[rows]),
        np.where(np.isnan(lowest), view.height, view.ys(lowest)),
    ])  # fmt: skip
    # painters count in ints, and who zooms in looks at a part of it
    edges[::2] = np.clip(edges[::2], -_BEYOND_PX, view.width + _BEYOND_PX)
    edges[1::2] = np.clip(edges[1::2], -_BEYOND_PX, view.height + _BEYOND_PX)
    edges = np.round(edges)
    np.maximum(edges[2:], edges[:2] + 1.0, out=edges[2:])
    return edges


def _fewer(edges: _Edges, color: Ints) -> tuple[_Edges, Ints]:
    """Return as few boxes that look alike, and their colours, sorted by these.

    Of those on the very same pixels the last one is seen; those of a colour that touch
    are one.
    """
    keys = np.zeros(len(color), np.int64)
    for row in edges:
        keys = keys * _LARGEST_PX + row.astype(np.int64)
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    left, top, right, bottom = edges[:, last]
    last = last[np.lexsort((left, bottom, top, color[last]))]
    edges, color = edges[:, last], color[last]
    left, top, right, bottom = edges
    is_joined = (
        (left[1:] == right[:-1]) & (top[1:] == top[:-1])
        & (bottom[1:] == bottom[:-1]) & (color[1:] == color[:-1])
    )  # fmt: skip
    begins = np.flatnonzero(np.append(True, ~is_joined))
    ends = np.flatnonzero(np.append(~is_joined, True))
    boxes = np.array([left[begins], top[begins], right[ends], bottom[ends]])
    return boxes, color[begins]


def _by_color(color: Ints) -> list[tuple[int, Ints]]:
    """Return the places of each colour, those of the first colour first."""
    order = np.argsort(color, kind="stable")
    found, begins = np.unique(color[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, begins)[1:], strict=True))


def _cut(edges: _Edges, part: QRect) -> tuple[_Edges, Ints]:
    """Return what of boxes lies within a part, and which of them do."""
    near = np.maximum(edges[:2].T, (part.left(), part.top()))
    far = np.minimum(edges[2:].T, (part.right() + 1, part.bottom() + 1))
    at = np.flatnonzero((near < far).all(axis=1))
    return np.concatenate((near[at].T, far[at].T)), at
