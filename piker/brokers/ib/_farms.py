"""Which lost servers of IB are those of a market; pure.

IB says that a part of its servers is broken, and not which markets it has. A market
that goes on ticking without it isn't one of those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Ticks may be on their way for so long after servers were lost: they say nothing.
GRACE_S: Final = 1.0
#: A market that ticks from then on, within so long after that, isn't one of theirs.
PATIENCE_S: Final = 2.0


@dataclass
class Farms:
    """Lost servers, as one market sees them.

    Attributes:
      lost: the name of those that are taken for the market's, empty if none are.
    """

    lost: str = ""
    _down: dict[str, tuple[int | None, float]] = field(default_factory=dict)
    _alien: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Forget what is lost: a new line is told anew."""
        self._down.clear()
        self.lost = ""

    def note_down(self, name: str, now: float) -> None:
        """Take note that servers are lost.

        Args:
          name: of them.
          now: seconds of a clock that never jumps.
        """
        if name not in self._alien:
            self._down[name] = None, now + GRACE_S

    def note_up(self, name: str) -> bool:
        """Take note that servers are back; tell whether the market is, by that."""
        self._down.pop(name, None)
        return self._came_back(name)

    def look(self, heard: int, now: float) -> bool:
        """Judge what is lost by the ticks since; tell whether the market is back.

        Args:
          heard: ticks of the market so far.
          now: as of `note_down`.
        """
        for name, (before, since) in list(self._down.items()):
            if before is None:
                if now >= since:
                    self._down[name] = heard, now
            elif heard > before:
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
