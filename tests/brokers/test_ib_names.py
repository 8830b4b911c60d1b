"""IB's contracts have names, and names lead to contracts; both ways are the same."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st
from ib_async import Contract

from piker.brokers.ib._names import to_contracts, to_fqme
from piker.errors import BadFqme
from piker.msgs import Fqme

SYMBOLS = st.from_regex(r"[A-Z][A-Z0-9]{0,5}([ .][A-Z]{1,2})?", fullmatch=True)
EXCHANGES = st.sampled_from(
    ["NASDAQ", "NYSE", "ARCA", "LSE", "TSEJ", "SEHK", "IBIS2", "ENEXT.BE", "B3"]
)
FUTURE_EXCHANGES = st.sampled_from(["CME", "CBOT", "NYMEX", "COMEX", "EUREX"])
DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31)).map(lambda day: f"{day:%Y%m%d}")
CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)
STRIKES = st.decimals(Decimal("0.01"), Decimal(99_999), places=3).map(float)

STOCKS = st.builds(
    lambda symbol, exchange: Contract(
        secType="STK", symbol=symbol, exchange="SMART", primaryExchange=exchange
    ),
    SYMBOLS,
    EXCHANGES,
)
FUTURES = st.builds(
    lambda symbol, day, exchange: Contract(
        secType="FUT",
        symbol=symbol,
        lastTradeDateOrContractMonth=day,
        exchange=exchange,
    ),
    SYMBOLS,
    DAYS,
    FUTURE_EXCHANGES,
)
OPTIONS = st.builds(
    lambda kind, symbol, day, strike, right, exchange: Contract(
        secType=kind,
        symbol=symbol,
        lastTradeDateOrContractMonth=day,
        strike=strike,
        right=right,
        exchange=exchange,
    ),
    st.sampled_from(["OPT", "FOP"]),
    SYMBOLS,
    DAYS,
    STRIKES,
    st.sampled_from("CP"),
    FUTURE_EXCHANGES,
)
PAIRS = st.builds(
    lambda base, quote: Contract(
        secType="CASH", symbol=base, currency=quote, exchange="IDEALPRO"
    ),
    CODES,
    CODES,
)
INDEXES = st.builds(
    lambda symbol, exchange: Contract(secType="IND", symbol=symbol, exchange=exchange),
    SYMBOLS,
    st.sampled_from(["CBOE", "NASDAQ", "EUREX"]),
)


@given(st.one_of(STOCKS, FUTURES, OPTIONS, PAIRS, INDEXES))
def test_a_contract_is_found_by_its_name(contract):
    """What a name means has the contract it was made of, and nothing that isn't it."""
    name = to_fqme(contract)
    assert Fqme.parse(str(name)) == name
    assert contract in to_contracts(str(name))


@given(st.one_of(STOCKS, FUTURES, OPTIONS, PAIRS, INDEXES))
def test_a_name_is_that_of_every_contract_it_means(contract):
    name = to_fqme(contract)
    for meant in to_contracts(name):
        assert to_fqme(meant) == name


@given(st.one_of(FUTURES, STOCKS), st.from_regex(r"[a-z][a-z0-9]{1,4}", fullmatch=True))
def test_a_word_after_the_venue_is_kept(contract, word):
    if word == "perp":
        return
    name = to_fqme(contract, word=word)
    for meant in to_contracts(name):
        assert word.upper() in {meant.currency, meant.tradingClass}
        assert to_fqme(meant, word=word) == name


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        (
            "tsla.nasdaq.ib",
            Contract(
                secType="STK", symbol="TSLA", exchange="SMART", primaryExchange="NASDAQ"
            ),
        ),
        (
            "brk_b.nyse.ib",
            Contract(
                secType="STK", symbol="BRK B", exchange="SMART", primaryExchange="NYSE"
            ),
        ),
        ("tsla.smart.ib", Contract(secType="STK", symbol="TSLA", exchange="SMART")),
        (
            "mnq.cme.20261218.ib",
            Contract(
                secType="FUT",
                symbol="MNQ",
                lastTradeDateOrContractMonth="20261218",
                exchange="CME",
            ),
        ),
        (
            "mnq.cme.261218.ib",
            Contract(
                secType="FUT",
                symbol="MNQ",
                lastTradeDateOrContractMonth="20261218",
                exchange="CME",
            ),
        ),
        (
            "eurusd.idealpro.ib",
            Contract(secType="CASH", symbol="EUR", currency="USD", exchange="IDEALPRO"),
        ),
        (
            "xauusd.cmdty.ib",
            Contract(secType="CMDTY", symbol="XAUUSD", exchange="SMART"),
        ),
        (
            "btcusd.paxos.ib",
            Contract(secType="CRYPTO", symbol="BTC", currency="USD", exchange="PAXOS"),
        ),
        (
            "cspx.lse.gbp.ib",
            Contract(
                secType="STK",
                symbol="CSPX",
                exchange="SMART",
                primaryExchange="LSE",
                currency="GBP",
            ),
        ),
        (
            "si.comex.20261229.sil.ib",
            Contract(
                secType="FUT",
                symbol="SI",
                lastTradeDateOrContractMonth="20261229",
                exchange="COMEX",
                tradingClass="SIL",
            ),
        ),
    ],
)
def test_names_that_are_written_down(name, contract):
    assert to_contracts(name)[0] == contract


@pytest.mark.parametrize(
    "name",
    [
        "tsla.ib",
        "btcusdt.usdtm.perp.ib",
        "eurusdx.idealpro.ib",
        "eur.idealpro.ib",
        "tsla.nasdaq.kraken",
        "tsla.nasdaq.usd.more.ib",
    ],
)
def test_names_of_no_market(name):
    with pytest.raises(BadFqme) as caught:
        to_contracts(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "contract",
    [
        Contract(secType="BOND", symbol="US912", exchange="SMART"),
        Contract(secType="STK", symbol="A/B", exchange="SMART", primaryExchange="NYSE"),
        Contract(secType="STK", symbol="A", exchange=""),
        Contract(secType="FUT", symbol="ES", exchange="CME"),
        Contract(
            secType="FUT",
            symbol="ES",
            exchange="CME",
            lastTradeDateOrContractMonth="202612",
        ),
        Contract(
            secType="OPT",
            symbol="T",
            exchange="SMART",
            right="?",
            lastTradeDateOrContractMonth="20261218",
        ),
    ],
)
def test_contracts_without_a_name(contract):
    with pytest.raises(BadFqme):
        to_fqme(contract)
