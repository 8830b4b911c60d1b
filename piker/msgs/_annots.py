"""What others have drawn in open charts, and how they ask for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from piker.types import Struct

_COLOR: Final = re.compile(r"#(?:[0-9a-fA-F]{2})?[0-9a-fA-F]{6}")
_MOST_TEXT: Final = 200


class Rect(Struct, frozen=True, kw_only=True):
    """A rectangle over the bars of a market.

    Attributes:
      fqme: the market, drawn in charts that show it as their first.
      begin_s: time of its left edge, s since the epoch, UTC.
      end_s: of its right edge; not before *begin_s*.
      lowest: price of its lower edge; None: the chart's.
      highest: of its upper edge; None: the chart's.
      period_s: bar length of the charts it is drawn in; 0: of any.
      color: ``#rrggbb``, or ``#aarrggbb``, 00 being transparent; by default the
        theme's colour of what needs to be looked at, transparent.
      text: written at its upper left corner where there is room for it, one line of at
        most 200 characters.
    """

    fqme: str
    begin_s: float
    end_s: float
    lowest: float | None = None
    highest: float | None = None
    period_s: int = 0
    color: str = ""
    text: str = ""

    @property
    def fault(self) -> str:
        """Why it can't be drawn, in a sentence; empty if it can."""
        return next(self._faults(), "")

    def _faults(self) -> Iterator[str]:
        if not (math.isfinite(self.begin_s) and math.isfinite(self.end_s)):
            yield f"a time is no number: {self.begin_s}, {self.end_s}"
        elif self.end_s < self.begin_s:
            yield f"a rectangle ends at {self.end_s:g}, before its begin"
        prices = [each for each in (self.lowest, self.highest) if each is not None]
        if not all(map(math.isfinite, prices)):
            yield f"a price is no number: {prices}"
        elif prices != sorted(prices):
            yield f"the highest price {prices[1]:g} is below the lowest {prices[0]:g}"
        if self.color and not _COLOR.fullmatch(self.color):
            yield f"a colour is #rrggbb or #aarrggbb, got {self.color!r}"
        if len(self.text) > _MOST_TEXT or not self.text.isprintable():
            yield f"a text is one line of up to {_MOST_TEXT} printable characters"
        if self.period_s < 0:
            yield f"a period is some seconds, 0 for any, got {self.period_s}"


class DrawRects(Struct, frozen=True, kw_only=True, tag="draw"):
    """Draw rectangles, or draw them otherwise than before.

    Attributes:
      rects: by the number that whoever asks knows each by.
    """

    rects: dict[int, Rect]


class RemoveRects(Struct, frozen=True, kw_only=True, tag="remove"):
    """Draw rectangles no more.

    Attributes:
      aids: their numbers; one that isn't there is none.
    """

    aids: list[int]


class Redraw(Struct, frozen=True, kw_only=True, tag="redraw"):
    """Read the bars anew and draw everything.

    Attributes:
      fqme: of the market; of all if empty.
      period_s: of charts of this bar length; of all if 0.
    """

    fqme: str = ""
    period_s: int = 0


AnnotCommand = DrawRects | RemoveRects | Redraw


class AnnotDone(Struct, frozen=True, kw_only=True, tag="annot_done"):
    """What became of a command; commands are answered in turn.

    Attributes:
      fault: why it wasn't done, in a sentence; empty if it was.
    """

    fault: str = ""
