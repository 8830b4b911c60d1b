"""What was tried of accounts in vain: why, and when it is tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import trio

from piker.brokers._web import Backoff
from piker.errors import AccountNotFound, PikerError

from ._secrets import Keys, Sealed

#: An account that is shut is tried again after so long, then twice as long, to a cap.
SHUT_S: Final = 2.0
_SHUT_CAP_S: Final = 120.0
#: One whose ledger is busy, or that is to be mended elsewhere, so often at least.
_BUSY_S: Final = 10.0


class Tried:
    """Why an account is shut, and when its keys are tried again: others are at once.

    Attributes:
      keys: they.
      why: of the last try.
      refused: what the venue said of them; an unanswered question says nothing else.
      until: no try before that, by trio's clock.
    """

    def __init__(self, keys: Sealed, why: PikerError | None = None) -> None:
        self.keys = keys
        self.why = why
        self.refused: AccountNotFound | None = None
        self.until = -math.inf
        self._pauses = Backoff(SHUT_S, _SHUT_CAP_S)

    def fail(self, err: PikerError) -> None:
        """Take note of a try."""
        self.why = err
        if isinstance(err, AccountNotFound):
            self.refused = err
        pause = self._pauses.next_s()
        # who asks too often with a wrong secret is shut out for longer, whoever he is
        is_dear = isinstance(err, AccountNotFound) and isinstance(self.keys, Keys)
        self.until = trio.current_time() + (pause if is_dear else min(pause, _BUSY_S))

    def begin(self) -> None:
        """Have the next try be at once, as if it were the first."""
        self.until, self._pauses = -math.inf, Backoff(SHUT_S, _SHUT_CAP_S)


@dataclass
class Unread:
    """Keys that couldn't be read: of which writing of the file, why, until when."""

    stamp: int
    why: str = ""
    until: float = -math.inf
    pauses: Backoff = field(default_factory=lambda: Backoff(SHUT_S, _SHUT_CAP_S))
