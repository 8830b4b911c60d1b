"""Answers that are kept, on the asyncio side: one asks for all who want the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from piker.errors import MarketGone, PikerError, UsageError, VenueUnreachable

#: Hours change from day to day; what else is told of a contract hardly ever does.
_AGE_S: Final = 6 * 3600.0
#: What IB doesn't know isn't asked for again for so long.
_UNKNOWN_AGE_S: Final = 60.0
#: There is nothing of the kind that was asked for.
_GONE: Final = MarketGone | UsageError
#: So many are kept.
_MAX: Final = 4096


@dataclass(eq=False)
class Answers:
    """Answers by what was asked.

    Attributes:
      deadline_s: what isn't answered within it is given up, so that it is asked for
        anew: whoever waits for it may have gone long before, or be patient.
    """

    deadline_s: float = 30.0
    _known: dict[Hashable, tuple[float, asyncio.Task[Any]]] = field(
        default_factory=dict
    )

    async def once(
        self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return what *ask* gives, asked now, or a while ago; raises what it raises.

        It goes on if who asked first is cancelled. What may be otherwise a moment later
        isn't kept, that there is none only for a while.
        """
        now = time.monotonic()
        until, task = self._known.get(key, (now, None))
        if task is None or (task.done() and until <= now):
            self._prune(now)
            task = asyncio.create_task(self._ask(ask))
            self._known[key] = (now + _AGE_S, task)
            task.add_done_callback(lambda done: self._keep(key, done))
        try:
            return await asyncio.shield(task)
        except PikerError as err:
            raise type(err)(str(err)) from None  # each who waits gets its own

    async def _ask(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            async with asyncio.timeout(self.deadline_s):
                return await ask()
        except TimeoutError:
            raise VenueUnreachable(
                f"ib didn't answer within {self.deadline_s:g} s"
            ) from None

    def _prune(self, now: float) -> None:
        """Forget what is too old, if there is much: patterns are many."""
        if len(self._known) >= _MAX:
            kept = [(k, v) for k, v in self._known.items() if v[0] > now]
            self._known = dict(kept[-_MAX // 2 :])

    def _keep(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        """Keep an answer, what there isn't for a while, and no error that may pass."""
        fault = None if task.cancelled() else task.exception()
        if task.cancelled() or not isinstance(fault, _GONE | None):
            self._known.pop(key, None)
        elif fault is not None or task.result() == []:
            self._known[key] = (time.monotonic() + _UNKNOWN_AGE_S, task)
