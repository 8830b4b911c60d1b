"""Orders and what becomes of them: clients, emsd, brokerd and paperboi to each other.

    client --Order, Edit, Cancel--> emsd --BrokerdOrder, BrokerdCancel--> brokerd
    client <--Status, Error-------- emsd <--BrokerdOrderAck, ...Fill, ...-- brokerd

Prices, sizes and money are decimals, strings on the wire. A size is never negative but
in a position: the action says which way. The structs take any decimal: what is wrong
with an order is for emsd to say, by the order's id.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from msgspec import field
from msgspec.structs import replace

from piker.types import Struct

Action = Literal["buy", "sell", "alert"]
Side = Literal["buy", "sell"]
ExecMode = Literal["dark", "live"]
OrderType = Literal["limit", "market"]
#: Good till cancelled, till the end of the market's day, till a time; or at once: what
#: isn't filled immediately is cancelled, with ``fok`` all of it if that is any.
Tif = Literal["gtc", "day", "gtd", "ioc", "fok"]
#: What a broker is told of that: emsd ends what expires.
SentTif = Literal["gtc", "ioc", "fok"]

#: The account of every paper engine.
PAPER = "paper"


# -- client -> emsd ------------------------------------------------------------------


class Order(Struct, frozen=True, kw_only=True, tag="order"):
    """A new order or alert. Sent again with the same contents it is the same order.

    Attributes:
      oid: the client's own id, unique for ever, 1 to 64 of ``A-Za-z0-9_.:-``.
      action: ``alert`` only tells that the price was reached.
      exec_mode: ``live`` goes to the broker (the paper engine, on a paper account) at
        once; ``dark`` is held by emsd until its trigger is crossed.
      symbol: full name of the market.
      account: ``paper`` or ``<broker>.<label>``.
      size: base units, > 0; 0 of an alert.
      price: limit, quote units; of a dark order or alert without *trigger* it is the
        trigger too; None of a market order.
      brokers: where it may go; empty: the market's own broker.
      otype: a market order is sent as a limit within the price band, and never rests.
      tif: how long it lives.
      expires_ns: end of a ``gtd`` order, ns since the epoch by the market's clock.
      post_only: refuse it rather than let it take.
      reduce_only: refuse or cut what would open or flip a position.
      trigger: price at which a dark order fires, where that isn't its limit; of a live
        order at a broker's account it is a stop that the venue itself holds until then.
      trail: distance of a trailing trigger; kept for later, refused for now.
      group: name of a one-cancels-other group; kept for later, refused for now.
    """

    oid: str
    action: Action
    symbol: str
    size: Decimal
    exec_mode: ExecMode = "live"
    account: str = PAPER
    price: Decimal | None = None
    brokers: tuple[str, ...] = ()
    otype: OrderType = "limit"
    tif: Tif = "gtc"
    expires_ns: int = 0
    post_only: bool = False
    reduce_only: bool = False
    trigger: Decimal | None = None
    trail: Decimal | None = None
    group: str = ""

    @property
    def is_stop(self) -> bool:
        """Whether its venue holds it until its trigger is reached."""
        is_sent = self.exec_mode == "live" and self.action != "alert"
        return is_sent and self.trigger is not None

    @property
    def is_at_once(self) -> bool:
        """Whether it is over, filled or not, as soon as it has come to its broker."""
        if self.is_stop:
            return False
        is_market = self.otype == "market" and self.exec_mode == "live"
        return is_market or self.tif in ("ioc", "fok")


class Edit(Struct, frozen=True, kw_only=True, tag="edit"):
    """Change an order that is open, in whatever state; what is None stays.

    Attributes:
      oid: of the order.
      edit_id: the client's own id; sent again it is the same edit.
      price: new limit; of a dark order without a trigger of its own the trigger too.
      size: new whole size, what is filled already included.
      trigger: new trigger of an order that has one of its own.
    """

    oid: str
    edit_id: str
    price: Decimal | None = None
    size: Decimal | None = None
    trigger: Decimal | None = None


class Cancel(Struct, frozen=True, kw_only=True, tag="cancel"):
    """End an order, in whatever state; asked twice it is asked once.

    Attributes:
      oid: of the order.
      symbol: full name of its market, may be empty.
    """

    oid: str
    symbol: str = ""


ClientMsg = Order | Edit | Cancel


# -- emsd -> brokerd, paperboi -------------------------------------------------------


class BrokerdOrder(Struct, frozen=True, kw_only=True, tag="brokerd_order"):
    """A new order for the broker, or a change of one; the same (oid, rev) is the same.

    Attributes:
      oid: emsd's id of it, the client's.
      rev: 0 of a new order, one more with each edit; the venue's client-order-id is a
        function of *oid* and *rev*.
      account: which.
      time_ns: wall clock.
      symbol: the market's name without the broker.
      action: which way.
      price: limit, quote units; of a stop without one its trigger.
      size: whole size, base units, > 0.
      reqid: None of a new order, else the broker's id of the one to change.
      tif: how long it lives there.
      trigger: of a stop, the price from which on it counts.
      otype: ``market`` of a stop without a limit, and of nothing else.
      post_only: refuse it rather than let it take.
      reduce_only: never open or flip a position.
    """

    oid: str
    rev: int
    account: str
    time_ns: int
    symbol: str
    action: Side
    price: Decimal
    size: Decimal
    reqid: str | None = None
    tif: SentTif = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    trigger: Decimal | None = None
    otype: OrderType = "limit"


class BrokerdCancel(Struct, frozen=True, kw_only=True, tag="brokerd_cancel"):
    """End an order at the broker.

    Attributes:
      oid: emsd's id of it.
      account: which.
      time_ns: wall clock.
      reqid: the broker's id of it; None where no ack came: the broker looks by *oid*.
    """

    oid: str
    account: str
    time_ns: int
    reqid: str | None = None


def is_same(one: BrokerdOrder, other: BrokerdOrder) -> bool:
    """Tell whether two requests are one that was sent twice: they ask for the same."""
    return replace(one, time_ns=0, reqid=None) == replace(other, time_ns=0, reqid=None)


def refusal(asked: BrokerdOrder | BrokerdCancel, reason: str) -> BrokerdError:
    """Return the refusal of an order, an edit or a cancel."""
    if isinstance(asked, BrokerdCancel):
        return BrokerdError(reason=reason, request="cancel", oid=asked.oid)
    return BrokerdError(
        reason=reason,
        request="edit" if asked.rev else "order",
        oid=asked.oid,
        rev=asked.rev,
        reqid=asked.reqid or "",
        symbol=asked.symbol,
    )


def stranger_oid(account: str, reqid: str) -> str:
    """Return the id by which an order from elsewhere is known here.

    Args:
      account: which.
      reqid: the broker's id of it.
    """
    return f"{account}:{reqid}"


class OpenOrder(Struct, frozen=True, kw_only=True):
    """An order that isn't known to have ended, as a Reconcile tells it.

    Attributes:
      rev: of the last order or edit that was sent.
      symbol: the market's name without the broker.
      action: which way.
      price: limit of what was sent last, quote units.
      size: whole size of it, base units.
      reqid: the broker's id, empty if it never gave one.
      tif, post_only, trigger, otype: as they were sent.
    """

    rev: int
    symbol: str
    action: Side
    price: Decimal
    size: Decimal
    reqid: str = ""
    tif: SentTif = "gtc"
    post_only: bool = False
    trigger: Decimal | None = None
    otype: OrderType = "limit"


class Reconcile(Struct, frozen=True, kw_only=True, tag="reconcile"):
    """Say what became of orders, and which fills came after one that is known.

    Sent first on every new dialog. Answered by the fills, in order, a BrokerdStatus
    for each of *oids* and each other order that is open, then Reconciled.

    Attributes:
      account: which.
      after_seq: serial of the last fill that is known, 0 for none.
      oids: orders that aren't known to have ended.
      orders: the same by oid, told whole, for who keeps none of them.
    """

    account: str
    after_seq: int
    oids: tuple[str, ...] = ()
    orders: dict[str, OpenOrder] = field(default_factory=dict)


BrokerdRequest = BrokerdOrder | BrokerdCancel | Reconcile


# -- brokerd, paperboi -> emsd -------------------------------------------------------


class BrokerdOrderAck(Struct, frozen=True, kw_only=True, tag="ack"):
    """The broker has the order: its first answer to it, and to each edit.

    Attributes:
      oid: emsd's id of it.
      rev: which of its revisions.
      reqid: the broker's id of it.
      account: which.
    """

    oid: str
    rev: int
    reqid: str
    account: str = ""


class BrokerdStatus(Struct, frozen=True, kw_only=True, tag="brokerd_status"):
    """What state an order is in.

    Attributes:
      oid: emsd's id of it; of one that the broker has from elsewhere `stranger_oid`.
      reqid: the broker's id; empty of an order that never came there.
      status: ``unknown`` only answers Reconcile: the broker never had it.
      time_ns: wall clock.
      account: which.
      symbol: the market's name without the broker.
      action: which way.
      rev: the revision that is in force.
      price: limit in force, likewise; quote units; 0 of an order without one.
      size: whole size in force, likewise; base units.
      filled: base units so far.
      remaining: base units still open.
      reason: of what ended it, one sentence.
      trigger: of a stop, the price from which on it counts; 0 of others.
    """

    oid: str
    reqid: str
    status: Literal["pending", "open", "closed", "canceled", "unknown"]
    time_ns: int
    account: str = ""
    symbol: str = ""
    action: Side = "buy"
    rev: int = 0
    price: Decimal = Decimal(0)
    size: Decimal = Decimal(0)
    filled: Decimal = Decimal(0)
    remaining: Decimal = Decimal(0)
    reason: str = ""
    trigger: Decimal = Decimal(0)


class BrokerdFill(Struct, frozen=True, kw_only=True, tag="fill"):
    """Part of an order was executed; durable in the account's ledger before it is sent.

    Attributes:
      oid: emsd's id of the order.
      reqid: the broker's.
      tid: the broker's trade id, unique in the account: the ledger's key.
      seq: serial in the account's ledger, from 1.
      account: which.
      symbol: full name of the market.
      action: which way.
      size: base units, > 0.
      price: quote units.
      cost: fees, quote units, > 0 if paid; once.
      time_ns: wall clock at the daemon.
      broker_time_ns: of the execution, by the market's clock.
      taker: whether it took what rested.
      fee: what was paid in *fee_asset*, where that isn't what is quoted in.
      fee_asset: lower case, empty if *cost* was paid as it is.
    """

    oid: str
    reqid: str
    tid: str
    seq: int
    account: str
    symbol: str
    action: Side
    size: Decimal
    price: Decimal
    cost: Decimal
    time_ns: int
    broker_time_ns: int
    taker: bool = False
    fee: Decimal = Decimal(0)
    fee_asset: str = ""


class BrokerdError(Struct, frozen=True, kw_only=True, tag="brokerd_error"):
    """A request was refused; the order is as it was before it.

    Attributes:
      reason: one sentence.
      request: which.
      oid: emsd's id of the order.
      rev: the revision refused, where *request* isn't a cancel.
      reqid: the broker's, empty if it never took the order.
      symbol: the market's name without the broker.
    """

    reason: str
    request: Literal["order", "edit", "cancel"]
    oid: str
    rev: int = 0
    reqid: str = ""
    symbol: str = ""


class BrokerdPosition(Struct, frozen=True, kw_only=True, tag="position"):
    """What an account holds of a market.

    Attributes:
      broker: backend.
      account: which.
      symbol: full name of the market.
      size: base units, negative of a short.
      avg_price: mean entry price (ppu), quote units; 0 if flat.
      bep: price at which closing it now makes the whole of it break even; 0 if flat.
      realized: profit since it was first opened, quote units, less fees.
      fees: paid since then, quote units.
      seq: serial of the last fill in it.
      currency: the quote asset, may be empty.
    """

    broker: str
    account: str
    symbol: str
    size: Decimal
    avg_price: Decimal
    bep: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    seq: int = 0
    currency: str = ""


class Reconciled(Struct, frozen=True, kw_only=True, tag="reconciled"):
    """All of a Reconcile is answered.

    Attributes:
      account: which.
      seq: serial of the last fill there is.
    """

    account: str
    seq: int


BrokerdMsg = (
    BrokerdOrderAck
    | BrokerdStatus
    | BrokerdFill
    | BrokerdError
    | BrokerdPosition
    | Reconciled
)


class DialogInit(Struct, frozen=True, kw_only=True, tag="dialog_init"):
    """What a brokerd or paperboi starts a dialog with.

    Attributes:
      accounts: names that orders may be sent for.
      positions: of all of them, those that aren't flat.
      instance: of the process, so that a restart is told from a lost connection.
      seqs: serial of the last fill in each account's ledger, 0 of an empty one.
      shut: accounts that can't be used, and why.
    """

    accounts: tuple[str, ...]
    positions: tuple[BrokerdPosition, ...]
    instance: str
    seqs: dict[str, int]
    shut: dict[str, str] = field(default_factory=dict)


# -- emsd -> client ------------------------------------------------------------------

#: ``pending``: journaled, not acked; ``open``: rests at the broker; ``dark_open``: held
#: by emsd; ``triggered``: fired, an alert's end; ``fill``: a part was executed;
#: ``closed``: filled; ``canceled``: ended otherwise, see the reason; ``error``.
Resp = Literal[
    "pending", "open", "dark_open", "triggered", "closed", "fill", "canceled", "error"
]


class Status(Struct, frozen=True, kw_only=True, tag="status"):
    """What has become of an order; each change of it is told to every client.

    Attributes:
      seq: serial of the change in emsd's journal, rising; 0 of what isn't in it.
      time_ns: wall clock.
      oid: of the order.
      resp: what happened.
      req: the order as it is in force; None where it isn't known.
      reqid: the broker's id, once it has one.
      src: who says so: ``dark``, ``ems``, a broker, or ``paperboi``.
      filled: base units so far.
      cancel_called: a cancel is under way.
      edit_id: of the newest edit that was taken.
      reason: one sentence, of what ended or refused it, or of an odd thing about it.
      fill: the execution, of a ``fill``.
      trigger_price: of what fired it, of a ``triggered``.
    """

    seq: int
    time_ns: int
    oid: str
    resp: Resp
    req: Order | None = None
    reqid: str | None = None
    src: str = ""
    filled: Decimal = Decimal(0)
    cancel_called: bool = False
    edit_id: str = ""
    reason: str = ""
    fill: BrokerdFill | None = None
    trigger_price: Decimal | None = None


class Error(Struct, frozen=True, kw_only=True, tag="error"):
    """A request was refused; whatever order there was before is as it was.

    Attributes:
      time_ns: wall clock.
      oid: of the order it was about.
      request: which.
      reason: one sentence: what was wanted, what came, what would work.
      gate: name of the risk gate that refused it, empty of another refusal.
      edit_id: of an edit.
    """

    time_ns: int
    oid: str
    request: Literal["order", "edit", "cancel"]
    reason: str
    gate: str = ""
    edit_id: str = ""


class EmsState(Struct, frozen=True, kw_only=True, tag="ems_state"):
    """What keeps orders from being worked, and whose there may be; told as it changes.

    Attributes:
      time_ns: wall clock.
      halted: why trading is halted by command, empty if it isn't.
      down: order daemons that can't be reached now, and why; what is for them waits.
      unwatched: markets whose feed is lost, and why, while darks or alerts wait there.
      accounts: that order daemons take orders for, by the daemon's name.
    """

    time_ns: int
    halted: str
    down: dict[str, str]
    unwatched: dict[str, str]
    accounts: dict[str, tuple[str, ...]] = field(default_factory=dict)


EmsMsg = Status | Error | BrokerdPosition | EmsState


class EmsInit(Struct, frozen=True, kw_only=True, tag="ems_init"):
    """What emsd tells a client that comes, or comes back.

    Attributes:
      fqme: full name of the market it asked for, empty if it asked for none.
      accounts: that it may send orders for.
      positions: of all accounts, those that aren't flat.
      dialogs: the orders that haven't ended, each as it is now.
      missed: what was told since the serial it asked from, oldest first.
      seq: serial of the newest thing told.
      state: what keeps orders from being worked.
    """

    fqme: str
    accounts: tuple[str, ...]
    positions: tuple[BrokerdPosition, ...]
    dialogs: tuple[Status, ...]
    missed: tuple[Status, ...]
    seq: int
    state: EmsState
