"""What a ledger books of Deribit besides trades: settlements, deliveries. Pure.

a row of the log --> VenueTrade: a settlement, an expiry; None of what books nothing
a record of a trade or of the log --> what norm_trade books
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Final

from msgspec.structs import replace

from piker.brokers._live._trades import not_of
from piker.brokers._live._venue import VenueTrade
from piker.brokers._payload import bad_payload, convert
from piker.msgs import MktPair

from ._names import is_market
from ._order_decode import bad, sane_of, signed_of, to_trade
from ._order_schemas import LogRow, UserTrade

_MS_NS: Final = 1_000_000
#: Of an option, what is paid for one at its end; few decimals are a third.
_PAID: Final = Context(prec=40)
_PAID_STEP: Final = Decimal("1e-12")
#: So many dashes are in its name.
_OPTION: Final = 3


def of_log(row: LogRow) -> VenueTrade | None:
    """Return what a settlement or a delivery books; None of what books nothing here.

    A settlement pays what a position has earned, and funding; that alone where nothing
    is held by then, which may have no price. A delivery ends it: of an option at what
    was paid for one, which is all that the venue tells of it.
    """
    if row.type not in ("settlement", "delivery") or not row.instrument_name:
        return None
    if not is_market(row.instrument_name):
        return None
    booked = VenueTrade(
        tid=f"log-{row.currency.lower()}-{row.id}",
        reqid="",
        bs_mktid=row.instrument_name,
        side="sell" if _is_long(row) else "buy",
        price=sane_of(row.price or Decimal(0), row),
        size=Decimal(0),
        fee=Decimal(0),
        fee_asset=row.currency.lower(),
        time_ns=row.timestamp * _MS_NS,
    )
    if row.type == "settlement":
        return _of_settlement(booked, row)
    return _of_delivery(booked, row)


def _of_settlement(booked: VenueTrade, row: LogRow) -> VenueTrade | None:
    # trades have parts of the session's funding in the log; its end pays them all
    funding = row.total_interest_pl
    if funding is None:  # not told of old
        funding = row.interest_pl or Decimal(0)
    cost = signed_of(-funding, row)
    if booked.price:
        return replace(booked, etype="settlement", fee=cost)
    return replace(booked, etype="fee", fee=cost) if cost else None


def _of_delivery(booked: VenueTrade, row: LogRow) -> VenueTrade | None:
    if row.amount is None:
        raise bad(row, "a delivery without its amount")
    amount = sane_of(row.amount.copy_abs(), row)
    if not amount:
        return None
    fee = signed_of(row.commission or Decimal(0), row)
    # all there is: some of it may be from before the ledger, or an option's delivery
    ended = replace(booked, etype="expiry", fee=fee)
    if booked.bs_mktid.count("-") == _OPTION:
        return _of_option(ended, amount, row)
    if not booked.price:
        raise bad(row, "a delivery without its price")
    return ended


def _of_option(ended: VenueTrade, amount: Decimal, row: LogRow) -> VenueTrade:
    """Return an option's end at what was paid for one; what that rounds is a fee."""
    if row.change is None or row.cashflow is None:
        raise bad(row, "a delivery that doesn't tell what was paid")
    paid = signed_of(row.cashflow, row)
    each = _PAID.divide(paid.copy_abs(), amount).quantize(_PAID_STEP)
    received = each * amount if ended.side == "sell" else -each * amount
    return replace(ended, price=each, fee=received - signed_of(row.change, row))


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
    return replace(trade, tid=tid)
