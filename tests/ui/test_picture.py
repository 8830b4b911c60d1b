"""What a picture is painted of."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from PySide6.QtCore import QRectF
from PySide6.QtGui import QFont

from piker.ui._chart import Chart
from piker.ui._qt._guest import application
from piker.ui._qt._picture import Picture
from piker.ui._series import Series
from piker.ui._study import Study
from piker.ui._theme import THEMES
from piker.ui.indicators import parse
from tests.ui._bench import mkt_of, walk


class Painter:
    """Notes what is filled and written."""

    def __init__(self) -> None:
        self.filled: list[QRectF] = []
        self.written: list[str] = []

    def fillRect(self, box, _color) -> None:  # noqa: N802
        self.filled.append(box)

    def drawText(self, _at, text) -> None:  # noqa: N802
        self.written.append(text)

    def setFont(self, _font) -> None:  # noqa: N802
        pass

    def setPen(self, _color) -> None:  # noqa: N802
        pass


def test_there_is_haze_below_legends_only():
    application()
    series = Series(mkt_of(), 60)
    series.splice(walk(500, 60))
    chart = Chart(series)
    study = Study(parse("rsi"))
    study.keep_up(series)
    chart.studies = [study]
    picture = Picture(chart, THEMES["dark"], QFont())
    picture.lay_out(900, 700)
    chart.view.reset(series.end)
    chart.fit()
    picture.make()
    names = [strip.name for strip in picture.layout.strips]
    assert names == ["prices", "volume", study.wanted.title]
    painter = Painter()
    picture._paint_legends(painter)
    assert painter.written == ["btcusdt.spot.sim  1 m", study.wanted.title]
    assert len(painter.filled) == 2
    for box in painter.filled:
        assert box.width() > 20
