"""A fill that a venue counts and lists no more, as IB does after a day."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import trio

from piker import config
from piker.accounting import open_ledger
from piker.brokers._live._desk import LiveDesk
from piker.brokers._live._venue import LineUp, OrderState
from piker.msgs import BrokerdStatus, OpenOrder, Reconcile
from tests.brokers.test_mended import ACCOUNT, MKT, Silent, trade

D = Decimal


def order(state="open", **more) -> OrderState:
    return OrderState(
        cl_id="", reqid="77", bs_mktid=MKT.bs_mktid, side="buy", price=D(100),
        size=D(5), filled=D(2), state=state, time_ns=1, **more,
    )  # fmt: skip


class Forgetful(Silent):
    """Has an order that was filled in part days ago."""

    def __init__(self) -> None:
        self.listed: list = []
        self.asked = 0
        self.tell = None

    async def run(self, tell) -> None:
        self.tell = tell
        tell(LineUp())
        await trio.sleep_forever()

    async def open_orders(self):
        return [order()]

    async def newest(self, mkt):
        return trade().cursor

    async def trades(self, mkt, after):
        for page in ():
            yield page

    async def trades_of(self, mkt, reqid):
        self.asked += 1
        return self.listed


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


async def get_mkt(fqme):
    return MKT


@asynccontextmanager
async def served():
    """Have emsd ask for its order; yield the session, and what is told."""
    session, told = Forgetful(), []
    with open_ledger("kraken", ACCOUNT) as ledger:
        async with trio.open_nursery() as tasks:
            desk = LiveDesk("kraken", session, ledger, get_mkt)
            tasks.start_soon(desk.run)
            while session.tell is None:
                await trio.sleep(0.01)
            known = OpenOrder(
                rev=0, symbol=MKT.bs_fqme, action="buy", price=D(100), size=D(5),
                reqid="77",
            )  # fmt: skip
            orders = {"o": known}
            asked = Reconcile(account=ACCOUNT, after_seq=0, oids=("o",), orders=orders)
            desk.ask(asked, told.extend)
            await trio.sleep(10)
            yield session, told
            tasks.cancel_scope.cancel()


def states(told: list) -> list[str]:
    return [one.status for one in told if isinstance(one, BrokerdStatus)]


async def test_an_order_ends_though_a_fill_of_it_is_never_told(autojump_clock):
    async with served() as (session, told):
        session.tell(order("canceled"))
        await trio.sleep(5)
        assert states(told) == ["open"]  # it may only be late
        await trio.sleep(600)
        assert states(told) == ["open", "canceled"]
        (end,) = [one for one in told if getattr(one, "status", "") == "canceled"]
        assert (end.filled, end.remaining) == (2, 3)
        assert session.asked < 60


async def test_a_fill_that_is_told_late_comes_before_the_end(autojump_clock):
    async with served() as (session, told):
        session.tell(order("canceled"))
        await trio.sleep(5)
        session.listed = [trade()]
        with trio.fail_after(3600):
            while states(told) != ["open", "canceled"]:
                await trio.sleep(0.1)
        kinds = [type(one).__name__ for one in told]
        assert kinds.index("BrokerdFill") < len(kinds) - 1
