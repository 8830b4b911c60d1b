"""Lines, arrows and marks of orders, fills and positions; and labels side by side."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import msgspec
import pytest
from hypothesis import assume, given, strategies as st

from piker.msgs import Asset, BrokerdFill, BrokerdPosition, Resp, Status
from piker.ui._allocator import Allocator
from piker.ui._order_lines import (
    fill_marks,
    label_spots,
    money,
    order_lines,
    position_mark,
)
from tests.clearing._orders import MKT, D, market, order

UNITS = Allocator(unit="units", limit=D(8), slots=4)


def status(resp="open", oid="o1", **more):
    wants = more.pop("req", None) or order(oid=oid)
    return Status(seq=1, time_ns=1, oid=oid, resp=resp, req=wants, **more)


def lines_of(*statuses, mkt=MKT):
    return order_lines({each.oid: each for each in statuses}, mkt)


def line_of(*statuses, mkt=MKT):
    (line,) = lines_of(*statuses, mkt=mkt)
    return line


# -- lines ---------------------------------------------------------------------------

STYLES = {
    "pending": "dashed",
    "open": "solid",
    "dark_open": "dotted",
    "triggered": "dashed",
    "fill": "solid",
    "closed": None,
    "canceled": None,
    "error": None,
}


@pytest.mark.parametrize("resp", get_args(Resp))
def test_the_style_says_where_the_order_is(resp):
    lines = lines_of(status(resp, req=order(exec_mode="dark")))
    assert [line.style for line in lines] == ([STYLES[resp]] if STYLES[resp] else [])


@pytest.mark.parametrize("resp", get_args(Resp))
def test_an_alert_waits_or_is_gone(resp):
    alert = order("alert", "99.5", "0", exec_mode="dark")
    lines = lines_of(status(resp, req=alert))
    if STYLES[resp] is None or resp == "triggered":
        assert lines == ()
        return
    (line,) = lines
    assert (line.what, line.label, line.drag) == ("alert", "alert 99.5", "price")
    assert (line.size, line.is_real) == (0, False)


def test_a_line_says_account_size_and_value():
    line = line_of(status(req=order("sell", "2000", "1.500")))
    assert line.label == "paper 1.5 ~$3k"
    assert (line.price, line.what, line.size) == (D(2000), "sell", D("1.5"))
    assert (line.account, line.is_real, line.drag) == ("paper", False, "price")


def test_a_part_that_is_filled_is_open_no_more():
    line = line_of(status("fill", filled=D("0.4"), req=order(size="1", price="10")))
    assert (line.size, line.filled, line.label) == (D("0.6"), D("0.4"), "paper 0.6 ~$6")


def test_an_account_at_a_broker_looks_like_no_paper_one():
    line = line_of(status(req=order(account="sim.main")))
    assert line.is_real
    assert line.label == "sim.main 1 ~$100"


def test_a_dark_order_is_shown_at_its_trigger_and_moved_there():
    dark = order(price="90", trigger="95", exec_mode="dark")
    line = line_of(status("dark_open", req=dark))
    assert (line.price, line.drag) == (D(95), "trigger")
    assert line.label == "paper 1 ~$95 limit 90"
    fired = line_of(status("open", req=dark))  # its limit rests at the broker then
    assert (fired.price, fired.drag, fired.label) == (D(90), "price", "paper 1 ~$90")


def test_a_market_order_has_a_line_only_while_it_waits_for_a_trigger():
    dark = order(price=None, trigger="95", exec_mode="dark", otype="market")
    line = line_of(status("dark_open", req=dark))
    assert (line.price, line.drag) == (D(95), "trigger")
    assert line.label.endswith("at the market")
    assert lines_of(status(req=order(price=None, otype="market"))) == ()


def test_an_alert_with_a_trigger_alone_is_shown_there():
    alert = order("alert", None, "0", trigger="95", exec_mode="dark")
    line = line_of(status("dark_open", req=alert))
    assert (line.price, line.drag, line.label) == (D(95), "trigger", "alert 95")


def test_what_is_being_cancelled_is_dragged_no_more():
    line = line_of(status(cancel_called=True))
    assert line.drag is None
    assert line.label == "paper 1 ~$100 cancelling"


def test_other_markets_and_what_isnt_known_have_no_line():
    other = order(oid="o2", symbol="ethusdt.spot.sim")
    unknown = Status(seq=1, time_ns=1, oid="o3", resp="open")
    assert lines_of(status(oid="o2", req=other), unknown) == ()


def test_lines_come_from_the_lowest_up():
    statuses = [
        status(oid=oid, req=order(oid=oid, price=price))
        for oid, price in (("b", "7"), ("c", "5"), ("a", "7"))
    ]
    assert [line.oid for line in lines_of(*statuses)] == ["c", "a", "b"]


def test_money_is_in_what_the_market_is_paid_with():
    assert money(D("-1234567"), MKT) == "-$1.235M"
    in_btc = msgspec.structs.replace(MKT, src=Asset(name="btc"))
    assert money(D("0.05"), in_btc) == "0.05 btc"
    assert money(D(5), msgspec.structs.replace(MKT, src=None)) == "$5"
    future = market(multiplier=D(50))
    assert line_of(status(req=order(price="100")), mkt=future).label == "paper 1 ~$5k"


# -- fills ---------------------------------------------------------------------------


def fill(tid="t1", at=5, symbol=MKT.fqme, **more):
    told = {
        "oid": "o1", "reqid": "r1", "seq": 1, "account": "paper", "action": "sell",
        "size": D(2), "price": D(7), "cost": D(0), "time_ns": 99,
    }  # fmt: skip
    return BrokerdFill(**told | more, tid=tid, symbol=symbol, broker_time_ns=at)


def test_fills_are_marked_once_and_in_order():
    told = [
        status("fill", fill=fill("t2", 9)),
        status("open"),
        status("fill", fill=fill("t1", 5)),
        status("fill", fill=fill("t2", 9)),
        status("fill", fill=fill("t2", 7, account="sim.main")),
        status("fill", fill=fill("t3", 1, symbol="ethusdt.spot.sim")),
    ]
    marks = fill_marks(told, MKT.fqme)
    assert [(mark.tid, mark.time_ns) for mark in marks] == [
        ("t1", 5),
        ("t2", 7),
        ("t2", 9),
    ]
    first = marks[0]
    assert (first.side, first.price, first.size) == ("sell", D(7), D(2))
    assert (first.oid, first.account) == ("o1", "paper")


# -- positions -----------------------------------------------------------------------


def position(size, ppu="100", account="paper"):
    return BrokerdPosition(
        broker="sim", account=account, symbol=MKT.fqme, size=D(size), avg_price=D(ppu)
    )


@pytest.mark.parametrize(
    ("size", "last", "direction", "slots", "pnl", "sign"),
    [
        ("2", 110.0, "long", ":1x", "+$20 (+10.00%)", 1),
        ("2", D(95), "long", ":1x", "-$10 (-5.00%)", -1),
        ("-5", 99.0, "short", ":2.5x", "+$5 (+1.00%)", 1),
        ("-5", 100.0, "short", ":2.5x", "$0 (+0.00%)", 0),
        ("1", None, "long", ":0.5x", "", 0),
        ("1", float("nan"), "long", ":0.5x", "", 0),
    ],
)
def test_a_position_says_which_way_and_what_it_brings(
    size, last, direction, slots, pnl, sign
):
    mark = position_mark(position(size), MKT, UNITS, last)
    assert (mark.direction, mark.slots) == (direction, slots)
    assert (mark.pnl, mark.sign) == (pnl, sign)
    assert (mark.price, mark.size, mark.is_real) == (D(100), D(size), False)


def test_a_contract_brings_its_multiple():
    mark = position_mark(position("2"), market(multiplier=D(50)), UNITS, 101.0)
    assert mark.pnl == "+$100 (+1.00%)"


def test_an_inverse_contract_brings_coins_and_is_worth_its_size():
    mkt = market(settle="btc")
    assert mkt.is_inverse
    mark = position_mark(position("100", "50"), mkt, UNITS, 100.0)
    assert mark.pnl == "+1 btc (+50.00%)"
    mark = position_mark(position("-100", "50"), mkt, UNITS, 100.0)
    assert mark.pnl == "-1 btc (-50.00%)"
    assert position_mark(position("1", "50"), mkt, UNITS, 0.0).pnl == ""
    label = line_of(status(req=order(price="100", size="7")), mkt=mkt).label
    assert label == "paper 7 ~$7"


def test_a_float_is_the_decimal_that_the_venue_wrote():
    assert position_mark(position("3", "0.1"), MKT, UNITS, 0.1).sign == 0
    assert (
        position_mark(position("3", "0.1"), MKT, UNITS, 0.3).pnl == "+$0.6 (+200.00%)"
    )


def test_what_is_flat_has_no_mark():
    assert position_mark(None, MKT, UNITS, 1.0) is None
    assert position_mark(position("0", "0"), MKT, UNITS, 1.0) is None
    assert position_mark(position("1", account="sim.main"), MKT, UNITS, 1.0).is_real


# -- labels --------------------------------------------------------------------------

pixels = st.floats(-2000, 4000)
heights = st.floats(1, 60)
NEAR = 1e-6


def ranked(ys):
    return sorted(range(len(ys)), key=lambda i: ys[i])


@pytest.mark.parametrize(
    ("ys", "spots"),
    [
        ([], []),
        ([50], [50]),
        ([-5], [5]),
        ([200], [95]),
        ([50, 80], [50, 80]),
        ([50, 50], [45, 55]),
        ([55, 45], [55, 45]),
        ([50, 52, 54], [42, 52, 62]),
        ([0, 0, 50], [5, 15, 50]),
        ([99, 99, 99], [75, 85, 95]),
        ([30, 50, 51, 90], [30, 45.5, 55.5, 90]),
    ],
)
def test_labels_are_pushed_apart_as_little_as_can_be(ys, spots):
    assert label_spots(ys, 10, 0, 100) == pytest.approx(spots)


def test_a_label_too_high_for_the_room_lies_in_the_middle():
    assert label_spots([3, 9], 50, 0, 20) == [10, 10]


@given(st.lists(pixels, max_size=20), heights, pixels, st.floats(0, 2000))
def test_labels_stay_inside_and_in_order(ys, height, top, room):
    bottom = top + max(room, height)
    spots = label_spots(ys, height, top, bottom)
    assert len(spots) == len(ys)
    assert all(
        top - NEAR <= spot - height / 2 and spot + height / 2 <= bottom + NEAR
        for spot in spots
    )
    assert all(spots[i] <= spots[k] + NEAR for i, k in pairwise(ranked(ys)))


@given(st.lists(pixels, min_size=1, max_size=20), heights, pixels, st.floats(0, 900))
def test_no_label_covers_another_while_there_is_room(ys, height, top, more):
    bottom = top + len(ys) * height + more
    spots = [label_spots(ys, height, top, bottom)[i] for i in ranked(ys)]
    assert all(below - above >= height - NEAR for above, below in pairwise(spots))


@given(st.lists(pixels, min_size=1, max_size=8), heights, st.floats(0, 900), st.data())
def test_no_other_way_to_lay_them_moves_them_less(ys, height, more, data):
    bottom = len(ys) * height + more
    spots = label_spots(ys, height, 0, bottom)
    order_of = ranked(ys)
    free = data.draw(
        st.lists(st.floats(0, 1), min_size=len(ys), max_size=len(ys)).map(sorted)
    )
    other = dict(
        zip(
            order_of,
            (height / 2 + i * height + part * more for i, part in enumerate(free)),
            strict=True,
        )
    )
    moved = sum((spot - y) ** 2 for spot, y in zip(spots, ys, strict=True))
    assert moved <= sum((other[i] - y) ** 2 for i, y in enumerate(ys)) + 1e-3


@given(st.lists(pixels, min_size=1, max_size=12), heights)
def test_labels_that_touch_none_dont_move(ys, height):
    low, high = min(ys) - height, max(ys) + height
    places = sorted(ys)
    assume(all(below - above > height for above, below in pairwise(places)))
    assert label_spots(ys, height, low, high) == pytest.approx(ys, abs=NEAR)
