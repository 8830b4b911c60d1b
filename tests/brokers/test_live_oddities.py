"""What a live account meets seldom: markets that are gone, other kinds, old errors."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from piker import log as piker_log
from piker.accounting import Transaction, open_ledger, read_ledger
from piker.brokers._live._reconcile import Known
from piker.brokers._live._secrets import Secret
from piker.brokers._live._sync import LATE_S, Looker
from piker.brokers._live._venue import OrderGone
from piker.brokers.binance import _orders as binance_orders
from piker.errors import UsageError, VenueUnreachable
from piker.log import redact
from tests.brokers._live import BINANCE, KRAKEN, live_trading, open_live, order

GONE = {"binance": "dogeeur.spot.binance", "kraken": "xdgeur.spot.kraken"}


@pytest.mark.tree
@pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=["binance", "kraken"])
async def test_a_market_of_the_ledger_that_is_gone_is_in_nobodys_way(
    open_test_pikerd, at
):
    async with open_live(open_test_pikerd, at=at) as live:
        with open_ledger(at.broker, at.account) as ledger:
            ledger.append(
                Transaction(
                    tid="OLD-1", fqme=GONE[at.broker], size=Decimal(5),
                    price=Decimal("0.1"), time_ns=1_700_000_000_000_000_000,
                )
            )  # fmt: skip
        async with live_trading(at) as me:
            rests = order(58_000, "0.5", at=at)
            await me.client.send(rests)
            await me.until(resp="open", oid=rests.oid)
            await live.venue.outside(at.symbol, "sell", "58000", "50.5")
            await me.until(resp="closed", oid=rests.oid)
        daemon = live.tree.services.service_tasks[f"brokerd.{at.broker}"]
        assert daemon.restarts == 0
        held = read_ledger(at.broker, at.account).positions()
        assert held[at.fqme].size == Decimal("0.5")
        assert held[GONE[at.broker]].size == 5


async def test_a_perpetual_is_no_spot_market_of_the_same_id(monkeypatch):
    async def find(fqme):
        return None, "usdtm"

    monkeypatch.setattr(binance_orders, "find_listed", find)
    with pytest.raises(UsageError, match="spot markets only"):
        await binance_orders.BACKEND.get_mkt("btcusdt.usdtm.perp.binance")


class Asked:
    """A session that is asked; says what it was given, one after the other."""

    account = "binance.main"

    def __init__(self, *answers) -> None:
        self.answers, self.asked_at = list(answers), []

    async def open_orders(self):
        return []

    async def find(self, _mkt, _cl_id, _reqid=""):
        self.asked_at.append(trio.current_time())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_that_an_order_is_over_is_an_answer(autojump_clock):
    looker = Looker(Asked())

    async def ask():
        raise OrderGone("it is over")

    with pytest.raises(OrderGone):
        await looker.look(ask)
    assert not looker.trouble


async def test_an_order_is_absent_only_once_it_can_not_come_any_more(autojump_clock):
    """Whoever was killed a moment ago may have sent it."""
    session = Asked(VenueUnreachable("down"), None, None)
    known = Known(oid="a", newest=0, symbol="m")
    plan = await Looker(session).plan(lambda: [known], {"m": None}.__getitem__)
    assert plan.absent == ("a",)
    assert session.asked_at[-1] == LATE_S
    late = Asked(None)
    looker = Looker(late)
    await trio.sleep(LATE_S)
    plan = await looker.plan(lambda: [known], {"m": None}.__getitem__)
    assert (plan.absent, len(late.asked_at)) == (("a",), 1)


def test_logs_are_told_what_to_hide(monkeypatch):
    monkeypatch.setattr(piker_log, "_secrets", set())
    Secret("planted-in-a-url")
    assert redact("see planted-in-a-url", piker_log._secrets) == "see ***"
