"""Binance spot's orders, trades and events to values: pure; BadPayload for others.

a row --> OrderState      executionReport --> OrderState, and a VenueTrade
error --> what it means: rejected, gone, not sent, nobody knows
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from piker.brokers._live._numbers import positive, sane
from piker.brokers._live._trades import not_of
from piker.brokers._live._venue import (
    FilledMeanwhile,
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Permissions,
    Replaced,
    Side,
    State,
    Unsure,
    VenueTrade,
)
from piker.brokers._payload import bad_payload, convert, decode, one_line
from piker.errors import VenueError
from piker.msgs import MktPair

from ._order_schemas import (
    AccountRow,
    ApiAnswer,
    ApiError,
    BuySell,
    CanceledRow,
    EventHead,
    ExecutionReport,
    Half,
    OrderRow,
    PriceRow,
    Replacement,
    RestrictionsRow,
    Status,
    TradeRow,
)

_NS_PER_MS: Final = 1_000_000

_ANSWER: Final = msgspec.json.Decoder(ApiAnswer)
_HEAD: Final = msgspec.json.Decoder(EventHead)
_REPORT: Final = msgspec.json.Decoder(ExecutionReport)
_ORDER: Final = msgspec.json.Decoder(OrderRow)
_ORDERS: Final = msgspec.json.Decoder(list[OrderRow])
_CANCELED: Final = msgspec.json.Decoder(list[CanceledRow])
_TRADES: Final = msgspec.json.Decoder(list[TradeRow])
_ACCOUNT: Final = msgspec.json.Decoder(AccountRow)
_RESTRICTIONS: Final = msgspec.json.Decoder(RestrictionsRow)
_PRICE: Final = msgspec.json.Decoder(PriceRow)
_REPLACEMENT: Final = msgspec.json.Decoder(Replacement)

#: Codes of requests that were looked at and not done: nothing has changed.
#: https://developers.binance.com/docs/binance-spot-api-docs/errors
_GONE: Final = frozenset({-2011, -2013})
#: Codes of requests whose end nobody knows.
_UNSURE: Final = frozenset({-1000, -1001, -1006, -1007})
#: Codes of requests that the venue didn't look at.
_NOT_SENT: Final = frozenset({-1003, -1008, -1015, -1016})
#: Of a signature, a key, a clock: nothing was looked at either.
_UNSIGNED: Final = frozenset({-1021, -1022, -1131, -2008, -2014, -2015})
TOO_LATE: Final = -1021
#: How an error is told of a key that is none, or of a signature by another secret.
WRONG_KEYS: Final = ("code -1022:", "code -2008:", "code -2014:", "code -2015:")

_ENDS: Final[dict[Status, str]] = {
    "REJECTED": "the venue rejected it",
    "EXPIRED": "it expired: what could be had at once was had",
    "EXPIRED_IN_MATCH": "it would have traded with another order of this account",
}


def parse_answer(payload: bytes) -> ApiAnswer:
    """Return what came over the websocket API."""
    return decode(_ANSWER, "binance", payload)


def parse_order(body: bytes) -> OrderState:
    """Return an order of an answer, placed, canceled or looked at."""
    return _order(decode(_ORDER, "binance", body), body)


def parse_orders(body: bytes) -> list[OrderState]:
    """Return the orders of a list."""
    return [_order(row, body) for row in decode(_ORDERS, "binance", body)]


def parse_canceled(body: bytes) -> int:
    """Return how many orders a market's end of all orders ended."""
    rows = decode(_CANCELED, "binance", body)
    return sum(len(row.order_reports) or 1 for row in rows)


def parse_trades(body: bytes) -> list[VenueTrade]:
    """Return the trades of a list, as they stand there."""
    return [_trade(row, body) for row in decode(_TRADES, "binance", body)]


def read_trade(_tid: str, record: Mapping[str, Any], mkt: MktPair) -> VenueTrade:
    """Return a trade of a record of such a list; BadPayload."""
    row = convert(record, TradeRow, "binance")
    if row.symbol != mkt.bs_mktid:
        raise not_of(mkt, row.symbol, "binance")
    return _trade(row, msgspec.json.encode(row))


def _trade(row: TradeRow, raw: bytes) -> VenueTrade:
    return VenueTrade(
        tid=f"{row.symbol}-{row.id}",
        reqid=str(row.order_id),
        bs_mktid=row.symbol,
        side="buy" if row.is_buyer else "sell",
        price=_positive(row.price, raw),
        size=_positive(row.qty, raw),
        fee=_sane(row.commission, raw),
        fee_asset=row.commission_asset.lower(),
        time_ns=row.time * _NS_PER_MS,
        taker=not row.is_maker,
    )


def parse_balances(body: bytes) -> dict[str, Decimal]:
    """Return what an account has by asset, what its orders hold included."""
    account = decode(_ACCOUNT, "binance", body)
    held = {
        row.asset.lower(): _sane(row.free, body) + _sane(row.locked, body)
        for row in account.balances
    }
    return {asset: amount for asset, amount in held.items() if amount}


def parse_price(body: bytes) -> Decimal:
    """Return the price of a ticker."""
    return _positive(decode(_PRICE, "binance", body).price, body)


def parse_permissions(body: bytes) -> Permissions:
    """Return what a key is for."""
    row = decode(_RESTRICTIONS, "binance", body)
    warnings = []
    if row.enable_withdrawals:
        warnings.append("it may withdraw: make one that may not")
    if not row.ip_restrict:
        warnings.append("it may be used from any address: bind it to yours")
    return Permissions(
        may_trade=row.enable_spot_and_margin_trading,
        may_withdraw=row.enable_withdrawals,
        warnings=tuple(warnings),
    )


def parse_events(event: bytes) -> Iterator[OrderState | VenueTrade]:
    """Yield what an event of an account tells: a trade, then its order; or nothing."""
    if decode(_HEAD, "binance", event).e != "executionReport":
        return
    report = decode(_REPORT, "binance", event)
    cl_id = report.C if report.x == "CANCELED" and report.C else report.c
    if report.x == "TRADE":
        if report.t < 0 or (report.N is None and report.n):
            raise bad_payload("binance", event, "a trade without its number or asset")
        yield VenueTrade(
            tid=f"{report.s}-{report.t}",
            reqid=str(report.i),
            cl_id=cl_id,
            bs_mktid=report.s,
            side=_side(report.S),
            price=_positive(report.L, event),
            size=_positive(report.l, event),
            fee=_sane(report.n, event),
            fee_asset=(report.N or "").lower(),
            time_ns=report.T * _NS_PER_MS,
            taker=not report.m,
        )
    if report.x == "REJECTED":
        reason = f"the venue rejected it: {one_line(report.r)}"
    else:
        reason = _ENDS.get(report.X, "")
    yield OrderState(
        cl_id=cl_id,
        reqid=str(report.i),
        bs_mktid=report.s,
        side=_side(report.S),
        price=_sane(report.p, event),
        size=_positive(report.q, event),
        filled=_sane(report.z, event),
        state=_state(report.X),
        time_ns=report.T * _NS_PER_MS,
        reason=reason,
        trigger=_sane(report.P, event),
    )


def parse_replacement(body: bytes) -> Replaced:
    """Return what became of a cancel-replace whose cancel was done."""
    return _replaced(decode(_REPLACEMENT, "binance", body), body)


def replacement_of(error: ApiError) -> Replaced:
    """Return what became of a cancel-replace of which a half failed.

    Raises: OrderGone, FilledMeanwhile, OrderRejected: the cancel was not done, so
      nothing has changed.
    """
    raw = bytes(error.data)
    told = decode(_REPLACEMENT, "binance", raw)
    half = told.cancel_response
    if told.cancel_result == "FAILURE":
        words = one_line(half.msg if half else error.msg)
        if "restrictions" in words:
            raise FilledMeanwhile(words)
        if half is not None and half.code in _GONE:
            raise OrderGone(f"binance has no such order that is open: {words}")
        raise OrderRejected(f"binance refused to change an order: {words}")
    return _replaced(told, raw)


def _replaced(told: Replacement, raw: bytes) -> Replaced:
    old, new = told.cancel_response, told.new_order_response
    if old is None or old.code or told.cancel_result != "SUCCESS":
        raise bad_payload("binance", raw, "a replacement without what was canceled")
    if told.new_order_result == "SUCCESS" and new is not None and not new.code:
        return Replaced(old=_order(old, raw), new=_order(new, raw))
    words = one_line(new.msg) if new is not None else "it was not attempted"
    return Replaced(old=_order(old, raw), new=None, reason=words)


def error_of(code: int, words: str, status: int) -> VenueError:
    """Return what a refusal of a request about an order means."""
    text = f"binance: code {code}: {one_line(words)}"
    if code in _GONE:
        return OrderGone(text)
    if code in _UNSIGNED or code in _NOT_SENT:
        return NotSent(text)
    if code in _UNSURE or status >= 500:
        return Unsure(text)
    return OrderRejected(text)


def _order(row: OrderRow | Half, raw: bytes) -> OrderState:
    return OrderState(
        cl_id=row.orig_client_order_id or row.client_order_id,
        reqid=str(row.order_id),
        bs_mktid=row.symbol,
        side=_side(row.side),
        price=_sane(row.price, raw),
        size=_positive(row.orig_qty, raw),
        filled=_sane(row.executed_qty, raw),
        state=_state(row.status),
        time_ns=(row.transact_time or row.update_time) * _NS_PER_MS,
        reason=_ENDS.get(row.status, ""),
        trigger=_sane(row.stop_price, raw),
    )


def _side(told: BuySell) -> Side:
    return "buy" if told == "BUY" else "sell"


def _state(status: Status) -> State:
    if status == "FILLED":
        return "closed"
    if status in ("NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL"):
        return "open"
    return "canceled"


def _sane(value: Decimal, raw: bytes) -> Decimal:
    return sane(value, "binance", raw)


def _positive(value: Decimal, raw: bytes) -> Decimal:
    return positive(value, "binance", raw)
