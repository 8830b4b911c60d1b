"""One broker's symbol search, opened with the first question and kept open.

    ask() --question--> [run()] --> datad --> venue's list
      ^-------answer-------'

A datad that goes away is found or started again, and asked again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from piker.errors import PikerError, TransportClosed, VenueError
from piker.log import get_logger
from piker.msgs import Match
from piker.service import MsgStream, open_context

from ._daemon import maybe_spawn_datad

log = get_logger(__name__)

_RETRY_S: Final = 0.1

#: Pattern, limit, kind (any if empty).
Question = tuple[str, int, str]


@dataclass(eq=False)
class _Asked:
    """A question, and what comes of it."""

    question: Question
    answer: list[Match] | PikerError = field(default_factory=list)
    is_wanted: bool = True
    done: trio.Event = field(default_factory=trio.Event)

    def settle(self, answer: list[Match] | PikerError) -> None:
        self.answer = answer
        self.done.set()


class SearchLine:
    """Questions to one broker, answered in turn while :meth:`run` runs."""

    def __init__(self, broker: str, endpoint: Callable[..., Any]) -> None:
        self._broker = broker
        self._endpoint = endpoint
        self._send, self._receive = trio.open_memory_channel[_Asked](math.inf)
        self._current: _Asked | None = None
        self._scope = trio.CancelScope()

    async def ask(self, question: Question) -> list[Match]:
        """Return the matches, best first; raises what the broker fails with."""
        asked = _Asked(question)
        self._send.send_nowait(asked)
        try:
            await asked.done.wait()
        finally:
            asked.is_wanted = False
        if isinstance(asked.answer, PikerError):
            raise asked.answer
        return asked.answer

    def close(self) -> None:
        """Let :meth:`run` end: in order, or at once if it waits for an answer."""
        self._send.close()
        if self._current is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Answer until closed."""
        with self._scope:
            async for asked in self._receive:
                self._current = asked
                while self._current is not None:
                    await self._connect()

    async def _connect(self) -> None:
        """Answer this question and those after it for as long as datad is there."""
        try:
            async with (
                maybe_spawn_datad(self._broker) as portal,
                open_context(portal, self._endpoint) as (ctx, _),
            ):
                async with ctx.open_stream() as stream:
                    await self._pass_on(stream)
                await ctx.cancel()
        except TransportClosed as err:
            log.debug("search again: %s", err)  # datad left, idle, or died just now
            await trio.sleep(_RETRY_S)
        except PikerError as err:
            self._settle(err)

    async def _pass_on(self, stream: MsgStream[Any]) -> None:
        while self._current is not None:
            if self._current.is_wanted:
                await stream.send(self._current.question)
                answer = await stream.receive()
                self._settle(VenueError(answer) if isinstance(answer, str) else answer)
            self._current = None
            with suppress(trio.EndOfChannel):
                self._current = await self._receive.receive()

    def _settle(self, answer: list[Match] | PikerError) -> None:
        if self._current is not None:
            self._current.settle(answer)
        self._current = None
