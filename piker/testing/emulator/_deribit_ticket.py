"""Orders and trades of accounts, with what only Deribit has of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ._deribit_series import Deal
from ._exchange import Event, Order, Trade


@dataclass(eq=False)
class Ticket(Order):
    """An order, and what only this venue has of it.

    Attributes:
      trigger: price that it waits for: ``last_price``, ``mark_price`` ...
      takes: it waits for a better price, not for a worse one.
      lasts: its time in force, in the venue's words.
      reduce_only: it may make a position smaller only.
      rejects: it is refused where a post-only order would trade.
      is_replaced: it was edited.
      is_triggered: its price came.
    """

    trigger: str = ""
    takes: bool = False
    lasts: str = "good_til_cancelled"
    reduce_only: bool = False
    rejects: bool = False
    is_replaced: bool = False
    is_triggered: bool = False


@dataclass(frozen=True)
class Fill:
    """What is known of an account's trade besides the trade.

    Attributes:
      trade: of the engine.
      deal: as all are told of it.
      made: profit that it took, settlement coins.
    """

    trade: Trade
    deal: Deal
    made: Decimal


@dataclass(frozen=True)
class Trades(Event):
    """Trades of one order that are told at once; the event is the last of them.

    Attributes:
      trades: all of them.
    """

    trades: tuple[Trade, ...] = ()
