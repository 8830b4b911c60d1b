"""Answers that are kept, on the asyncio side: one asks for all who want the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from piker.errors import PikerError, RateLimited, VenueUnreachable

#: Hours change from day to day; what else is told of a contract hardly ever does.
_AGE_S: Final = 6 * 3600.0
#: What IB doesn't know isn't asked for again for so long.
_UNKNOWN_AGE_S: Final = 60.0
#: So many are kept.
_MAX: Final = 4096


@dataclass(eq=False)
class Answers:
    """Answers by what was asked."""

    _known: dict[Hashable, tuple[float, asyncio.Task[Any]]] = field(
        default_factory=dict
    )

    async def once(
        self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Return what *ask* gives, asked now, or a while ago; raises what it raises.

        It goes on if who asked first is cancelled. What may be otherwise a moment later
        isn't kept, a refusal only for a while.
        """
        now = time.monotonic()
        until, task = self._known.get(key, (now, None))
        if task is None or (task.done() and until <= now):
            self._prune(now)
            task = asyncio.create_task(ask())
            self._known[key] = (now + _AGE_S, task)
            task.add_done_callback(lambda done: self._keep(key, done))
        try:
            return await asyncio.shield(task)
        except PikerError as err:
            raise type(err)(str(err)) from None  # each who waits gets its own

    def _prune(self, now: float) -> None:
        """Forget what is too old, if there is much: patterns are many."""
        if len(self._known) >= _MAX:
            kept = [(k, v) for k, v in self._known.items() if v[0] > now]
            self._known = dict(kept[-_MAX // 2 :])

    def _keep(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or isinstance(
            task.exception(), VenueUnreachable | RateLimited
        ):
            self._known.pop(key, None)
        elif task.exception() is not None or task.result() == []:
            self._known[key] = (time.monotonic() + _UNKNOWN_AGE_S, task)
