"""What of the library is otherwise here: who hears of ticks and of errors.

socket --ib_async's decoder--> Wrapper --ticks of a line--> its sink
                                       --errors--> the line's sink, the request, all
                                       --the rest--> as the library has it

The library keeps one ticker a contract, in which several trades that come at once
overwrite each other's time; a sink gets each tick as it was told. It logs what we tell
as errors of ours: its own log is off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import nan
from typing import Any, Protocol

from ib_async import IB
from ib_async.client import Client as LibClient
from ib_async.wrapper import RequestError, Wrapper as LibWrapper

from ._reasons import is_note, without_accounts


class Sink(Protocol):
    """Takes what is told of one line of market data."""

    def tick(self, kind: int, price: float, size: float, text: str) -> None:
        """Take a tick; *kind* as IB numbers it, *text* of those that are one."""

    def error(self, code: int, text: str) -> None:
        """Take what IB says of the request, notes too."""

    def begun(self) -> None:
        """Take note that IB has the request: its first ticks follow, if any."""


class Wrapper(LibWrapper):
    """The library's, but for ticks and errors.

    Attributes:
      sinks: of lines of market data, by the id of their request.
      hear: takes ``(req_id, code, text)`` of everything that IB says is wrong.
    """

    sinks: dict[int, Sink]
    hear: Callable[[int, int, str], None]

    def reset(self) -> None:
        """Forget all of a connection."""
        super().reset()  # type: ignore[no-untyped-call]
        self.sinks = {}

    def forget(self, req_id: int) -> None:
        """Forget a request that nobody waits for any more."""
        self._futures.pop(req_id, None)
        self._results.pop(req_id, None)
        self._reqId2Contract.pop(req_id, None)

    # named as the library's decoder calls them

    def error(
        self, req_id: int, code: int, text: str, advanced_reject_json: str
    ) -> None:
        """Hand on an error to whom it is about."""
        text = without_accounts(text)
        sink = self.sinks.get(req_id)
        if sink is not None:
            sink.error(code, text)
            return
        if req_id in self._futures and not is_note(code):
            # the library takes some of them for warnings, and who asked would wait
            fault = RequestError(req_id, code, text)
            self._endReq(req_id, fault, success=False)
            self.forget(req_id)
        self.hear(req_id, code, text)
        super().error(req_id, code, text, advanced_reject_json)

    def priceSizeTick(  # noqa: N802
        self, req_id: int, kind: int, price: float, size: float
    ) -> None:
        """Hand on a price, with the size there if it has one."""
        if sink := self.sinks.get(req_id):
            sink.tick(kind, price, size, "")
        else:
            super().priceSizeTick(req_id, kind, price, size)

    def tickSize(self, req_id: int, kind: int, size: float) -> None:  # noqa: N802
        """Hand on a size."""
        if sink := self.sinks.get(req_id):
            sink.tick(kind, nan, size, "")
        else:
            super().tickSize(req_id, kind, size)

    def tickString(self, req_id: int, kind: int, value: str) -> None:  # noqa: N802
        """Hand on what is told as a text: trades are."""
        if sink := self.sinks.get(req_id):
            sink.tick(kind, nan, nan, value)
        else:
            super().tickString(req_id, kind, value)

    def tickGeneric(self, req_id: int, kind: int, value: float) -> None:  # noqa: N802
        """Hand on a number of another kind."""
        if sink := self.sinks.get(req_id):
            sink.tick(kind, value, nan, "")
        else:
            super().tickGeneric(req_id, kind, value)

    def marketDataType(self, req_id: int, kind: int) -> None:  # noqa: N802
        """Hand on that a line has begun."""
        if sink := self.sinks.get(req_id):
            sink.begun()
        else:
            super().marketDataType(req_id, kind)

    def tickOptionComputation(self, req_id: int, *args: Any) -> None:  # noqa: N802
        """Leave a line's greeks out."""
        if req_id not in self.sinks:
            super().tickOptionComputation(req_id, *args)


class Ib(IB):
    """The library's client around our wrapper; it starts nothing by itself."""

    RaiseRequestErrors = True
    wrapper: Wrapper

    def __init__(self, hear: Callable[[int, int, str], None]) -> None:
        """Prepare; *hear* as of `Wrapper`."""
        # not the library's own: it asks for account summaries whenever the line is back
        self._createEvents()
        self.wrapper = Wrapper(self)
        self.wrapper.hear = hear
        self.client = LibClient(self.wrapper)
        self.client.apiEnd += self.disconnectedEvent
        self._logger = logging.getLogger("ib_async.ib")


def hush() -> None:
    """Have the library log nothing."""
    logging.getLogger("ib_async").setLevel(logging.CRITICAL + 1)
