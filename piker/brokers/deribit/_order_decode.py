"""Deribit's orders, trades and log to values: pure; BadPayload for others.

an order --> OrderState      a trade, a settlement, a delivery --> VenueTrade
an error --> what it means of an order

An order that a stop became has another id, and the stop's label: `Ids` knows both.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from piker.brokers._live._numbers import positive, sane
from piker.brokers._live._trades import not_of
from piker.brokers._live._venue import (
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    State,
    Unsure,
    VenueTrade,
)
from piker.brokers._payload import bad_payload, convert, decode, one_line
from piker.errors import BadPayload, VenueError
from piker.msgs import MktPair

from ._answers import decode_result
from ._order_schemas import (
    Changes,
    IndexPrice,
    LogPage,
    LogRow,
    OrderRow,
    Placed,
    Summaries,
    UserTrade,
    UserTrades,
)
from ._reasons import words_of
from ._schemas import Envelope, Error

_MS_NS: Final = 1_000_000
#: Our labels: `piker.brokers._live._client_ids`.
_OURS: Final = re.compile(r"[0-9a-f]{32}")
_KNOWN: Final = 10_000
_STATES: Final[dict[str, State]] = {
    "open": "open", "untriggered": "open", "triggered": "open", "filled": "closed",
    "cancelled": "canceled", "rejected": "canceled",
}  # fmt: skip
#: By https://docs.deribit.com/articles/errors: there is nothing to change any more.
_GONE: Final = frozenset({10004, 10010, 11008, 11044})
#: It wasn't looked at: who asks, how often, or not now.
_NOT_SENT: Final = frozenset(
    {10000, 10028, 10040, 10041, 10047, 10048, 10066, 11051, 13009, 13028, 13503, 13888}
)
_UNSURE: Final = frozenset({10001, 11031, 11094, 13008, -32603})
#: Whoever asks isn't known any more, and may say again who it is.
UNKNOWN_TOKEN: Final = 13009
#: It came after the time until which it was to count.
TOO_LATE: Final = 13888
#: Of an option, what is paid for one at its end; few decimals are a third.
_PAID: Final = Context(prec=40)
_PAID_STEP: Final = Decimal("1e-12")

_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_CHANGES: Final = msgspec.json.Decoder(Changes)
_PLACED: Final = msgspec.json.Decoder(Placed)
_ORDER: Final = msgspec.json.Decoder(OrderRow)
_ORDERS: Final = msgspec.json.Decoder(list[OrderRow])
_TRADES: Final = msgspec.json.Decoder(UserTrades)
_BARE_TRADES: Final = msgspec.json.Decoder(list[UserTrade])
_LOG: Final = msgspec.json.Decoder(LogPage)
_SUMMARIES: Final = msgspec.json.Decoder(Summaries)
_INDEX: Final = msgspec.json.Decoder(IndexPrice)
_COUNT: Final = msgspec.json.Decoder(int)


class Ids:
    """By which ids orders are known: one for each, whatever the venue calls it later.

    A stop that counts becomes an order of another id, of the same label.
    """

    def __init__(self) -> None:
        self._first: OrderedDict[str, str] = OrderedDict()
        self._by_id: OrderedDict[str, str] = OrderedDict()
        self._now: OrderedDict[str, str] = OrderedDict()

    def learn(self, row: OrderRow) -> str:
        """Return by which id an order is known, and note what it is called now."""
        known = row.trigger_order_id or self._by_id.get(row.order_id)
        if known is None and _OURS.fullmatch(row.label):
            known = self._first.get(row.label)
        known = known or row.order_id
        if _OURS.fullmatch(row.label):
            _keep(self._first, row.label, known)
        if row.order_id != known:
            _keep(self._by_id, row.order_id, known)
            _keep(self._now, known, row.order_id)
        return known

    def known(self, order_id: str, label: str = "") -> str:
        """Return by which id the order of a trade is known."""
        found = self._by_id.get(order_id)
        if found is None and _OURS.fullmatch(label):
            found = self._first.get(label)
        return found or order_id

    def now(self, reqid: str) -> str:
        """Return what the venue calls an order now."""
        return self._now.get(reqid, reqid)


def _keep(ids: OrderedDict[str, str], key: str, value: str) -> None:
    ids[key] = value
    ids.move_to_end(key)
    if len(ids) > _KNOWN:
        ids.popitem(last=False)


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
        raise _bad(row, f"an odd state {row.order_state!r}")
    amount, filled = _positive(row.amount, row), row.filled_amount or Decimal(0)
    filled = _sane(filled, row)
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
        reason=one_line(row.cancel_reason or row.order_state)
        if state == "canceled"
        else "",
        trigger=_sane(row.trigger_price or Decimal(0), row),
    )


def _limit(row: OrderRow) -> Decimal:
    """Return an order's limit, 0 of one without."""
    if not row.order_type.endswith("limit"):
        return Decimal(0)
    try:
        price = Decimal(bytes(row.price).decode())
    except (InvalidOperation, UnicodeDecodeError):
        raise _bad(row, "a limit order without a price") from None
    return _positive(price, row)


def to_trade(row: UserTrade, reqid: str) -> VenueTrade:
    """Return a trade of an account.

    Args:
      row: what is told of it.
      reqid: by which its order is known.
    """
    if not row.trade_id or not row.order_id:
        raise _bad(row, "a trade without its id")
    return VenueTrade(
        tid=row.trade_id,
        reqid=reqid,
        cl_id=row.label,
        bs_mktid=row.instrument_name,
        side=row.direction,
        price=_positive(row.price, row),
        size=_positive(row.amount, row),
        fee=_signed(row.fee, row),
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
        row.currency.lower(): _signed(row.balance, body)
        + _signed(row.session_rpl or Decimal(0), body)
        for row in decode_result(_SUMMARIES, body).summaries
    }
    return {asset: amount for asset, amount in held.items() if amount}


def parse_currencies(body: bytes) -> set[str]:
    """Return in which currencies an account has money, or can have."""
    return {row.currency for row in decode_result(_SUMMARIES, body).summaries}


def of_log(row: LogRow) -> VenueTrade | None:
    """Return what a settlement or a delivery books; None of what books nothing here.

    A settlement pays what a position has earned, and funding. A delivery ends it: of
    an option at what was paid for one, which is all that the venue tells of it.
    """
    if row.type not in ("settlement", "delivery") or not row.instrument_name:
        return None
    price = row.price
    if price is None or row.amount is None:
        raise _bad(row, f"a {row.type} without its price or amount")
    amount = _sane(row.amount.copy_abs(), row)
    booked = VenueTrade(
        tid=f"log-{row.currency.lower()}-{row.id}",
        reqid="",
        bs_mktid=row.instrument_name,
        side="sell" if _is_long(row) else "buy",
        price=_sane(price, row),
        size=Decimal(0),
        fee=_signed(-(row.interest_pl or Decimal(0)), row),
        fee_asset=row.currency.lower(),
        time_ns=row.timestamp * _MS_NS,
        etype="settlement",
    )
    if row.type == "settlement":
        return booked
    if not amount:
        return None
    ended = msgspec.structs.replace(
        booked,
        etype="expiry",
        size=amount,
        fee=_signed(row.commission or Decimal(0), row),
    )
    if row.instrument_name.count("-") < 3:
        return ended
    return _of_option(ended, row)


def _of_option(ended: VenueTrade, row: LogRow) -> VenueTrade:
    """Return an option's end at what was paid for one; what that rounds is a fee."""
    if row.change is None or row.cashflow is None:
        raise _bad(row, "a delivery that doesn't tell what was paid")
    paid = _signed(row.cashflow, row)
    each = _PAID.divide(paid.copy_abs(), ended.size).quantize(_PAID_STEP)
    whole = each * ended.size
    received = whole if ended.side == "sell" else -whole
    return msgspec.structs.replace(
        ended, price=each, fee=received - _signed(row.change, row)
    )


def _is_long(row: LogRow) -> bool:
    return row.side in ("long", "close sell")


def read_trade(tid: str, record: Mapping[str, Any], mkt: MktPair) -> VenueTrade:
    """Return a trade, or what the log books, of a record of such a list; BadPayload."""
    if "trade_id" in record and "type" not in record:
        trade = to_trade(convert(record, UserTrade, "deribit"), str(record["order_id"]))
    else:
        booked = of_log(convert(record, LogRow, "deribit"))
        if booked is None:
            raise bad_payload("deribit", repr(record).encode(), "nothing to be booked")
        trade = booked
    if trade.bs_mktid != mkt.bs_mktid:
        raise not_of(mkt, trade.bs_mktid, "deribit")
    return msgspec.structs.replace(trade, tid=tid)


def _bad(row: object, why: str) -> BadPayload:
    return bad_payload("deribit", msgspec.json.encode(row), why)


def _sane(value: Decimal, raw: object) -> Decimal:
    return sane(value, "deribit", raw)


def _positive(value: Decimal, raw: object) -> Decimal:
    return positive(value, "deribit", raw)


def _signed(value: Decimal, raw: object) -> Decimal:
    """Return a number that may be below 0, as a rebate is."""
    amount = sane(value.copy_abs(), "deribit", raw)
    return -amount if value.is_signed() and amount else amount
