"""What an order daemon tells of its accounts, besides orders."""

from __future__ import annotations

from decimal import Decimal

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
    """

    seen: int
    booked: int
    trades: int
    positions: tuple[BrokerdPosition, ...]
    balances: dict[str, Decimal]


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
