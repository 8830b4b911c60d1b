"""Subscriptions that were asked for and not answered yet.

ask(symbols) --> id --note_said()--> answered(id) --> symbols that are up now
                                     late(s) --> symbols without an answer for so long
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

import trio

from piker.brokers._payload import Reason


@dataclass(eq=False)
class _Request:
    """Who waits for how many answers, since when."""

    left: dict[str, int]
    asked_at: float = inf


@dataclass(eq=False)
class Requests:
    """The requests of one connection; ids go on rising on the next.

    Attributes:
      acks: answers that a symbol waits for, or, if 0, one for the request.
    """

    acks: int
    _last_id: int = 1
    _open: dict[int, _Request] = field(default_factory=dict)

    def next_id(self) -> int:
        """Return an id for a request whose answer doesn't matter."""
        self._last_id += 1
        return self._last_id

    def ask(self, symbols: Iterable[str]) -> int:
        """Note a request that is about to be said; return its id."""
        req_id = self.next_id()
        self._open[req_id] = _Request(dict.fromkeys(symbols, max(1, self.acks)))
        return req_id

    def note_said(self, req_id: int) -> None:
        """Let the time for its answer run, unless that came while it was still said."""
        if req_id in self._open:
            self._open[req_id].asked_at = trio.current_time()

    def answered(self, req_id: int, symbol: str) -> list[str]:
        """Take an answer; return the symbols that wait for no other."""
        request = self._open.get(req_id)
        if request is None:
            return []
        done = []
        for one in [symbol] if self.acks else list(request.left):
            left = request.left.get(one, 0) - 1
            if left > 0:
                request.left[one] = left
            elif request.left.pop(one, None) is not None:
                done.append(one)
        self._close_done()
        return done

    def left(self, req_id: int, symbol: str = "") -> list[str] | None:
        """Return the symbols that still wait for an answer; None if it isn't open.

        Only *symbol* if it is told, and does.
        """
        request = self._open.get(req_id)
        if request is None:
            return None
        return [one for one in request.left if not symbol or one == symbol]

    def late(self, after_s: float) -> list[str]:
        """Return the symbols that have had no answer for so long, sorted."""
        until = trio.current_time() - after_s
        requests = self._open.values()
        return sorted({s for r in requests if r.asked_at < until for s in r.left})

    def forget(self, symbols: Iterable[str]) -> None:
        """Wait for no answer about *symbols*."""
        for request in self._open.values():
            for symbol in symbols:
                request.left.pop(symbol, None)
        self._close_done()

    def clear(self) -> None:
        """Wait for no answer: the connection is gone."""
        self._open.clear()

    def _close_done(self) -> None:
        self._open = {i: request for i, request in self._open.items() if request.left}


def to_ask_again(reason: Reason, symbols: list[str], were_up: set[str]) -> list[str]:
    """Return those of refused *symbols* for whom it may pass.

    Args:
      reason: as the venue tells it.
      symbols: that were refused.
      were_up: that it let us have before; other reasons than that it has no such
        market pass for them.
    """
    if reason in {"limit", "unavailable"}:
        return symbols
    return [one for one in symbols if one in were_up and reason != "market"]
