"""An account's trades, settlements and deliveries, of all currencies, as one list.

trades of a currency --pages, oldest first--> merged by their times --> pages
its log --pages, newest first, turned round--^

The venue lists a currency at a time. Trades of more than a day ago, and those since,
are two lists of it.

https://docs.deribit.com/api-reference/trading/private-get_user_trades_by_currency
https://docs.deribit.com/api-reference/account-management/private-get_transaction_log
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from piker.brokers._live._venue import VenueTrade
from piker.errors import BadPayload

from ._api import soon_ms
from ._booked import of_log
from ._names import is_market
from ._order_decode import parse_log, parse_user_trades, to_trade
from ._order_schemas import UserTrade

#: Asks for a method's result with params; raises VenueError.
Ask = Callable[[str, dict[str, Any]], Awaitable[bytes]]
#: By which id the order of a trade is known.
KnownId = Callable[[str, str], str]

_TRADES: Final = 1000
_ROWS: Final = 250
#: What is newer stands in the list of recent ones: of a day, and less is relied on.
_RECENT_MS: Final = 23 * 3_600_000


async def user_trades(
    ask: Ask, known: KnownId, currency: str, since_ms: int, now_ms: int
) -> AsyncIterator[list[VenueTrade]]:
    """Yield the trades of a currency since a time, the oldest first, by pages.

    Args:
      ask: the venue.
      known: see `KnownId`.
      currency: of the venue.
      since_ms: from when on, ms since the epoch.
      now_ms: the venue's time.
    """
    old = [True] if since_ms < now_ms - _RECENT_MS else []
    for historical in (*old, False):
        async for rows in _pages(ask, currency, since_ms, historical=historical):
            found = [
                to_trade(row, known(row.order_id, row.label))
                for row in rows
                if is_market(row.instrument_name)
            ]
            if found:
                yield found


async def _pages(
    ask: Ask, currency: str, since_ms: int, *, historical: bool
) -> AsyncIterator[list[UserTrade]]:
    usual: dict[str, Any] = {
        "currency": currency, "count": _TRADES, "sorting": "asc",
        "historical": historical,
    }  # fmt: skip
    method = "private/get_user_trades_by_currency"
    at_ms, where = since_ms, _from(since_ms)
    while True:
        told = method if "start_id" in where else f"{method}_and_time"
        page = parse_user_trades(await ask(told, usual | where))
        if page.trades:
            yield page.trades
        if not page.has_more or len(page.trades) < 2:
            return
        # from the last one on, it included: others may be of the same millisecond. By
        # its id only among these: spot's and contracts' aren't of one row of numbers
        last = page.trades[-1]
        if last.timestamp > at_ms:
            at_ms, where = last.timestamp, _from(last.timestamp)
        else:
            where = {"start_id": last.trade_id}


def _from(since_ms: int) -> dict[str, Any]:
    return {"start_timestamp": since_ms, "end_timestamp": soon_ms()}


async def log_entries(
    ask: Ask, odd: Callable[[BadPayload], None], currency: str, since_ms: int
) -> AsyncIterator[list[VenueTrade]]:
    """Yield what the log of a currency books besides trades, the oldest first.

    A row that can't be read is told to *odd*, and left out: what is missing then shows
    in the balances, while a list that fails would keep all orders from being taken.
    """
    found: list[VenueTrade] = []
    asked: dict[str, Any] = {
        "currency": currency, "start_timestamp": since_ms, "end_timestamp": soon_ms(),
        "count": _ROWS,
    }  # fmt: skip
    while True:
        page = parse_log(await ask("private/get_transaction_log", asked))
        for row in page.logs:
            try:
                entry = of_log(row)
            except BadPayload as err:
                odd(err)
            else:
                found += [entry] if entry is not None else []
        if page.continuation is None or not page.logs:
            break
        asked["continuation"] = page.continuation
    if found:
        yield found[::-1]


async def merged(
    lists: list[AsyncIterator[list[VenueTrade]]],
) -> AsyncIterator[list[VenueTrade]]:
    """Yield what several lists hold in the order of its times, by pages.

    All that is yielded is older than whatever comes later: a reader may go on there.
    """
    ahead: list[list[VenueTrade]] = [[] for _ in lists]
    left = list(range(len(lists)))
    while True:
        for nth in tuple(left):
            while not ahead[nth]:
                page = await anext(lists[nth], None)
                if page is None:
                    left.remove(nth)
                    break
                ahead[nth] = page
        until_ns = min((ahead[nth][-1].time_ns for nth in left), default=None)
        ready: list[VenueTrade] = []
        for nth, some in enumerate(ahead):
            taken = [one for one in some if until_ns is None or one.time_ns <= until_ns]
            ready += taken
            ahead[nth] = some[len(taken) :]
        if ready:
            yield sorted(ready, key=lambda one: one.time_ns)
        elif not left:
            return
