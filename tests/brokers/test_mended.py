"""Trades that a venue tells anew: a fee that comes late, a correction."""

from __future__ import annotations

import secrets
from decimal import Decimal

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec.structs import replace

from piker import config
from piker.accounting import Transaction, open_ledger, read_ledger
from piker.accounting._audit import recount
from piker.brokers._live._desk import LiveDesk
from piker.brokers._live._mended import editions, undone
from piker.brokers._live._venue import VenueTrade
from piker.brokers.kraken._listing import make_mkt
from piker.msgs import BrokerdFill, BrokerdPosition

D = Decimal
MKT = make_mkt("XBT/USDT", D("0.1"), D("1e-8"))
ACCOUNT = "kraken.main"


class Silent:
    """A session that knows one market, and nothing else."""

    account, lists_together, amends_in_place, odd_messages = ACCOUNT, True, True, 0

    async def mkt_of(self, bs_mktid):
        assert bs_mktid == MKT.bs_mktid
        return MKT


def trade(edition=1, size="2", price="100", fee="0", **more) -> VenueTrade:
    return VenueTrade(
        tid=f"0000e0d5.5f1a.01.{edition:02d}", reqid="77", bs_mktid=MKT.bs_mktid,
        side="buy", size=D(size), price=D(price), fee=D(fee), fee_asset="usdt",
        time_ns=edition, **{"has_editions": True, **more},
    )  # fmt: skip


class Booked:
    """A desk whose ledger is looked at; each page comes to a new one."""

    def __init__(self, ledger) -> None:
        self.told: list = []
        self.filled: dict[str, Decimal] = {}
        self.ledger = ledger

    def book(self, *trades: VenueTrade) -> None:
        trio.run(self._book, trades)

    async def _book(self, trades) -> None:
        desk = LiveDesk("kraken", Silent(), self.ledger, None)
        desk.tell = self.told.extend
        await desk._book(trades)
        self.filled = dict(desk._books.filled)
        again = LiveDesk("kraken", Silent(), self.ledger, None)
        assert again._books.filled == desk._books.filled

    @property
    def position(self):
        return self.ledger.positions()[MKT.fqme]


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


@pytest.fixture
def booked():
    with open_ledger("kraken", ACCOUNT) as ledger:
        yield Booked(ledger)


def test_a_fee_that_comes_late_is_booked_by_itself_once(booked):
    booked.book(trade())
    assert booked.position.fees == 0
    booked.book(trade(fee="1.5"))
    booked.book(trade(fee="1.5"), trade())
    assert [txn.etype for txn in booked.ledger.txns] == ["clear", "fee"]
    assert (booked.position.fees, booked.position.size) == (D("1.5"), 2)
    fills = [one for one in booked.told if isinstance(one, BrokerdFill)]
    positions = [one for one in booked.told if isinstance(one, BrokerdPosition)]
    assert len(fills) == 1
    assert [one.fees for one in positions] == [0, D("1.5")]


def test_a_trade_that_has_its_fee_gets_no_other(booked):
    booked.book(trade(fee="1"))
    booked.book(trade(fee="2"))
    assert booked.position.fees == 1
    assert len(booked.ledger) == 1


def test_a_correction_undoes_what_was_booked(booked):
    booked.book(trade())
    booked.book(trade(fee="1"))
    booked.book(trade(2, size="3", price="101", fee="2"))
    booked.book(trade(1), trade(2, size="3", price="101", fee="2"))
    assert [txn.size for txn in booked.ledger.txns] == [2, 0, -2, 0, 3]
    held = booked.position
    assert (held.size, held.ppu, held.fees) == (3, 101, 2)
    assert booked.filled == {"77": 3}
    # it is no fill of an order, whoever asks
    assert all(txn.oid == "" for txn in booked.ledger.txns[2:])
    booked.book(trade(3, size="1", price="101"))
    assert booked.position.size == 1
    assert booked.filled == {"77": 1}


def test_of_editions_that_come_together_the_newest_counts(booked):
    booked.book(trade(2, size="3"), trade(1))
    booked.book(trade(1))
    assert [txn.size for txn in booked.ledger.txns] == [3]


def test_ids_that_only_look_like_editions_are_none(booked):
    booked.book(trade(1, has_editions=False))
    booked.book(trade(2, has_editions=False))
    assert booked.position.size == 4
    assert editions("BTCUSDT-5") == editions("a.1") == editions("a.x1") == ((), ())
    older, newer = editions("a.02")
    assert older == ("a.01",)
    assert (newer[0], newer[-1], len(newer)) == ("a.03", "a.99", 97)


TOLD = st.builds(
    trade, st.integers(1, 4), st.sampled_from(["1", "2.5"]), st.just("10"),
    st.sampled_from(["0", "0.5"]),
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=st.lists(st.lists(TOLD, min_size=1, max_size=3), max_size=6))
def test_in_whatever_order_they_come_one_edition_is_held(pages):
    account = f"kraken.t{secrets.token_hex(4)}"
    with open_ledger("kraken", account) as ledger:
        booked = Booked(ledger)
        for page in pages:
            booked.book(*page)
        told = [one for page in pages for one in page]
        if not told:
            return
        last = max(one.tid for one in told)
        sizes = {one.size for one in told if one.tid == last}
        assert booked.position.size in sizes
        assert booked.position.fees in (0, D("0.5"))
        assert booked.filled == {"77": booked.position.size}
    assert read_ledger("kraken", account).positions()[MKT.fqme].size in sizes


def test_the_fee_of_what_was_corrected_is_not_booked_any_more(booked):
    booked.book(trade())
    booked.book(trade(2))
    booked.book(trade(1, fee="5"))
    assert booked.position.fees == 0


def delivery(price: str, at: int) -> VenueTrade:
    return VenueTrade(
        tid="log-xbt-7", reqid="", bs_mktid=MKT.bs_mktid, side="buy", size=D(0),
        price=D(price), fee=D("0.5"), fee_asset="usdt", time_ns=at, etype="expiry",
    )  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)), st.lists(st.sampled_from([-3, -1, 2, 5]), max_size=3))
def test_trades_of_before_a_contracts_end_may_be_booked_after_it(order, sizes):
    """In whatever order they come nothing is held, and as much is earned."""
    told = [
        replace(
            trade(size=str(abs(size)), price=str(90 + 7 * nth), fee="0.25"),
            tid=str(nth), side="buy" if size > 0 else "sell", time_ns=nth + 1,
            has_editions=False,
        )
        for nth, size in enumerate(sizes)
    ]  # fmt: skip
    told.append(delivery("120", at=100))
    with open_ledger("kraken", f"kraken.{secrets.token_hex(6)}") as ledger:
        desk = Booked(ledger)
        for nth in order:
            if nth < len(told):
                desk.book(told[nth])
                desk.book(told[nth])
        held = desk.position
        assert held.is_flat
        assert held.realised == sum(
            size * (120 - (90 + 7 * nth)) - D("0.25") for nth, size in enumerate(sizes)
        ) - D("0.5")  # fmt: skip
        again = recount(ledger.txns)[MKT.fqme]
        assert again.size == 0
        assert abs(again.realised - held.realised) < D("1e-30")  # it divides by thirds


def test_a_trade_of_after_the_end_is_none_of_it(booked):
    booked.book(delivery("120", at=1))
    booked.book(trade(2))
    assert booked.position.size == 2


def test_a_contract_goes_on_in_the_units_that_it_was_booked_in(booked):
    """A report was imported before, in dollars; the venue tells cents."""
    before = Transaction(
        tid="r", fqme=MKT.fqme, size=D(1), price=D("0.9"), time_ns=1,
        multiplier=D(100), bs_mktid=MKT.bs_mktid,
    )  # fmt: skip
    booked.ledger.append(before)
    booked.book(trade())
    booked.book(trade(2, price="110"))
    assert [txn.price for txn in booked.ledger.txns] == [D("0.9"), 1, 1, D("1.1")]
    held = booked.position
    assert (held.size, held.multiplier) == (3, 100)


def test_the_fee_of_what_was_cancelled_is_not_booked_any_more(booked):
    booked.book(trade())
    (gone,) = undone(trade().tid, "502", 2, booked.ledger)
    booked.ledger.append(gone)
    booked.book(trade(1, fee="5"))
    assert (booked.position.size, booked.position.fees) == (0, 0)
    assert undone(trade().tid, "503", 2, booked.ledger) == []
