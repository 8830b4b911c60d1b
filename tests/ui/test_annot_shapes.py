"""What others have drawn, as shapes: as few as look alike, of them what is dirty."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

import numpy as np
from PySide6.QtCore import QRect
from PySide6.QtGui import QFont, QImage, QRegion

from piker.msgs import Rect
from piker.ui._chart import Chart
from piker.ui._qt import _annot_shapes
from piker.ui._qt._annot_shapes import AnnotShapes
from piker.ui._qt._axes import Axes
from piker.ui._qt._guest import application
from piker.ui._qt._shapes import color_of, painting_on
from piker.ui._series import Series
from piker.ui._theme import THEMES
from tests.ui._bench import mkt_of, walk

DARK = THEMES["dark"]
SIZE = (640, 300)
COLORS = ("", "#40ff0000", "#8000ff00", "#0000ff")


def chart_of(bars: int, *rects: Rect) -> Chart:
    series = Series(mkt_of(), 1)
    series.splice(walk(20_000, 1))
    chart = Chart(series)
    chart.view.resize(*SIZE)
    chart.view.show(bars, series.end)
    chart.fit()
    chart.annots = rects
    return chart


def shapes_of(chart: Chart) -> AnnotShapes:
    application()
    shapes = AnnotShapes(Axes(QFont()))
    shapes.make(chart, DARK)
    return shapes


def rects_of(chart: Chart, n: int, seed: int = 1, **more) -> list[Rect]:
    """Return rectangles of any place, size and colour; some are drawn twice."""
    rng = np.random.default_rng(seed)
    first_s, last_s = chart.series.time[0], chart.series.time[-1]
    low, high = chart.view.span.lowest, chart.view.span.highest

    def one() -> Rect:
        begin_s, end_s = sorted(rng.uniform(first_s, last_s, 2))
        lowest, highest = sorted(rng.uniform(low, high, 2))
        is_tall = rng.random() < 0.3
        return Rect(
            fqme=chart.series.mkt.fqme, begin_s=begin_s, end_s=end_s,
            lowest=None if is_tall else lowest, highest=None if is_tall else highest,
            color=str(rng.choice(COLORS)), **more,
        )  # fmt: skip

    found = [one() for _ in range(n)]
    return [*found, *found[: n // 4]]


def picture(paint, dirty: QRegion | None = None) -> QImage:
    image = QImage(*SIZE, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(color_of(DARK.back))
    region = dirty or QRegion(image.rect())
    with painting_on(image) as painter:
        painter.setClipRegion(region)
        paint(painter, region)
    return image


def test_of_the_very_same_box_the_last_one_is_seen():
    chart = chart_of(100)
    time_s = float(chart.series.time[-50])
    rects = [
        Rect(fqme=chart.series.mkt.fqme, begin_s=time_s, end_s=time_s + 9, color=color)
        for color in ("#40ff0000", "#0000ff", "#40ff0000", "#00ff00")
    ]
    chart.annots = tuple(rects)
    shapes = shapes_of(chart)
    image = picture(lambda painter, dirty: shapes.draw(painter, DARK, dirty))
    x = int(chart.view.x(chart.series.end - 46))
    assert image.pixelColor(x, 200).name() == "#00ff00"
    assert image.pixelColor(x + 60, 200).name() == DARK.back


@pytest.mark.parametrize("color", COLORS)
def test_they_are_painted_as_one_by_one_they_would_be(color):
    chart = chart_of(20_000)
    rects = [each for each in rects_of(chart, 60) if each.color == color]
    chart.annots = tuple(dict.fromkeys(rects))
    shapes = shapes_of(chart)
    spots = shapes._spots_in(chart)
    edges = _annot_shapes._edges(chart, spots, np.arange(len(spots.rects)))

    def one_by_one(painter, _dirty):
        for left, top, right, bottom in edges.T.astype(int).tolist():
            box = QRect(left, top, right - left, bottom - top)
            painter.fillRect(box, color_of(color or DARK.mark))

    drawn = picture(lambda painter, dirty: shapes.draw(painter, DARK, dirty))
    assert drawn == picture(one_by_one)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_painted_of_a_part_is_that_part_of_all(seed):
    chart = chart_of(20_000)
    chart.annots = tuple(rects_of(chart, 80, seed, text="a text"))
    shapes = shapes_of(chart)
    assert shapes._texts

    def draw(painter, dirty):
        shapes.draw(painter, DARK, dirty)

    dirty = QRegion(600, 0, 8, 300) + QRegion(0, 140, 640, 3) + QRegion(30, 5, 99, 30)
    everything, part = picture(draw), picture(draw, dirty)
    nothing = picture(lambda *_: None)
    for x in range(SIZE[0]):
        for y in range(0, SIZE[1], 3):
            wanted = everything if dirty.contains(QRect(x, y, 1, 1)) else nothing
            assert part.pixel(x, y) == wanted.pixel(x, y), (x, y)


def test_thousands_are_few_boxes_and_are_looked_up_once(monkeypatch):
    chart = chart_of(20_000)
    times = chart.series.time[::2].astype(float).tolist()
    chart.annots = tuple(
        Rect(fqme=chart.series.mkt.fqme, begin_s=time_s, end_s=time_s + 1, text="hole")
        for time_s in times
    )
    looked_up = []
    spots_of = _annot_shapes.spots_of
    monkeypatch.setattr(
        _annot_shapes, "spots_of", lambda *of: looked_up.append(of) or spots_of(*of)
    )
    shapes = shapes_of(chart)
    assert len(chart.annots) == 10_000
    assert shapes._boxes.shape[1] == 1, "there is one on each pixel"
    assert not shapes._texts, "there is room for none"
    chart.view.show(40, chart.series.end)
    shapes.make(chart, DARK)
    assert shapes._boxes.shape[1] == len(shapes._color) == 20
    assert len(looked_up) == 1
    chart.series.past += 1
    shapes.make(chart, DARK)
    assert len(looked_up) == 2
    chart.view.show(5, chart.series.end + 9000)
    shapes.make(chart, DARK)
    assert not shapes._boxes.size
