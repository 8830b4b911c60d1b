"""The emulated matching engine: priority, money, rules; nothing made, nothing lost."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from piker.testing.emulator._exchange import Exchange, Order, Refused, Rules
from piker.testing.emulator._fees import Fees

D = Decimal
RULES = Rules(
    symbol="BTCUSDT", base="BTC", quote="USDT", tick=D("0.01"), step=D("0.00001"),
    least=D("0.00001"), most=D(9000), notional=D(5),
)  # fmt: skip


class Bench:
    def __init__(self, **more) -> None:
        self.told = []
        self.now = 1000
        self.exchange = Exchange(self.told.append, lambda: self.now, **more)
        self.exchange.list_market(RULES)
        for account in ("a", "b"):
            self.exchange.deposit(account, "USDT", D(100_000))
            self.exchange.deposit(account, "BTC", D(10))

    def place(self, side, price, size, account="a", **more) -> Order:
        price = None if price is None else D(str(price))
        kind = more.pop("kind", "limit" if price is not None else "market")
        order = Order(
            0, account, "BTCUSDT", side, kind, D(str(size)), price, **more
        )  # fmt: skip
        return self.exchange.place(order)

    def quote(self, side, price, size) -> None:
        self.exchange.quote("BTCUSDT", side, D(str(price)), D(str(size)))

    def outside(self, side, price, size) -> None:
        self.exchange.outside("BTCUSDT", side, D(str(price)), D(str(size)))

    def money(self, account="a"):
        return {
            asset: (f"{each.free.normalize():f}", f"{each.held.normalize():f}")
            for asset, each in self.exchange.balances[account].items()
        }

    def whats(self):
        return [event.what for event in self.told]


@pytest.fixture
def bench():
    return Bench()


def test_what_rests_is_taken_by_price_and_then_time(bench):
    late = bench.place("buy", 100, 1)
    best = bench.place("buy", 101, 1, account="b")
    later = bench.place("buy", 100, 1, account="b")
    bench.outside("sell", 100, "2.5")
    assert (best.state, late.state, later.filled) == ("filled", "filled", D("0.5"))
    assert [each.price for each in bench.exchange.trades] == [D(101), D(100), D(100)]
    assert all(each.is_maker for each in bench.exchange.trades)


def test_money_is_held_while_an_order_is_open_and_paid_as_it_trades(bench):
    order = bench.place("buy", 100, 1)
    assert bench.money() == {"USDT": ("99900", "100"), "BTC": ("10", "0")}
    bench.outside("sell", 100, "0.25")
    assert bench.money()["USDT"] == ("99900", "75")
    assert bench.money()["BTC"] == ("10.24975", "0")  # less a fee of 0.1 %
    bench.exchange.cancel(order)
    assert bench.money()["USDT"] == ("99975", "0")


def test_a_taker_gets_the_price_that_rests(bench):
    bench.quote("sell", 100, "0.5")
    order = bench.place("buy", 110, 1)
    assert (order.filled, order.paid, order.state) == (D("0.5"), D(50), "open")
    assert bench.money()["USDT"] == ("99895", "55")


@pytest.mark.parametrize(
    ("asked", "state", "filled"),
    [
        ({"tif": "ioc"}, "expired", "0.5"),
        ({"tif": "fok"}, "expired", "0"),
        ({"tif": "fok", "size": "0.5"}, "filled", "0.5"),
        ({"price": None}, "expired", "0.5"),
    ],
)
def test_what_does_not_rest(bench, asked, state, filled):
    bench.quote("sell", 100, "0.5")
    order = bench.place(**{"side": "buy", "price": 100, "size": 1, **asked})
    assert (order.state, order.filled) == (state, D(filled))
    assert bench.money()["USDT"][1] == "0"


def test_a_stop_waits_until_it_is_reached(bench):
    bench.outside("buy", 100, 1)
    bench.quote("sell", 105, 5)
    stop = bench.place("buy", None, 1, kind="stop", stop=D(103))
    assert (stop.state, bench.money()["USDT"][1] != "0") == ("waiting", True)
    bench.quote("buy", 99, 1)
    bench.outside("sell", 99, 1)
    assert stop.state == "waiting"
    other = bench.place("sell", 104, 1, account="b")
    bench.outside("buy", 104, 1)
    assert (other.state, stop.state) == ("filled", "filled")
    assert bench.whats().count("triggered") == 1
    with pytest.raises(Refused, match="would_trigger"):
        bench.place("buy", None, 1, kind="stop", stop=D(100))


def test_one_does_not_trade_with_oneself():
    newest = Bench()
    newest.place("sell", 100, 1)
    order = newest.place("buy", 100, 1)
    assert (order.state, order.why) == ("expired", "self trade")
    oldest = Bench(self_trade="cancel_oldest")
    rested = oldest.place("sell", 100, 1)
    order = oldest.place("buy", 100, 1)
    assert (rested.state, order.state) == ("expired", "open")


def test_a_smaller_one_keeps_its_turn_and_another_price_does_not(bench):
    one, two = bench.place("buy", 100, 2), bench.place("buy", 100, 1, account="b")
    bench.exchange.amend(one, size=D(1))
    bench.outside("sell", 100, "0.5")
    assert (one.filled, two.filled) == (D("0.5"), 0)
    bench.exchange.amend(one, size=D(3))
    bench.outside("sell", 100, "0.5")
    assert (one.filled, two.filled) == (D("0.5"), D("0.5"))
    bench.exchange.amend(two, price=D(101))
    bench.outside("sell", 100, "0.1")
    assert two.filled == D("0.6")
    with pytest.raises(Refused, match="no more than what is filled"):
        bench.exchange.amend(two, size=D("0.6"))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"price": "100.001"}, "tick"), ({"size": "0.000001"}, "lot"),
        ({"price": -1}, "price_range"), ({"price": 2_000_000}, "price_range"),
        ({"size": 9001, "side": "sell"}, "size_range"), ({"size": "0.01"}, "notional"),
        ({"size": 1001}, "funds"), ({"side": "sell", "size": 11}, "funds"),
        ({"price": 105, "post_only": True}, "post_only"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_and_leaves_nothing(bench, asked, why):
    bench.quote("sell", 104, 1)
    before = bench.money()
    with pytest.raises(Refused, match=why):
        bench.place(**{"side": "buy", "price": 100, "size": 1, **asked})
    assert bench.money() == before
    assert not bench.told


def test_a_market_that_halts_or_goes(bench):
    order = bench.place("buy", 100, 1)
    bench.exchange.halt("BTCUSDT", is_halted=True)
    with pytest.raises(Refused, match="halted"):
        bench.place("buy", 100, 1)
    bench.exchange.delist("BTCUSDT")
    assert (order.state, order.why) == ("expired", "the market was delisted")
    assert bench.money()["USDT"] == ("100000", "0")
    with pytest.raises(Refused, match="no market BTCUSDT"):
        bench.place("buy", 100, 1)


def test_an_id_is_one_open_orders(bench):
    first = bench.place("buy", 100, 1, cl_id="x")
    with pytest.raises(Refused, match="duplicate"):
        bench.place("buy", 100, 1, cl_id="x")
    bench.place("buy", 100, 1, account="b", cl_id="x")
    bench.exchange.cancel(first)
    again = bench.place("buy", 100, 1, cl_id="x")
    assert bench.exchange.by_cl_id("a", "x") is again
    with pytest.raises(Refused, match="the order is canceled"):
        bench.exchange.cancel(first)


PRICES = st.integers(9900, 10_100).map(lambda cents: D(cents) / 100)
SIZES = st.integers(1, 300_000).map(lambda lots: D(lots) / 100_000)
SIDES = st.sampled_from(["buy", "sell"])


@contextmanager
def may_be_refused(*whys):
    """Let a request be refused, but only for such a reason."""
    try:
        yield
    except Refused as err:
        if err.why not in whys:
            raise


class Chaos(RuleBasedStateMachine):
    """Whatever is asked for: money is neither made nor lost, and no book is crossed."""

    @initialize()
    def begin(self):
        self.bench = Bench(fees=Fees(D(0), D(0)))
        self.exchange = self.bench.exchange

    @rule(
        side=SIDES, price=PRICES, size=SIZES, account=st.sampled_from("ab"),
        tif=st.sampled_from(["gtc", "gtc", "ioc", "fok"]), post_only=st.booleans(),
    )  # fmt: skip
    def place(self, **asked):
        with may_be_refused("funds", "post_only", "notional"):
            self.bench.place(**asked)

    @rule(pick=st.integers(0, 50), price=PRICES, size=SIZES)
    def amend(self, pick, price, size):
        if live := self.exchange.open_orders():
            with may_be_refused("funds", "post_only", "notional", "size_range"):
                self.exchange.amend(live[pick % len(live)], size=size, price=price)

    @rule(pick=st.integers(0, 50))
    def cancel(self, pick):
        if live := self.exchange.open_orders():
            self.exchange.cancel(live[pick % len(live)])

    @rule(side=SIDES, price=PRICES, size=SIZES)
    def quote(self, side, price, size):
        self.bench.quote(side, price, size)

    @rule(side=SIDES, price=PRICES, size=SIZES)
    def outside(self, side, price, size):
        self.bench.outside(side, price, size)

    @invariant()
    def money_is_kept(self):
        for account, held in self.exchange.balances.items():
            trades = [t for t in self.exchange.trades if t.order.account == account]
            sign = {"buy": 1, "sell": -1}
            base = 10 + sum(sign[t.order.side] * t.size for t in trades)
            quote = 100_000 - sum(sign[t.order.side] * t.size * t.price for t in trades)
            assert held["BTC"].free + held["BTC"].held == base
            assert held["USDT"].free + held["USDT"].held == quote
            assert min(each.free for each in held.values()) >= 0
            live = self.exchange.open_orders(account)
            assert held["BTC"].held == sum(o.left for o in live if o.side == "sell")
            assert held["USDT"].held == sum(
                o.left * o.price for o in live if o.side == "buy"
            )

    @invariant()
    def books_are_in_order(self):
        book = self.exchange.books["BTCUSDT"]
        for place in (book.bids, book.asks):
            assert [o.rank for o in place] == sorted(o.rank for o in place)
            assert all(o.left > 0 and not o.is_over for o in place)
        if book.bids and book.asks:
            assert book.bids[0].price < book.asks[0].price
        resting = {o for o in (*book.bids, *book.asks) if o.account}
        assert resting == set(self.exchange.open_orders())


TestChaos = Chaos.TestCase
TestChaos.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(SIDES, PRICES, SIZES), max_size=20))
@settings(max_examples=40, deadline=None)
def test_events_tell_all_that_became_of_orders(asked):
    bench = Bench()
    for side, price, size in asked:
        try:
            bench.place(side, price, size, account="ab"[len(bench.told) % 2])
        except Refused:
            continue
    filled = {}
    for event in bench.told:
        if event.trade is not None:
            serial = event.order.serial
            filled[serial] = filled.get(serial, 0) + event.trade.size
            assert event.order.filled == filled[serial]
    assert all(
        order.filled == filled.get(serial, 0)
        for serial, order in bench.exchange.orders.items()
    )
