"""A chart that can be moved: what the mouse does to it.

wheel: time, at the newest bar; with ctrl at the mouse; on the price axis prices
left, middle: pan; right: time and prices; shift: a measuring box; axes: their scale
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from PySide6.QtCore import QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QFont, QMouseEvent, QWheelEvent

from piker.ui._chart import Chart
from piker.ui._measure import Box
from piker.ui._theme import Theme

from ._surface import Grabber as Grabber, Surface

_ZOOM_STEP: Final = 1.15
#: Of a drag on an axis or with the right button, a pixel.
_DRAG_STEP: Final = 1.008
#: Of a press, how far the mouse may move and it is still a click.
CLICK_PX: Final = 4.0

Drag = Literal["pan", "free", "measure", "price_axis", "time_axis", "region", "grabbed"]


@dataclass
class _Press:
    """A mouse button that is down.

    Attributes:
      drag: what moving it does.
      button: which it is.
      began: where, pixels.
      last: where it was seen last.
      moved: it is a drag, no click.
      region: of the chart, as it was.
    """

    drag: Drag
    button: Qt.MouseButton
    began: QPointF
    last: QPointF
    moved: bool = False
    region: tuple[float, float] = (0.0, 0.0)


class ChartCanvas(Surface):
    """A chart that can be looked at and moved.

    Attributes:
      viewed: the user moved the view.
      clicked: a click on the prices, with the price there.
      hovered: the mouse is at a price, or ``None`` when it left.
      region_moved: the marked part was moved, indexes of its edges.
      menu_wanted: a right click, where on the screen.
    """

    viewed = Signal()
    clicked = Signal(float)
    hovered = Signal(object)
    region_moved = Signal(float, float)
    menu_wanted = Signal(QPoint)

    def __init__(self, chart: Chart, theme: Theme, font: QFont) -> None:
        """Show *chart*."""
        super().__init__(chart, theme, font)
        self._press: _Press | None = None
        # what lies below a mouse that rests is another price once the view has moved
        self.moved.connect(self.point, Qt.ConnectionType.QueuedConnection)

    def point(self) -> None:
        """Tell again what the mouse is at."""
        if self.mouse is not None and (
            self._press is None or self._press.drag != "grabbed"
        ):
            self._hover(self.mouse)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Zoom time at the newest bar, with ctrl at the mouse; prices on their axis."""
        turns = event.angleDelta().y() / 120
        if not turns:
            turns = -event.angleDelta().x() / 120
        factor = _ZOOM_STEP**-turns
        view = self.chart.view
        if event.position().x() >= self.picture.layout.plot_width:
            self._zoom_prices(factor)
        elif event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            view.zoom(factor, event.position().x())
        else:
            view.zoom_at_end(factor, self.chart.series.end)
        self._moved()
        event.accept()

    def _zoom_prices(self, factor: float) -> None:
        self.chart.view.fits = False
        self.chart.view.span.zoom(factor)

    def _moved(self) -> None:
        self.viewed.emit()
        self.look()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin a drag or a click; while one is going on others do nothing."""
        event.accept()
        if self._press is not None:
            return
        at = event.position()
        drag = self._drag_for(event, at)
        region = self.chart.region or (0.0, 0.0)
        self._press = _Press(drag, event.button(), at, at, region=region)
        if drag == "grabbed":
            self.grabber.begin(at.y())
        if drag == "measure":
            self.box = Box(self._place(at), self._place(at))

    def _drag_for(self, event: QMouseEvent, at: QPointF) -> Drag:
        layout = self.picture.layout
        if at.x() >= layout.plot_width:
            return "price_axis"
        if at.y() >= layout.plot_bottom:
            return "time_axis"
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            return "measure"
        if event.button() == Qt.MouseButton.RightButton:
            return "free"
        is_left = event.button() == Qt.MouseButton.LeftButton
        return self._held_at(at) if is_left else "pan"

    def _held_at(self, at: QPointF) -> Drag:
        """Return what a left drag from a place moves: what lies there, or the chart."""
        if self._in_region(at.x()):
            return "region"
        return "grabbed" if self.grabber.grabs(at.y()) else "pan"

    def _in_region(self, x: float) -> bool:
        if self.chart.region is None:
            return False
        left, right = (self.chart.view.x(each) for each in self.chart.region)
        return min(left, right - 3) - 3 <= x <= right + 3

    def _place(self, at: QPointF) -> tuple[float, float]:
        view = self.chart.view
        return view.index(at.x()), view.price(at.y())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Follow the mouse."""
        at = event.position()
        self.mouse = at
        press = self._press
        if press is None:
            self._hover(at)
            self.update()
            return
        off = at - press.began
        press.moved |= max(abs(off.x()), abs(off.y())) > CLICK_PX
        if press.moved:
            self._drag(press, at)
        press.last = at
        self.look()

    def _hover(self, at: QPointF) -> None:
        layout = self.picture.layout
        inside = at.x() < layout.plot_width and at.y() < layout["prices"].bottom
        self.hovered.emit(self.chart.view.price(at.y()) if inside else None)
        if at.x() >= layout.plot_width:
            shape = Qt.CursorShape.SizeVerCursor
        elif inside and self.grabber.grabs(at.y()):
            shape = Qt.CursorShape.SplitVCursor
        else:
            shape = Qt.CursorShape.CrossCursor
        self.setCursor(shape)

    def _drag(self, press: _Press, at: QPointF) -> None:
        view, series = self.chart.view, self.chart.series
        step = at - press.last
        match press.drag:
            case "grabbed":
                self.grabber.move(at.y())
            case "measure" if self.box is not None:  # a key may have let go of it
                self.box = Box(self.box.one, self._place(at))
            case "region":
                self._drag_region(press, at)
            case "price_axis":
                self._zoom_prices(_DRAG_STEP ** step.y())
            case "time_axis":
                view.zoom_at_end(_DRAG_STEP ** -step.x(), series.end)
            case "free":
                view.zoom(_DRAG_STEP ** -step.x(), press.began.x())
                self._zoom_prices(_DRAG_STEP ** step.y())
            case "pan":
                view.pan(step.x(), step.y(), series.start, series.end)
        if press.drag not in ("grabbed", "measure", "region"):
            self.viewed.emit()

    def _drag_region(self, press: _Press, at: QPointF) -> None:
        """Move the region with the mouse, from where it was taken."""
        if self.chart.region is None:
            return  # another market was chosen meanwhile
        by = (at.x() - press.began.x()) / self.chart.view.bar_px
        self.region_moved.emit(press.region[0] + by, press.region[1] + by)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """End a drag, or click."""
        press = self._press
        if press is None or event.button() != press.button:
            return
        self._press, at = None, event.position()
        if press.moved:
            if press.drag == "grabbed":
                self.grabber.drop(at.y())
        else:
            self._click(press, at, event.globalPosition().toPoint())
        self.look()

    def _click(self, press: _Press, at: QPointF, on_screen: QPoint) -> None:
        match press.drag:
            case "grabbed":
                self.grabber.cancel()
            case "measure":
                self.box = None
            case "free":
                self.menu_wanted.emit(on_screen)
            case "pan" if press.button == Qt.MouseButton.LeftButton:
                if at.y() < self.picture.layout["prices"].bottom:
                    self.clicked.emit(self.chart.view.price(at.y()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Fit the prices again on their axis, show the newest bars on that of time."""
        at, layout = event.position(), self.picture.layout
        if self._press is not None:
            return  # of another button
        if at.x() >= layout.plot_width:
            self.chart.view.fits = True
        elif at.y() >= layout.plot_bottom:
            self.chart.view.reset(self.chart.series.end)
        else:
            # the second of two clicks is none of its own: it would submit twice
            self._press = _Press("pan", event.button(), at, at, moved=True)
            return
        self._moved()

    def leaveEvent(self, event: object) -> None:  # noqa: N802
        """Show no cross any more."""
        self.mouse = None
        self.hovered.emit(None)
        self.update()
