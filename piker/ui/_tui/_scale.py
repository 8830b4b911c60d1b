"""How wide bars are in cells, and which of them are in sight.

    zoom keys --> SCALES --> View, its edges on whole cells

A bar takes 1, 2, 4 or 8 cells, or a cell takes several bars: so each bar is as wide as
any other, and halves and quarters are exact in a double. One pixel of the `View` is one
cell, across and down.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from piker.ui._view import View

#: Cells right of the newest bar.
RIGHT_ROOM: Final = 3
_LEAST_BARS: Final = 5.0


class Scale(NamedTuple):
    """How wide a bar is: one of the two is 1.

    Attributes:
      cells: that a bar takes.
      bars: that share a cell.
    """

    cells: int = 1
    bars: int = 1


#: From the closest look to the widest.
SCALES: Final = (
    *(Scale(cells=cells) for cells in (8, 4, 2, 1)),
    *(
        Scale(bars=bars)
        for bars in (2, 3, 5, 10, 15, 30, 60, 120, 240, 480, 1440, 4320, 14_400)
    ),
)
#: What a chart begins with, and goes back to.
USUAL: Final = SCALES.index(Scale())


class Zoom:
    """A chart's scale; whoever changes the view settles it then.

    Attributes:
      at: number of the scale in `SCALES`.
    """

    def __init__(self, at: int = USUAL) -> None:
        self.at = at

    @property
    def scale(self) -> Scale:
        """How wide a bar is now."""
        return SCALES[self.at]

    def settle(self, view: View) -> None:
        """Show as many bars as there is room for, the right edge about where it is."""
        scale = self.scale
        shown = view.width * scale.bars / scale.cells
        # left edges of bars lie on whole cells
        right = round((view.right + 0.5) * scale.cells) / scale.cells - 0.5
        view.left, view.right = right - shown, right

    def to_newest(self, view: View, end: int) -> None:
        """Show the newest bars, and some room right of them."""
        scale = self.scale
        view.right = end - 0.5 + RIGHT_ROOM * scale.bars / scale.cells
        self.settle(view)

    def change(self, view: View, steps: int, end: int, x: float | None = None) -> bool:
        """Look closer by so many steps, or further if negative; tell whether it could.

        Args:
          view: what is shown; its newest bar stays where it is if that is in sight.
          steps: of `SCALES`.
          end: index after the newest bar.
          x: cell that stays in place, where one is pointed at.
        """
        at = min(max(self.at - steps, 0), len(SCALES) - 1)
        if at == self.at:
            return False
        if x is None:
            newest = view.x(end - 1)
            x = newest if 0 <= newest <= view.width else view.width
        pivot = view.index(x)
        self.at = at
        shown = view.width * self.scale.bars / self.scale.cells
        view.right = pivot + (1 - x / view.width) * shown
        self.settle(view)
        return True

    def pan(self, view: View, cells: float, start: int, end: int) -> None:
        """Move what is shown to the right by cells, so that older bars come in sight.

        Args:
          view: what is shown.
          cells: to the right; negative to the left.
          start: index of the oldest bar.
          end: index after the newest; some bars stay in sight.
        """
        scale = self.scale
        shown = view.width * scale.bars / scale.cells
        keep = min(shown / 2, _LEAST_BARS)
        right = view.right - cells * scale.bars / scale.cells
        view.right = min(max(right, start + keep), end - keep + shown)
        self.settle(view)

    def cell_of(self, view: View, index: int) -> int:
        """Return the first cell of the bar with an index; it may lie out of sight."""
        scale = self.scale
        first = round((view.left + 0.5) * scale.cells)
        if scale.bars == 1:
            return index * scale.cells - first
        # a column is anchored at a multiple of its bars
        return (index // scale.bars * scale.bars - first) // scale.bars
