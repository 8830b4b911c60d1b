"""Where the parts of a chart lie: strips one below the other, axes right and below.

+--------------------+------+
| prices             | axis |
+--------------------+------+
| volume             |      |
+--------------------+------+
| further strips ... |      |
+--------------------+------+
| times              |      |
+--------------------+------+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A strip below this height shows nothing that could be read.
_LEAST_STRIP_PX: Final = 24.0


@dataclass(frozen=True)
class Strip:
    """A band of the picture.

    Attributes:
      name: ``prices``, ``volume``, or of a study.
      top: first pixel; ``bottom``: the one after its last.
    """

    name: str
    top: float
    bottom: float

    @property
    def height(self) -> float:
        """Pixels."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Layout:
    """A picture's parts, pixels.

    Attributes:
      plot_width: of the strips; the price axes lie right of them.
      axis_width: of the price axes.
      plot_bottom: of the last strip; the time axis lies below it.
      strips: from the top.
    """

    plot_width: float
    axis_width: float
    plot_bottom: float
    strips: tuple[Strip, ...]

    def at(self, y: float) -> Strip | None:
        """Return the strip at a pixel."""
        for strip in self.strips:
            if strip.top <= y < strip.bottom:
                return strip
        return None

    def __getitem__(self, name: str) -> Strip:
        for strip in self.strips:
            if strip.name == name:
                return strip
        raise KeyError(name)


def lay_out(
    width: float,
    height: float,
    axis_width: float,
    time_height: float,
    shares: dict[str, float],
) -> Layout:
    """Divide a picture.

    Args:
      width: of all of it, pixels.
      height: likewise.
      axis_width: of the price axes.
      time_height: of the time axis.
      shares: of the height, by strip, from the top; the first gets what is left, a
        third at least: strips there is no room for are left out, the last ones first.
    """
    bottom = max(height - time_height, 1.0)
    (first, _), *rest = shares.items()
    tall = {name: round(bottom * share) for name, share in rest}
    tall = {name: px for name, px in tall.items() if px >= _LEAST_STRIP_PX}
    while tall and bottom - sum(tall.values()) < bottom / 3:
        tall.popitem()
    strips, top = [], 0.0
    for name, px in {first: bottom - sum(tall.values()), **tall}.items():
        strips.append(Strip(name, top, top + px))
        top += px
    return Layout(max(width - axis_width, 1.0), axis_width, bottom, tuple(strips))
