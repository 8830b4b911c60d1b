"""What makes a question to IB unlike those that were asked a moment ago.

IB takes no question like another within 15 s, whoever of a user asked it: a daemon that
was killed has asked what the next one wants to know, and ours may ask for more of what
was just answered.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import trio

from piker.brokers._web import run_local

Q = TypeVar("Q", bound=Hashable)

ODDS: Final = 360
#: The same isn't asked for again within so long.
_SAME_S: Final = 16.0


def odd() -> int:
    """Return this process's number, of 0 up to `ODDS`.

    Another has it only if it began long before or after: those that began within 90 s
    of each other have others, down to a quarter second.
    """
    return run_local("ib odd", lambda: int(time.time() * 4) % ODDS)


@dataclass(eq=False)
class Recent:
    """What this process asked lately, of one contract and kind."""

    _asked: dict[Hashable, float] = field(default_factory=dict)

    def unlike(self, questions: Iterable[Q]) -> Q:
        """Return the first question that wasn't asked lately, else the last one.

        Args:
          questions: at least one; any will do, the first is the best.
        """
        now = trio.current_time()
        for old in [q for q, when in self._asked.items() if now - when > _SAME_S]:
            del self._asked[old]
        for question in questions:
            if question not in self._asked:
                break
        self._asked[question] = now
        return question
