"""Market names: one parser, one renderer, and what each refusal says."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, strategies as st

from piker.errors import BadFqme
from piker.msgs import Fqme
from piker.msgs._fqme import MAX_FQME_CHARS

_FORM = "write PAIR[.VENUE[.EXPIRY]].BROKER, e.g. btcusdt.spot.sim"

NAMES = {
    "xbteur.kraken": {"pair": "xbteur", "broker": "kraken"},
    "btcusdt.spot.binance": {"pair": "btcusdt", "venue": "spot", "broker": "binance"},
    "btcusdt.usdtm.perp.binance": {
        "pair": "btcusdt", "venue": "usdtm", "expiry": "perp", "broker": "binance",
    },
    "btcusdt.usdtm.230630.binance": {
        "pair": "btcusdt", "venue": "usdtm", "expiry": "230630", "broker": "binance",
    },
    "mnq.cme.20261218.ib": {
        "pair": "mnq", "venue": "cme", "expiry": "20261218", "broker": "ib",
    },
    "tsla.20270115.200c.cboe.ib": {
        "pair": "tsla", "venue": "cboe", "expiry": "20270115", "info": ("200c",),
        "broker": "ib",
    },
    "tsla.20270115.12_5p.ib": {
        "pair": "tsla", "expiry": "20270115", "info": ("12_5p",), "broker": "ib",
    },
    "tsla.20270115.200c.cboe.ib.sim": {
        "pair": "tsla", "venue": "cboe", "expiry": "20270115", "info": ("200c", "ib"),
        "broker": "sim",
    },
    "btcusdt.usdtm.perp.binance.sim": {
        "pair": "btcusdt", "venue": "usdtm", "expiry": "perp", "info": ("binance",),
        "broker": "sim",
    },
    "btcusdt.spot.binance.sim": {
        "pair": "btcusdt", "venue": "spot", "info": ("binance",), "broker": "sim",
    },
    "700.sehk.ib": {"pair": "700", "venue": "sehk", "broker": "ib"},
    "perp.spot.kraken": {"pair": "perp", "venue": "spot", "broker": "kraken"},
    "btc-29dec23-50000-c.deribit": {"pair": "btc-29dec23-50000-c", "broker": "deribit"},
}  # fmt: skip


@pytest.mark.parametrize("text", NAMES)
def test_names_come_apart_and_together(text):
    fqme = Fqme.parse(text)
    assert fqme == Fqme(**NAMES[text])
    assert str(fqme) == text
    assert f"{fqme.bs_fqme}.{fqme.broker}" == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("foo", f"has no broker: {_FORM}"),
        ("btc.usdtm.perp", f"has no broker: {_FORM}"),
        ("mnq.cme.20261218", f"has no broker: {_FORM}"),
        ("", f"has an empty part: {_FORM}"),
        ("btc..sim", f"has an empty part: {_FORM}"),
        (".sim", f"has an empty part: {_FORM}"),
        ("btc.", f"has an empty part: {_FORM}"),
        ("btc usdt.sim", "has an illegal character ' '"),
        ("btc.sim\n", "has an illegal character '\\n'"),
        ("btc/usdt.sim", "has an illegal character '/'"),
        ("bté.sim", "has an illegal character 'é'"),
        ("\N{KELVIN SIGN}sm.sim", "has an illegal character"),
        ("-btc.sim", "has a bad pair '-btc'"),
        ("btc.9spot.sim", "has a bad venue '9spot'"),
        ("mnq.cme.20261318.ib", "has a bad expiry '20261318': write perp, yyyymmdd or"),
        ("mnq.cme.2026.ib", "has a bad expiry '2026'"),
        ("mnq.20261218.cme.ib", "out of order: write mnq.cme.20261218.ib"),
        ("tsla.cboe.20270115.200c.ib", "order: write tsla.20270115.200c.cboe.ib"),
        ("tsla.20270115.0200c.cboe.ib", "has a bad strike '0200c': write it like 200c"),
        ("tsla.20270115.2_50c.cboe.ib", "has a bad strike '2_50c'"),
        ("tsla.perp.200c.cboe.ib", "has a strike '200c' but no date of expiry"),
        ("tsla.200c.cboe.ib", "has a bad venue '200c'"),
        ("a.spot.perp.230630.sim", "has a bad part '230630'"),
        ("a" * 300 + ".sim", f"is longer than {MAX_FQME_CHARS} characters"),
    ],
)
def test_refusals_say_what_is_wrong(text, says):
    with pytest.raises(BadFqme) as caught:
        Fqme.parse(text)
    (sentence,) = caught.value.args
    assert sentence.startswith(f"market name {text!r} ")
    assert says in sentence
    assert "\n" not in sentence


def test_upper_case_is_lowered_when_parsed_only():
    assert str(Fqme.parse("BTCUSDT.Spot.SIM")) == "btcusdt.spot.sim"
    with pytest.raises(BadFqme, match="bad pair 'BTC'"):
        Fqme(pair="BTC", broker="sim")


@pytest.mark.parametrize(
    "parts",
    [
        {"pair": "btc", "broker": ""},
        {"pair": "", "broker": "sim"},
        {"pair": "btc", "broker": "perp"},
        {"pair": "btc.usdt", "broker": "sim"},
        {"pair": "btc", "broker": "sim", "venue": "perp"},
        {"pair": "btc", "broker": "sim", "venue": "20261218"},
        {"pair": "btc", "broker": "sim", "venue": "cme", "expiry": "soon"},
        {"pair": "btc", "broker": "sim", "info": ("binance",)},
        {"pair": "btc", "broker": "sim", "expiry": "perp", "info": ("binance",)},
        {"pair": "btc", "broker": "sim", "venue": "spot", "info": ("",)},
        {"pair": "btc", "broker": "sim", "venue": "spot", "info": ("x", "")},
        {"pair": "btc", "broker": "sim", "venue": "spot", "info": ("200c",)},
        {"pair": "b", "broker": "sim", "expiry": "20270115", "info": ("1c", "ib")},
        {"pair": "b", "broker": "s", "venue": "v", "expiry": "perp", "info": ("a b",)},
    ],
)
def test_no_bad_name_can_be_made(parts):
    with pytest.raises(BadFqme):
        Fqme(**parts)


def test_bad_names_do_not_decode():
    with pytest.raises(BadFqme):
        msgspec.msgpack.decode(
            msgspec.msgpack.encode({"pair": "a b", "broker": "sim"}), type=Fqme
        )


_words = st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True).filter(
    lambda word: word != "perp"
)
_brokers = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda word: word != "perp"
)
_pairs = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
_dates = st.dates(date(2000, 1, 1), date(2099, 12, 31)).flatmap(
    lambda day: st.sampled_from([f"{day:%Y%m%d}", f"{day:%y%m%d}"])
)
_prices = st.decimals(0, 10**6, places=4, allow_nan=False)
_strikes = st.builds(Fqme.strike_part, _prices, st.sampled_from("cp"))


@st.composite
def _fqmes(draw):
    option = draw(st.booleans())
    venue = draw(st.just("") | _words)
    info = tuple(draw(st.lists(_words, max_size=2))) if venue else ()
    return Fqme(
        pair=draw(_pairs),
        broker=draw(_brokers),
        venue=venue,
        expiry=draw(_dates if option else st.sampled_from(["", "perp"]) | _dates),
        info=(draw(_strikes), *info) if option else info,
    )


@given(_fqmes())
def test_every_name_round_trips(fqme):
    text = str(fqme)
    assert Fqme.parse(text) == fqme
    assert Fqme.parse(text.upper()) == fqme
    wire = msgspec.msgpack.encode(fqme)
    assert msgspec.msgpack.decode(wire, type=Fqme) == fqme


_odd_parts = st.sampled_from(
    ["perp", "20261218", "230630", "20261399", "200c", "0_5p", "00c", "cme", "", "7"]
)


@given(st.lists(_odd_parts | _words | _brokers, max_size=7).map(".".join) | st.text())
def test_every_accepted_text_renders_as_it_was(text):
    try:
        fqme = Fqme.parse(text)
    except BadFqme as e:
        refusal = e.args
    else:
        assert str(fqme) == text.lower()
        return
    (sentence,) = refusal
    assert len(sentence.splitlines()) == 1


@given(_prices, st.sampled_from("cp"))
def test_strikes_round_trip(price, right):
    fqme = Fqme(
        pair="t", broker="ib", expiry="20270115", info=(Fqme.strike_part(price, right),)
    )
    assert (fqme.strike_price, fqme.right) == (price, right)
    assert fqme.expiry_date == date(2027, 1, 15)


def test_strike_spelling():
    assert Fqme.strike_part(Decimal("12.50"), "c") == "12_5c"
    assert Fqme.strike_part(Decimal("2E+2"), "p") == "200p"
    assert Fqme.strike_part(Decimal("0.625"), "c") == "0_625c"
    with pytest.raises(BadFqme, match="got '-1' and 'c'"):
        Fqme.strike_part(Decimal(-1), "c")


def test_short_dates_are_of_this_century():
    assert Fqme.parse("a.v.230630.x").expiry_date == date(2023, 6, 30)
    assert Fqme.parse("a.v.perp.x").expiry_date is None
