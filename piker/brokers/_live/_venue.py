"""What a venue says of orders, in one form for all, and what its session does.

LiveDesk --place, amend, cancel, find, list--> Session --> the venue
<--OrderState, VenueTrade, LineUp, LineDown--
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol

from piker.accounting import EventType
from piker.errors import VenueError
from piker.msgs import MktPair, SentTif
from piker.types import Struct

Side = Literal["buy", "sell"]
#: ``open`` is also what waits for its trigger.
State = Literal["open", "closed", "canceled"]


class OrderRejected(VenueError):
    """The venue took it, looked at it, and did nothing."""


class OrderGone(OrderRejected):
    """There is no such order that is open."""


class FilledMeanwhile(OrderRejected):
    """It was filled in part, which it was not to be: nothing was done."""


class NotSent(VenueError):
    """Nothing was sent: the venue can't have done anything."""


class NoLine(NotSent):
    """There is no connection to send it over."""


class Unsure(VenueError):
    """Nobody knows whether it was done.

    Attributes:
      until_ns: venue time from which on it can't be done any more, if it wasn't.
    """

    until_ns: int = 0


class OrderState(Struct, frozen=True, kw_only=True):
    """An order as the venue has it.

    Attributes:
      cl_id: the client's id of it, empty if it has none.
      reqid: the venue's.
      bs_mktid: its market, as the venue spells it.
      side: which way.
      price: limit, 0 of an order without one.
      size: whole size.
      filled: of it.
      trigger: of a stop, the price from which on it counts; 0 of others.
      state: see `State`.
      time_ns: of the venue, when it changed last.
      reason: why it ended, in a few words.
    """

    cl_id: str
    reqid: str
    bs_mktid: str
    side: Side
    price: Decimal
    size: Decimal
    filled: Decimal
    state: State
    time_ns: int
    reason: str = ""
    trigger: Decimal = Decimal(0)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state != "open"


class VenueTrade(Struct, frozen=True, kw_only=True):
    """A trade of an account.

    Attributes:
      tid: the venue's id of it, unique in the account.
      reqid: its id of the order.
      cl_id: the client's, empty where a list of trades doesn't tell.
      bs_mktid: the market.
      side: which way.
      price: quote units.
      size: base units, > 0.
      fee: in *fee_asset*, > 0 if paid.
      fee_asset: as piker spells it, lower case.
      time_ns: of the venue.
      taker: whether it took what rested.
      etype: what it is, where it is no trade: *size* is 0 then, *price* and *fee* are
        those of a `Transaction`.
      has_editions: the venue corrects it by another of a later number, see
        `piker.brokers._live._mended`.
    """

    tid: str
    reqid: str
    cl_id: str = ""
    bs_mktid: str
    side: Side
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_asset: str
    time_ns: int
    taker: bool = False
    etype: EventType = "clear"
    has_editions: bool = False

    @property
    def cursor(self) -> Cursor:
        """The place right after it."""
        return Cursor(tid=self.tid, time_ns=self.time_ns)


class Cursor(Struct, frozen=True, kw_only=True):
    """Up to where a list of trades was read.

    Attributes:
      tid: the venue's id of the newest; of a ledger's row maybe one that it never gave.
      time_ns: of it, by the venue.
    """

    tid: str = ""
    time_ns: int = 0


#: Nothing of it was read.
START: Final = Cursor()


@dataclass(frozen=True)
class LineUp:
    """The line to the venue's events is up: from now on nothing is missed."""


@dataclass(frozen=True)
class LineDown:
    """It is lost; *reason* says why."""

    reason: str


VenueEvent = OrderState | VenueTrade | LineUp | LineDown


class NewOrder(Struct, frozen=True, kw_only=True):
    """An order to be placed, or what another is to be replaced with.

    Attributes:
      mkt: the market.
      cl_id: the id by which it is known.
      side: which way.
      price: limit; None of a stop without one.
      size: of this order at the venue: of an edit what is left of the whole.
      tif: how long it lives.
      post_only: it may only rest.
      trigger: of a stop, the price from which on it counts.
      reduce_only: it may only make a position smaller.
    """

    mkt: MktPair
    cl_id: str
    side: Side
    price: Decimal | None
    size: Decimal
    tif: SentTif = "gtc"
    post_only: bool = False
    trigger: Decimal | None = None
    reduce_only: bool = False


class Replaced(Struct, frozen=True, kw_only=True):
    """What became of an amend.

    Attributes:
      old: the order before, as it ended; None where it was changed in its place.
      new: the order from now on; None: the old one is gone, and there is no new one.
      reason: why there is none.
    """

    old: OrderState | None
    new: OrderState | None
    reason: str = ""


@dataclass(frozen=True)
class Permissions:
    """What a key is for.

    Attributes:
      why: it may not trade, and what would do; where the venue knows.
    """

    may_trade: bool
    may_withdraw: bool
    warnings: tuple[str, ...] = field(default=())
    why: str = ""


class Session(Protocol):
    """One account at its venue, for as long as it is open.

    What is asked for raises OrderRejected, OrderGone, NotSent or Unsure; what only
    looks raises VenueError.

    Attributes:
      account: full name, ``<broker>.<label>``.
      amends_in_place: an amend changes the order; else it ends, and another begins.
      lists_together: trades of all markets are one list; else each market has its own.
      odd_messages: how many came that couldn't be read.
    """

    account: str
    amends_in_place: bool
    lists_together: bool

    @property
    def odd_messages(self) -> int:
        """See the attributes."""

    async def run(self, tell: Callable[[VenueEvent], None]) -> None:
        """Tell what happens, for ever; LineUp and LineDown too."""

    async def place(self, order: NewOrder) -> OrderState:
        """Place an order; return it as it was right after."""

    async def amend(self, old: OrderState, order: NewOrder) -> Replaced:
        """Put an order in place of one of which nothing is filled; FilledMeanwhile."""

    async def cancel(self, order: OrderState) -> OrderState:
        """End an order; return it as it ended."""

    async def cancel_all(self, bs_mktids: Iterable[str]) -> int:
        """End all that is open, whoever placed it; return how many the venue counts.

        Asked again if it isn't answered: what is over isn't ended twice. It needs no
        line.

        Args:
          bs_mktids: where something may be open. A venue without a word for all
            markets ends what is in these.

        Raises: VenueError: some of it may have been done.
        """

    async def find(
        self, mkt: MktPair, cl_id: str, reqid: str = ""
    ) -> OrderState | None:
        """Return an order by its id, None if the venue never had it."""

    async def open_orders(self) -> list[OrderState]:
        """Return all that are open."""

    def trades(
        self, mkt: MktPair | None, after: Cursor = START
    ) -> AsyncIterator[list[VenueTrade]]:
        """Yield trades of a list, the oldest first, a page at a time.

        Args:
          mkt: whose list; None of that of all markets, see *lists_together*.
          after: up to where they are known; some of them may come again.
        """

    async def trades_of(self, mkt: MktPair, reqid: str) -> list[VenueTrade]:
        """Return the trades of one order."""

    async def newest(self, mkt: MktPair | None) -> Cursor:
        """Return the end of a list of trades."""

    async def balances(self) -> dict[str, Decimal]:
        """Return what the account has of each asset, what orders hold included."""

    async def mkt_of(self, bs_mktid: str) -> MktPair:
        """Return a market by the venue's name of it; SymbolNotFound, VenueError."""

    async def price_of(self, asset: str, quote: str) -> Decimal:
        """Return what one of an asset is worth now in another; VenueError."""

    async def permissions(self) -> Permissions:
        """Return what the key is for.

        Raises: AccountNotFound: it is none, or its secret isn't; VenueError.
        """

    def now_ns(self) -> int:
        """Return the venue's time."""
