"""The search as someone types: one question at a time, and what enter chooses.

typed --find()--> the question before is let go of --> parts of the answer, then all
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from piker.data import Found
from piker.errors import PikerError

from ._session import Session

#: Told what was found, or why nothing was.
Then = Callable[[Found | PikerError], object]


class Seeker:
    """Asks a session's search, for one who types."""

    def __init__(self, session: Session) -> None:
        """Begin with no question."""
        self._session = session
        self._scope = trio.CancelScope()

    def find(self, pattern: str, then: Then) -> Callable[[], Awaitable[None]]:
        """Return what searches for markets; the question before is let go of now.

        Args:
          pattern: to be searched for.
          then: told what was found, in parts where some broker keeps one waiting;
            nothing any more once something else is asked.
        """
        self.stop()
        self._scope = scope = trio.CancelScope()

        def tell(found: Found | PikerError) -> None:
            if not scope.cancel_called:
                then(found)

        async def work() -> None:
            with scope:
                try:
                    found: Found | PikerError = await self._session.find(pattern, tell)
                except PikerError as err:
                    found = err
                # what it was asked for may be gone
                await trio.lowlevel.checkpoint_if_cancelled()
                tell(found)

        return work

    def stop(self) -> None:
        """Let go of the question, if there is one."""
        self._scope.cancel()


def by_hand(names: Sequence[str], at: int) -> str:
    """Return the name that is chosen by now, empty if it was left at the first."""
    return names[at] if 0 < at < len(names) else ""


def fits(name: str, typed: str) -> bool:
    """Tell whether a market's name holds all words that are typed."""
    return bool(typed) and all(word in name for word in typed.lower().split())


def meant(chosen: str, typed: str, answered: str) -> str:
    """Return the name that enter shows: what is chosen, else what is typed.

    Args:
      chosen: in the list, empty for nothing.
      typed: by now.
      answered: what the list answers, which may be what was typed before.
    """
    typed = typed.strip().lower()
    is_answer = typed == answered.lower()
    return chosen if chosen and (is_answer or fits(chosen, typed)) else typed
