"""Sizes by slots: never beyond the limit, never flipped, nothing rounded up."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from piker.errors import UsageError
from piker.msgs import BrokerdPosition
from piker.ui._allocator import (
    FLAT,
    MAX_SLOTS,
    Allocator,
    FillBar,
    Lot,
    compact,
    fill_bar,
    lot_of,
    next_size,
    parse_amount,
    parse_slots,
    plain,
    slots_text,
    slots_used,
    with_unit,
    worth,
)
from tests.clearing._orders import MKT, D, market

FUTURE = market(size_tick="1", price_tick="0.25", multiplier=D(50))
WHOLE = market(size_tick="1")

ticks = st.sampled_from(["1", "10", "0.5", "0.001", "1E-8", "0.03"])
markets = st.builds(
    lambda tick, multiplier: market(size_tick=tick, multiplier=D(multiplier)),
    ticks,
    st.sampled_from(["1", "50", "0.1"]),
)
amounts = st.decimals("0.00000001", "100000000", allow_nan=False, places=8)
allocs = st.builds(
    Allocator,
    unit=st.sampled_from(["units", "currency"]),
    limit=amounts,
    slots=st.integers(1, MAX_SLOTS),
)
prices = st.decimals("0.01", "100000", places=2)
sides = st.sampled_from(["buy", "sell"])
held_sizes = st.decimals("-100000000", "100000000", places=8)


@st.composite
def panes(draw, least_ticks):
    """Return a pane, a market and a price at which a slot is some ticks at least.

    *least_ticks* says how many, by the number of slots.
    """
    mkt, price = draw(markets), draw(prices)
    slots = draw(st.integers(1, 12))
    ticks = draw(st.integers(least_ticks(slots), 10**6)) * slots
    ticks += draw(st.integers(0, slots - 1))  # so that slots are no whole ticks
    limit = Fraction(ticks) * Fraction(mkt.size_tick)
    unit = draw(st.sampled_from(["units", "currency"]))
    limit *= worth(unit, mkt, Lot(D(1), price))
    return Allocator(unit=unit, limit=exactly(limit), slots=slots), mkt, price


def exactly(ratio):
    found = D(math.floor(ratio * 10**15)).scaleb(-15, Context(prec=60))
    assert found == ratio
    return found


def units(limit, slots=4, **more):
    return Allocator(unit="units", limit=D(limit), slots=slots, **more)


def currency(limit, slots=4, **more):
    return Allocator(unit="currency", limit=D(limit), slots=slots, **more)


def size_of(alloc, mkt, side, price, held=FLAT, working=()):
    return next_size(alloc, mkt, side, D(price), held, working).size


def is_multiple(size, step):
    return Fraction(size) % Fraction(step) == 0


# -- the next size -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alloc", "mkt", "held", "side", "price", "size"),
    [
        (units("8"), MKT, "0", "buy", "100", "2"),
        (units("8"), MKT, "0", "sell", "100", "2"),
        (units("8"), MKT, "2", "buy", "100", "2"),
        (units("8"), MKT, "7", "buy", "100", "1"),
        (units("8"), MKT, "5.5", "buy", "100", "2.5"),  # less than 1.5 slots are left
        (units("8"), MKT, "5", "buy", "100", "2"),
        (units("8"), MKT, "-8", "buy", "100", "2"),  # in the same slots out again
        (units("8"), MKT, "-2.5", "buy", "100", "2.5"),  # and not beyond flat
        (units("8"), MKT, "-0.001", "buy", "100", "0.001"),
        (units("8"), MKT, "80", "sell", "100", "20"),  # too large: larger slots
        (units("10", 3), MKT, "0", "buy", "100", "3.333"),
        (units("10", 3), MKT, "6.666", "buy", "100", "3.334"),  # the rest, at the end
        (units("10", 4), WHOLE, "0", "buy", "100", "2"),
        (units("10", 4), WHOLE, "8", "buy", "100", "2"),
        (units("1"), WHOLE, "1", "sell", "100", "1"),  # it can always be closed
        (units("1"), WHOLE, "3", "sell", "100", "1"),
        (currency("6000", 6), MKT, "0", "buy", "100", "10"),
        (currency("6000", 6), MKT, "0", "buy", "70", "14.285"),
        (currency("6000", 6), MKT, "50", "buy", "200", "5"),  # held at 100 each
        (currency("6000", 6), MKT, "50", "sell", "200", "10"),
        (currency("100000", 4), FUTURE, "0", "buy", "100", "5"),
    ],
)
def test_the_next_order_is_a_slot_or_the_rest(alloc, mkt, held, side, price, size):
    found = next_size(alloc, mkt, side, D(price), Lot(D(held), D(100)))
    assert found.size == D(size)
    assert not found.why
    assert found.closes == (D(held) < 0 if side == "buy" else D(held) > 0)


def test_open_orders_count_as_if_they_were_filled():
    open_orders = (Lot(D(2), D(90)), Lot(D(1), D(80)))
    assert size_of(units("4"), MKT, "buy", "100", working=open_orders) == 1
    # 180 + 80 of 400 are taken, so 140 are left: less than one and a half slots
    assert size_of(currency("400"), MKT, "buy", "100", working=open_orders) == D("1.4")
    held = Lot(D("3.5"), D(100))
    assert size_of(units("8"), MKT, "sell", "100", held, open_orders) == D("0.5")


@pytest.mark.parametrize(
    ("alloc", "mkt", "held", "working", "says"),
    [
        (units("8"), MKT, Lot(D(8), D(1)), (),
         "the limit of 8 units is used up, by what is held and open orders: raise it,"
         " or cancel some"),
        (units("8"), MKT, Lot(D("7.9995"), D(1)), (),
         "the limit of 8 units is used up, by what is held and open orders but for less"
         " than the smallest order, 0.001: raise it, or cancel some"),
        (currency("20", 5), WHOLE, FLAT, (),
         "a slot of 20 of currency / 5 buys less than the smallest order in"
         " btcusdt.spot.sim, 1: raise the limit, or take fewer slots"),
        (units("8"), MKT, Lot(D(-1), D(1)), (Lot(D(1), D(1)),),
         "open orders close all of the position, -1, already: cancel one of them"
         " first"),
        (units("8"), MKT, Lot(D("-0.0001"), D(1)), (),
         "the position, -0.0001, is smaller than the smallest order in"
         " btcusdt.spot.sim, 0.001"),
    ],
)  # fmt: skip
def test_a_size_of_0_says_why(alloc, mkt, held, working, says):
    found = next_size(alloc, mkt, "buy", D(10), held, working)
    assert (found.size, found.why) == (0, says)


def test_a_price_of_nothing_sizes_nothing():
    found = next_size(currency("100"), MKT, "buy", D(0), FLAT)
    assert (found.size, found.why) == (0, "a price is more than 0, got 0")


@given(allocs, markets, sides, prices, held_sizes, prices)
def test_a_size_is_a_multiple_within_bounds(alloc, mkt, side, price, size, ppu):
    held = Lot(size, ppu)
    found = next_size(alloc, mkt, side, price, held)
    assert found.size >= 0
    assert bool(found.size) != bool(found.why)
    assert is_multiple(found.size, mkt.size_tick)
    if found.closes:
        assert found.size <= abs(size)
    elif found.size:
        order = worth(alloc.unit, mkt, Lot(found.size, price))
        assert order <= alloc.slot * Fraction(3, 2)
        assert worth(alloc.unit, mkt, held) + order <= alloc.limit


@given(allocs, markets, sides, st.lists(prices, min_size=1, max_size=8))
def test_orders_at_any_prices_never_pass_the_limit(alloc, mkt, side, at):
    """They are all open still: each counts with its own price."""
    working = []
    for price in at:
        found = next_size(alloc, mkt, side, price, FLAT, working)
        if found.size:
            working.append(Lot(found.size, price))
    assert sum(worth(alloc.unit, mkt, lot) for lot in working) <= alloc.limit


def filled_up(alloc, mkt, side, price):
    """Trade until there is nothing more to trade; return the sizes."""
    sizes, held, way = [], D(0), 1 if side == "buy" else -1
    while len(sizes) <= 30:
        size = next_size(alloc, mkt, side, price, Lot(held, price)).size
        if not size:
            return sizes
        sizes.append(size)
        held += way * size
    raise AssertionError("it never ends")


@given(panes(lambda slots: 1), sides)
def test_the_slots_sum_to_the_limit_up_to_a_tick(pane, side):
    alloc, mkt, price = pane
    sizes = filled_up(alloc, mkt, side, price)
    total = worth(alloc.unit, mkt, Lot(sum(sizes), price))
    a_tick = worth(alloc.unit, mkt, Lot(mkt.size_tick, price))
    assert 0 <= Fraction(alloc.limit) - total < a_tick
    assert all(size <= sizes[0] for size in sizes[:-1])


@given(panes(lambda slots: 2 * slots), sides)
def test_as_many_orders_as_slots_fill_the_limit(pane, side):
    alloc, mkt, price = pane
    sizes = filled_up(alloc, mkt, side, price)
    assert len(sizes) == alloc.slots
    assert len(set(sizes[:-1])) <= 1


@given(panes(lambda slots: 2 * slots), st.lists(prices, min_size=12, max_size=12))
def test_what_was_opened_in_slots_is_closed_in_as_many(pane, later):
    alloc, mkt, price = pane
    entry = filled_up(alloc, mkt, "buy", price)
    held, orders = sum(entry), 0
    while held:
        size = next_size(alloc, mkt, "sell", later[orders], Lot(held, price)).size
        assert 0 < size <= held
        held -= size
        orders += 1
    assert orders == len(entry)


@given(panes(lambda slots: 1), sides, st.integers(1, 3 * 10**6))
def test_closing_ends_flat_and_never_beyond(pane, side, ticks):
    alloc, mkt, price = pane
    way = -1 if side == "buy" else 1
    held, orders = D(ticks) * mkt.size_tick * way, 0
    while held:
        found = next_size(alloc, mkt, side, price, Lot(held, price))
        assert found.closes
        assert 0 < found.size <= abs(held)
        held -= way * found.size
        orders += 1
    # beyond the limit each takes its part of what is left, and then come the slots
    over = math.log(max(ticks * alloc.slots, 2)) * alloc.slots
    assert orders <= over + alloc.slots + 2


# -- the bar -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "bar", "text"),
    [
        ("0", FillBar(4, 0, 0.0, is_over=False), ":0x"),
        ("2", FillBar(4, 1, 0.0, is_over=False), ":1x"),
        ("-5", FillBar(4, 2, 0.5, is_over=False), ":2.5x"),
        ("8", FillBar(4, 4, 0.0, is_over=False), ":4x"),
        ("9", FillBar(4, 4, 0.0, is_over=True), ":4.5x"),
        ("0.001", FillBar(4, 0, 0.0005, is_over=False), ":<0.1x"),
        ("200", FillBar(4, 4, 0.0, is_over=True), ":100x"),
    ],
)
def test_the_bar_shows_the_slots(size, bar, text):
    held = Lot(D(size), D(100))
    assert fill_bar(units("8"), MKT, held) == bar
    assert fill_bar(currency("800"), MKT, held) == bar
    assert slots_text(slots_used(units("8"), MKT, held)) == text


def test_a_position_is_a_lot():
    position = BrokerdPosition(
        broker="sim", account="paper", symbol="x", size=D(-2), avg_price=D(7)
    )
    assert lot_of(position) == Lot(D(-2), D(7))
    assert lot_of(None) == FLAT


# -- what is typed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"), ("2.5k", "2500"), ("2.5K", "2500"), (" 3 M ", "3000000"),
        ("1m", "1000000"), (".5B", "500000000"), ("1.", "1"), ("0.001", "0.001"),
        ("1234567.89", "1234567.89"),
    ],
)  # fmt: skip
def test_amounts_are_read(text, value):
    assert parse_amount(text) == D(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "0k", "-1", "+1", "1,000", "1e3", "1kk", "k", "nan", "inf", "1 2",
        "٣", "1" * 31, "1" * 500, "0." + "0" * 31 + "1", "1_000", "$5",
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused_in_a_sentence(text):
    with pytest.raises(UsageError, match="a limit is a number above 0") as caught:
        parse_amount(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=50))
def test_any_text_is_an_amount_or_an_error(text):
    try:
        amount = parse_amount(text, "size")
    except UsageError:
        return
    assert amount > 0
    assert amount.is_finite()


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x", "101", "²", "9" * 5000])
def test_what_is_no_number_of_slots_is_refused(text):
    with pytest.raises(UsageError, match="slots are a whole number from 1 to 100"):
        parse_slots(text)


def test_slots_are_read():
    assert parse_slots(" 8 ") == 8


def test_a_limit_stays_worth_what_it_was_in_another_unit():
    alloc = currency("6000", 6)
    in_units = with_unit(alloc, MKT, "units", D("70"))
    assert (in_units.limit, in_units.unit) == (D("85.714"), "units")
    assert with_unit(in_units, MKT, "currency", D("70")).limit == D("5999.98")
    assert with_unit(alloc, MKT, "currency", None) is alloc
    with pytest.raises(UsageError, match="no price of btcusdt.spot.sim is known yet"):
        with_unit(alloc, MKT, "units", None)
    with pytest.raises(UsageError, match="is nothing in units of"):
        with_unit(currency("6"), WHOLE, "units", D(100))


@given(allocs, markets, prices)
def test_another_unit_never_makes_the_limit_larger(alloc, mkt, price):
    other = "units" if alloc.unit == "currency" else "currency"
    try:
        found = with_unit(alloc, mkt, other, price)
    except UsageError:
        return
    a_unit = worth("currency", mkt, Lot(D(1), price))
    was, now = Fraction(alloc.limit), Fraction(found.limit)
    assert (now * a_unit <= was) if other == "units" else (now <= was * a_unit)


@pytest.mark.parametrize("wrong", [{"limit": D(0)}, {"limit": D("nan")}, {"slots": 0}])
def test_what_no_pane_can_be_set_to_is_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        Allocator(**wrong)


# -- what is shown -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"), ("1", "1"), ("999.94", "999.9"), ("999.96", "1k"),
        ("1234567", "1.235M"), ("-2500", "-2.5k"), ("0.00001234567", "0.00001235"),
        ("1E12", "1000B"),
    ],
)  # fmt: skip
def test_numbers_are_shown_in_four_digits(value, text):
    assert compact(D(value)) == text
    assert compact(Fraction(D(value))) == text


@given(st.decimals("-1E20", "1E20", places=10))
def test_plain_loses_nothing(value):
    assert Decimal(plain(value)) == value
    assert "E" not in plain(value)
