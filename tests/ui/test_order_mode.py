"""Order mode: what keys and mouse come to, and that no real order is an accident."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from piker.clearing._gates import Known
from piker.clearing._prices import Prices
from piker.clearing._risk import check_edit, check_order
from piker.config import RiskConf
from piker.msgs import Edit, Status
from piker.ui._allocator import FLAT, Allocator, Lot
from piker.ui._keys import KEYS, key_for, lookup
from piker.ui._order_desk import Desk, dragged_line
from piker.ui._order_events import (
    AskLive,
    CancelAll,
    CancelOrders,
    ChangePrice,
    Chosen,
    Clicked,
    Confirmed,
    CursorMoved,
    DragBegun,
    DragEnded,
    DragMoved,
    Escaped,
    FocusLost,
    Halt,
    Pressed,
    Released,
    Say,
    SetSlots,
    Submit,
)
from piker.ui._order_lines import order_lines
from piker.ui._order_mode import Mode, mode_text, staged_line, step
from tests.clearing._orders import MKT, D, order

PAPER = Allocator(unit="units", limit=D(8), slots=4)
REAL = replace(PAPER, account="sim.main")
DESK = Desk(mkt=MKT, alloc=PAPER, accounts=("paper", "sim.main"), last_price=D(100))
ELSEWHERE = msgspec.structs.replace(MKT, venue="other")
REAL_DESK = replace(DESK, alloc=REAL)
COMBOS = ("f", "d", "a", "s", "ctrl", "o", "c", "cc", "delete", "5", "0")


class Chart:
    """Takes events by name; collects what is to be done."""

    def __init__(self, desk=DESK, mode=None):
        self.desk, self.mode = desk, mode or Mode()
        self.now_s, self.oids = 0.0, count(1)

    def do(self, *events):
        done = []
        for event in events:
            self.mode, intents = step(self.mode, event, self.desk, self._oid)
            done += intents
        return done

    def _oid(self):
        return f"o{next(self.oids)}"

    def press(self, *combos, after_s=1.0):
        self.now_s += after_s
        keys = [
            lookup("order", combo) or lookup("view", combo) or key_for(combo)
            for combo in combos
        ]
        return self.do(*(Pressed(key, self.now_s) for key in keys))

    def click(self, price="99"):
        return self.do(CursorMoved(D(price)), Clicked())


def lines_of(*statuses):
    return order_lines({each.oid: each for each in statuses}, MKT)


def open_order(oid="o1", resp="open", filled="0", cancel_called=False, **more):
    return Status(
        seq=1,
        time_ns=1,
        oid=oid,
        resp=resp,
        req=order(oid=oid, **more),
        filled=D(filled),
        cancel_called=cancel_called,
    )


def with_lines(*statuses, desk=DESK, **more):
    return replace(desk, lines=lines_of(*statuses), **more)


def said(done):
    (say,) = done
    assert isinstance(say, Say)
    return say.text


def submitted(done):
    (intent,) = done
    assert isinstance(intent, Submit)
    return intent.order


# -- staging -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("", "view"),
        ("f", "dark-buy"),
        ("d", "dark-sell"),
        ("a", "alert"),
        ("f s", "live-buy"),
        ("s d", "live-sell"),
        ("ctrl f", "live-buy"),
        ("a s", "alert"),
        ("f d", "dark-sell"),
        ("s", "view"),
        ("o", "view"),
    ],
)
def test_keys_that_are_held_stage(keys, text):
    chart = Chart()
    assert chart.press(*keys.split()) == []
    assert mode_text(chart.mode, chart.desk) == text
    assert bool(chart.click()) == (text != "view")
    if "a" not in keys and text != "view":
        wanted = text.split("-")
        chart.desk = REAL_DESK
        assert mode_text(chart.mode, chart.desk) == f"{text} on sim.main, real money"
        assert [chart.mode.exec_mode, chart.mode.staged] == wanted


def test_a_key_that_comes_up_unstages_and_the_one_before_is_back():
    chart = Chart()
    chart.press("f", "d")
    chart.do(Released("d"))
    assert chart.mode.staged == "buy"
    chart.do(Released("f"))
    assert chart.mode.staged is None
    assert chart.click() == []


def test_a_release_is_known_whatever_modifiers_are_held():
    chart = Chart()
    chart.press("f", "s")
    chart.do(Released("ctrl-s"), Released("shift-f"))
    assert chart.mode.down == ()


def test_two_keys_make_live_and_each_is_let_go():
    chart = Chart()
    chart.press("f", "s", "ctrl")
    chart.do(Released("s"))
    assert chart.mode.exec_mode == "live"
    chart.do(Released("ctrl"))
    assert chart.mode.exec_mode == "dark"


def test_what_is_forgotten_is_not_staged_again_by_a_key_that_repeats():
    chart = Chart()
    chart.press("f")
    chart.do(Escaped(), Pressed(key_for("stage_buy"), 9.0, is_repeat=True))
    assert chart.mode.staged is None


@pytest.mark.parametrize(
    "event", [Escaped(), FocusLost(), Pressed(key_for("clear"), 9)]
)
def test_escape_and_lost_focus_let_go_of_all(event):
    chart = Chart(with_lines(open_order()))
    chart.do(CursorMoved(D(5)), DragBegun("o1"), Chosen("buy", is_live=True))
    chart.press("f", "s", "c")
    chart.do(event)
    assert chart.mode == Mode(cursor=D(5))


def test_the_cursor_is_at_whole_ticks():
    chart = Chart()
    chart.do(CursorMoved(99.994999))
    assert chart.mode.cursor == D("99.99")
    for nowhere in (None, math.nan, math.inf):
        chart.do(CursorMoved(nowhere))
        assert chart.mode.cursor is None
    chart.press("f")
    assert said(chart.do(Clicked())) == "the cursor is at no price: put it on the chart"


def test_digits_set_slots_while_a_key_is_held():
    chart = Chart()
    assert chart.press("5") == []
    chart.press("o")
    assert chart.press("5", "0") == [SetSlots(5), SetSlots(10)]
    chart.do(Released("o"))
    chart.press("f")
    assert chart.press("3") == [SetSlots(3)]
    assert chart.press("set_slots") == []  # as a menu would name it: no digit


# -- submitting ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "price", "wanted"),
    [
        ("f", "99", order("buy", "99", "2", exec_mode="dark")),
        ("f", "101", order("buy", "101", "2", exec_mode="dark")),
        ("d", "99", order("sell", "99", "2", exec_mode="dark")),
        ("f s", "99", order("buy", "99", "2", exec_mode="live")),
        ("d ctrl", "101", order("sell", "101", "2", exec_mode="live")),
        ("a", "101", order("alert", "101", "0", exec_mode="dark")),
        ("a s", "101", order("alert", "101", "0", exec_mode="dark")),
    ],
)
def test_a_click_submits_what_is_staged_and_emsd_would_take_it(keys, price, wanted):
    chart = Chart()
    chart.press(*keys.split())
    assert chart.click(price) == [Submit(wanted)]
    known = Known(
        now_ns=0,
        mkt=MKT,
        accounts=frozenset({"paper"}),
        prices=Prices(last=100.0, bid=99.99, ask=100.01),
    )
    assert check_order(wanted, known, RiskConf()) is None
    again = msgspec.structs.replace(wanted, oid="o2")
    assert chart.click(price) == [Submit(again)]  # it stays staged while it is held


def test_no_click_submits_what_is_not_staged():
    chart = Chart()
    assert chart.click() == []
    chart.press("s")
    assert chart.click() == []


def test_the_click_key_is_a_click():
    chart = Chart()
    chart.press("f")
    chart.do(CursorMoved(D(99)))
    assert submitted(chart.press("click")).price == 99


def test_a_menu_stages_one_order():
    chart = Chart()
    chart.do(Chosen("sell"))
    assert mode_text(chart.mode, chart.desk) == "dark-sell"
    chart.do(Chosen("buy", is_live=True))
    chart.press("d")
    assert mode_text(chart.mode, chart.desk) == "dark-sell"  # keys are what they are
    chart.do(Released("d"))
    assert submitted(chart.click()).exec_mode == "live"
    assert chart.click() == []
    chart.do(Chosen("buy"), Chosen(None))
    assert chart.click() == []


REFUSED = [
    ({"halted": "too much"}, "f",
     "trading is halted: too much; only live orders that close a position are taken"
     " until `piker resume`"),
    ({"halted": "too much", "position": Lot(D(-4), D(9))}, "f",
     "trading is halted: too much; only live orders that close a position are taken"
     " until `piker resume`"),
    ({"accounts": ()}, "f",
     "no account 'paper' to send orders for; there is: none yet"),
    ({"alloc": REAL, "accounts": ("paper",)}, "f",
     "no account 'sim.main' to send orders for; there is: paper"),
    ({"alloc": replace(PAPER, account="kraken.x"), "accounts": ("paper", "kraken.x")},
     "f",
     "btcusdt.spot.sim is traded at sim, the account 'kraken.x' isn't: take one of"
     " sim's, or paper"),
    ({"position": Lot(D(8), D(9))}, "f",
     "the limit of 8 units is used up, by what is held and open orders: raise it, or"
     " cancel some"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "text"), REFUSED)
def test_what_can_not_be_says_why(changes, key, text):
    chart = Chart(replace(DESK, **changes))
    chart.press(key)
    assert said(chart.click()) == text
    assert staged_line(chart.mode, chart.desk) is None


def test_a_price_of_nothing_is_none():
    chart = Chart()
    chart.press("a")
    assert said(chart.click("-1")) == "a price is more than 0, got -1"
    assert said(chart.click("0.001")) == "a price is more than 0, got 0"


def test_a_halt_lets_out_what_closes_and_lets_alerts_be_set():
    halted = replace(DESK, halted="x", position=Lot(D(3), D(90)))
    chart = Chart(halted)
    chart.press("d", "s")
    closing = submitted(chart.click())
    assert (closing.size, closing.reduce_only, closing.exec_mode) == (2, True, "live")
    known = Known(
        now_ns=0,
        mkt=MKT,
        accounts=frozenset({"paper"}),
        prices=Prices(last=100.0),
        position=D(3),
        halted=True,
    )
    assert check_order(closing, known, RiskConf()) is None
    chart = Chart(halted)
    chart.press("a")
    assert submitted(chart.click()).action == "alert"


def test_open_orders_count_and_a_stop_is_no_profit():
    """With 2 long, to be sold at 110, a stop of 2 below is still to be had."""
    held = Lot(D(2), D(100))
    desk = with_lines(open_order(action="sell", price="110", size="2"), position=held)
    chart = Chart(desk)
    chart.press("d")
    assert submitted(chart.click("95")).size == 2
    assert said(chart.click("120")).startswith("open orders close all of the position")
    chart.desk = with_lines(
        open_order(size="6", price="90"),
        open_order(oid="o2", account="sim.main", size="50"),
    )
    chart.do(Released("d"))
    chart.press("f")
    assert submitted(chart.click("120")).size == 2
    chart.desk = with_lines(open_order(size="8", price="90"))
    assert said(chart.click("120")).startswith("the limit of 8 units is used up")


def test_what_is_staged_has_a_line():
    chart = Chart(REAL_DESK)
    chart.press("f")
    chart.do(CursorMoved(D(50)))
    line = staged_line(chart.mode, chart.desk)
    assert (line.price, line.what, line.style) == (D(50), "buy", "dotted")
    assert (line.label, line.is_real, line.oid) == ("sim.main 2 ~$100", True, "")
    chart.press("s")
    assert staged_line(chart.mode, chart.desk).style == "solid"
    chart.do(Escaped())
    assert staged_line(chart.mode, chart.desk) is None


# -- real money ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "confirms", "is_asked"),
    [
        ("f", "all", True), ("f s", "all", True), ("a", "all", False),
        ("f", "live", False), ("f s", "live", True), ("f s", "none", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("account", ["paper", "sim.main"])
def test_real_orders_are_asked_about_as_configured(keys, confirms, is_asked, account):
    alloc = replace(PAPER, account=account)
    chart = Chart(replace(DESK, alloc=alloc, confirms=confirms))
    chart.press(*keys.split())
    done = chart.click()
    assert isinstance(done[0], AskLive) == (is_asked and account != "paper")
    assert len(done) == 1


def test_the_question_says_what_and_how_much_and_for_whom():
    chart = Chart(REAL_DESK)
    chart.press("f", "s")
    assert chart.click() == [
        AskLive("buy 2 btcusdt.spot.sim at 99, ~$198, with real money on sim.main?")
    ]
    chart = Chart(REAL_DESK)
    chart.press("d")
    (ask,) = chart.click()
    assert "at 99 once that price is reached" in ask.text


def asked(desk=REAL_DESK):
    chart = Chart(desk)
    chart.press("f", "s")
    assert isinstance(chart.click()[0], AskLive)
    return chart


def test_yes_sends_what_was_asked_about_once():
    chart = asked()
    chart.do(CursorMoved(D(500)))
    sent = submitted(chart.do(Confirmed(is_yes=True)))
    assert (sent.price, sent.exec_mode, sent.account) == (D(99), "live", "sim.main")
    assert chart.do(Confirmed(is_yes=True)) == []


@pytest.mark.parametrize(
    "events",
    [
        (Confirmed(is_yes=False),),
        (Escaped(),),
        (Pressed(key_for("clear"), 1.0),),
        (FocusLost(), Confirmed(is_yes=False)),
    ],
)
def test_no_sends_nothing_then_or_later(events):
    chart = asked()
    assert chart.do(*events, Confirmed(is_yes=True)) == []
    assert chart.mode.pending is None


def test_the_question_takes_the_focus_and_keeps_its_order():
    chart = asked()
    assert chart.mode.down == ()  # whose releases the question would swallow
    chart.do(FocusLost())
    assert submitted(chart.do(Confirmed(is_yes=True))).size == 2


def test_nothing_else_is_sent_before_the_answer():
    chart = asked()
    chart.press("f")
    assert "waits for your answer" in said(chart.click())
    chart.do(Released("f"))
    chart.desk = with_lines(open_order(), desk=chart.desk)
    assert "waits for your answer" in said(chart.do(DragBegun("o1")))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"halted": "x"}, "trading is halted: x"),
        ({"accounts": ("paper",)}, "no account 'sim.main'"),
        ({"position": Lot(D(8), D(9))}, "the limit of 8 units is used up"),
        ({"position": Lot(D(-1), D(9))}, "has changed since it was asked about"),
        ({"alloc": PAPER}, "has changed since it was asked about"),
        ({"mkt": ELSEWHERE}, "has changed since it was asked about"),
    ],
)
def test_a_yes_to_what_has_changed_sends_nothing(changes, text):
    chart = asked()
    chart.desk = replace(chart.desk, **changes)
    assert text in said(chart.do(Confirmed(is_yes=True)))
    assert chart.mode.pending is None


# -- cancelling ----------------------------------------------------------------------


def test_c_cancels_what_is_under_the_cursor():
    chart = Chart(with_lines(open_order(), under=("o1",)))
    assert chart.press("c") == [CancelOrders(("o1",))]
    assert chart.press("delete") == [CancelOrders(("o1",))]
    chart.desk = replace(chart.desk, under=())
    assert said(chart.press("c")).startswith("no order is under the cursor")


def test_two_taps_cancel_all_if_they_are_quick():
    desk = with_lines(open_order(), open_order(oid="o2", price="90"), under=("o1",))
    chart = Chart(desk)
    chart.press("c")
    assert chart.press("c", after_s=0.16) == [CancelAll(("o2", "o1"))]
    assert chart.press("c", after_s=0.16) == [CancelOrders(("o1",))]  # a third begins
    assert chart.press("c", after_s=0.17) == [CancelOrders(("o1",))]
    chart.press("delete", after_s=0.5)
    assert chart.press("delete", after_s=0.01) == [CancelOrders(("o1",))]
    chart.press("c")
    chart.do(Escaped())
    assert chart.press("c", after_s=0.01) == [CancelOrders(("o1",))]


def test_a_menu_cancels_all_and_says_if_there_is_nothing():
    assert Chart(with_lines(open_order())).press("cc") == [CancelAll(("o1",))]
    assert said(Chart().press("cc")) == "no order is open in btcusdt.spot.sim"


# -- halting -------------------------------------------------------------------------


def test_trading_is_halted_by_the_second_press():
    chart = Chart()
    assert said(chart.press("ctrl-h")).startswith("press ctrl-h again within 2 s")
    assert chart.press("ctrl-h", after_s=1.9) == [Halt()]
    assert isinstance(chart.press("ctrl-h", after_s=0.1)[0], Say)
    assert isinstance(chart.press("ctrl-h", after_s=2.1)[0], Say)
    chart.desk = replace(DESK, halted="enough")
    assert "halted already: enough" in said(chart.press("ctrl-h", after_s=0.1))


# -- dragging ------------------------------------------------------------------------

DARK = {"resp": "dark_open", "exec_mode": "dark"}


def dragged(desk, to, oid="o1"):
    chart = Chart(desk)
    return chart.do(DragBegun(oid), DragMoved(to), DragEnded())


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (open_order(), ChangePrice("o1", price=D("101.01"))),
        (open_order(resp="pending"), ChangePrice("o1", price=D("101.01"))),
        (open_order(**DARK), ChangePrice("o1", price=D("101.01"))),
        (open_order(**DARK, trigger="90"), ChangePrice("o1", trigger=D("101.01"))),
        (open_order(resp="open", exec_mode="dark", trigger="90"),
         ChangePrice("o1", price=D("101.01"))),
        (open_order(**DARK, action="alert", size="0"),
         ChangePrice("o1", price=D("101.01"))),
    ],
)  # fmt: skip
def test_a_dragged_line_changes_its_price_and_emsd_would_take_it(status, change):
    assert dragged(with_lines(status), 101.0099) == [change]
    known = Known(
        now_ns=0, mkt=MKT, accounts=frozenset({"paper"}), prices=Prices(last=100.0)
    )
    edit = Edit(oid="o1", edit_id="e", price=change.price, trigger=change.trigger)
    assert check_edit(edit, status.req, known, RiskConf()).oid == "o1"


def test_a_drag_that_goes_nowhere_changes_nothing():
    assert dragged(with_lines(open_order()), 100.001) == []
    chart = Chart(with_lines(open_order()))
    assert chart.do(DragMoved(5), DragEnded()) == []
    assert chart.do(DragBegun("gone"), DragMoved(5), DragEnded()) == []
    assert chart.do(DragBegun("o1"), DragMoved(5), DragMoved(None)) == []
    assert chart.mode.drag.to == 5
    assert chart.do(Escaped(), DragEnded()) == []
    chart.press("f")
    assert chart.do(DragBegun("o1"), DragMoved(5), DragEnded()) == []


def test_what_cannot_be_moved_says_why():
    ending = with_lines(open_order(cancel_called=True))
    assert "is being cancelled" in said(dragged(ending, 5))
    assert "more than 0, got -5" in said(dragged(with_lines(open_order()), -5))


@pytest.mark.parametrize(
    ("later", "text"),
    [
        ((), "ended while it was dragged"),
        ((open_order(resp="open", exec_mode="dark"),), "fired while it was dragged"),
        ((open_order(**DARK, cancel_called=True),), "is being cancelled"),
    ],
)
def test_an_order_that_changed_while_it_was_dragged_stays_as_it_is(later, text):
    chart = Chart(with_lines(open_order(**DARK)))
    chart.do(DragBegun("o1"), DragMoved(90))
    chart.desk = with_lines(*later)
    assert text in said(chart.do(DragEnded()))
    assert chart.mode.drag is None


@pytest.mark.parametrize(
    ("resp", "confirms", "is_asked"),
    [
        ("open", "all", True), ("dark_open", "all", True), ("open", "live", True),
        ("dark_open", "live", False), ("open", "none", False),
    ],
)  # fmt: skip
def test_a_real_order_is_moved_as_it_would_be_sent(resp, confirms, is_asked):
    mode = "dark" if resp == "dark_open" else "live"
    status = open_order(resp=resp, exec_mode=mode, account="sim.main")
    chart = Chart(with_lines(status, confirms=confirms))
    done = chart.do(DragBegun("o1"), DragMoved(90), DragEnded())
    change = ChangePrice("o1", price=D(90))
    if not is_asked:
        assert done == [change]
        return
    assert done == [
        AskLive("move the buy of 1 on sim.main from 100 to 90, with real money?")
    ]
    later = Chart(chart.desk, chart.mode)
    assert chart.do(Confirmed(is_yes=True)) == [change]
    later.desk = replace(later.desk, lines=())
    assert "ended while it was dragged" in said(later.do(Confirmed(is_yes=True)))


def test_where_orders_are_sized_by_cost_a_drag_keeps_it():
    by_cost = replace(PAPER, unit="currency", limit=D(800))
    desk = with_lines(open_order(size="2"), alloc=by_cost)
    assert dragged(desk, 90) == [ChangePrice("o1", price=D(90), size=D("2.222"))]
    for same in (
        replace(desk, alloc=PAPER),
        replace(desk, position=Lot(D(-2), D(100))),
        replace(desk, alloc=replace(by_cost, account="sim.main")),
        with_lines(open_order(size="2", filled="1"), alloc=by_cost),
        with_lines(open_order(**DARK, size="2", trigger="95"), alloc=by_cost),
    ):
        (change,) = dragged(same, 90)
        assert change.size is None


def test_a_dragged_line_is_drawn_where_it_is_held():
    by_cost = replace(PAPER, unit="currency", limit=D(800))
    chart = Chart(with_lines(open_order(size="2"), alloc=by_cost))
    chart.do(DragBegun("o1"), DragMoved(50))
    line = dragged_line(chart.mode.drag, chart.desk)
    assert (line.oid, line.price, line.label) == ("o1", D(50), "paper 4 ~$200")
    chart.desk = DESK
    assert dragged_line(chart.mode.drag, chart.desk) is None


# -- whatever is done ----------------------------------------------------------------

STATUSES = [
    open_order("a1", price="98"),
    open_order("a2", price="103", action="sell", account="sim.main"),
    open_order("a3", **DARK, price="95", trigger="96"),
    open_order("a4", **DARK, price="105", action="alert", size="0"),
    open_order("a5", price="90", cancel_called=True),
]
good_prices = st.sampled_from([97.123, D(99), 104.5])
some_prices = st.sampled_from([None, math.nan, -1.0, 0.0]) | good_prices
LINES = ("a1", "a2", "a3", "a4", "a5", "gone")


class Hands(RuleBasedStateMachine):
    """Does anything in any order, and holds what comes of it against the rules."""

    def __init__(self):
        super().__init__()
        self.chart = Chart()
        self.held = set()  # keys that are down, and that the chart has seen go down
        self.chosen = None
        self.question = None

    @initialize(
        account=st.sampled_from(["paper", "sim.main"]),
        confirms=st.sampled_from(["all", "live", "none"]),
    )
    def set_up(self, account, confirms):
        alloc = replace(PAPER, account=account)
        desk = replace(DESK, alloc=alloc, confirms=confirms)
        self.chart.desk = with_lines(*STATUSES[1:], desk=desk)

    def do(self, event):
        staged, is_live = self.staged, self.is_live
        pending = self.chart.mode.pending
        done = self.chart.do(event)
        for intent in done:
            if isinstance(intent, AskLive):
                self.held, self.chosen = set(), None
                self.question = (staged, is_live)
            if isinstance(intent, Submit):
                self.check(event, intent.order, staged, is_live=is_live)
                assert isinstance(event, Confirmed) == (pending is not None)
                if isinstance(event, Clicked):
                    self.chosen = None
        return done

    @property
    def staged(self):
        keys = self.held & {"f", "d", "a"}
        return keys or ({self.chosen[0]} if self.chosen else set())

    @property
    def is_live(self):
        by_menu = self.chosen and self.chosen[1] and not self.held & {"f", "d", "a"}
        return bool(self.held & {"s", "ctrl"} or by_menu)

    def check(self, event, order, staged, *, is_live):
        """An order comes of a click on what is staged, or of a yes to a question."""
        desk = self.chart.desk
        if isinstance(event, Confirmed):
            assert event.is_yes
            assert self.question is not None
            staged, is_live = self.question
            assert order.account != "paper"
        else:
            assert isinstance(event, Clicked)
            is_real = order.account != "paper" and order.action != "alert"
            asks = desk.confirms == "all" or (desk.confirms == "live" and is_live)
            assert not (is_real and asks)
        key = {"buy": "f", "sell": "d", "alert": "a"}[order.action]
        assert key in staged
        assert order.exec_mode != "live" or is_live
        assert order.symbol == desk.mkt.fqme
        assert (order.size == 0) == (order.action == "alert")
        if desk.halted and order.action != "alert":
            assert order.reduce_only

    @rule(combo=st.sampled_from(COMBOS), dt=st.sampled_from([0.01, 0.5]))
    def press(self, combo, dt):
        self.chart.now_s += dt
        self.do(Pressed(lookup("order", combo), self.chart.now_s))
        if combo in {"f", "d", "a", "s", "ctrl", "o"}:
            self.held.add(combo)

    @rule(key=st.sampled_from([each for each in KEYS if each.where == "view"]))
    def press_another(self, key):
        self.do(Pressed(key, self.chart.now_s))
        if key.action == "clear":
            self.forget()

    @rule(combo=st.sampled_from(["f", "d", "a", "s"]))
    def repeat(self, combo):
        """The keyboard repeats what it thinks is held."""
        self.do(Pressed(lookup("order", combo), self.chart.now_s, is_repeat=True))

    @rule(combo=st.sampled_from(COMBOS), before=st.sampled_from(["", "ctrl-"]))
    def release(self, combo, before):
        self.do(Released(before + combo))
        self.held.discard(combo)

    @rule(action=st.sampled_from(["buy", "sell", "alert", None]), is_live=st.booleans())
    def choose(self, action, is_live):
        self.do(Chosen(action, is_live))
        key = {"buy": "f", "sell": "d", "alert": "a"}.get(action)
        self.chosen = (key, is_live) if key else None

    @rule(
        combos=st.sampled_from(["f", "d", "a", "fs", "sd", "", "fd"]),
        price=good_prices,
        moved=some_prices,
        answer=st.sampled_from([None, True, False]),
        halted=st.sampled_from(["", "", "by hand"]),
    )
    def trade(self, combos, price, moved, answer, halted):
        for combo in combos:
            self.press(combo, 1.0)
        for at in (price, moved):
            self.do(CursorMoved(at))
            self.do(Clicked())
        self.chart.desk = replace(self.chart.desk, halted=halted)
        if answer is not None:
            self.answer(answer)

    @rule(oid=st.sampled_from(LINES), price=some_prices, ends=st.booleans())
    def drag(self, oid, price, ends):
        self.do(DragBegun(oid))
        self.do(DragMoved(price))
        if ends:
            self.do(DragEnded())

    @rule()
    def escape(self):
        self.do(Escaped())
        self.forget()

    def forget(self):
        self.held, self.chosen, self.question = set(), None, None
        mode = self.chart.mode
        assert (mode.staged, mode.pending, mode.drag) == (None, None, None)
        assert not any(isinstance(each, Submit) for each in self.do(Clicked()))
        assert self.do(Confirmed(is_yes=True)) == []

    @rule()
    def look_elsewhere(self):
        self.do(FocusLost())
        self.held, self.chosen = set(), None
        assert self.chart.mode.staged is None

    @rule(is_yes=st.booleans())
    def answer(self, is_yes):
        """Answer, whether or not something was asked."""
        self.do(Confirmed(is_yes))
        self.question = None
        assert self.chart.mode.pending is None

    @rule(
        size=st.sampled_from(["0", "3", "8", "-3", "-20"]),
        halted=st.sampled_from(["", "", "by hand"]),
        statuses=st.lists(st.sampled_from(STATUSES), unique_by=lambda each: each.oid),
    )
    def the_world_goes_on(self, size, halted, statuses):
        self.chart.desk = replace(
            self.chart.desk,
            position=Lot(D(size), D(100)) if size != "0" else FLAT,
            halted=halted,
            lines=lines_of(*statuses),
            under=tuple(each.oid for each in statuses[:1]),
        )

    @invariant()
    def what_is_staged_is_what_is_held(self):
        mode = self.chart.mode
        assert (mode.staged is not None) == bool(self.staged)
        assert mode.exec_mode == "dark" or self.is_live
        assert (mode.pending is None) or self.question is not None


Hands.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None
)
TestHands = Hands.TestCase


@given(st.lists(st.sampled_from(COMBOS), max_size=6), st.booleans())
def test_every_oid_is_new(combos, is_yes):
    chart = Chart(REAL_DESK)
    orders = []
    for _ in range(3):
        chart.press(*combos)
        done = chart.click() + chart.do(Confirmed(is_yes))
        orders += [each.order.oid for each in done if isinstance(each, Submit)]
    assert len(orders) == len(set(orders))
