"""What trades come to, asset by asset, and what an account has besides: pure.

    the ledger's trades --traded--> what each asset changed by; of contracts, which
                                    are no assets, only what they earned and cost
    the venue's balances, less that --> otherwise: deposits, withdrawals, older trades

Exact: sums and products of decimals, none of which is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact
from typing import Final

from piker.accounting import Position, Transaction, positions_of, shown
from piker.msgs import MktPair

ZERO: Final = Decimal(0)
#: More digits than any sum of trades has; one that is rounded all the same is an error.
_EXACT: Final = Context(prec=400, traps=[Inexact])
_PAID_FOR: Final = frozenset({"option", "futures_option"})


def traded(
    txns: Iterable[Transaction], mkts: Mapping[str, MktPair]
) -> dict[str, Decimal]:
    """Return by how much trades changed each asset, those that came out even too.

    Shares and contracts whose names tell no second asset are told by the full name of
    their market: what is held of each.

    Args:
      txns: of a ledger.
      mkts: their markets, by full name; trades of others are left out.
    """
    changed: dict[str, Decimal] = {}
    contracts: dict[str, list[Transaction]] = {}

    def add(asset: str, amount: Decimal) -> None:
        changed[asset] = _EXACT.add(changed.get(asset, ZERO), amount)

    for txn in txns:
        mkt = mkts.get(txn.fqme)
        if mkt is None or not mkt.paid_in:
            continue
        if mkt.expiry or mkt.src is None:
            contracts.setdefault(txn.fqme, []).append(txn)
            continue
        quote = mkt.paid_in
        add(mkt.dst.name, txn.size)
        if txn.etype == "clear":  # else nothing is paid for it
            add(quote, _EXACT.multiply(txn.size, txn.price).copy_negate())
        # paid in another asset, *cost* is only what that was worth
        fee = txn.fee if txn.fee_asset else txn.cost
        add(txn.fee_asset or quote, fee.copy_negate())
    for fqme, told in contracts.items():
        mkt, position = mkts[fqme], positions_of(told)[fqme]
        add(mkt.paid_in, _earned(position, mkt))
        for txn in told:
            if txn.fee_asset:  # *cost* is only what that was worth
                add(mkt.paid_in, txn.cost)
                add(txn.fee_asset, txn.fee.copy_negate())
        if mkt.src is None:
            add(fqme, position.size)
    return changed


def _earned(position: Position, mkt: MktPair) -> Decimal:
    """Return what contracts of a market brought in, fees included.

    Shares and options are paid for as they are bought; of what is margined only profits
    are paid.
    """
    if mkt.atype in _PAID_FOR or not mkt.expiry:
        return shown(position.realised_exact - position.basis_exact)
    return position.realised


def otherwise(
    balances: Mapping[str, Decimal], changed: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return what an account has of each asset beyond what trades come to.

    Args:
      balances: of the venue; an asset that isn't there is none.
      changed: see `traded`.

    Returns: assets of which that is 0 are left out.
    """
    beyond = {
        asset: _EXACT.subtract(balances.get(asset, ZERO), changed.get(asset, ZERO))
        for asset in sorted({*balances, *changed})
    }
    return {asset: amount for asset, amount in beyond.items() if amount}
