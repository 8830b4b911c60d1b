"""Requests of an account that can't be looked at: each is answered all the same."""

from __future__ import annotations

from decimal import Decimal

import trio
import trio.testing

from piker import config
from piker.accounting import Ledger, open_ledger
from piker.brokers._live import _desk
from piker.brokers._live._desk import LiveDesk
from piker.errors import VenueUnreachable
from piker.msgs import BrokerdError, BrokerdOrder, Reconcile

ACCOUNT = "kraken.main"


class Deaf:
    """A session of a venue that can't be reached."""

    account, lists_together, amends_in_place, odd_messages = ACCOUNT, True, True, 0

    async def run(self, tell):
        await trio.sleep_forever()

    async def open_orders(self):
        raise VenueUnreachable("kraken is away")


async def _find(fqme):
    raise AssertionError(f"nobody asks for {fqme}")


def order(oid: str) -> BrokerdOrder:
    return BrokerdOrder(
        oid=oid, rev=0, account=ACCOUNT, time_ns=1, symbol="xbtusdt.spot", action="buy",
        price=Decimal(100), size=Decimal(1),
    )  # fmt: skip


def test_an_order_before_the_first_look_has_an_answer(tmp_path, monkeypatch):
    """It would be pending until another daemon sends it, however much later."""
    monkeypatch.setattr(_desk, "_SETTLE_S", 0.05)
    told: list = []
    gone: list = []

    async def ask(ledger: Ledger) -> None:
        desk = LiveDesk("kraken", Deaf(), ledger, _find)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(desk.run)
            await trio.testing.wait_all_tasks_blocked()
            asked = Reconcile(account=ACCOUNT, after_seq=0, oids=(), orders={})
            desk.ask(asked, gone.extend)
            desk.ask(order("a"), gone.extend)
            desk.let_go()  # who asked has left: nobody hears of it
            await trio.sleep(0.1)
            desk.ask(asked, told.extend)
            desk.ask(order("b"), told.extend)
            with trio.fail_after(20):
                while not told:
                    await trio.sleep(0.01)
            tasks.cancel_scope.cancel()

    dirs = config.Dirs.under(tmp_path)
    with config.use_dirs(dirs), open_ledger("kraken", ACCOUNT) as ledger:
        trio.run(ask, ledger, clock=trio.testing.MockClock(autojump_threshold=0))
    (refused,) = told
    assert isinstance(refused, BrokerdError)
    assert refused.oid == "b"
    assert "isn't reconciled yet: kraken is away" in refused.reason
    assert gone == []
