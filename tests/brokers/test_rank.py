"""What a trader types, and which market comes first."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from piker.brokers._rank import Entry, SymbolIndex
from piker.brokers.sim._universe import iter_universe


def coin(name, base, quote, volume=0.0, *, broker="binance", **more):
    return Entry(
        fqme=f"{name}.{broker}",
        kind="perpetual_future" if ".perp" in name else "crypto",
        description=f"{base.upper()} / {quote.upper()}",
        volume=volume,
        base=base,
        quote=quote,
        **more,
    )


TABLE = SymbolIndex(
    (
        coin("btcusdt.spot", "btc", "usdt", 2e9),
        coin("btcusdt.usdtm.perp", "btc", "usdt", 2e10),
        coin("btcusdc.spot", "btc", "usdc", 3e8),
        coin("btctry.spot", "btc", "try", 9e10),
        coin("ethusdt.spot", "eth", "usdt", 1e9),
        coin("ethusdt.usdtm.perp", "eth", "usdt", 1e10),
        coin("ethbtc.spot", "eth", "btc", 2e3),
        coin("btcdomusdt.usdtm.perp", "btcdom", "usdt", 1e6),
        coin("wbtcusdt.spot", "wbtc", "usdt", 1e6),
        coin("perpusdt.spot", "perp", "usdt", 1e5),
        coin("perpbtc.spot", "perp", "btc", 1e2),
        coin("solusdt.spot", "sol", "usdt", 5e8),
        coin("lunausdt.spot", "luna", "usdt", 9e9, trading=False),
        coin("lunausdc.spot", "luna", "usdc", 1e3),
        coin("dogeusdt.spot", "doge", "usdt", 1e8),
        coin("xbtusd.spot", "xbt", "usd", broker="kraken", aliases=("btcusd.kraken",)),
        Entry("mnq.cme.20270319.ib", "future", "Micro Nasdaq Mar 2027"),
        Entry("mnq.cme.20261218.ib", "future", "Micro Nasdaq Dec 2026"),
        Entry("nq.cme.20261218.ib", "future", "Nasdaq Dec 2026"),
        Entry("tsla.nasdaq.ib", "stock", "Tesla"),
        Entry("tsla.20270115.200c.cboe.ib", "option", "TSLA 200 call 15 Jan 2027"),
        Entry("tsla.20270115.12_5c.cboe.ib", "option", "TSLA 12.5 call 15 Jan 2027"),
        Entry("tsla.20270115.200p.cboe.ib", "option", "TSLA 200 put 15 Jan 2027"),
    )
)


def found(pattern, limit=20, kind=""):
    return [match.fqme for match in TABLE.search(pattern, limit, kind)]


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("btc", ["btcusdt.spot.binance", "btcusdc.spot.binance", "xbtusd.spot.kraken"]),
        ("xbt", ["btcusdt.spot.binance", "btcusdc.spot.binance", "xbtusd.spot.kraken"]),
        ("btc kraken", ["xbtusd.spot.kraken"]),
        ("btcusd", ["xbtusd.spot.kraken", "btcusdt.spot.binance"]),
        ("xdg", ["dogeusdt.spot.binance"]),
        ("btcusdt", ["btcusdt.spot.binance", "btcusdt.usdtm.perp.binance"]),
        ("BTC/USDT", ["btcusdt.spot.binance", "btcusdt.usdtm.perp.binance"]),
        ("btc-usdt", ["btcusdt.spot.binance", "btcusdt.usdtm.perp.binance"]),
        ("usdt btc", ["btcusdt.spot.binance", "btcusdt.usdtm.perp.binance"]),
        ("btcusdt.binance", ["btcusdt.spot.binance", "btcusdt.usdtm.perp.binance"]),
        ("btcusdt.us", ["btcusdt.usdtm.perp.binance", "btcusdt.spot.binance"]),
        ("btcustd", ["btcusdt.spot.binance"]),
        ("btc prep", ["btcusdt.usdtm.perp.binance", "perpbtc.spot.binance"]),
        ("btc perp", ["btcusdt.usdtm.perp.binance"]),
        ("eth perp", ["ethusdt.usdtm.perp.binance"]),
        ("perp", ["perpusdt.spot.binance", "perpbtc.spot.binance"]),
        ("btcd", ["btcdomusdt.usdtm.perp.binance"]),
        ("wbtc", ["wbtcusdt.spot.binance"]),
        ("mnq", ["mnq.cme.20261218.ib", "mnq.cme.20270319.ib"]),
        ("nasdaq mar", ["mnq.cme.20270319.ib"]),
        ("nq dec", ["nq.cme.20261218.ib", "mnq.cme.20261218.ib"]),
        ("tsla", ["tsla.nasdaq.ib"]),
        ("tesla", ["tsla.nasdaq.ib"]),
        ("telsa", ["tsla.nasdaq.ib"]),
        ("tsla 200c", ["tsla.20270115.200c.cboe.ib"]),
        ("tsla 200 put", ["tsla.20270115.200p.cboe.ib"]),
        ("tsla 12.5c", ["tsla.20270115.12_5c.cboe.ib"]),
        ("tsla.20270115.200c", ["tsla.20270115.200c.cboe.ib"]),
        ("TSLA.20270115.12_5C.CBOE.IB", ["tsla.20270115.12_5c.cboe.ib"]),
        ("luna", ["lunausdc.spot.binance", "lunausdt.spot.binance"]),
        ("lunausdt.spot.binance", ["lunausdt.spot.binance"]),
        ("ethereum classic", []),
        ("qqqqzzzz", []),
        ("?!", []),
    ],
)
def test_first(pattern, first):
    names = found(pattern)
    assert names[: len(first)] == first
    if not first:
        assert not names


def test_a_quote_is_found_after_the_market_itself():
    names = found("btc")
    assert names.index("ethbtc.spot.binance") > names.index(
        "btcdomusdt.usdtm.perp.binance"
    )
    assert names.index("wbtcusdt.spot.binance") > names.index("btctry.spot.binance")


def test_typos_are_thought_of_only_where_nothing_is_spelt_so():
    assert "ethusdt.spot.binance" in found("rthusdt")
    assert all(name.startswith("ethusdt") for name in found("ethusdt"))


def test_what_does_not_trade_is_last_and_said_so():
    *_, last = TABLE.search("usdt", 50)
    assert last.fqme == "lunausdt.spot.binance"
    assert last.description == "LUNA / USDT (not trading)"


def test_an_empty_pattern_lists_all_by_kind_and_volume():
    assert found("", 1) == ["btcusdt.spot.binance"]
    assert found(" ", kind="future") == [
        "nq.cme.20261218.ib", "mnq.cme.20261218.ib", "mnq.cme.20270319.ib"
    ]  # fmt: skip
    assert len(found("")) == 20
    assert found("", 0) == found("", -1) == []


def test_an_empty_list_has_nothing():
    empty = SymbolIndex(())
    assert empty.search("btc", 5) == empty.search("", 5) == []


NAMES = st.from_regex(r"[a-z0-9]{1,6}(_[a-z]{1,2})?", fullmatch=True)
ENTRIES = st.builds(
    lambda pair, rest, kind, text, volume, trading: Entry(
        ".".join((pair, *rest, "x")), kind, text, volume, trading, pair[:3], pair[3:]
    ),
    NAMES,
    st.lists(NAMES, max_size=2),
    st.sampled_from(["crypto", "perpetual_future", "future", "option", "odd"]),
    st.text(max_size=20),
    st.sampled_from([0.0, 1.0, 1e12]),
    st.booleans(),
)
KINDS = st.sampled_from(["", "crypto", "future", "nothing"])


@given(
    st.lists(ENTRIES, max_size=30, unique_by=lambda one: one.fqme),
    st.text(max_size=40) | NAMES,
    st.integers(-1, 40),
    KINDS,
)
def test_any_pattern_is_answered_in_order(entries, pattern, limit, kind):
    matches = SymbolIndex(entries).search(pattern, limit, kind)
    assert len(matches) <= max(limit, 0)
    scores = [match.score for match in matches]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 100 for score in scores)
    assert len({match.fqme for match in matches}) == len(matches)
    assert not kind or {match.kind for match in matches} <= {kind}


@given(st.lists(ENTRIES, min_size=1, max_size=30, unique_by=lambda one: one.fqme))
def test_a_full_name_comes_first(entries):
    index = SymbolIndex(entries)
    for one in entries:
        for name in (one.fqme, f" {one.fqme.upper()} "):
            first, *others = index.search(name, 10, one.kind)
            assert (first.fqme, first.score) == (one.fqme, 100)
            assert all(match.score < 100 for match in others)


def test_every_market_of_the_sim_is_found_by_what_it_is_called():
    index = SymbolIndex(
        Entry(row.fqme, row.kind, row.description) for row in iter_universe()
    )
    for row in list(iter_universe())[::500]:
        assert index.search(row.fqme, 1)[0].fqme == row.fqme
        by_words = [match.fqme for match in index.search(row.description, 1000)]
        assert row.fqme in by_words, row.description
