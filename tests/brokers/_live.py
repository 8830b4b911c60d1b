"""An emulated venue with an account, a tree that is led there, and who trades."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import trio

from piker import config
from piker.accounting import read_ledger
from piker.clearing import Order
from piker.files import put_whole
from piker.testing.emulator import Emulator, open_emulator
from tests.clearing._trade import Trader, trading

FQME, SYMBOL = "btcusdt.spot.binance", "BTCUSDT"
ACCOUNT = "binance.main"
BID, ASK = Decimal(59_000), Decimal(60_000)


@dataclass(frozen=True)
class At:
    """A venue with orders, and what is traded there.

    Attributes:
      fqme: the market.
      symbol: as the emulator's exchange knows it.
      account: full name.
      venue: as `open_emulator` knows it.
      conf: more lines of its table.
      fast: options of the emulator.
      money: what the account begins with.
      sim: the market of sim that its tape is of.
      worth: prices are of BTC times that, and sizes BTC's over it.
      deadline_s: of requests; a venue that is held up for a moment keeps it.
    """

    fqme: str
    symbol: str
    account: str
    venue: str
    conf: str = ""
    fast: dict = field(default_factory=dict, compare=False)
    money: dict = field(
        default_factory=lambda: {"USDT": "1000000", "BTC": "100"}, compare=False
    )
    sim: str = "btcusdt.spot.sim"
    worth: Decimal = Decimal(1)
    deadline_s: float = 4.0

    def price(self, of_btc) -> Decimal:
        """Return a price there that is as BTC's."""
        return Decimal(of_btc) * self.worth

    def size(self, of_btc) -> Decimal:
        """Return a size there that is worth as much as BTC's."""
        size = Decimal(of_btc) / self.worth
        return size.to_integral_value() if self.worth != 1 else size

    @property
    def broker(self) -> str:
        return self.account.partition(".")[0]

    def tid(self, told: dict) -> str:
        """Return a trade's id as the ledger has it."""
        if self.broker == "kraken":
            return f"T{told['tid']:05d}-P0000-KRAKEN"
        if self.broker == "deribit":
            return f"USDC-{told['tid']}"
        if self.broker == "ib":
            return f"0000e0d5.{told['serial']:08x}.{told['tid']:04x}.01"
        return f"{told['symbol']}-{told['tid']}"


BINANCE = At(FQME, SYMBOL, ACCOUNT, "binance.spot")
#: What the venue allows is far less than a test asks for in a minute.
KRAKEN = At(
    "xbtusdt.spot.kraken", "BTC/USDT", "kraken.main", "kraken.spot",
    "requests = 10000\nprivate_requests = 10000\norders = 10000\n", {"budget": 100_000},
)  # fmt: skip
#: Paid in USDC: its sizes are coins, as those of the others.
DERIBIT = At(
    "btcusdc.perp.deribit", "BTC_USDC-PERPETUAL", "deribit.main", "deribit",
    "requests = 10000\nprivate_requests = 10000\norders = 10000\n", {"budget": 100_000},
    {"USDC": "10000000", "BTC": "100"},
)  # fmt: skip
#: Shares, of which there are no halves: five hundred are as much as a coin.
IB = At(
    "tsla.nasdaq.ib", "TSLA", "ib.main", "ib.tws", "reconnect_max_s = 1.0\n", {},
    {"USD": "10000000"}, "tsla.nasdaq.sim", Decimal("0.002"),
    2.0,  # lists are waited for thrice as long
)  # fmt: skip
AT = {one.broker: one for one in (BINANCE, KRAKEN, DERIBIT, IB)}


class Live:
    """What a test has in its hands.

    Attributes:
      venue: the emulator.
      tree: the running tree.
      key, secret: of the account, made up anew each time.
      at: which venue it is.
    """

    def __init__(self, venue: Emulator, tree, key: str, secret: str, at: At) -> None:
        self.venue, self.tree, self.key, self.secret = venue, tree, key, secret
        self.at = at

    @property
    def name(self) -> str:
        """The account's at the venue: at IB its number, which it is known by."""
        return self.key if self.at.broker == "ib" else "main"

    async def told(self) -> dict:
        """Return the account's money, orders and trades, as the venue has them."""
        return await self.venue.account(self.name)

    async def outside(self, side: str, price, size, *, rests: bool = False) -> None:
        """Have somebody else trade, at a price and of a size that are as BTC's."""
        await self.venue.outside(
            self.at.symbol, side, str(self.at.price(price)), str(self.at.size(size)),
            rests=rests,
        )  # fmt: skip

    async def orders(self) -> dict[str, dict]:
        """Return the account's orders as the venue has them, by their ids there."""
        told = await self.told()
        return {one["cl_id"]: one for one in told["orders"]}

    async def check(self, me: Trader, oids: list[str]) -> None:
        """See that venue, ledger, positions and what was told agree."""
        told = await self.told()
        ledger = read_ledger(self.at.broker, self.at.account)
        theirs = {self.at.tid(one): one for one in told["trades"]}
        ours = {txn.tid: txn for txn in ledger.txns if txn.etype == "clear"}
        assert ours.keys() == theirs.keys()
        for tid, txn in ours.items():
            assert abs(txn.size) == Decimal(theirs[tid]["size"])
            assert txn.price == Decimal(theirs[tid]["price"])
        sizes = [
            Decimal(one["size"]) * (1 if one["side"] == "buy" else -1)
            for one in told["trades"]
        ]
        held = sum(sizes, Decimal(0))
        position = ledger.positions().get(self.at.fqme)
        assert (position.size if position else 0) == held
        fills = [one.fill for one in me.heard if getattr(one, "resp", "") == "fill"]
        tids = [fill.tid for fill in fills if fill.oid in oids]
        assert len(tids) == len(set(tids)), "each fill is told once"
        resting = [one for one in told["orders"] if one["state"] == "open"]
        assert len(resting) == len(me.dialogs), (resting, me.dialogs)


def order(price, size="0.01", action="buy", at=BINANCE, **more) -> Order:
    return Order(
        oid=more.pop("oid", secrets.token_hex(6)), action=action, symbol=at.fqme,
        size=at.size(size), price=None if price is None else at.price(price),
        account=at.account, **more,
    )  # fmt: skip


def write_secrets(text: str) -> Path:
    path = config.config_dir() / "brokers.toml"
    # as a whole: what is written in place is an empty file to who reads it just then
    put_whole(path, text.encode(), durable=False, mode=0o600)
    return path


@asynccontextmanager
async def open_venue(at=BINANCE, **options):
    """Yield an emulated venue with an account, where nothing moves; key and secret."""
    key, secret = secrets.token_hex(16), secrets.token_hex(32)
    if at.broker == "ib":
        key = f"DU{secrets.randbelow(9_000_000) + 1_000_000}"
    # hardly a past: to play an hour of it is most of what an emulator would do here
    options = {"sim": [at.sim], "streams": 0, "past_s": 300, **at.fast, **options}
    async with open_emulator(at.venue, **options) as venue:
        await venue.control("still")
        for side, price in (("sell", ASK), ("buy", BID)):
            told = str(at.price(price)), str(at.size(50))
            await venue.outside(at.symbol, side, *told, rests=True)
        name = key if at.broker == "ib" else "main"
        await venue.open_account(name, key, secret, **at.money)
        yield venue, key, secret


def secrets_of(at: At, key: str, secret: str) -> str:
    if at.broker == "ib":
        return f'[ib.accounts.main]\nnumber = "{key}"\n'
    return f'[{at.broker}.accounts.main]\nkey = "{key}"\nsecret = "{secret}"\n'


@asynccontextmanager
async def open_live_at(open_test_pikerd, *places: At, conf: str = "", **options):
    """Yield a tree with an account at each of several emulated venues: a Live each."""
    async with AsyncExitStack() as stack:
        venues = [await stack.enter_async_context(open_venue(at)) for at in places]
        told = "".join(
            f"{venue.conf}deadline_s = {at.deadline_s}\n{at.conf}"
            for at, (venue, *_) in zip(places, venues, strict=True)
        )
        tree = await stack.enter_async_context(
            open_test_pikerd(
                conf=f"{told}[risk]\nprice_band_pct = 0\n{conf}",
                **{"deadline_s": 180, **options},
            )
        )
        lives = [
            Live(venue, tree, key, secret, at)
            for at, (venue, key, secret) in zip(places, venues, strict=True)
        ]
        write_secrets("".join(secrets_of(one.at, one.key, one.secret) for one in lives))
        yield lives


@asynccontextmanager
async def open_live(open_test_pikerd, *, at=BINANCE, **options):
    """Yield a tree with an account at an emulated venue, where nothing moves."""
    async with open_live_at(open_test_pikerd, at, **options) as (live,):
        yield live


@asynccontextmanager
async def live_trading(at=BINANCE, deadline_s=120, **more):
    """Yield who trades live at a venue."""
    with trio.fail_after(deadline_s):
        async with trading(at.fqme, mode="live", **more) as me:
            yield me
