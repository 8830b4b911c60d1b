"""Accounts of an emulated venue: keys, money, who hears of what, and what goes wrong.

    tape --follow--> Exchange <--requests-- [the venue's private side] <-- a client
                        `--events--> Accounts --told, late, twice ...--> its streams

Tests open accounts and look into them through control paths, which no fault strikes::

    POST /_emulator/account {"name": "main", "key": ..., "secret": ..., "money": {...}}
    GET  /_emulator/account?name=main      its money, orders and trades
    POST /_emulator/outside {"symbol": "BTCUSDT", "side": "sell", ...}
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec
import trio

from ._core import Core
from ._exchange import (
    Event,
    Exchange,
    Level,
    Order,
    Rules,
    Side,
)
from ._faults import Told
from ._listing import Listed
from ._tape import LOTS, Item, Print

_MOST: Final = Decimal(9000)


class Account(msgspec.Struct, kw_only=True):
    """An account and its key, as a test opens it.

    Attributes:
      name: of the account.
      key: of the API.
      secret: that signs.
      may_trade, may_withdraw: what the key is for.
      money: what it has, by asset.
    """

    name: str
    key: str
    secret: str
    may_trade: bool = True
    may_withdraw: bool = False
    money: dict[str, Decimal] = {}


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else's order: takes what there is up to a price, or rests as the best.

    Attributes:
      symbol: as the exchange knows it.
      rests: it is the best of its side from now on, in place of the one before.
    """

    symbol: str
    side: Side
    price: Decimal
    size: Decimal
    rests: bool = False


#: What an account's stream is told of an event, once its time has come.
Hear = Callable[[Event], None]


@dataclass(eq=False)
class Accounts:
    """All accounts of one venue.

    Attributes:
      exchange: where their orders are; a venue sets its fees and what it does of an
        account that trades with itself.
      keys: by API key.
      hears: who is told of an account's events.
      is_still: what the tape says moves nothing here.
    """

    core: Core
    keys: dict[str, Account] = field(default_factory=dict)
    hears: dict[str, list[Hear]] = field(default_factory=dict)
    is_still: bool = False
    exchange: Exchange = field(init=False)
    _wake: trio.Event = field(default_factory=trio.Event)
    _due: deque[Event] = field(default_factory=deque)
    _kept: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange = Exchange(self._told, self.now_ms)

    def now_ms(self) -> int:
        """Return the venue's time, without what its clock is told to be off by."""
        return self.core.clock_ns() // 1_000_000

    def list_markets(self, listed: dict[str, Listed]) -> None:
        """List markets, by the names that the exchange knows them by."""
        for symbol, one in listed.items():
            self.exchange.list_market(
                Rules(
                    symbol=symbol,
                    base=one.base,
                    quote=one.quote,
                    tick=one.price_tick,
                    step=one.size_tick,
                    least=one.size_tick,
                    most=_MOST,
                    notional=Decimal(5),
                )
            )

    # -- the tape -----------------------------------------------------------------

    def follow(self, symbol: str, item: Item) -> None:
        """Have what the tape says happen in the book of a market."""
        if not self.keys or self.is_still or symbol not in self.exchange.books:
            return  # nobody could tell
        if isinstance(item, Print):
            side: Side = "sell" if item.side < 0 else "buy"
            size = Decimal(item.size) / LOTS
            self.exchange.outside(symbol, side, self._price(symbol, item.price), size)
            return
        bid = self._level(symbol, item.bid, item.bid_size)
        ask = self._level(symbol, item.ask, item.ask_size)
        self.exchange.quotes(symbol, bid, ask)

    def _level(self, symbol: str, price: float, size: float) -> Level | None:
        step = self.exchange.books[symbol].rules.step
        lots = Decimal(repr(size)) // step * step
        return (self._price(symbol, price), lots) if price > 0 else None

    def _price(self, symbol: str, price: float) -> Decimal:
        return Decimal(repr(price)).quantize(self.exchange.books[symbol].rules.tick)

    # -- events -------------------------------------------------------------------

    def _told(self, event: Event) -> None:
        """Take an event; it is told by `run`, in order, but for faults."""
        fault = self.core.faults.private(Told, event.what)
        match fault.how if fault else "":
            case "lost":
                return
            case "twice":
                self._put(event, event)
            case "late" if fault:
                self._late.start_soon(self._tell_late, fault.seconds, event)
            case "swapped":  # told after the next one
                self._kept.append(event)
                return
            case _:
                self._put(event)
        self.release()

    def release(self) -> None:
        """Tell what was kept, to be told after the next one."""
        kept, self._kept = self._kept, []
        self._put(*kept)

    def _put(self, *events: Event) -> None:
        self._due.extend(events)
        self._wake.set()

    async def _tell_late(self, seconds: float, event: Event) -> None:
        await trio.sleep(seconds)
        self._put(event)

    def _next(self) -> Event:
        """Return what is to be told next."""
        return self._due.popleft()

    async def run(self) -> None:
        """Tell events, for ever."""
        async with trio.open_nursery() as self._late:
            while True:
                while self._due:
                    event = self._next()
                    for hear in tuple(self.hears.get(event.order.account, ())):
                        hear(event)
                await self._wake.wait()
                self._wake = trio.Event()

    def start(self, task: Callable[..., Any], *args: Any) -> None:
        """Have something done beside, e.g. late."""
        self._late.start_soon(task, *args)

    # -- control ------------------------------------------------------------------

    def control(  # noqa: C901, PLR0912 - a table of paths
        self, what: str, query: dict[str, str], body: bytes
    ) -> Any:
        """Do what a control path asks for; None if it isn't one of these.

        Raises: msgspec.MsgspecError; Refused; KeyError of an account that isn't there.
        """
        match what:
            case "account" if body:
                return self._open(msgspec.json.decode(body, type=Account))
            case "account":
                return self._look(query["name"])
            case "outside":
                return self._outside(msgspec.json.decode(body, type=Outside))
            case "still":
                self.is_still = query.get("on", "1") == "1"
                self.exchange.clear_quotes()  # what the tape said last is no more
            case "halt":
                self.exchange.halt(query["symbol"], is_halted=query.get("on") != "0")
            case "delist":
                self.exchange.delist(query["symbol"])
            case "revoke":
                gone = [k for k, one in self.keys.items() if one.name == query["name"]]
                for key in gone:
                    del self.keys[key]
            case "place":  # somebody at the venue's own screen
                return self._place(msgspec.json.decode(body, type=ByHand))
            case "fees":  # in a third asset
                self.exchange.fees.asset = query["asset"]
                self.exchange.fees.worth = Decimal(query["worth"])
            case "history":
                self._make_history(query["name"], query["symbol"], int(query["count"]))
            case "cancel":
                self.exchange.cancel(self.exchange.orders[int(query["serial"])])
            case _:
                return None
        return {}

    def _open(self, account: Account) -> dict[str, Any]:
        self.keys[account.key] = account
        for asset, amount in account.money.items():
            self.exchange.deposit(account.name, asset, amount)
        return {}

    def _outside(self, asked: Outside) -> dict[str, Any]:
        act = self.exchange.quote if asked.rests else self.exchange.outside
        act(asked.symbol, asked.side, asked.price, asked.size)
        return {}

    def _place(self, asked: ByHand) -> dict[str, Any]:
        order = self.exchange.place(
            Order(
                0, asked.account, asked.symbol, asked.side, "limit", asked.size,
                asked.price,
            )
        )  # fmt: skip
        return {"serial": order.serial}

    def _make_history(self, name: str, symbol: str, count: int) -> None:
        """Have an account have traded so often: bought, and sold half of it again."""
        rules = self.exchange.books[symbol].rules
        price = self.exchange.books[symbol].last or Decimal(59_000)
        begin_ms = self.now_ms() - count * 1000
        for i in range(count):
            is_buy = i % 3 != 2
            order = Order(
                10 + i, name, symbol, "buy" if is_buy else "sell", "limit",
                rules.step * (100 + i % 7), price + rules.tick * (i % 50),
                state="filled", cl_id=f"old{i}",
            )  # fmt: skip
            order.filled = order.size
            self.exchange.make_trade(order, begin_ms + i * 1000)

    def _look(self, name: str) -> dict[str, Any]:
        """Return all there is to know of an account."""
        money = self.exchange.balances.get(name, {})
        return {
            "money": {
                asset: {"free": str(one.free), "held": str(one.held)}
                for asset, one in money.items()
            },
            "orders": [
                {
                    "serial": one.serial, "symbol": one.symbol, "side": one.side,
                    "price": str(one.price), "size": str(one.size),
                    "stop": str(one.stop or 0), "filled": str(one.filled),
                    "state": one.state, "cl_id": one.cl_id,
                    "why": one.why, "heard_ns": one.heard_ns,
                }
                for one in self.exchange.orders.values()
                if one.account == name
            ],
            "trades": [
                {
                    "tid": one.tid, "serial": one.order.serial,
                    "symbol": one.order.symbol, "side": one.order.side,
                    "price": str(one.price), "size": str(one.size),
                    "fee": str(one.fee), "fee_asset": one.fee_asset,
                }
                for one in self.exchange.trades
                if one.order.account == name
            ],
        }  # fmt: skip


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """An order that its owner gives at the venue's own screen."""

    account: str
    symbol: str
    side: Side
    price: Decimal
    size: Decimal
