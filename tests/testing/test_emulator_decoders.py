"""What the emulators say is what piker's decoders, written from the documents, take."""

from __future__ import annotations

import json

import numpy as np
import pytest

from piker.brokers._parts import Notice
from piker.brokers.binance import _decode as binance, _listing, _rest
from piker.brokers.kraken import (
    _decode as kraken,
    _listing as kraken_listing,
    _rest as kraken_rest,
)

from ._emulated import hear, http, open_all, open_local, open_ws, write_session


def decode_all(decode, heard):
    """Return trade ticks and notices; serials must be contiguous."""
    ticks, notices, expected = [], [], None
    for message in heard:
        told = decode(json.dumps(message).encode())
        if isinstance(told, Notice):
            notices.append(told)
            continue
        for part in told:
            if part.first >= 0:
                assert expected in {None, part.first}
                expected = part.last + 1
            ticks += [tick for tick in part.ticks if tick.type == "trade"]
    return ticks, notices


def volume_of(ticks):
    return round(sum(tick.size for tick in ticks), 8)


@pytest.mark.parametrize("kind", ["spot", "usdtm"])
async def test_binance(tmp_path, kind):
    session = write_session(tmp_path / "session.txt", usdtm=kind == "usdtm")
    root = "/api/v3" if kind == "spot" else "/fapi/v1"
    async with open_local(
        f"binance.{kind}", session=session, speed=0, made_up=9
    ) as venue:
        async with open_all(venue) as (ws, *others), http(venue) as client:
            ticks, notices = decode_all(binance.decode_message, await hear(ws))
            for other in others:
                decode_all(binance.decode_message, await hear(other))

            async def get(path):
                return (await client.get(f"{root}/{path}")).content

            query = "symbol=BTCUSDT&limit=1000"
            parts = _rest.parse_agg_trades(await get(f"aggTrades?{query}"), "BTCUSDT")
            bars = _rest.parse_klines(await get(f"klines?{query}&interval=1m"))
            volumes = _rest.parse_volumes(await get("ticker/24hr"))
            listed, left_out = _listing.parse_exchange_info(
                await get("exchangeInfo"), kind
            )
            error = _rest.parse_error(await get("klines?symbol=NOSUCH&interval=1m"))
            told = await venue.trades("BTCUSDT")
    assert not notices
    assert [tick for part in parts for tick in part.ticks] == ticks
    assert volume_of(ticks) == volume_of(told)
    assert np.isclose(volumes["BTCUSDT"], sum(tick.price * tick.size for tick in ticks))
    assert np.isclose(bars["volume"].sum(), volume_of(ticks))
    assert (len(listed), left_out) == (10, 0)
    assert error.reason == "market"


async def test_kraken(tmp_path):
    session = write_session(tmp_path / "session.txt")
    asked = [
        {"channel": "trade", "symbol": ["BTC/USDT", "A/B"], "snapshot": True},
        {"channel": "ticker", "symbol": ["BTC/USDT"], "event_trigger": "bbo"},
    ]
    async with open_local("kraken.spot", session=session, speed=0, made_up=9) as venue:
        async with open_ws(venue, "/v2") as ws, http(venue) as client:
            for params in asked:
                await ws.send(json.dumps({"method": "subscribe", "params": params}))
            ticks, notices = decode_all(kraken.decode_message, await hear(ws))

            async def get(path):
                return (await client.get(f"/0/public/{path}")).content

            page = kraken_rest.parse_trades(
                await get("Trades?pair=XBTUSDT"), "BTC/USDT"
            )
            bars = kraken_rest.parse_ohlc(await get("OHLC?pair=XBTUSDT"))
            tickers = kraken_rest.parse_tickers(await get("Ticker"))
            time_ns = kraken_rest.parse_time_ns(await get("Time"))
            listed, _ = kraken_listing.parse_asset_pairs(await get("AssetPairs"))
            assert kraken_rest.parse_error(await get("Trades?pair=NOSUCH"))
            told = await venue.trades("BTCUSDT")
    assert [one.kind for one in notices] == ["status", "ack", "refused", "ack"]
    assert [tick.tid for tick in ticks] == [trade.tid for trade in told]
    assert volume_of(ticks) == volume_of(told)
    assert [tick for part in page.parts for tick in part.ticks] == ticks
    assert np.isclose(bars["volume"].sum(), volume_of(told))
    assert tickers
    assert time_ns // 10**9 == told[-1].time_ns // 10**9
    assert len(listed) == 10
