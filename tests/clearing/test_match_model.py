"""Whatever happens, no more is filled than a venue could have, and the same again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from piker.clearing import PaperMarket, PaperRules
from piker.clearing._paper_state import dump_state, load_state
from piker.clearing._queue import Book
from piker.msgs import Tick
from tests.clearing._checker import Checker
from tests.clearing._paper import MKT, MS, order

RULES = [
    PaperRules(latency_ns=0, cancel_latency_ns=0, trade_lag_ns=0),
    PaperRules(latency_ns=5 * MS, cancel_latency_ns=2 * MS, trade_lag_ns=10 * MS),
    PaperRules(latency_ns=2 * MS, max_quote_age_ns=6 * MS),
]
oids = st.sampled_from(["a", "b", "c", "d", "e", "f"])
half_steps = st.integers(-4, 4)
lots = st.sampled_from([1, 2, 500, 1000, 1000, 2500, 9000])
sides = st.sampled_from(["buy", "sell"])


def price(steps: int) -> float:
    return 100 + steps / 2


quotes = st.tuples(
    st.just("quote"), half_steps, st.sampled_from([1, 1, 1, 2, 3, 0]), lots, lots
)
trades = st.tuples(
    st.just("trade"), half_steps, lots, st.sampled_from([-1, 1, -1, 1, 0])
)
orders = st.tuples(
    st.just("put"), oids, sides, half_steps, lots,
    st.sampled_from([{}, {}, {}, {"tif": "ioc"}, {"tif": "fok"}, {"post_only": True},
                     {"reduce_only": True}]),
)  # fmt: skip
edits = st.tuples(st.just("edit"), oids, half_steps, lots)
others = st.one_of(
    st.tuples(st.just("cancel"), oids),
    st.tuples(st.just("wait"), st.integers(0, 8)),
    st.tuples(st.sampled_from(["lose", "find", "find", "find"])),
)
scripts = st.lists(
    st.one_of(quotes, quotes, trades, trades, trades, orders, orders, edits, others),
    max_size=120,
)


class Play:
    """A script, played: its inputs to the market, and what it answers."""

    def __init__(self, rules) -> None:
        self.market = PaperMarket(MKT, rules)
        self.now_ns = 10**15
        self.tid = 0
        self.revs: dict[str, int] = {}
        self.asked: dict[str, object] = {}

    def inputs(self, script):
        """Yield each input as (method, args), its time among them."""
        yield "ticks", (self.now_ns, self._quote(0, 1, 5000, 5000))
        serial = 0
        for what, *args in script:
            self.now_ns += MS
            if what == "quote":
                yield "ticks", (self.now_ns, self._quote(*args))
            elif what == "trade":
                self.tid += 1
                at, size, side = args
                tick = Tick("trade", price(at), size / 1000, 0, self.tid, side)
                yield "ticks", (self.now_ns, [tick])
            elif what == "put":
                oid, action, at, size, fields = args
                serial += 1
                name = f"{oid}{serial}"
                self.revs[oid], self.asked[oid] = 0, (name, action, fields)
                yield "submit", (self.now_ns, self._order(oid, at, size, 0))
            elif what == "edit":
                oid, at, size = args
                if oid in self.asked:
                    self.revs[oid] += 1
                    asked = self._order(oid, at, size, self.revs[oid])
                    yield "change", (self.now_ns, asked)
            elif what == "cancel":
                if args[0] in self.asked:
                    yield "cancel", (self.now_ns, self.asked[args[0]][0])
            elif what == "wait":
                self.now_ns += args[0] * MS
                yield "advance", (self.now_ns,)
            else:
                name = "connection_lost" if what == "lose" else "connection_back"
                yield name, (self.now_ns,)

    def _quote(self, at, spread, bid_size, ask_size):
        return [
            Tick("bid", price(at), bid_size / 1000),
            Tick("ask", price(at + spread), ask_size / 1000),
        ]

    def _order(self, oid, at, size, rev):
        name, action, fields = self.asked[oid]
        return order(
            name, action, str(price(at)), str(Decimal(size) / 1000), rev=rev, **fields
        )


def give(market, method, args):
    return getattr(market, method)(*args)


#: An order takes, and is edited away, before it is told of either.
EDITED_AWAY = [
    ("quote", 0, 1, 1, 1), ("put", "a", "sell", 0, 2, {}), ("edit", "a", 1, 2),
    ("wait", 4),
]  # fmt: skip


@pytest.mark.parametrize("rules", RULES)
@settings(max_examples=400)
@example(script=EDITED_AWAY)
@given(script=scripts)
def test_no_more_is_filled_than_a_venue_could_have(rules, script):
    play, checker = Play(rules), Checker()
    for method, args in play.inputs(script):
        if method == "connection_back":
            was_down = checker.is_down
            answers = give(play.market, method, args)
            checker.step([], answers)
            if was_down:
                checker.find()
            continue
        if method == "submit" and args[1].reduce_only:
            checker.reducers.add(args[1].oid)
        answers = give(play.market, method, args)
        checker.step(args[1] if method == "ticks" else [], answers)
        if method == "connection_lost":
            checker.lose()
        check_consistent(play.market, checker)


def check_consistent(market, checker):
    """What the market holds is what it said."""
    state = market.state
    assert MKT.size_tick * state.position == checker.position
    resting = {
        oid
        for book in state.books.values()
        for groups in book.levels.values()
        for group in groups
        for oid in group.oids
    }
    told = {each.oid: each for each in market.open_orders()}
    assert resting | set(state.unsettled) >= set(checker.orders)
    assert not resting & set(state.unsettled)
    for oid, one in checker.orders.items():
        assert told[oid].filled == one.filled
        if told[oid].status == "open":  # else an edit waits for the market
            assert told[oid].remaining == one.size - one.filled > 0
    for book in state.books.values():
        assert book.keys == sorted(book.levels)
        assert all(
            groups and all(g.oids for g in groups) for groups in book.levels.values()
        )


@pytest.mark.parametrize("rules", [RULES[1], replace(RULES[1], slippage_ticks=1)])
@settings(max_examples=200)
@given(script=scripts, cut=st.integers(0, 120))
def test_the_same_inputs_give_the_same_again_also_by_another_that_took_over(
    rules, script, cut
):
    play = Play(rules)
    inputs = list(play.inputs(script))
    first = [give(play.market, *each) for each in inputs]
    again = PaperMarket(MKT, rules)
    second = []
    for i, each in enumerate(inputs):
        if i == cut:
            again = PaperMarket(MKT, rules, state=load_state(dump_state(again.state)))
        second.append(give(again, *each))
    assert msgspec.msgpack.encode(second) == msgspec.msgpack.encode(first)
    assert dump_state(again.state) == dump_state(play.market.state)


def test_the_checker_can_fail(monkeypatch):
    """An engine that forgets the queue is found out."""
    honest = Book.join

    def at_the_front(self, key, oid, now_ns, *, is_fresh):
        honest(self, key, oid, now_ns, is_fresh=is_fresh)
        self.levels[key][-1].ahead = 0

    monkeypatch.setattr(Book, "join", at_the_front)
    script = [("put", "a", "buy", 0, 1000, {}), ("trade", 0, 1000, -1)]
    play, checker = Play(RULES[0]), Checker()
    with pytest.raises(AssertionError):
        for method, args in play.inputs(script):
            answers = give(play.market, method, args)
            checker.step(args[1] if method == "ticks" else [], answers)
