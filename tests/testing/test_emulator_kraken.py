"""The emulated Kraken: what it streams, what its REST answers."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal

import pytest

from ._emulated import (
    BEAT,
    ORIGIN_MS,
    ask,
    hear,
    http,
    open_local,
    open_ws,
    write_session,
)


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.txt")


def open_v2(venue):
    return open_ws(venue, "/v2")


def asking(channel, *symbols, req_id=7, **params):
    params |= {"channel": channel, "symbol": list(symbols)}
    return {"method": "subscribe", "params": params, "req_id": req_id}


def rows(heard, channel, kind="update"):
    """Return what messages of a channel say."""
    return [
        row
        for message in heard
        if message.get("channel") == channel and message.get("type") == kind
        for row in message["data"]
    ]


def time_us(row):
    return round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1e6)


async def fetch_trades(client, since, count):
    """Return all trades after *since* (ns), page by page, by their ids."""
    found = {}
    while True:
        query = {"pair": "XBTUSDT", "since": since, "count": count}
        result = (await client.get("/0/public/Trades", params=query)).json()["result"]
        fresh = [row for row in result["XBTUSDT"] if row[6] not in found]
        if not fresh:
            return list(found.values())
        found |= {row[6]: row for row in fresh}
        since = int(result["last"]) - 1


async def test_stream_and_rest_agree_exactly(session):
    """Trades and bars are the same from both, contiguous, with the stamps' order."""
    async with open_local("kraken.spot", session=session, speed=0) as venue:
        async with open_v2(venue) as ws, http(venue) as client:
            await ws.send(json.dumps(asking("trade", "BTC/USDT")))
            heard = await hear(ws)
            assert (await venue.stats())["done"]
            fetched = await fetch_trades(client, 0, 70)
            bars = (await client.get("/0/public/OHLC?pair=XBT/USDT")).json()["result"]
        told = await venue.trades("BTCUSDT")
    streamed = rows(heard, "trade")
    assert heard[0]["channel"] == "status"
    assert heard[1]["result"] == {
        "channel": "trade",
        "symbol": "BTC/USDT",
        "snapshot": False,
    }
    assert [row["trade_id"] for row in streamed] == list(range(5000, 5300))
    assert [(t.price, t.size, t.side) for t in told] == [
        (row["price"], row["qty"], 1 if row["side"] == "buy" else -1)
        for row in streamed
    ]
    assert [row[6] for row in fetched] == list(range(5000, 5300))
    for row, other in zip(streamed, fetched, strict=True):
        assert (row["price"], row["qty"]) == (float(other[0]), float(other[1]))
        assert (time_us(row), row["side"][0]) == (round(other[2] * 1e6), other[3])
    stamps = [time_us(row) for row in streamed]
    assert stamps == sorted(stamps)
    assert max(stamp % 1000 for stamp in stamps) < 10
    volumes, counts = defaultdict(Decimal), defaultdict(int)
    for row in fetched:
        minute = int(row[2]) // 60 * 60
        volumes[minute] += Decimal(row[1])
        counts[minute] += 1
    assert {bar[0]: (Decimal(bar[6]), bar[7]) for bar in bars["XBTUSDT"]} == {
        minute: (volumes[minute], counts[minute]) for minute in volumes
    }


async def test_a_page_may_end_within_one_taker(session):
    """Trades of one taker share a stamp, and *since* is exclusive."""
    async with open_local("kraken.spot", session=session, past_s=60) as venue:
        async with http(venue) as client:
            since = ORIGIN_MS * 1_000_000 - 1
            path = "/0/public/Trades?pair=XBTUSDT"
            first = (await client.get(f"{path}&since={since}&count=1")).json()["result"]
            since = first["last"]
            rest = (await client.get(f"{path}&since={since}&count=2")).json()["result"]
            rest = rest["XBTUSDT"]
    assert [row[6] for row in first["XBTUSDT"]] == [5000]
    assert rest[0][6] == 5002, "5001 has the stamp of 5000"


async def test_snapshots(session):
    """The newest fifty trades, and the book, before the updates."""
    async with open_local("kraken.spot", session=session, past_s=10, speed=0) as venue:
        async with open_v2(venue) as ws:
            await ws.send(json.dumps(asking("trade", "BTC/USDT", snapshot=True)))
            heard = await hear(ws)
            snapshot = [row["trade_id"] for row in rows(heard, "trade", "snapshot")]
            assert len(snapshot) == 50
            assert rows(heard, "trade")[0]["trade_id"] == snapshot[-1] + 1
            await ws.send(json.dumps(asking("ticker", "BTC/USDT", event_trigger="bbo")))
            heard = await hear(ws)
    assert heard[0]["result"]["snapshot"] is True
    (ticker,) = rows(heard, "ticker", "snapshot")
    assert set(ticker) == {
        "symbol", "bid", "bid_qty", "ask", "ask_qty", "last", "volume", "vwap", "low",
        "high", "change", "change_pct", "timestamp",
    }  # fmt: skip
    assert ticker["bid"] < ticker["ask"]
    assert ticker["low"] <= ticker["last"] <= ticker["high"]


async def test_requests_are_answered_as_documented(session):
    async with open_local("kraken.spot", session=session, streams=9) as venue:
        async with open_v2(venue) as ws:
            status = json.loads(await ws.recv())
            assert status["data"][0]["system"] == "online"
            pong = await ask(ws, method="ping", req_id=1)
            assert (pong["method"], pong["req_id"]) == ("pong", 1)
            await ws.send(json.dumps(asking("trade", "BTC/USDT", "XBT/USDT")))
            good, bad = await hear(ws, 2)
            assert (good["success"], good["req_id"]) == (True, 7)
            assert good["time_in"] <= good["time_out"]
            assert bad["error"] == "Currency pair not supported XBT/USDT"
            assert (bad["success"], bad["symbol"], bad["req_id"]) == (
                False,
                "XBT/USDT",
                7,
            )
            again = await ask(ws, **asking("trade", "BTC/USDT"))
            assert again["error"] == "Already subscribed"
            assert (await ask(ws, **asking("nosuch", "BTC/USDT")))["success"] is False
            end = await ask(
                ws, **(asking("trade", "BTC/USDT") | {"method": "unsubscribe"})
            )
            assert (end["method"], end["success"]) == ("unsubscribe", True)
            await ws.send("{")
            assert (await hear(ws, 1))[0]["error"] == "Malformed request"
        assert (await venue.stats())["subscribed"] == {"trade BTC/USDT": 1}


async def test_heartbeats(session):
    """One a second where nothing else is sent, and only after a subscription."""
    async with open_local("kraken.spot", session=session, streams=9) as venue:
        async with open_v2(venue) as ws:
            assert len(await hear(ws, 5, quiet_s=1.3, beats=True)) == 1
            await ask(ws, **asking("trade", "BTC/USDT"))
            assert await hear(ws, 1, beats=True) == [BEAT]


async def test_rest(session):
    """Names of a market, errors in the body, a request a second and a few more."""
    async with open_local(
        "kraken.spot", session=session, past_s=60, made_up=40
    ) as venue:
        assert f'ws = "{venue.ws_url}"' in venue.conf
        async with http(venue) as client:

            async def get(path):
                answer = await client.get(f"/0/public/{path}")
                assert answer.status_code == 200
                return answer.json()

            pairs = (await get("AssetPairs"))["result"]
            assert len(pairs) == 41
            mine = pairs["XBTUSDT"]
            assert (mine["wsname"], mine["altname"]) == ("XBT/USDT", "XBTUSDT")
            assert (mine["tick_size"], mine["pair_decimals"]) == ("0.01", 2)
            assert len((await get("Ticker"))["result"]) == 41
            ticker = (await get("Ticker?pair=XBTUSDT"))["result"]["XBTUSDT"]
            assert float(ticker["b"][0]) < float(ticker["a"][0])
            time_s = (await get("Time"))["result"]["unixtime"]
            assert time_s == ORIGIN_MS // 1000 + 60
            assert (await get("SystemStatus"))["result"]["status"] == "online"
            assert (await get("Trades?pair=NOSUCH"))["error"] == [
                "EQuery:Unknown asset pair"
            ]
            assert (await get("Trades"))["error"] == ["EGeneral:Invalid arguments"]
            assert (await get("OHLC?pair=XBTUSDT&interval=7"))["error"]
            assert (await get("Nothing"))["error"] == ["EGeneral:Unknown method"]
            found = [await get("Trades?pair=XBTUSDT&count=1") for _ in range(20)]
    limited = [one for one in found if one["error"]]
    assert 1 <= len(limited) <= 5
    assert limited[0]["error"] == ["EGeneral:Too many requests"]


async def test_faults_strike_here_too(session):
    """Frames are counted and lost as at the other venues."""
    async with open_local("kraken.spot", session=session, speed=0) as venue:
        await venue.fault("truncate", at=[4])
        await venue.fault("disconnect", at=[9], how="clean")
        async with open_v2(venue) as ws:
            await ws.send(json.dumps(asking("trade", "BTC/USDT")))
            heard = await hear(ws)
        frames = heard[2:]
        assert [isinstance(one, dict) for one in frames] == [True] * 4 + [False] + [
            True
        ] * 4
        await venue.fault("skew", ms=90_000)
        async with http(venue) as client:
            now_s = (await client.get("/0/public/Time")).json()["result"]["unixtime"]
        last = (await venue.trades("BTCUSDT"))[-1]
        assert now_s == last.time_ns // 10**9 + 90
