"""Deribit's orders, trades and log to values: pure; BadPayload for others.

an order --> OrderState      a trade --> VenueTrade      words --> what an error means
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from piker.brokers._live._numbers import positive, sane
from piker.brokers._live._venue import (
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    State,
    Unsure,
    VenueTrade,
)
from piker.brokers._payload import bad_payload, decode, one_line
from piker.errors import BadPayload, VenueError

from ._answers import decode_result
from ._order_schemas import (
    Changes,
    IndexPrice,
    LogPage,
    OrderRow,
    Placed,
    Position,
    Summaries,
    UserTrade,
    UserTrades,
)
from ._reasons import words_of
from ._schemas import Envelope, Error

_MS_NS: Final = 1_000_000
_STATES: Final[dict[str, State]] = {
    "open": "open", "untriggered": "open", "triggered": "open", "filled": "closed",
    "cancelled": "canceled", "rejected": "canceled",
}  # fmt: skip
_ENDS: Final = {
    "immediate_or_cancel": "nothing more was to be had",
    "fill_or_kill": "it couldn't be filled at once",
}
#: By https://docs.deribit.com/articles/errors: there is nothing to change any more.
_GONE: Final = frozenset({10004, 10010, 11008, 11044})
#: It wasn't looked at: who asks, and when; how often, and not now.
_NOT_SENT: Final = frozenset({10000, 13009, 13888})
_BUSY: Final = frozenset(
    {10028, 10040, 10041, 10047, 10048, 10066, 11051, 13028, 13503}
)
_UNSURE: Final = frozenset({10001, 11031, 11094, 13008, -32603})
#: Whoever asks isn't known any more, and may say again who it is.
UNKNOWN_TOKEN: Final = 13009
#: It came after the time until which it was to count.
TOO_LATE: Final = 13888

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_CHANGES: Final = msgspec.json.Decoder(Changes)
_PLACED: Final = msgspec.json.Decoder(Placed)
_ORDER: Final = msgspec.json.Decoder(OrderRow)
_ORDERS: Final = msgspec.json.Decoder(list[OrderRow])
_TRADES: Final = msgspec.json.Decoder(UserTrades)
_BARE_TRADES: Final = msgspec.json.Decoder(list[UserTrade])
_LOG: Final = msgspec.json.Decoder(LogPage)
_SUMMARIES: Final = msgspec.json.Decoder(Summaries)
_POSITIONS: Final = msgspec.json.Decoder(list[Position])
_INDEX: Final = msgspec.json.Decoder(IndexPrice)
_COUNT: Final = msgspec.json.Decoder(int)


class Busy(NotSent):
    """The venue doesn't do anything just now."""


# -- what happens ----------------------------------------------------------------------


def parse_message(payload: bytes) -> Envelope:
    """Return what came over the websocket."""
    return decode(_ENVELOPE, "deribit", payload)


def parse_changes(data: bytes) -> Changes:
    """Return what a message of the channel of changes says."""
    return decode(_CHANGES, "deribit", data)


def error_of(error: Error) -> VenueError:
    """Return what a refusal of a request about an order means."""
    text = f"deribit: {words_of(error)}"
    if error.code in _GONE:
        return OrderGone(text)
    if error.code in _NOT_SENT:
        return NotSent(text)
    if error.code in _BUSY:
        return Busy(text)
    if error.code in _UNSURE:
        return Unsure(text)
    return OrderRejected(text)


def to_state(row: OrderRow, reqid: str) -> OrderState:
    """Return an order.

    Args:
      row: what is told of it.
      reqid: by which it is known, see `Ids`.
    """
    state = _STATES.get(row.order_state)
    if state is None:
        raise bad(row, f"an odd state {row.order_state!r}")
    amount, filled = positive_of(row.amount, row), row.filled_amount or Decimal(0)
    filled = sane_of(filled, row)
    if state == "open" and filled >= amount:
        state = "closed"  # another message says so, which may be lost
    return OrderState(
        cl_id=row.label,
        reqid=reqid,
        bs_mktid=row.instrument_name,
        side=row.direction,
        price=_limit(row),
        size=amount,
        filled=filled,
        state=state,
        time_ns=row.last_update_timestamp * _MS_NS,
        reason=_why(row) if state == "canceled" else "",
        trigger=sane_of(row.trigger_price or Decimal(0), row),
    )


def _why(row: OrderRow) -> str:
    """Return why an order ended: the venue's reason, or what it was to do at once."""
    told = row.cancel_reason or row.order_state
    return _ENDS.get(row.time_in_force, "") or one_line(told)


def _limit(row: OrderRow) -> Decimal:
    """Return an order's limit, 0 of one without."""
    if not row.order_type.endswith("limit"):
        return Decimal(0)
    try:
        price = Decimal(bytes(row.price).decode())
    except (InvalidOperation, UnicodeDecodeError):
        raise bad(row, "a limit order without a price") from None
    return positive_of(price, row)


def to_trade(row: UserTrade, reqid: str) -> VenueTrade:
    """Return a trade of an account.

    Args:
      row: what is told of it.
      reqid: by which its order is known.
    """
    if not row.trade_id or not row.order_id:
        raise bad(row, "a trade without its id")
    return VenueTrade(
        tid=row.trade_id,
        reqid=reqid,
        cl_id=row.label,
        bs_mktid=row.instrument_name,
        side=row.direction,
        price=positive_of(row.price, row),
        size=positive_of(row.amount, row),
        fee=signed_of(row.fee, row),
        fee_asset=row.fee_currency.lower(),
        time_ns=row.timestamp * _MS_NS,
        taker=row.liquidity == "T",
    )


# -- what is asked for -----------------------------------------------------------------


def parse_placed(result: bytes) -> OrderRow:
    """Return an order that was placed or changed."""
    return decode(_PLACED, "deribit", result).order


def parse_order(result: bytes) -> OrderRow:
    """Return an order."""
    return decode(_ORDER, "deribit", result)


def parse_order_answer(body: bytes) -> OrderRow:
    """Return an order of a whole answer."""
    return decode_result(_ORDER, body)


def parse_orders(body: bytes) -> list[OrderRow]:
    """Return orders."""
    return decode_result(_ORDERS, body)


def parse_user_trades(body: bytes) -> UserTrades:
    """Return a page of trades."""
    return decode_result(_TRADES, body)


def parse_trades_of_order(body: bytes) -> list[UserTrade]:
    """Return the trades of one order: a list, or a page of them."""
    try:
        return decode_result(_BARE_TRADES, body)
    except BadPayload:
        return decode_result(_TRADES, body).trades


def parse_log(body: bytes) -> LogPage:
    """Return a page of the log, the newest first."""
    return decode_result(_LOG, body)


def parse_count(body: bytes) -> int:
    """Return how many orders a request has ended."""
    return max(0, decode_result(_COUNT, body))


def parse_index(body: bytes) -> Decimal:
    """Return the price of an index."""
    return decode_result(_INDEX, body).index_price


def parse_balances(body: bytes) -> dict[str, Decimal]:
    """Return what an account has by asset, what its orders hold included.

    Profits of futures since the last settlement are in it, as those of trades are in a
    ledger; what open positions would bring isn't.
    """
    held = {
        row.currency.lower(): signed_of(row.balance, body)
        + signed_of(row.session_rpl or Decimal(0), body)
        for row in decode_result(_SUMMARIES, body).summaries
    }
    return {asset: amount for asset, amount in held.items() if amount}


def parse_held(body: bytes) -> dict[str, Decimal]:
    """Return what an account holds by instrument, < 0 of what it is short."""
    held = {
        row.instrument_name: sane_of(abs(row.size), body)
        * (-1 if row.direction == "sell" else 1)
        for row in decode_result(_POSITIONS, body)
    }
    return {name: size for name, size in held.items() if size}


def parse_currencies(body: bytes) -> set[str]:
    """Return in which currencies an account has money, or can have."""
    return {row.currency for row in decode_result(_SUMMARIES, body).summaries}


def bad(row: object, why: str) -> BadPayload:
    """Return that a row isn't what the venue documents."""
    return bad_payload("deribit", msgspec.json.encode(row), why)


def sane_of(value: Decimal, raw: object) -> Decimal:
    """Return a number that isn't below 0, see `sane`."""
    return sane(value, "deribit", raw)


def positive_of(value: Decimal, raw: object) -> Decimal:
    """Return a number above 0, see `positive`."""
    return positive(value, "deribit", raw)


def signed_of(value: Decimal, raw: object) -> Decimal:
    """Return a number that may be below 0, as a rebate is."""
    amount = sane(value.copy_abs(), "deribit", raw)
    return -amount if value.is_signed() and amount else amount
