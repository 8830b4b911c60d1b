"""A number that makes this process's questions others than those of the one before.

IB takes no question like another within 15 s, whoever of a user asked it, and a daemon
that was killed has asked what the next one wants to know.
"""

from __future__ import annotations

import time
from typing import Final

from piker.brokers._web import run_local

ODDS: Final = 360


def odd() -> int:
    """Return this process's number, of 0 up to `ODDS`.

    Another has it only if it began long before or after: those that began within 90 s
    of each other have others, down to a quarter second.
    """
    return run_local("ib odd", lambda: int(time.time() * 4) % ODDS)
