"""One task at a time that looks for what a market misses.

start(how, urgency) --> Mend, done in the end    a more urgent one takes its place
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

#: Why one looks, the least urgent first: something may be missing, there is a hole in
#: a live stream, its connection was lost and is there again.
CHECK, HOLE, GAP = 0, 1, 2


@dataclass(eq=False)
class Mend:
    """A task that looks for what is missing.

    Attributes:
      urgency: why it does.
      done: set when it has ended, cancelled or not.
      scope: its own.
    """

    urgency: int
    done: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass(eq=False)
class Mends:
    """Who looks for what is missing, if anybody does."""

    current: Mend | None = None

    def start(
        self, tasks: trio.Nursery, how: Callable[[], Awaitable[None]], urgency: int
    ) -> Mend:
        """Run *how* in *tasks* unless what runs is as urgent; return what runs.

        A new connection has it begin anew.
        """
        if self.current is not None and GAP != urgency <= self.current.urgency:
            return self.current
        self.cancel()
        self.current = Mend(urgency)
        tasks.start_soon(self._run, how, self.current)
        return self.current

    def cancel(self) -> None:
        """End what runs."""
        if self.current is not None:
            self.current.scope.cancel()
            self.current = None

    async def _run(self, how: Callable[[], Awaitable[None]], mend: Mend) -> None:
        try:
            with mend.scope:
                await how()
        finally:
            if self.current is mend:
                self.current = None
            mend.done.set()
