"""The log of what changed accounts' money at the emulated Deribit.

By https://docs.deribit.com/api-reference/account-management/private-get_transaction_log
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any, Final

from ._deribit_rows import contracts, trade_id
from ._deribit_series import Series

_NOTHING: Final = ("side", "price", "order_id", "trade_id", "interest_pl",
                   "instrument_name", "position")  # fmt: skip


@dataclass(frozen=True)
class Change:
    """What changed an account's money.

    Attributes:
      kind: ``trade``, ``deposit``, ``settlement`` ...
      change: of the money.
      cashflow: the same without fees.
      series: the instrument, None if there is none.
      fill: the trade, None if it was none.
      told: more that is to be told of it.
    """

    kind: str
    change: Decimal
    cashflow: Decimal
    series: Series | None = None
    fill: Any = None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class After:
    """What an account has after it.

    Attributes:
      time_ms: when that was.
      balance, equity: in the asset.
      position: of the instrument, None if there is none.
    """

    time_ms: int
    balance: Decimal
    equity: Decimal
    position: Decimal | None


@dataclass
class Log:
    """All entries.

    Attributes:
      rows: by account, the oldest first, as they are told.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(61_000))

    def add(self, account: str, asset: str, what: Change, after: After) -> None:
        """Write an entry: whose money, and what became of it."""
        rows = self.rows.setdefault(account, [])
        row: dict[str, Any] = dict.fromkeys(_NOTHING) | {
            "id": next(self._ids), "user_seq": len(rows) + 1,
            "user_id": user_id(account), "username": account, "type": what.kind,
            "timestamp": after.time_ms, "currency": asset, "side": "-",
            "commission": 0.0, "change": float(what.change),
            "cashflow": float(what.cashflow), "balance": float(after.balance),
            "equity": float(after.equity), "info": {},
        }  # fmt: skip
        if what.series is not None:
            size = after.position
            row |= {"instrument_name": what.series.inst.name,
                    "price_currency": what.series.inst.quote,
                    "position": None if size is None else float(size)}  # fmt: skip
            if what.fill is not None:
                row |= _of_fill(what.series, what.fill, size)
        rows.append(row | dict(what.told))


def user_id(account: str) -> int:
    """Return the venue's number of an account."""
    return 1000 + sum(account.encode())


def _of_fill(series: Series, fill: Any, position: Decimal | None) -> dict[str, Any]:
    trade, deal = fill.trade, fill.deal
    signed = trade.size if trade.order.side == "buy" else -trade.size
    is_open = position is None or position * signed > 0
    role = "maker" if trade.is_maker else "taker"
    return {
        "trade_id": trade_id(series, deal.tid),
        "order_id": order_id(series, trade.order), "amount": float(trade.size),
        "contracts": contracts(series, float(trade.size)), "price": float(trade.price),
        "commission": float(trade.fee), "user_role": role, "fee_role": role,
        "mark_price": series.mark(deal.index_price, deal.time_ms),
        "index_price": deal.index_price,
        "profit_as_cashflow": False,
        "side": f"{'open' if is_open else 'close'} {trade.order.side}",
    }  # fmt: skip


def order_id(series: Series, order: Any) -> str:
    """Return the venue's id of an order; of one that waits it says so."""
    currency = series.inst.currency
    head = "" if currency == "BTC" else f"{currency}-"
    if order.stop is not None and not order.is_triggered:
        return f"{head}{trigger_id(order)}"
    return f"{head}{order.serial}"


def trigger_id(order: Any) -> str:
    """Return the venue's id of an order that waits, or did, without its currency."""
    letter = {"mark_price": "M", "index_price": "I"}.get(order.trigger, "T")
    kind = "TP" if order.takes else "SL"
    return f"{kind}{letter}{'B' if order.side == 'buy' else 'S'}-{order.serial}"
