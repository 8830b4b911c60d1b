"""Trades of venues as the ledger has them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from piker.accounting import Transaction
from piker.errors import BadPayload
from piker.msgs import MktPair

from ._venue import VenueTrade


def to_transaction(trade: VenueTrade, mkt: MktPair) -> Transaction:
    """Return a trade as it is booked by itself: whose order it was isn't known.

    A fee in a third asset costs nothing then: what it was worth isn't known either.
    """
    return Transaction(
        tid=trade.tid,
        fqme=mkt.fqme,
        size=_signed(trade),
        price=trade.price,
        time_ns=trade.time_ns,
        cost=cost_of(trade, mkt) or Decimal(0),
        etype=trade.etype,
        bs_mktid=mkt.bs_mktid,
        multiplier=mkt.multiplier,
        inverse=mkt.is_inverse,
        reqid=trade.reqid,
        taker=trade.taker,
        **other_fee(trade, mkt),
    )


def in_units(txn: Transaction, multiplier: Decimal) -> Transaction:
    """Return a trade with the multiplier that its contract was booked with.

    A venue may tell prices in cents and, in its reports, in dollars: what a price times
    its multiplier comes to is the same.
    """
    if txn.multiplier == multiplier or txn.inverse:
        return txn
    price = txn.price * txn.multiplier / multiplier
    return replace(txn, price=price, multiplier=multiplier)


def _signed(trade: VenueTrade) -> Decimal:
    """Return the size, < 0 of a sale; of a settlement 0, which has no sign."""
    is_bought = trade.side == "buy" or not trade.size
    return trade.size if is_bought else trade.size.copy_negate()


def cost_of(trade: VenueTrade, mkt: MktPair) -> Decimal | None:
    """Return what a trade's fee comes to in what its profits are paid in.

    None of a third asset's.
    """
    if not trade.fee or trade.fee_asset in ("", mkt.paid_in):
        return trade.fee
    return trade.fee * trade.price if trade.fee_asset == mkt.dst.name else None


def other_fee(trade: VenueTrade, mkt: MktPair) -> dict[str, Any]:
    """Return *fee* and *fee_asset* of a trade, empty if they are its cost."""
    if not trade.fee or trade.fee_asset in ("", mkt.paid_in):
        return {}
    return {"fee": trade.fee, "fee_asset": trade.fee_asset}


def not_of(mkt: MktPair, told: str, venue: str) -> BadPayload:
    """Return that a record is of another market."""
    return BadPayload(f"not of {mkt.fqme}: {venue}'s record of a trade in {told!r}")
