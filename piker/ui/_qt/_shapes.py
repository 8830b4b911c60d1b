"""Many rectangles or lines to a painter in one call, from arrays.

A loop over bars in Python takes a hundred times as long as painting them does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt.internals import PrimitiveArray
from PySide6.QtCore import QLineF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPaintDevice, QPainter, QPen, QRegion

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: Qt's raster engine counts in 1/64 pixels: of 32 bits of them far ones are nonsense.
_FAR_PX: Final = 1e6


@cache
def color_of(text: str) -> QColor:
    """Return a colour of a theme; not to be changed."""
    return QColor(text)


def rects_of(region: QRegion) -> list[QRect]:
    """Return the rectangles that a region is made of; its stub lacks that."""
    return list(region)  # type: ignore[call-overload]


@contextmanager
def painting_on(device: QPaintDevice) -> Iterator[QPainter]:
    """Yield a painter on a widget or picture, and end it whatever happens.

    Qt crashes on a painter that an exception left active.
    """
    painter = QPainter(device)
    try:
        yield painter
    finally:
        painter.end()


class Rects:
    """Rectangles, filled with one colour."""

    def __init__(self) -> None:
        """Begin with none."""
        self._array = PrimitiveArray(QRectF, 4)

    def put(self, *blocks: tuple[Floats, Floats, Floats, Floats]) -> None:
        """Take rectangles: each block left, top, width, height; shape (n,), pixels."""
        sizes = [len(block[0]) for block in blocks]
        self._array.resize(sum(sizes))
        if not sum(sizes):
            return
        rows, at = self._array.ndarray(), 0
        for block, size in zip(blocks, sizes, strict=True):
            for i, values in enumerate(block):
                rows[at : at + size, i] = values
            at += size
        np.clip(rows, -_FAR_PX, _FAR_PX, out=rows)

    def draw(self, painter: QPainter, color: str) -> None:
        """Draw them."""
        if len(self._array):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color_of(color))
            painter.drawRects(*self._array.drawargs())


class Strip:
    """Columns a pixel wide that stand on the bottom of a strip, each of one colour.

    So many thin rectangles would be filled across the rows of memory, a pixel each; an
    image is made along them, which is several times as quick.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._pixels = np.empty((0, 0), np.uint32)
        self._image = QImage()

    def put(self, tall: Floats, colors: Ints, height: int) -> None:
        """Take columns from the left edge on.

        Args:
          tall: pixels each is high, shape (n,); 0 of none.
          colors: of each, as ``0xAARRGGBB``, shape (n,).
          height: of the strip, pixels.
        """
        rows = np.arange(height, 0, -1, dtype=np.int16)[:, None]
        is_there = (rows <= tall.astype(np.int16)).view(np.uint8)
        # narrow numbers, and no branch a pixel: four times as quick as np.where
        self._pixels = np.multiply(is_there, colors.astype(np.uint32), dtype=np.uint32)
        # the image borrows the pixels, which live as long as it does
        wide = len(tall)
        form = QImage.Format.Format_ARGB32_Premultiplied
        self._image = QImage(self._pixels.data, wide, height, wide * 4, form)

    def clear(self) -> None:
        """Hold none."""
        self._image = QImage()

    def draw(self, painter: QPainter) -> None:
        """Draw them; the painter's origin is the upper left corner of the strip."""
        if not self._image.isNull():
            painter.drawImage(0, 0, self._image)


class Line:
    """A line through points, with gaps where there are none.

    In segments: a path is joined at each corner, which takes longer than the rest.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._array = PrimitiveArray(QLineF, 4)

    def put(self, xs: Floats, ys: Floats) -> None:
        """Take points, shape (n,), pixels; a ``nan`` is a gap."""
        is_known = np.isfinite(ys[1:]) & np.isfinite(ys[:-1])
        at = np.flatnonzero(is_known)
        self._array.resize(len(at))
        if len(at):
            rows = self._array.ndarray()
            rows[:, 0], rows[:, 2] = xs[at], xs[at + 1]
            rows[:, 1], rows[:, 3] = ys[at], ys[at + 1]
            np.clip(rows, -_FAR_PX, _FAR_PX, out=rows)

    def clear(self) -> None:
        """Hold no points."""
        self._array.resize(0)

    def draw(self, painter: QPainter, color: str, width: float = 1.0) -> None:
        """Draw it, smoothed."""
        if len(self._array):
            pen = QPen(color_of(color), width)
            pen.setCosmetic(True)
            painter.setPen(pen)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
            painter.drawLines(*self._array.drawargs())
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
