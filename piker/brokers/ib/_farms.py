"""Which lost servers of IB are those of a market; pure.

IB says that a part of its servers is broken, and not which markets it has. A market
that goes on ticking without it isn't one of those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: A market that ticks within so long after servers were lost isn't one of theirs.
PATIENCE_S: Final = 2.0


@dataclass
class Farms:
    """Lost servers, as one market sees them.

    Attributes:
      lost: the name of those that are taken for the market's, empty if none are.
    """

    lost: str = ""
    _down: dict[str, tuple[int, float]] = field(default_factory=dict)
    _alien: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Forget what is lost: a new line is told anew."""
        self._down.clear()
        self.lost = ""

    def note_down(self, name: str, heard: int, now: float) -> None:
        """Take note that servers are lost.

        Args:
          name: of them.
          heard: ticks of the market so far.
          now: seconds of a clock that never jumps.
        """
        if name not in self._alien:
            self._down[name] = heard, now

    def note_up(self, name: str) -> bool:
        """Take note that servers are back; tell whether the market is, by that."""
        self._down.pop(name, None)
        return self._came_back(name)

    def look(self, heard: int, now: float) -> bool:
        """Judge what is lost by the ticks since; tell whether the market is back."""
        for name, (before, since) in list(self._down.items()):
            if heard > before:
                del self._down[name]
                if self._came_back(name):
                    return True
                self._alien.add(name)  # it ticks without them
            elif not self.lost and now - since >= PATIENCE_S:
                self.lost = name
        return False

    def _came_back(self, name: str) -> bool:
        is_back = self.lost == name
        if is_back:
            self.lost = ""
        return is_back
