"""What an account has, as IB tells it, by names of ours: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from ib_async import AccountValue

from piker.msgs import MktPair

from ._order_decode import number
from ._order_schemas import Holding


def cash_of(values: Iterable[AccountValue], account: str) -> dict[str, Decimal]:
    """Return what an account has of each currency, lower case; < 0 of what it owes."""
    cash = {
        each.currency.lower(): number(each.value)
        for each in values
        if each.account == account
        and each.tag == "CashBalance"
        and each.currency not in ("", "BASE")
        and not each.modelCode
    }
    return {name: amount for name, amount in cash.items() if amount}


def rates_of(values: Iterable[AccountValue], account: str) -> dict[str, Decimal]:
    """Return what one of each currency is worth in the account's own."""
    return {
        each.currency.lower(): number(each.value)
        for each in values
        if each.account == account
        and each.tag == "ExchangeRate"
        and each.currency not in ("", "BASE")
    }


def held_of(
    holdings: Iterable[Holding], account: str, mkts: Mapping[int, MktPair]
) -> dict[str, Decimal]:
    """Return what an account holds of contracts, by full name; of coins, by theirs.

    Pairs of currencies are left out: what they come to is in the cash.

    Args:
      holdings: of all accounts.
      account: number.
      mkts: of contracts; one without is told by its number.
    """
    return {
        _name_of(one.con_id, mkts.get(one.con_id)): one.size
        for one in holdings
        if one.account == account and one.kind != "CASH" and one.size
    }


def _name_of(con_id: int, mkt: MktPair | None) -> str:
    """Return what a ledger's trades of a contract add up under, see `traded`."""
    if mkt is None:
        return f"contract {con_id}"
    return mkt.fqme if mkt.src is None or mkt.expiry else mkt.dst.name
