"""What accounts hold, by their ledgers; and what it is worth where a feed runs.

ledgers --> positions --(a datad that runs: its last price)--> rows
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final

import trio

from piker.accounting import Position, list_accounts, read_ledger
from piker.data import open_feed
from piker.errors import LedgerError, PikerError
from piker.msgs import Fqme
from piker.service import (
    Addr,
    call_endpoint,
    open_piker_runtime,
    open_portal_to,
    probe,
)
from piker.service._rpc import list_services

from ._show import new_table

if TYPE_CHECKING:
    from rich.table import Table

PRICE_DEADLINE_S: Final = 5.0
_PRICE_DIGITS: Final = 9
_PRICES: Final = ("size", "ppu", "bep", "last")
_MONEY: Final = ("unrealised", "realised")


async def held(addr: Addr) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each position that isn't flat, and ledgers that can't be read.

    Decimals; ``last`` and ``unrealised`` are None where no feed is at hand.
    """
    found: list[tuple[str, Position]] = []
    faults = []
    for name in list_accounts():
        try:
            view = read_ledger(name.broker, name.label)
            found += [
                (str(name), each)
                for each in view.positions().values()
                if not each.is_flat
            ]
        except LedgerError as err:
            faults.append(f"{name}: {err}")
    prices = await _prices(addr, sorted({each.fqme for _, each in found}))
    return [_row(name, each, prices.get(each.fqme)) for name, each in found], faults


async def _prices(addr: Addr, fqmes: list[str]) -> dict[str, Decimal]:
    """Return the last prices of markets whose datad runs already."""
    if not fqmes or await probe(addr) is None:
        return {}
    prices: dict[str, Decimal] = {}
    with trio.move_on_after(PRICE_DEADLINE_S):
        try:
            await _ask_prices(addr, fqmes, prices)
        except PikerError:
            return prices  # they are an extra: what is held is told all the same
    return prices


async def _ask_prices(addr: Addr, fqmes: list[str], prices: dict[str, Decimal]) -> None:
    async with open_piker_runtime("positions", addr):
        running = await _running(addr)
        for fqme in fqmes:
            if f"datad.{Fqme.parse(fqme).broker}" not in running:
                continue
            last = await _last_price(fqme)
            if last is not None:
                prices[fqme] = last


async def _running(addr: Addr) -> set[str]:
    async with open_portal_to(addr) as portal:
        infos = await call_endpoint(portal, list_services)
    return {info.name for info in infos if info.state == "running"}


async def _last_price(fqme: str) -> Decimal | None:
    try:
        async with open_feed([fqme]) as feed:
            last = Decimal(repr(float(feed.flumes[fqme].first_quote.last)))
    except PikerError:
        return None  # e.g. the market is gone: the others' prices are told
    return last if last.is_finite() and last > 0 else None


def _row(account: str, position: Position, last: Decimal | None) -> dict[str, Any]:
    return {
        "account": account,
        "market": position.fqme,
        "size": position.size,
        "ppu": position.ppu,
        "bep": position.bep,
        "last": last,
        "unrealised": None if last is None else position.unrealised(last),
        "realised": position.realised,
        "fees": position.fees,
    }


def held_view(rows: Iterable[dict[str, Any]]) -> Table:
    """Return positions as a table; JSON has all digits, and fees apart."""
    table = new_table("account", "market", *_PRICES, *_MONEY, right=_PRICES + _MONEY)
    for row in rows:
        cells = [_price(row[name]) for name in _PRICES]
        cells += [_money(row[name]) for name in _MONEY]
        table.add_row(row["account"], row["market"], *cells)
    return table


def _price(value: Decimal | None) -> str:
    return "-" if value is None else _short(value, _PRICE_DIGITS)


def _money(value: Decimal | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if abs(value) >= 1 else _short(value, 4)


def _short(value: Decimal, digits: int) -> str:
    return f"{Context(prec=digits).plus(value).normalize():,f}"
