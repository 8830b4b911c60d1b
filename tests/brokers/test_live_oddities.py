"""What a live account meets seldom: markets that are gone, other kinds, old errors."""

from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal

import pytest
import trio
from msgspec.structs import replace

from piker import log as piker_log
from piker.accounting import Transaction, open_ledger, read_ledger
from piker.brokers._live._live_order import LiveOrder
from piker.brokers._live._reconcile import Known
from piker.brokers._live._secrets import Secret
from piker.brokers._live._sync import LATE_S, Looker
from piker.brokers._live._venue import OrderGone, OrderRejected, OrderState
from piker.brokers._live._work import OrderWork
from piker.brokers.binance import _orders as binance_orders
from piker.brokers.kraken._listing import make_mkt
from piker.errors import OrderRefused, UsageError, VenueUnreachable
from piker.log import redact
from piker.msgs import PAPER, BrokerdOrder
from tests.brokers._live import (
    BINANCE,
    KRAKEN,
    live_trading,
    open_live,
    order,
    secrets_of,
    write_secrets,
)  # fmt: skip
from tests.cli import _cli

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


@pytest.mark.tree
async def test_an_account_that_is_shut_is_felt_by_no_other(open_test_pikerd):
    async with open_live(open_test_pikerd) as live:
        await live.venue.open_account("cold", "key-2", "secret-2", may_trade=False)
        await live.venue.open_account("held", "key-3", "secret-3")
        write_secrets(
            secrets_of(BINANCE, live.key, live.secret)
            + '[binance.accounts.cold]\nkey = "key-2"\nsecret = "secret-2"\n'
            + '[binance.accounts.held]\nkey = "key-3"\nsecret = "secret-3"\n'
        )
        with open_ledger("binance", "binance.held"):  # as another process would
            async with live_trading() as me:
                for label, words in (("cold", "may not trade"), ("held", "ledger")):
                    asked = replace(order(58_000), account=f"binance.{label}")
                    with pytest.raises(OrderRefused, match=words):
                        await me.client.send(asked)
                rests = order(58_000, "0.5")
                await me.client.send(rests)
                await me.until(resp="open", oid=rests.oid)
                await me.client.cancel(rests.oid)
                await me.until(resp="canceled", oid=rests.oid)


@pytest.mark.tree
async def test_an_account_that_is_shut_is_open_once_it_can_be_used(open_test_pikerd):
    """Nobody has to start anything anew: what rests there is looked after again."""
    async with open_live(open_test_pikerd) as live:
        for label in ("held", "wrong"):
            await live.venue.open_account(
                label, f"{label}-key", "the-one", USDT="10000"
            )

        def tell(secret: str) -> None:
            write_secrets(
                secrets_of(BINANCE, live.key, live.secret)
                + '[binance.accounts.held]\nkey = "held-key"\nsecret = "the-one"\n'
                f'[binance.accounts.wrong]\nkey = "wrong-key"\nsecret = "{secret}"\n'
            )

        async def until_taken(me, label: str) -> None:
            with trio.fail_after(20):
                while True:
                    asked = replace(order(58_000), account=f"binance.{label}")
                    try:
                        await me.client.send(asked)
                    except OrderRefused:
                        await trio.sleep(0.2)
                    else:
                        break
            await me.until(resp="open", oid=asked.oid)
            await me.client.cancel(asked.oid)
            await me.until(resp="canceled", oid=asked.oid)

        tell("another-one")
        held = ExitStack()
        held.enter_context(open_ledger("binance", "binance.held"))
        async with live_trading() as me:
            rests = order(58_000, "0.5")
            await me.client.send(rests)
            await me.until(resp="open", oid=rests.oid)
            for label, words in (("held", "ledger"), ("wrong", "key")):
                asked = replace(order(58_000), account=f"binance.{label}")
                with pytest.raises(OrderRefused, match=words):
                    await me.client.send(asked)
            held.close()
            await until_taken(me, "held")
            assert set(me.client.accounts) == {"binance.main", "binance.held", PAPER}
            # an answer that doesn't come opens nothing that was refused before
            gone = {"status": 503, "count": 0, "path": "/sapi"}
            await live.venue.fault("http", **gone)
            tell("another-one")
            await trio.sleep(4)
            asked = replace(order(58_000), account="binance.wrong")
            with pytest.raises(OrderRefused, match="key"):
                await me.client.send(asked)
            await live.venue.clear()
            tell("the-one")
            await until_taken(me, "wrong")
            assert "binance.wrong" in me.client.accounts
            assert rests.oid in me.dialogs, "the others' orders are as they were"
        daemon = live.tree.services.service_tasks["brokerd.binance"]
        assert daemon.restarts == 0


@pytest.mark.tree
@pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=["binance", "kraken"])
async def test_trades_are_listed_behind_rows_that_the_venue_never_had(
    open_test_pikerd, at
):
    """An import wrote them; and what is listed by account needs no market named."""
    async with open_live(open_test_pikerd, at=at, embedded=False) as live:
        await live.venue.control(f"history?name=main&symbol={at.symbol}&count=120")
        told = (await live.venue.account("main"))["trades"]
        with open_ledger(at.broker, at.account) as ledger:
            ledger.append(
                Transaction(
                    tid="by-hand", fqme=at.fqme, size=Decimal(1), price=Decimal(5),
                    time_ns=1_500_000_000_000_000_000,
                )
            )  # fmt: skip
        synced = await _cli.run(
            "ledger", "sync", at.account, "--json", env=live.tree.env
        )
        assert synced.code == 0, synced.err
        assert (synced.json["seen"], synced.json["booked"]) == (len(told), len(told))
        view = read_ledger(at.broker, at.account)
        assert {txn.tid for txn in view.txns} == {"by-hand", *map(at.tid, told)}


async def test_an_order_that_its_venue_has_forgotten_is_not_asked_for_for_ever(
    autojump_clock,
):
    forgetful = Forgetful()
    live = LiveOrder(
        BrokerdOrder(
            oid="a", rev=0, account="binance.main", time_ns=0, symbol="btcusdt.spot",
            action="buy", price=Decimal(1), size=Decimal(1),
        ),
        make_mkt("XBT/USDT", Decimal("0.1"), Decimal("0.1")),
    )  # fmt: skip
    with pytest.raises(OrderRejected, match="doesn't know the order any more.*7"):
        await OrderWork(forgetful).cancel(live, STATE)
    assert 20 < forgetful.asked < 120


class Forgetful:
    """A session of a venue that knows no order."""

    amends_in_place, asked = False, 0

    def now_ns(self) -> int:
        return 0

    async def cancel(self, _state):
        raise OrderGone("there is none")

    async def find(self, _mkt, _cl_id, _reqid=""):
        self.asked += 1


STATE = OrderState(
    cl_id="a-0", reqid="7", bs_mktid="BTC/USDT", side="buy", price=Decimal(1),
    size=Decimal(1), filled=Decimal(0), state="open", time_ns=0,
)  # fmt: skip


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
