"""Each indicator against slow arithmetic that cuts no corner; how one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, strategies as st

from piker.errors import UsageError
from piker.ui._series import Series
from piker.ui._study import bars_of
from piker.ui.indicators import (
    Bars,
    Indicator,
    Wanted,
    _api,
    dollar_volume,
    ema,
    known,
    parse,
    register,
    rsi,
    sma,
    trade_rate,
    vwap,
)
from piker.ui.indicators._library import decayed
from tests.ui._bars import MONDAY_S, series_of, series_walk, walk

DAY_S = 86_400
N = st.integers(1, 40)
LENGTHS = st.integers(0, 120)


def exactly(value: float) -> Decimal:
    return Decimal(repr(float(value)))


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget what a test registers."""
    before = dict(_api._known)
    yield
    _api._known.clear()
    _api._known.update(before)


# -- one by one ------------------------------------------------------------------------
@given(LENGTHS, N, st.integers(0, 9))
def test_ema(length: int, n: int, seed: int):
    bars = bars_of(series_walk(length, seed=seed))
    (got,) = ema(bars, n).values()
    weight, y, expected = Decimal(2) / (n + 1), None, []
    for close in map(exactly, bars.close):
        y = close if y is None else y + weight * (close - y)
        expected.append(float(y))
    assert got == pytest.approx(expected, rel=1e-12)


@given(LENGTHS, N, st.integers(0, 9))
def test_sma(length: int, n: int, seed: int):
    bars = bars_of(series_walk(length, seed=seed))
    (got,) = sma(bars, n).values()
    closes = list(map(exactly, bars.close))
    expected = [
        float(sum(closes[i + 1 - n : i + 1]) / n) if i + 1 >= n else float("nan")
        for i in range(length)
    ]
    assert got == pytest.approx(expected, rel=1e-14, nan_ok=True)


def test_sma_keeps_its_digits_after_a_long_climb():
    closes = np.linspace(0.01, 1e6, 200_000)
    series = Series(series_walk(1).mkt, 1)
    bars = walk(np.arange(len(closes)))
    bars["close"] = closes
    series.splice(bars)
    (got,) = sma(bars_of(series), 7).values()
    expected = np.lib.stride_tricks.sliding_window_view(closes, 7).mean(axis=1)
    assert np.allclose(got[6:], expected, rtol=1e-12)


@given(
    st.lists(st.integers(1, 9 * 3600), max_size=60),
    st.sets(st.integers(0, 59)),
    st.integers(0, 10**9),
)
def test_vwap(gaps: list[int], empty: set[int], first_s: int):
    bars = walk(first_s + np.cumsum(gaps, dtype=np.int64))
    bars["volume"][[i for i in empty if i < len(bars)]] = 0.0
    (got,) = vwap(bars_of(series_of(bars, 1))).values()
    paid = volume = Decimal(0)
    day, expected = None, []
    for row in bars:
        if row["time"] // DAY_S != day:
            day, paid, volume = row["time"] // DAY_S, Decimal(0), Decimal(0)
        prices = [exactly(row[name]) for name in ("high", "low", "close")]
        paid += sum(prices) / 3 * exactly(row["volume"])
        volume += exactly(row["volume"])
        expected.append(float(paid / volume) if volume else float("nan"))
    assert got == pytest.approx(expected, rel=1e-12, nan_ok=True)


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, -1, 2, -3]), max_size=80),
    st.integers(1, 20),
    st.integers(0, 400),
)
def test_rsi(moves: list[int], n: int, still: int):
    """Also after a long stillness, in which both of its averages all but vanish."""
    moves = [*moves, *[0] * still, 1, 0, -1] if still else moves
    bars = walk(60 * np.arange(len(moves)))
    bars["close"] = 1000 + np.cumsum(moves)
    (got,) = rsi(bars_of(series_of(bars)), n).values()
    rises = falls = Decimal(0)
    expected = []
    with localcontext() as context:
        context.prec = 60
        for i in range(len(moves)):
            move = Decimal(moves[i] if i else 0)
            rises += (max(move, Decimal(0)) - rises) / n
            falls += (max(-move, Decimal(0)) - falls) / n
            if n > 1 or move:
                both = rises + falls
                expected.append(float(100 * rises / both) if both else 50.0)
            else:  # nothing is left of a move but that it was the last
                expected.append(expected[-1] if expected else 50.0)
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(LENGTHS, st.integers(0, 9))
def test_what_was_paid_and_how_often(length: int, seed: int):
    bars = bars_of(series_walk(length, seed=seed))
    expected = [
        float(exactly(volume) * sum(map(exactly, prices)) / 3)
        for volume, *prices in zip(
            bars.volume, bars.high, bars.low, bars.close, strict=True
        )
    ]
    assert dollar_volume(bars)["paid"] == pytest.approx(expected, rel=1e-12)
    rates = [float(Decimal(int(count)) / 60) for count in bars.count]
    assert trade_rate(bars)["trades/s"] == pytest.approx(rates, rel=1e-14)


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=300),
    st.floats(1e-5, 1.5),
    st.none() | st.floats(-1e6, 1e6),
)
def test_weighted_means(values: list[float], weight: float, first: float | None):
    got = decayed(np.array(values), weight, first)
    y, expected = values[0] if values and first is None else first, []
    for value in values:
        y = y + min(weight, 1.0) * (value - y)
        expected.append(y)
    most = max(map(abs, [*values, first or 0.0]))
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9 * most)


@pytest.mark.parametrize("name", known())
def test_of_no_bars_nothing_is_told(name: str):
    bars = bars_of(series_walk(0))
    assert all(len(line) == 0 for line in parse(name).lines(bars).values())


@pytest.mark.parametrize("text", ["ema:0.3", "sma:0.3", "rsi:0.3"])
def test_a_parameter_below_one_counts_as_one(text: str):
    bars = bars_of(series_walk(30))
    one = text.replace("0.3", "1")
    for got, expected in zip(
        parse(text).lines(bars).values(), parse(one).lines(bars).values(), strict=True
    ):
        assert got.tolist() == expected.tolist()


@given(st.sampled_from(sorted(known())), st.integers(1, 300), st.data())
def test_from_the_row_it_names_an_indicator_is_right(name: str, length: int, data):
    """What a study relies on where only the newest bars changed."""
    wanted = parse(name if not known()[name].defaults else f"{name}:3")
    bars = bars_of(series_walk(length, seed=length, first_s=MONDAY_S - 3000))
    row = data.draw(st.integers(0, length - 1))
    since = wanted.since(bars, row)
    assert 0 <= since <= row
    whole, part = wanted.lines(bars), wanted.lines(bars.cut(since, row))
    for line, values in part.items():
        assert values[row - since :] == pytest.approx(
            whole[line][row:], rel=1e-9, abs=1e-9, nan_ok=True
        )


# -- asking for one --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "title", "params"),
    [
        ("ema", "ema 20", {"n": 20}),
        (" EMA:9 ", "ema 9", {"n": 9.0}),
        ("vwap", "vwap", {}),
        ("rsi:2.5", "rsi 2.5", {"n": 2.5}),
        ("sma:100000", "sma 100000", {"n": 100_000.0}),
    ],
)
def test_what_is_asked_for(text: str, title: str, params: dict[str, float]):
    wanted = parse(text)
    assert (wanted.title, wanted.params) == (title, params)
    assert wanted.indicator is known()[wanted.indicator.name]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("macd", "no indicator 'macd'; there are dollar, ema, rate, rsi, sma, vwap"),
        ("", "no indicator ''"),
        ("ema:1:2", "an indicator ema is written ema:n, got 'ema:1:2'"),
        ("vwap:1", "an indicator vwap is written vwap, got 'vwap:1'"),
        ("ema:", "n of ema:n is a number, got '': e.g. ema:20"),
        ("ema:x", "n of ema:n is a number, got 'x': e.g. ema:20"),
        ("ema:0", "n of ema:n is above 0 and at most 100000, got '0'"),
        ("ema:-1", "above 0"),
        ("ema:nan", "above 0"),
        ("ema:inf", "at most 100000"),
    ],
)
def test_what_is_asked_for_and_cant_be(text: str, says: str):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# -- one's own -------------------------------------------------------------------------
def spread(bars: Bars, n: float, width: float) -> dict[str, np.ndarray]:
    middle = (bars.high + bars.low) / 2
    return {"upper": middle + n * width, "lower": middle - n * width}


@pytest.mark.usefixtures("registry")
def test_ones_own_indicator_is_asked_for_as_any():
    register(Indicator("spread", spread, defaults={"n": 2, "width": 0.5}))
    wanted = parse("spread:3")
    assert wanted.title == "spread 3 0.5"
    bars = bars_of(series_walk(10))
    lines = wanted.lines(bars)
    assert list(lines) == ["upper", "lower"]
    assert lines["upper"] - lines["lower"] == pytest.approx(3.0)
    assert "spread" in known()
    other = Indicator("spread", lambda bars: {"one": bars.close})
    register(other)
    assert parse("spread").indicator is other


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", ["", "EMA", "my ema", "a:b", "1st"])
def test_a_name_that_cant_be_asked_for_is_refused(name: str):
    with pytest.raises(UsageError, match="word in lower case"):
        register(Indicator(name, spread))
    assert name not in known()


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (lambda bars: {"a": bars.close[1:]}, r"'odd' gave an array of shape \(9,\) as"),
        (lambda bars: {"a": 5.0}, r"shape \(\) as 'a' of 10 bars: one value a bar"),
        (lambda bars: {"a": np.ones((10, 2))}, r"shape \(10, 2\)"),
        (lambda bars: {"a": ["x"] * len(bars)}, "'odd' failed: ValueError"),
        (lambda bars: None, "'odd' failed: TypeError"),
        (lambda bars: 1 / 0, "'odd' failed: ZeroDivisionError"),
        (lambda bars, n: {}, "'odd' failed: TypeError"),
    ],
)
def test_what_an_indicator_gives_is_looked_at(compute, says: str):
    with pytest.raises(UsageError, match=says) as caught:
        Wanted(Indicator("odd", compute), {}).lines(bars_of(series_walk(10)))
    assert "\n" not in str(caught.value)


def test_whole_numbers_and_lists_are_lines_too():
    wanted = Wanted(Indicator("fine", lambda bars: {"a": [1] * len(bars),
                                                    "b": bars.count}), {})  # fmt: skip
    lines = wanted.lines(bars_of(series_walk(10)))
    assert {line.dtype for line in lines.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(("row", "since"), [(-100, 0), (3, 3), (99, 7), (2.9, 2)])
def test_the_row_an_indicator_names_is_brought_into_range(row: float, since: int):
    wanted = Wanted(Indicator("odd", spread, since=lambda bars, at: row), {})
    assert wanted.since(bars_of(series_walk(10)), 7) == since


def test_an_indicator_that_cant_name_a_row_is_told_of():
    wanted = Wanted(Indicator("odd", spread, since=lambda bars, at: {}[at]), {})
    with pytest.raises(UsageError, match="'odd' failed: KeyError"):
        wanted.since(bars_of(series_walk(10)), 7)
