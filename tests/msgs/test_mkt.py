"""Markets: steps of prices and sizes, exactly."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from piker.errors import BadFqme, PikerError, UsageError
from piker.msgs import Asset, MktPair, PriceStep


def _mkt(price_tick="0.01", size_tick="0.00001", **more):
    return MktPair(
        dst=Asset(name="btc", atype="crypto"),
        src=Asset(name="usdt", atype="crypto"),
        price_tick=Decimal(price_tick),
        size_tick=Decimal(size_tick),
        bs_mktid="BTCUSDT",
        broker="sim",
        **{"venue": "spot", **more},
    )


_OPTION = MktPair(
    dst=Asset(name="tsla", atype="stock"),
    price_tick=Decimal("0.05"),
    size_tick=Decimal(1),
    bs_mktid="TSLA  270115C00200000",
    broker="ib",
    venue="cboe",
    expiry="20270115",
    contract_info=("200c",),
    multiplier=Decimal(100),
    atype="option",
)


def test_names():
    assert _mkt().fqme == "btcusdt.spot.sim"
    assert _mkt().bs_fqme == "btcusdt.spot"
    assert _OPTION.fqme == "tsla.20270115.200c.cboe.ib"


def test_what_it_is_worth_and_brings():
    """A size of an inverse market is in USD, and what it brings in coins."""
    assert _mkt().paid_in == "usdt"
    assert _OPTION.paid_in == ""
    assert not _mkt().is_inverse
    assert _OPTION.worth(Decimal(-2), Decimal("1.5")) == -300
    assert _OPTION.profit(Decimal(-2), Fraction(1), Fraction(3, 2)) == -100
    coins = _mkt(settle="btc", multiplier=Decimal(10))
    assert coins.is_inverse
    assert coins.paid_in == "btc"
    assert coins.worth(Decimal(-2), Decimal("1.5")) == -20
    assert coins.profit(Decimal(3), Fraction(10), Fraction(20)) == Fraction(3, 2)
    linear = _mkt(settle="usdt")
    assert not linear.is_inverse
    assert linear.worth(Decimal(2), Decimal(3)) == 6


@pytest.mark.parametrize("mkt", [_mkt(), _OPTION, _mkt("1E+1", "5")])
def test_survives_the_wire(mkt):
    assert mkt.fqme  # what is cached stays at home
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(mkt), type=MktPair)
    assert back == mkt
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(mkt))
    assert raw["price_tick"] == str(mkt.price_tick)
    assert set(raw) == set(MktPair.__struct_fields__)


@pytest.mark.parametrize(
    ("tick", "value", "wanted"),
    [
        ("0.25", "3.37", "3.25"),
        ("0.25", "3.38", "3.50"),
        ("0.25", "3.375", "3.50"),  # halves go to the even multiple
        ("0.25", "3.125", "3.00"),
        ("5", 12, "10"),
        ("5", 12.5, "10"),
        ("5", 13, "15"),
        ("1", "2.5", "2"),
        ("1E+1", 44, "40"),
        ("0.10", 3.14, "3.1"),
        ("0.01", 0.1 + 0.2, "0.30"),
        ("0.01", 1.015, "1.02"),  # the shortest decimal counts, not the double below
        ("0.01", -1.015, "-1.02"),
        ("0.01", -0.001, "0.00"),
        ("0.01", np.float64("1.23"), "1.23"),
        ("1E-18", "12345678901234567890123.123456789012345678", None),
    ],
)
def test_quantizes_to_multiples(tick, value, wanted):
    got = _mkt(price_tick=tick).quantize(value, "price")
    assert str(got) == (wanted or value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "abc", "", "sNaN"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(UsageError) as caught:
        _mkt().quantize(value)
    assert caught.value.args == (f"a size must be a finite number, got {value!r}",)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_finite_float_is_refused(value):
    with pytest.raises(UsageError, match="a price must be a finite number, got"):
        _mkt().quantize(value, "price")
    with pytest.raises(UsageError, match="a size must be a finite number, got"):
        _mkt().to_size_ticks(value)


def test_absurd_exponents_are_refused_at_once():
    for value in ("1E+999999", "1E-999999"):
        with pytest.raises(UsageError, match="out of range"):
            _mkt().quantize(value)


@pytest.mark.parametrize(
    ("tick", "digits"),
    [("0.01", 2), ("0.25", 2), ("0.10", 1), ("5", 0), ("1E+1", 0), ("1E-8", 8)],
)
def test_digits(tick, digits):
    assert _mkt(price_tick=tick).price_digits == digits
    assert _mkt(size_tick=tick).size_digits == digits


_ticks = st.builds(
    lambda coefficient, exponent: Decimal(coefficient).scaleb(exponent),
    st.sampled_from([1, 2, 5, 25, 10, 3, 125]) | st.integers(1, 10**6),
    st.integers(-12, 4),
)
_values = st.decimals(-(10**12), 10**12, allow_nan=False) | st.floats(
    -1e15, 1e15, allow_nan=False
)


@given(_ticks, _values)
def test_quantize_is_the_nearest_multiple(tick, value):
    got = _mkt(size_tick=str(tick)).quantize(value)
    with localcontext(prec=400):
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        steps = (exact / tick).to_integral_value(ROUND_HALF_EVEN)
        assert got == steps * tick
        assert abs(got - exact) * 2 <= tick


@given(_ticks, _values)
def test_quantize_ignores_the_precision_set_elsewhere(tick, value):
    mkt = _mkt(size_tick=str(tick))
    with localcontext(prec=3):
        narrow = mkt.quantize(value)
    assert narrow == mkt.quantize(value)


@given(_ticks, st.integers(-(2**51), 2**51))
def test_ticks_round_trip_through_doubles(tick, count):
    mkt = _mkt(size_tick=str(tick))
    size = mkt.from_size_ticks(count)
    with localcontext(prec=400):
        assert size == float(count * tick)
    assert mkt.to_size_ticks(size) == count


@given(_ticks, st.floats(-1e18, 1e18, allow_nan=False))
def test_ticks_agree_with_quantize(tick, size):
    mkt = _mkt(size_tick=str(tick))
    with localcontext(prec=400):
        assert mkt.to_size_ticks(size) * tick == mkt.quantize(size)


@given(st.integers(-(10**6), 10**6), st.sampled_from(["0.01", "0.25", "0.5", "3"]))
def test_halves_go_to_the_even_tick(count, tick):
    mkt = _mkt(size_tick=tick)
    half = float((2 * count + 1) * Decimal(tick) / 2)
    assume(Decimal(repr(half)) * 2 == (2 * count + 1) * Decimal(tick))
    assert mkt.to_size_ticks(half) == (count if count % 2 == 0 else count + 1)


def test_numpy_sizes_give_plain_numbers():
    got = _mkt().to_size_ticks(np.float64(0.00003))
    assert got == 3
    assert type(got) is int
    assert type(_mkt().from_size_ticks(3)) is float


@pytest.mark.parametrize("tick", ["0", "-0.01", "nan", "inf", "1E+301"])
@pytest.mark.parametrize("name", ["price_tick", "size_tick", "multiplier"])
def test_steps_are_positive(name, tick):
    with pytest.raises(ValueError, match=f"{name} must be a number > 0, got") as caught:
        _mkt(**{name: tick} if "tick" in name else {name: Decimal(tick)})
    assert not isinstance(caught.value, PikerError)


def test_no_market_without_a_name():
    with pytest.raises(BadFqme, match="bad venue 'SPOT'"):
        _mkt(venue="SPOT")


def test_assets_are_lower_case_and_move_in_steps():
    with pytest.raises(ValueError, match="lower case, got 'BTC'"):
        Asset(name="BTC")
    with pytest.raises(ValueError, match="tx_tick must be a number > 0, got '0'"):
        Asset(name="btc", tx_tick=Decimal(0))


def test_a_wrong_step_on_the_wire_is_named():
    wire = msgspec.msgpack.encode({**msgspec.to_builtins(_mkt()), "price_tick": "0"})
    with pytest.raises(msgspec.ValidationError, match="price_tick must be"):
        msgspec.msgpack.decode(wire, type=MktPair)


# -- coarser steps from some price on ------------------------------------------------


def _steps(*steps):
    return tuple(PriceStep(at_least=Decimal(at), tick=Decimal(t)) for at, t in steps)


_TIERED = _mkt("0.0001", price_steps=_steps(("0.005", "0.0005"), ("1", "0.01")))


@pytest.mark.parametrize(
    ("price", "step", "ordered"),
    [
        ("0", "0.0001", "0"), ("0.0003", "0.0001", "0.0003"),
        ("0.00496", "0.0001", "0.0050"), ("0.005", "0.0005", "0.0050"),
        ("0.0062", "0.0005", "0.0060"), ("-0.0062", "0.0005", "-0.0060"),
        ("0.9999", "0.0005", "1.00"), ("1.234", "0.01", "1.23"),
    ],
)  # fmt: skip
def test_orders_have_prices_of_the_step_there(price, step, ordered):
    """What a venue tells is never rounded to it: an ask of 0.0003 is not 0.0005."""
    assert _TIERED.step_at(Decimal(price)) == Decimal(step)
    assert _TIERED.order_price(price) == Decimal(ordered)
    assert _TIERED.quantize("0.0003", "price") == Decimal("0.0003")


@given(st.floats(0, 10), st.lists(st.integers(2, 5), min_size=1, max_size=3))
def test_an_order_price_is_one_and_near(price, factors):
    tick, at, steps = Decimal("0.001"), Decimal("0.1"), []
    for factor in factors:
        tick *= factor
        at = -(-at // tick) * tick
        steps.append((at, tick))
        at *= 3
    mkt = _mkt("0.001", price_steps=_steps(*steps))
    found = mkt.order_price(price)
    assert not found % mkt.step_at(found)
    assert mkt.order_price(found) == found
    assert abs(found - Decimal(price)) <= (mkt.step_at(found) + mkt.price_tick) / 2
    assert msgspec.json.decode(msgspec.json.encode(mkt), type=MktPair) == mkt


@pytest.mark.parametrize(
    "steps",
    [
        [("0.005", "0.00015")], [("0.0052", "0.0005")], [("0", "0.0005")],
        [("1", "0.01"), ("0.5", "0.1")], [("1", "0.001"), ("2", "0.0005")],
        [("1", "-0.01")],
    ],
)  # fmt: skip
def test_steps_that_fit_into_each_other_are_wanted(steps):
    with pytest.raises(ValueError, match="price_steps must"):
        _mkt("0.0001", price_steps=_steps(*steps))
