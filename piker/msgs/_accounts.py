"""What an order daemon tells of its accounts, besides orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from piker.types import Struct

from ._orders import BrokerdPosition


class SyncProgress(Struct, frozen=True, kw_only=True, tag="sync_progress"):
    """How far an account's trades are fetched.

    Attributes:
      fqme: the market; the account, where the venue lists all markets' trades together.
      seen: trades of it that the venue told so far.
      booked: of them, those that weren't in the ledger.
      time_ns: of the newest, by the venue.
      nth: number of the list, from 1.
      markets: how many there are.
    """

    fqme: str
    seen: int
    booked: int
    time_ns: int
    nth: int
    markets: int


class SyncDone(Struct, frozen=True, kw_only=True, tag="sync_done"):
    """All trades of an account are in its ledger.

    Attributes:
      seen: trades that the venue told.
      booked: of them, those that weren't there.
      trades: in the ledger now.
      positions: of the ledger, those that aren't flat.
      balances: of assets, as the venue has them, what orders hold included.
      traded: of assets, by how much the trades of the ledger changed them, fees too.
      otherwise: of assets, what the venue has beyond that, where there is any: paid in
        or out, of trades before the ledger, of what a venue rounds.
      unlisted: markets of the ledger that the venue has no more: not in *traded*.
      is_moving: trades went on while it looked: *otherwise* may be off by the last.
    """

    seen: int
    booked: int
    trades: int
    positions: tuple[BrokerdPosition, ...]
    balances: dict[str, Decimal]
    traded: dict[str, Decimal]
    otherwise: dict[str, Decimal]
    unlisted: tuple[str, ...] = ()
    is_moving: bool = False


class Resting(Struct, frozen=True, kw_only=True):
    """An order that is open at a venue, whoever placed it.

    Attributes:
      bs_mktid: its market, as the venue spells it.
      reqid: the venue's id.
      side: which way.
      price: limit, 0 of a market order.
      size: whole size.
      filled: of it.
    """

    bs_mktid: str
    reqid: str
    side: Literal["buy", "sell"]
    price: Decimal
    size: Decimal
    filled: Decimal


class AllEnded(Struct, frozen=True, kw_only=True):
    """What became of ending all open orders of an account.

    Attributes:
      ended: how many there were that aren't open any more.
      resting: those that still are, as far as the venue has told.
      fault: why what rests isn't known, or why it does; empty if none does.
    """

    ended: int
    resting: tuple[Resting, ...] = ()
    fault: str = ""


class AccountCheck(Struct, frozen=True, kw_only=True):
    """What became of looking at an account.

    Attributes:
      account: full name.
      fault: why it can't be used, empty if it can.
      warnings: what is unsafe about its key, a sentence each.
      may_trade: whether its key may.
      may_withdraw: likewise.
      clock_off_s: by how much the venue's clock is ahead of this machine's.
      balances: of assets.
    """

    account: str
    fault: str = ""
    warnings: tuple[str, ...] = ()
    may_trade: bool = False
    may_withdraw: bool = False
    clock_off_s: float = 0.0
    balances: dict[str, Decimal]
