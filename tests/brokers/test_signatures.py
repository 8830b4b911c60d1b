"""Signed requests are those that an independent implementation makes: ccxt's."""

from __future__ import annotations

import base64
import warnings
from functools import cache
from importlib import import_module
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings, strategies as st

from piker.brokers._live._secrets import Keys, Secret
from piker.brokers.binance._sign import signed_params, signed_query
from piker.brokers.kraken._sign import signed_form
from piker.errors import ConfigError

NOW_MS = 1_795_955_180_504

names = st.sampled_from(
    ["symbol", "side", "price", "quantity", "newClientOrderId", "pair", "volume"]
)
values = st.text(
    "abcXYZ0123456789.-_ /+&=%", min_size=1, max_size=30
) | st.integers(0, 10**12).map(str)  # fmt: skip
params = st.dictionaries(names, values, max_size=6)
keys = st.text("abcdef0123456789", min_size=16, max_size=64)


@cache
def ccxt():
    """Import it: two seconds of a core, which who only collects tests needn't pay."""
    with warnings.catch_warnings():  # what others' modules say when they are imported
        warnings.simplefilter("ignore")
        import_module("ccxt.pro")
        return import_module("ccxt")


def ours(key: str, secret: str) -> Keys:
    return Keys(Secret(key), Secret(secret))


def theirs(kind, key: str, secret: str):
    made = kind({"apiKey": key, "secret": secret, "options": {"recvWindow": 3000}})
    made.milliseconds = made.nonce = lambda: NOW_MS
    return made


@given(params, keys, keys)
@settings(max_examples=50, deadline=None)
def test_binance_rest(asked, key, secret):
    venue = theirs(ccxt().binance, key, secret)
    told = venue.sign("order", ["private"], "GET", dict(asked))
    query = told["url"].partition("?")[2]
    assert told["headers"]["X-MBX-APIKEY"] == key
    sent = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    wanted = sent.pop("signature")
    assert sent.items() >= asked.items()
    # in their order, which is signed; spaces may be written in two ways
    mine = signed_query(ours(key, secret), sent)
    if " " not in "".join(asked.values()):
        assert mine == query
        assert mine.rpartition("=")[2] == wanted


@given(params, keys, keys)
@settings(max_examples=50, deadline=None)
def test_binance_websocket(asked, key, secret):
    asked = {
        name: value for name, value in asked.items() if not set(value) & set(" /+&=%")
    }
    venue = theirs(ccxt().pro.binance, key, secret)
    wanted = venue.sign_params(dict(asked))
    inputs = {n: v for n, v in wanted.items() if n not in ("signature", "apiKey")}
    assert inputs.items() >= asked.items()
    mine = signed_params(ours(key, secret), inputs)
    assert mine == wanted


@given(params, keys, st.binary(min_size=16, max_size=64))
@settings(max_examples=50, deadline=None)
def test_kraken_rest(asked, key, raw):
    # a price in per cent is sent as JSON by them: another way of asking
    asked = {name: value.rstrip("%") or "0" for name, value in asked.items()}
    secret = base64.b64encode(raw).decode()
    venue = theirs(ccxt().kraken, key, secret)
    told = venue.sign("TradesHistory", ["private"], "POST", dict(asked))
    nonce = int(dict(parse_qsl(told["body"]))["nonce"])
    form, headers = signed_form(
        ours(key, secret), "/0/private/TradesHistory", nonce, asked
    )
    if " " not in "".join(asked.values()):
        assert form.decode() == told["body"]
        assert headers["API-Sign"] == told["headers"]["API-Sign"]
    assert headers["API-Key"] == told["headers"]["API-Key"]


def test_the_venues_own_example():
    """Of https://docs.kraken.com/api/docs/guides/spot-rest-auth."""
    secret = (
        "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    )  # fmt: skip
    form, headers = signed_form(
        ours("key", secret),
        "/0/private/AddOrder",
        1616492376594,
        {"ordertype": "limit", "pair": "XBTUSD", "price": 37500, "type": "buy",
         "volume": "1.25"},
    )  # fmt: skip
    assert form.startswith(b"nonce=1616492376594&ordertype=limit&pair=XBTUSD")
    assert headers["API-Sign"] == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )


def test_a_secret_that_is_no_base64_is_named_and_not_shown():
    with pytest.raises(ConfigError, match="base64") as caught:
        signed_form(ours("key", "planted!"), "/0/private/Balance", 1, {})
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None
