"""Kraken spot's orders, trades and executions to values: pure; BadPayload for others.

a row of REST, by its id --> OrderState        an Execution, and what was known
of its order --> OrderState, a VenueTrade      words --> what an error means
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
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
from piker.msgs import NS, MktPair

from ._names import FIAT, OWN, rest_names
from ._order_schemas import (
    Amended,
    ClosedOrders,
    Count,
    Execution,
    History,
    Message,
    Named,
    OpenOrders,
    OrderRow,
    Token,
    TradeRow,
)
from ._rest import decode_result

_MAX_S: Final = 9_000_000_000
#: Old coins, which REST writes with an X before them.
_OLD: Final = frozenset(
    {"ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "ZEC"}
)
#: By https://docs.kraken.com/api/docs/guides/spot-errors: what was looked at and not
#: done, since of who asked, or how often.
_NOT_SENT: Final = (
    "EAPI:", "EGeneral:Permission denied", "EGeneral:Temporary lockout",
    "EOrder:Rate limit exceeded", "EService:Deadline elapsed", "ESession:",
    "EAuth:",
)  # fmt: skip
_UNSURE: Final = (
    "EGeneral:Internal error", "EService:Busy", "EService:Timeout",
    "EService:Unavailable",
)  # fmt: skip
TOO_LATE: Final = "EService:Deadline elapsed"
#: Of a key that is none, and of a signature by another secret.
WRONG_KEYS: Final = ("EAPI:Invalid key", "EAPI:Invalid signature")
#: Kinds of orders that count from a price on.
_WAITING: Final = ("stop-", "take-profit", "trailing-")

_MESSAGE: Final = msgspec.json.Decoder(Message)
_EXECUTIONS: Final = msgspec.json.Decoder(list[Execution])
_NAMED: Final = msgspec.json.Decoder(Named)
_AMENDED: Final = msgspec.json.Decoder(Amended)
_OPEN: Final = msgspec.json.Decoder(OpenOrders)
_CLOSED: Final = msgspec.json.Decoder(ClosedOrders)
_COUNT: Final = msgspec.json.Decoder(Count)
_ROWS: Final = msgspec.json.Decoder(dict[str, OrderRow])
_HISTORY: Final = msgspec.json.Decoder(History)
_TRADES: Final = msgspec.json.Decoder(dict[str, TradeRow])
_BALANCES: Final = msgspec.json.Decoder(dict[str, Decimal])
_TOKEN: Final = msgspec.json.Decoder(Token)


def parse_message(payload: bytes) -> Message:
    """Return what came over the websocket."""
    return decode(_MESSAGE, "kraken", payload)


def parse_executions(data: bytes) -> list[Execution]:
    """Return what a message of the executions channel says."""
    return decode(_EXECUTIONS, "kraken", data)


def parse_named(result: bytes) -> Named:
    """Return the ids of an order that was placed."""
    return decode(_NAMED, "kraken", result)


def parse_amended(result: bytes) -> Amended:
    """Return what an order's change is answered with."""
    return decode(_AMENDED, "kraken", result)


def parse_token(body: bytes) -> str:
    """Return a token for the websocket; nothing of it is in an error."""
    try:
        return decode_result(_TOKEN, body).token
    except BadPayload:
        pass
    raise BadPayload("kraken gave no token for its websocket")


def error_of(words: str) -> VenueError:
    """Return what a refusal of a request about an order means."""
    text = f"kraken: {one_line(words)}"
    if words.startswith("EOrder:Unknown order"):
        return OrderGone(text)
    if words.startswith(_NOT_SENT):
        return NotSent(text)
    if words.startswith(_UNSURE):
        return Unsure(text)
    return OrderRejected(text)


# -- what happens ----------------------------------------------------------------------


def state_of(row: Execution, known: OrderState | None) -> OrderState | None:
    """Return an order after something happened; None if too little is known of it.

    Args:
      row: what happened.
      known: how the order was before, None if that isn't known.
    """
    symbol = row.symbol or (known.bs_mktid if known else "")
    side = row.side or (known.side if known else None)
    size = row.order_qty or (known.size if known else None)
    price = row.limit_price or (known.price if known else None)
    filled = row.cum_qty or (known.filled if known else None)
    trigger = row.triggers.price if row.triggers else (known.trigger if known else None)
    if not symbol or side is None or size is None:
        return None
    state = _state(row.order_status, row.exec_type)
    filled = _sane(filled or Decimal(0), row)
    size = _positive(size, row)
    if state == "open" and filled >= size:
        state = "closed"  # another message says so, which may be lost
    return OrderState(
        cl_id=row.cl_ord_id or (known.cl_id if known else ""),
        reqid=row.order_id,
        bs_mktid=symbol,
        side=side,
        price=_sane(price or Decimal(0), row),
        size=size,
        filled=filled,
        state=state,
        time_ns=time_ns_of(row.timestamp),
        reason=one_line(row.reason) if state == "canceled" else "",
        trigger=_sane(trigger or Decimal(0), row),
    )


def _state(status: str, exec_type: str) -> State:
    word = status or exec_type
    if word == "filled":
        return "closed"
    return "canceled" if word in ("canceled", "expired") else "open"


def trade_of(row: Execution, known: OrderState | None) -> VenueTrade | None:
    """Return the trade that a row tells of, None of none; BadPayload of a broken one.

    Args:
      row: what happened.
      known: how its order is, None if that isn't known.
    """
    if row.exec_type != "trade":
        return None
    symbol = row.symbol or (known.bs_mktid if known else "")
    side = row.side or (known.side if known else None)
    if not (symbol and side and row.exec_id and row.last_qty and row.last_price):
        raise _bad(row, "a trade without its id, size or price")
    assets = {fee.asset for fee in row.fees}
    if len(assets) > 1:
        raise _bad(row, "fees of one trade in several assets")
    return VenueTrade(
        tid=row.exec_id,
        reqid=row.order_id,
        cl_id=row.cl_ord_id or (known.cl_id if known else ""),
        bs_mktid=symbol,
        side=side,
        price=_positive(row.last_price, row),
        size=_positive(row.last_qty, row),
        fee=sum((_sane(fee.qty, row) for fee in row.fees), Decimal(0)),
        fee_asset=own_asset(assets.pop()) if assets else "",
        time_ns=time_ns_of(row.timestamp),
        taker=row.liquidity_ind == "t",
    )


def time_ns_of(stamp: str) -> int:
    """Return an RFC 3339 time, ns since the epoch; BadPayload if it is none."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 0 <= at.timestamp() < _MAX_S:
        raise BadPayload(f"not what kraken documents: a time {stamp[:40]!r}")
    whole = int(at.replace(microsecond=0).timestamp())
    return whole * NS + at.microsecond * 1000


def to_stamp(time_ns: int) -> str:
    """Return a time as requests tell it, to the millisecond."""
    at = datetime.fromtimestamp(time_ns // NS, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_ns % NS // 1_000_000:03d}Z"


def own_asset(name: str) -> str:
    """Return an asset of the websocket as piker spells it: ``xbt`` of ``BTC``."""
    return OWN.get(name, name).lower()


# -- REST ------------------------------------------------------------------------------


def parse_open(body: bytes) -> dict[str, OrderRow]:
    """Return open orders, by their ids."""
    return decode_result(_OPEN, body).open


def parse_closed(body: bytes) -> dict[str, OrderRow]:
    """Return orders that are over, by their ids."""
    return decode_result(_CLOSED, body).closed


def parse_count(body: bytes) -> int:
    """Return how many orders a request has ended."""
    return decode_result(_COUNT, body).count


def parse_rows(body: bytes) -> dict[str, OrderRow]:
    """Return orders that were asked for, by their ids."""
    return decode_result(_ROWS, body)


def to_state(reqid: str, row: OrderRow, bs_mktid: str, time_ns: int) -> OrderState:
    """Return an order of REST.

    Args:
      reqid: its id.
      row: what is told of it.
      bs_mktid: its market, as the websocket spells it.
      time_ns: as of when that is told; of one that is over its end counts.
    """
    state: State = "open"
    if row.status == "closed":
        state = "closed"
    elif row.status in ("canceled", "expired"):
        state = "canceled"
    if state != "open" and row.closetm.is_finite() and 0 < row.closetm < _MAX_S:
        time_ns = int(row.closetm * NS)
    descr = row.descr
    price, trigger = _terms_of(row)
    return OrderState(
        cl_id=row.cl_ord_id,
        reqid=reqid,
        bs_mktid=bs_mktid,
        side=descr.type,
        price=_sane(price, row),
        size=_positive(row.vol, row),
        filled=_sane(row.vol_exec, row),
        state=state,
        time_ns=time_ns,
        reason=one_line(row.reason or "") if state == "canceled" else "",
        trigger=_sane(trigger, row),
    )


def _terms_of(row: OrderRow) -> tuple[Decimal, Decimal]:
    """Return limit and trigger of an order, 0 where it has none."""
    descr = row.descr
    if not descr.ordertype.startswith(_WAITING):
        return descr.price, Decimal(0)
    told = [each for each in (descr.price, descr.price2) if each]
    trigger = row.stopprice or next(iter(told), Decimal(0))
    if not descr.ordertype.endswith("-limit"):
        return Decimal(0), trigger
    return next((each for each in told if each != trigger), trigger), trigger


def parse_history(body: bytes) -> tuple[dict[str, TradeRow], int]:
    """Return a page of trades by their ids, newest first, and how many there are."""
    history = decode_result(_HISTORY, body)
    return history.trades, history.count


def parse_trades(body: bytes) -> dict[str, TradeRow]:
    """Return trades that were asked for, by their ids."""
    return decode_result(_TRADES, body)


def to_trades(
    rows: Mapping[str, TradeRow], mkts: Mapping[str, MktPair]
) -> list[VenueTrade]:
    """Return trades of REST, the oldest first.

    Args:
      rows: by their ids.
      mkts: markets by what REST calls them; one that isn't listed keeps that name.
    """
    trades = [
        (row.time, tid, _trade(tid, row, mkts.get(row.pair)))
        for tid, row in rows.items()
    ]
    return [trade for _, _, trade in sorted(trades, key=lambda one: one[:2])]


def read_trade(tid: str, record: Mapping[str, Any], mkt: MktPair) -> VenueTrade:
    """Return a trade of a record of such a list; BadPayload."""
    row = convert(record, TradeRow, "kraken")
    if row.pair not in rest_names(mkt.bs_mktid):
        raise not_of(mkt, row.pair, "kraken")
    return _trade(tid, row, mkt)


def _trade(tid: str, row: TradeRow, mkt: MktPair | None) -> VenueTrade:
    if not row.time.is_finite() or not 0 <= row.time < _MAX_S:
        raise _bad(row, "an odd time")
    return VenueTrade(
        tid=tid,
        reqid=row.ordertxid,
        bs_mktid=mkt.bs_mktid if mkt else row.pair,
        side=row.type,
        price=_positive(row.price, row),
        size=_positive(row.vol, row),
        fee=_sane(row.fee, row),
        # fees are told in what is paid with
        fee_asset=mkt.src.name if mkt and mkt.src else "",
        time_ns=int(row.time * NS),
        taker=not row.maker,
    )


def parse_balances(body: bytes) -> dict[str, Decimal]:
    """Return what an account has by asset, what its orders hold included."""
    told = decode_result(_BALANCES, body)
    held = {_rest_asset(name): _sane(amount, body) for name, amount in told.items()}
    return {asset: amount for asset, amount in held.items() if amount}


def _rest_asset(name: str) -> str:
    """Return an asset of REST as piker spells it: ``xbt`` of ``XXBT``."""
    rest = name[1:]
    if (name[:1] == "X" and rest in _OLD) or (name[:1] == "Z" and rest in FIAT):
        return rest.lower()
    return name.lower()


def _bad(row: object, why: str) -> BadPayload:
    return bad_payload("kraken", msgspec.json.encode(row), why)


def _sane(value: Decimal, raw: object) -> Decimal:
    return sane(value, "kraken", raw)


def _positive(value: Decimal, raw: object) -> Decimal:
    return positive(value, "kraken", raw)
