"""Synthetic markets: one function of (seed, market, time), bars and trades agree."""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from piker.brokers.sim._shape import DAY_BLOCKS, Path, SimMarket, day_profile
from piker.brokers.sim._synthetic import Synthetic
from piker.brokers.sim._trades import to_ticks
from piker.brokers.sim._universe import find_market
from piker.msgs import Asset, Calendar, MktPair
from piker.tsp import OHLCV, aggregate, fill_gaps, find_gaps

NS = 1_000_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
NOW_S = 1_790_000_000 // DAY_S * DAY_S  # Monday 2026-09-21
FUTURE, CALL = "es.cme.20261218.sim", "tsla.20270115.200c.cboe.sim"
FQMES = [
    "btcusdt.spot.sim",
    "btcusdt.usdtm.perp.sim",
    "tsla.nasdaq.sim",
    FUTURE,
    CALL,
    "zn.cme.20261218.sim",  # a tick that is no power of ten
    "gifausdt.spot.sim",  # a generated one, with silent minutes
]
SYNTHETICS = {fqme: Synthetic(find_market(fqme), seed=7) for fqme in FQMES}

periods = st.sampled_from([1, 5, 7, 60, 90, 300, 3_600, DAY_S])
starts = st.integers((NOW_S - 40 * DAY_S) * NS, (NOW_S + 90 * DAY_S) * NS)
widths = st.floats(0, 4.3).map(lambda power: int(10**power * NS))


def bars_by_hand(synthetic, trades, period_s):
    columns = trades["time_ns"], trades["price"], trades["lots"]
    return aggregate(*columns, period_s, synthetic.market.size_tick)


@pytest.mark.parametrize("fqme", FQMES)
@given(starts, widths, st.lists(st.floats(0, 1), max_size=4), periods)
@settings(max_examples=25)
def test_any_window_cut_anywhere_is_the_same(fqme, start_ns, width_ns, cuts, period_s):
    synthetic = SYNTHETICS[fqme]
    end_ns = start_ns + width_ns
    trades = synthetic.trades(start_ns, end_ns)
    edges = sorted({start_ns, end_ns, *(start_ns + int(c * width_ns) for c in cuts)})
    parts = [synthetic.trades(a, b) for a, b in pairwise(edges)] or [trades]
    assert np.concatenate(parts).tobytes() == trades.tobytes()
    bars = synthetic.bars(start_ns, end_ns, period_s)
    assert bars.tobytes() == bars_by_hand(synthetic, trades, period_s).tobytes()
    afresh = Synthetic(synthetic.market, seed=7)
    assert afresh.trades(start_ns, end_ns).tobytes() == trades.tobytes()


@pytest.mark.parametrize("fqme", FQMES)
def test_trades_are_what_trades_are(fqme):
    start_ns = (NOW_S + 14 * HOUR_S) * NS
    synthetic = SYNTHETICS[fqme]
    trades = synthetic.trades(start_ns, start_ns + 2 * HOUR_S * NS)
    assert len(trades) > 100
    assert (np.diff(trades["tid"]) > 0).all()
    assert (np.diff(trades["time_ns"]) >= 0).all()
    assert (trades["tid"] // 2_048 == trades["time_ns"] // (MINUTE_S * NS)).all()
    assert (trades["bid"] > 0).all()
    assert (trades["ask"] > trades["bid"]).all()
    at = np.where(trades["side"] > 0, trades["ask"], trades["bid"])
    assert (trades["price"] == at).all()
    for name in ("bid_size", "ask_size", "size"):
        assert (trades[name] > 0).all()
    mkt = synthetic.market.mkt
    for price, lots, size in trades[["price", "lots", "size"]][:500].tolist():
        assert float(mkt.quantize(price, "price")) == price
        assert size == float(lots * mkt.size_tick)


@pytest.mark.parametrize("fqme", FQMES)
def test_volume_equals_an_independent_decimal_sum(fqme):
    start_ns = (NOW_S + 16 * HOUR_S) * NS
    synthetic = SYNTHETICS[fqme]
    trades = synthetic.trades(start_ns, start_ns + HOUR_S * NS)
    (bar,) = synthetic.bars(start_ns, start_ns + HOUR_S * NS, HOUR_S)
    total = sum((Decimal(repr(size)) for size in trades["size"].tolist()), Decimal(0))
    assert bar["volume"] == float(total)
    assert bar["count"] == len(trades)


def test_long_spans_agree_with_their_pieces():
    """Windows longer than the chunks that bars and trades are made in."""
    synthetic = SYNTHETICS["btcusdt.spot.sim"]
    start_s, end_s = NOW_S - 50 * DAY_S, NOW_S
    bars = synthetic.bars(start_s * NS, end_s * NS, MINUTE_S)
    assert len(bars) == 50 * DAY_BLOCKS > 1 << 16
    for at in (0, 40_000, 65_530, 71_990):
        part = synthetic.bars(
            (start_s + at * 60) * NS, (start_s + at * 60 + 600) * NS, 60
        )
        assert part.tobytes() == bars[at : at + 10].tobytes()
    days = synthetic.bars(start_s * NS, end_s * NS, DAY_S)
    assert days["count"].sum() == bars["count"].sum()
    assert days["high"].max() == bars["high"].max()
    tail_ns = (end_s - 3 * DAY_S) * NS
    trades = synthetic.trades(tail_ns, end_s * NS)
    assert bars_by_hand(synthetic, trades, 60).tobytes() == bars[-4_320:].tobytes()


def test_ticks_are_bid_ask_and_trade_in_turn():
    synthetic = SYNTHETICS["btcusdt.usdtm.perp.sim"]
    start_ns = NOW_S * NS + 5 * NS
    trades = synthetic.trades(start_ns, start_ns + 20 * NS)
    ticks = synthetic.ticks(start_ns, start_ns + 20 * NS)
    assert ticks == to_ticks(trades)
    assert len(ticks) == 3 * len(trades) > 30
    for row, bid, ask, trade in zip(
        trades.tolist(), ticks[::3], ticks[1::3], ticks[2::3], strict=True
    ):
        time_ns, tid, price, _, size, side, *book = row
        assert (bid.type, ask.type, trade.type) == ("bid", "ask", "trade")
        assert [bid.price, ask.price, bid.size, ask.size] == book
        assert {bid.time_ns, ask.time_ns, trade.time_ns} == {time_ns}
        assert (trade.price, trade.size) == (price, size)
        assert (trade.tid, trade.side, bid.tid, bid.side) == (tid, side, -1, 0)
        assert all(type(v) in {int, float} for v in (trade.price, trade.tid))


def test_outside_of_time_there_is_nothing():
    synthetic = SYNTHETICS["btcusdt.spot.sim"]
    for start_ns, end_ns in ((-(10**20), 0), (2**63, 2**64), (5, 5), (NS, 0)):
        assert len(synthetic.trades(start_ns, end_ns)) == 0
        bars = synthetic.bars(start_ns, end_ns, 60)
        assert (len(bars), bars.dtype) == (0, OHLCV)
        assert synthetic.ticks(start_ns, end_ns) == []
    assert len(synthetic.trades(-NS, 60 * NS)) > 3


@pytest.mark.parametrize("fqme", ["tsla.nasdaq.sim", FUTURE, CALL])
def test_a_closed_market_does_not_trade(fqme):
    synthetic = SYNTHETICS[fqme]
    calendar = synthetic.market.calendar
    week = [(NOW_S + d * DAY_S) * NS for d in (0, 7)]
    trades = synthetic.trades(*week)
    seconds = np.unique(trades["time_ns"] // NS).tolist()
    assert len(seconds) > 1000
    assert all(map(calendar.is_open, seconds))
    bars = synthetic.bars(*week, 60)
    assert all(calendar.is_open(t) for t in bars["time"].tolist())
    assert find_gaps(bars, 60), "a week has closed hours"
    filled = fill_gaps(bars, 60, calendar)
    assert all(calendar.is_open(t) for t in filled["time"].tolist())
    if not synthetic.market.activity.silent:
        assert find_gaps(bars, 60, calendar) == []
        assert len(filled) == len(bars)


def test_prices_jump_over_the_close():
    bars = SYNTHETICS["tsla.nasdaq.sim"].bars(
        NOW_S * NS, (NOW_S + 60 * DAY_S) * NS, MINUTE_S
    )
    apart = np.diff(bars["time"])
    moves = np.abs(bars["open"][1:] - bars["close"][:-1])
    assert moves[apart > HOUR_S].mean() > 10 * moves[apart == 60].mean()


def test_a_contract_lives_from_listing_to_expiry():
    for fqme in (FUTURE, CALL):
        market = find_market(fqme)
        synthetic = SYNTHETICS[fqme]
        ends_ns, born_ns = market.expires_s * NS, market.listed_s * NS
        assert len(synthetic.trades(ends_ns, ends_ns + 5 * DAY_S * NS)) == 0
        assert len(synthetic.bars(ends_ns, ends_ns + 5 * DAY_S * NS, 60)) == 0
        assert len(synthetic.trades(born_ns - 9 * DAY_S * NS, born_ns)) == 0
        last = synthetic.trades(ends_ns - 5 * 60 * NS, ends_ns)
        assert len(last) > 0
        assert last["time_ns"].max() < ends_ns
        assert len(synthetic.bars(born_ns, born_ns + 5 * DAY_S * NS, 60)) > 0


def test_silent_minutes_leave_holes():
    synthetic = SYNTHETICS["gifausdt.spot.sim"]
    bars = synthetic.bars(NOW_S * NS, (NOW_S + DAY_S) * NS, 60)
    share = 1 - len(bars) / DAY_BLOCKS
    assert abs(share - synthetic.market.activity.silent) < 0.05


def test_markets_of_one_path_move_together():
    spot, perp = (
        SYNTHETICS[f].bars(NOW_S * NS, (NOW_S + DAY_S) * NS, 60)
        for f in ("btcusdt.spot.sim", "btcusdt.usdtm.perp.sim")
    )
    assert (np.abs(spot["close"] - perp["close"]) < 0.5).all()
    assert (spot["volume"] != perp["volume"]).any()


def test_seeds_and_names_make_other_worlds():
    market = find_market("btcusdt.spot.sim")
    closes = {
        Synthetic(m, seed).bars(NOW_S * NS, (NOW_S + 600) * NS, 60)["close"].tobytes()
        for seed in range(3)
        for m in (market, find_market("ethusdt.spot.sim"))
    }
    assert len(closes) == 6


def closes_of(fqme, start_s, minutes=5):
    bars = Synthetic(find_market(fqme), 7).bars(
        start_s * NS, (start_s + minutes * 60) * NS, minutes * 60
    )
    return float(bars["close"][0])


def test_options_follow_their_stock():
    start_s = NOW_S + 20 * HOUR_S
    stock = closes_of("tsla.nasdaq.sim", start_s, 60)
    strikes = (150, 200, 250, 300, 350)
    calls, puts = (
        [closes_of(f"tsla.20270115.{k}{side}.cboe.sim", start_s, 60) for k in strikes]
        for side in "cp"
    )
    assert calls == sorted(calls, reverse=True)
    assert puts == sorted(puts)
    assert len({*calls, *puts}) == 10
    for strike, call, put in zip(strikes, calls, puts, strict=True):
        # each side's last print may be minutes old, the stock moves by then
        assert abs((call - put) - (stock - strike)) < stock * 0.01
        assert call >= max(0.0, stock - strike) - stock * 0.01
    late = closes_of(
        "tsla.20270115.200c.cboe.sim", find_market(CALL).expires_s - 3600, 60
    )
    spot = closes_of("tsla.nasdaq.sim", find_market(CALL).expires_s - 3600, 60)
    assert abs(late - max(0.0, spot - 200)) < spot * 0.02


GOLDEN = {
    "btcusdt.spot.sim": "05054749521ec76a",
    "tsla.nasdaq.sim": "3ec09d6047cb5310",
    FUTURE: "5f18457e61a7eb98",
    CALL: "d61034d9df669e7a",
}


@pytest.mark.parametrize("fqme", GOLDEN)
def test_golden_digests(fqme):
    """The same bits on every machine and with every numpy."""
    synthetic = Synthetic(find_market(fqme), seed=7)
    digest = blake2b(digest_size=8)
    start_ns, now_ns = (NOW_S - 60 * DAY_S) * NS, (NOW_S + 15 * HOUR_S) * NS
    digest.update(synthetic.bars(start_ns, now_ns, 60).tobytes())
    digest.update(synthetic.trades(now_ns, now_ns + HOUR_S * NS).tobytes())
    assert digest.hexdigest() == GOLDEN[fqme]


def test_a_market_that_cannot_be_is_refused():
    mkt = MktPair(
        dst=Asset(name="abc"), price_tick=Decimal(1), size_tick=Decimal(1),
        bs_mktid="abc", broker="sim",
    )  # fmt: skip
    with pytest.raises(ValueError, match="whole minutes"):
        SimMarket(mkt, Path("abc"), calendar=Calendar(weekly=((30, 90),)))
    with pytest.raises(ValueError, match="after it is listed"):
        SimMarket(mkt, Path("abc"), listed_s=120, expires_s=120)


@pytest.mark.parametrize("fqme", FQMES)
def test_a_day_is_busy_at_both_ends(fqme):
    calendar = find_market(fqme).calendar
    profile = day_profile(calendar)
    first, last = calendar.weekly[0] if calendar.weekly else (0, DAY_S)
    first, last = first // 60 % DAY_BLOCKS, (last // 60 - 1) % DAY_BLOCKS
    middle = (first + (last - first) % DAY_BLOCKS // 2) % DAY_BLOCKS
    assert profile.trades[first] > 2 * profile.trades[middle]
    assert profile.trades[last] > 2 * profile.trades[middle]
