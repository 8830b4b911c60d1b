"""The emulated Binance: what it streams, what its REST answers, its limits."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest
import trio

from piker.brokers.binance._decode import decode_message
from tests._data import binance_session

from ._emulated import (
    HANDSHAKE,
    ORIGIN_MS,
    aggs,
    ask,
    hear,
    http,
    ids,
    open_all,
    open_local,
    open_ws,
    write_session,
)


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.txt")


async def fetch_aggs(client, from_id, path="/api/v3/aggTrades"):
    """Return all aggregates from *from_id* on, page by page."""
    found = []
    while True:
        query = {"symbol": "BTCUSDT", "fromId": from_id, "limit": 70}
        page = (await client.get(path, params=query)).json()
        if not page:
            return found
        found += page
        from_id = page[-1]["a"] + 1


def bars_of(trades, period_ms):
    """Return the klines that *trades* of the stream make, the simplest way."""
    buckets = defaultdict(list)
    for trade in trades:
        buckets[trade["T"] // period_ms * period_ms].append(trade)
    rows, last = [], None
    for open_ms in range(min(buckets), max(buckets) + 1, period_ms):
        found = buckets.get(open_ms, [])
        prices = [Decimal(one["p"]) for one in found] or [last]
        last = prices[-1]
        volume = sum((Decimal(one["q"]) for one in found), Decimal(0))
        rows.append([open_ms, prices[0], max(prices), min(prices), last, volume,
                     len(found)])  # fmt: skip
    return rows


@pytest.mark.parametrize("kind", ["spot", "usdtm"])
async def test_stream_and_rest_agree_exactly(tmp_path, kind):
    """Trades, aggregates and bars are the same from both, and contiguous."""
    session = write_session(tmp_path / "session.txt", usdtm=kind == "usdtm")
    root = "/api/v3" if kind == "spot" else "/fapi/v1"
    async with open_local(
        f"binance.{kind}", session=session, speed=0, streams=3
    ) as venue:
        async with open_all(venue, "/btcusdt@trade") as sockets, http(venue) as client:
            heard = [message for ws in sockets for message in await hear(ws)]
            assert (await venue.stats())["done"]
            streamed = aggs(heard)
            fetched = await fetch_aggs(client, streamed[0]["a"], f"{root}/aggTrades")
            query = "symbol=BTCUSDT&interval=1m&limit=1000"
            klines = (await client.get(f"{root}/klines?{query}")).json()
        told = await venue.trades("BTCUSDT")
    data = [message["data"] for message in heard]
    trades = [one for one in data if one.get("e") == "trade"]
    assert [one["t"] for one in trades] == list(range(5000, 5300))
    assert [one.tid for one in told] == list(range(5000, 5300))
    keys = [key for key in fetched[0] if key != "M"]
    assert [[a[k] for k in keys] for a in streamed] == [
        [a[k] for k in keys] for a in fetched
    ]
    assert ("M" in fetched[0]) is (kind == "spot")
    assert [a["l"] + 1 for a in streamed[:-1]] == [a["f"] for a in streamed[1:]]
    assert [a["a"] + 1 for a in streamed[:-1]] == [a["a"] for a in streamed[1:]]
    by_id = {one["t"]: one for one in trades}
    for agg in streamed:
        mine = [by_id[tid] for tid in range(agg["f"], agg["l"] + 1)]
        assert {(o["p"], o["T"], o["m"]) for o in mine} == {
            (agg["p"], agg["T"], agg["m"])
        }
        assert sum(Decimal(one["q"]) for one in mine) == Decimal(agg["q"])
    takers = [(agg["p"], agg["T"], agg["m"]) for agg in streamed]
    assert not any(one == other for one, other in pairwise(takers)), "left apart"
    found = [[row[0], *map(Decimal, row[1:6]), row[8]] for row in klines]
    assert found == bars_of(trades, 60_000)
    assert sum(1 for one in data if "b" in one and "B" in one and "u" in one) == 300
    for message in heard[:50]:
        decode_message(json.dumps(message).encode())


async def test_a_recording_is_played_as_it_was():
    """Each recorded trade is on the stream with its price, size, side and stamp."""
    path = binance_session("spot_hft/btcusdt_20240808.gz")
    recorded = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            message = json.loads(line.partition(" ")[2])
            if message.get("stream", "").endswith("@trade"):
                recorded.append(message["data"])
    async with open_local("binance.spot", session=path, speed=0) as venue:
        async with open_ws(venue, "/ws/btcusdt@trade") as ws:
            heard = await hear(ws, len(recorded))
    keys = ("s", "t", "p", "q", "T", "m", "M")
    assert [[m[k] for k in keys] for m in heard] == [
        [r[k] for k in keys] for r in recorded
    ]


async def test_what_has_not_passed_does_not_exist(session):
    """Before anybody listens the venue is at its start; ``past_s`` moves that."""
    async with open_local("binance.spot", session=session, speed=0) as venue:
        async with http(venue) as client:
            now = (await client.get("/api/v3/time")).json()["serverTime"]
            assert now == ORIGIN_MS
            assert (await client.get("/api/v3/aggTrades?symbol=BTCUSDT")).json() == []
            query = "symbol=BTCUSDT&interval=1m"
            assert (await client.get(f"/api/v3/klines?{query}")).json() == []
        assert len(await venue.trades("BTCUSDT")) == 0
        assert len(await venue.trades("BTCUSDT", whole=True)) == 300
    async with open_local("binance.spot", session=session, past_s=5) as venue:
        async with http(venue) as client:
            found = (await client.get("/api/v3/aggTrades?symbol=BTCUSDT")).json()
            now = (await client.get("/api/v3/time")).json()["serverTime"]
        assert now == ORIGIN_MS + 5000
        assert ORIGIN_MS + 4500 < found[-1]["T"] < now


async def test_a_timed_tape_goes_on_without_listeners(session):
    """At a speed the venue's clock runs, and REST has what nobody heard."""
    async with open_local("binance.spot", session=session, speed=100) as venue:
        async with http(venue) as client:
            assert (await client.get("/api/v3/aggTrades?symbol=BTCUSDT")).json() == []
            async with open_ws(venue) as ws:
                first = await hear(ws, 1)
            await venue.wait_done()
            found = await fetch_aggs(client, 0)
            server_ms = (await client.get("/api/v3/time")).json()["serverTime"]
    assert first
    assert found[-1]["l"] == 5299
    assert server_ms >= found[-1]["T"]


async def test_a_session_goes_on_at_another_speed(session):
    """It begins slowly, then five seconds of it are over soon; none is skipped."""
    async with (
        open_local("binance.spot", session=session, speed=0.01) as venue,
        open_ws(venue, "/stream?streams=btcusdt@aggTrade") as ws,
        http(venue) as client,
    ):
        heard = ids(await hear(ws, 1))
        before_ns = (await venue.stats())["clock_ns"]
        await venue.set_speed(100)
        done = await venue.wait_done(10)
        assert before_ns < ORIGIN_MS * 1_000_000 + 500_000_000
        assert done["clock_ns"] > ORIGIN_MS * 1_000_000 + 4_500_000_000
        heard += ids(await hear(ws))
        every = [agg["a"] for agg in await fetch_aggs(client, 0)]
    assert heard == every


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"speed": 0}, "not 0"),
        ({"speed": -2}, "above 0, up to 1,000,000, not -2"),
        ({"speed": 1e300}, "not 1e+300"),
        ({"speed": "fast"}, '{"speed": 20}'),
        ({"x": 3}, '{"speed": 20}'),
    ],
)
async def test_a_speed_that_is_none_is_refused(session, told, words):
    async with open_local("binance.spot", session=session, streams=9) as venue:
        with pytest.raises(ValueError, match=re.escape(words)):
            await venue.control("speed", told)


async def test_a_tape_without_a_clock_of_its_own_has_no_speed_to_set(session):
    async with (
        open_local("binance.spot", session=session, speed=0) as full,
        open_local("binance.spot", sim=["btcusdt.spot.sim"]) as live,
    ):
        with pytest.raises(ValueError, match="goes as fast as clients read"):
            await full.set_speed(2)
        with pytest.raises(ValueError, match="goes as time goes"):
            await live.set_speed(2)


async def test_requests_are_answered_as_documented(session):
    async with open_local("binance.spot", session=session, streams=9) as venue:
        async with open_ws(venue, "/ws") as ws:
            names = ["btcusdt@aggTrade", "nosuch@trade"]
            answer = await ask(ws, method="SUBSCRIBE", params=names, id=1)
            assert answer == {"result": None, "id": 1}
            answer = await ask(ws, method="LIST_SUBSCRIPTIONS", id="a")
            assert answer == {"result": names, "id": "a"}
            answer = await ask(ws, method="UNSUBSCRIBE", params=names[1:], id=2)
            assert answer == {"result": None, "id": 2}
            assert (await ask(ws, method="LIST_SUBSCRIPTIONS", id=3))[
                "result"
            ] == names[:1]
        async with open_ws(venue, "/stream") as ws:
            assert (await ask(ws, method="GET_PROPERTY", params=["combined"], id=1))[
                "result"
            ]
            answer = await ask(ws, method="SUBSCRBE", params=names, id=4)
            assert answer["code"] == 2
            assert answer["msg"].startswith(
                "Invalid request: unknown variant `SUBSCRBE`"
            )
            answer = await ask(ws, id=5)
            assert answer["msg"].startswith("Invalid request: missing field `method`")
            await ws.send("{")
            assert json.loads(await ws.recv())["code"] == 3
            answer = await ask(ws, method="SUBSCRIBE", params=["BTC USDT"], id=6)
            assert (answer["code"], answer["id"]) == (2, 6)
        stats = await venue.stats()
        assert stats["subscribed"] == {"btcusdt@aggTrade": 1, "nosuch@trade": 1}
        assert stats["subscribed_now"] == {}
        assert stats["websockets"] == len(stats["attempts_s"]) == 2


async def test_weight_is_counted_and_its_excess_refused(session):
    """429 with Retry-After, and 418 for who doesn't stop."""
    async with open_local("binance.spot", session=session, budget=30) as venue:
        async with http(venue) as client:
            first = await client.get("/api/v3/exchangeInfo")
            assert first.headers["x-mbx-used-weight-1m"] == "20"
            assert first.json()["rateLimits"][0]["limit"] == 30
            assert (
                await client.get("/api/v3/klines?symbol=BTCUSDT&interval=1m")
            ).headers["x-mbx-used-weight-1m"] == "22"
            answers = [
                await client.get("/api/v3/aggTrades?symbol=BTCUSDT") for _ in range(14)
            ]
        assert [one.status_code for one in answers] == [200] * 2 + [429] * 10 + [
            418
        ] * 2
        assert 0 < int(answers[2].headers["retry-after"]) <= 60
        assert answers[2].json()["code"] == -1003
        assert int(answers[-1].headers["retry-after"]) > 60
        stats = await venue.stats()
        assert stats["statuses"] == {"200": 4, "429": 10, "418": 2}
        assert stats["requests"]["/api/v3/aggTrades"] == 14
        assert stats["weight_max"] > 30


BAD = {
    "aggTrades": -1102,
    "aggTrades?symbol=NOSUCH": -1121,
    "aggTrades?symbol=BTCUSDT&limit=x": -1100,
    "aggTrades?symbol=BTCUSDT&fromId=1&startTime=1": -1128,
    "aggTrades?symbol=BTCUSDT&startTime=1&endTime=3600002": -1127,
    "klines?symbol=BTCUSDT": -1102,
    "klines?symbol=BTCUSDT&interval=7m": -1120,
    "ticker/price?symbol=NOSUCH": -1121,
    "exchangeInfo?symbol=NOSUCH": -1121,
}


async def test_bad_requests(session):
    """Each has the venue's code and a text, with status 400."""
    async with open_local("binance.spot", session=session) as venue:
        async with http(venue) as client:
            for path, code in BAD.items():
                answer = await client.get(f"/api/v3/{path}")
                assert (answer.status_code, answer.json()["code"]) == (400, code), path
                assert answer.json()["msg"]


async def test_windows_of_aggregates_and_bars(session):
    """startTime, endTime, fromId and limit choose as the documents say."""
    async with open_local("binance.spot", session=session, speed=0) as venue:
        async with http(venue) as client, open_ws(venue) as ws:
            whole = aggs(await hear(ws))

            async def get(**query):
                query |= {"symbol": "BTCUSDT"}
                rows = (await client.get("/api/v3/aggTrades", params=query)).json()
                return [row["a"] for row in rows]

            every = [one["a"] for one in whole]
            times = {one["a"]: one["T"] for one in whole}
            assert await get(limit=5) == every[-5:]
            assert await get(fromId=every[3], limit=2) == every[3:5]
            start, end = times[every[10]], times[every[20]]
            window = [a for a in every if start <= times[a] <= end]
            assert await get(startTime=start, endTime=end) == window
            assert (
                await get(startTime=start, limit=3)
                == [a for a in every if times[a] >= start][:3]
            )
            assert await get(endTime=end, limit=3) == window[-3:]
            query = {"symbol": "BTCUSDT", "interval": "1s", "limit": 3}
            rows = (await client.get("/api/v3/klines", params=query)).json()
            assert [row[0] // 1000 for row in rows] == [
                times[every[-1]] // 1000 - at for at in (2, 1, 0)
            ]
            query |= {"startTime": ORIGIN_MS + 1001, "endTime": ORIGIN_MS + 60_000}
            rows = (await client.get("/api/v3/klines", params=query)).json()
            assert [row[0] - ORIGIN_MS for row in rows] == [2000, 3000, 4000]


@pytest.mark.parametrize("kind", ["spot", "usdtm"])
async def test_the_listing(tmp_path, kind):
    """The tape's markets with their steps, then as many made-up ones as asked for."""
    session = write_session(tmp_path / "session.txt", usdtm=kind == "usdtm")
    root = "/api/v3" if kind == "spot" else "/fapi/v1"
    async with open_local(f"binance.{kind}", session=session, made_up=500) as venue:
        async with http(venue) as client:
            info = (await client.get(f"{root}/exchangeInfo")).json()
            day = (await client.get(f"{root}/ticker/24hr")).json()
            prices = (await client.get(f"{root}/ticker/price?symbol=BTCUSDT")).json()
            assert (await client.get("/nowhere")).status_code == 404
    first = info["symbols"][0]
    filters = {one["filterType"]: one for one in first["filters"]}
    assert (first["symbol"], first["baseAsset"], first["quoteAsset"]) == (
        "BTCUSDT",
        "BTC",
        "USDT",
    )
    assert Decimal(filters["PRICE_FILTER"]["tickSize"]) == Decimal("0.01")
    assert Decimal(filters["LOT_SIZE"]["stepSize"]) == Decimal("0.001")
    assert "MIN_NOTIONAL" in filters
    if kind == "usdtm":
        assert (first["contractType"], first["deliveryDate"]) == (
            "PERPETUAL",
            4133404800000,
        )
    assert len({one["symbol"] for one in info["symbols"]}) == len(day) == 501
    assert prices["symbol"] == "BTCUSDT"


async def test_sim_as_the_wall_clock_goes():
    """A generated market is stamped now, has a past, and ids that go on."""
    async with open_local(
        "binance.spot", sim=["btcusdt.spot.sim"], past_s=120
    ) as venue:
        assert 'clock = "wall"' in venue.conf
        async with http(venue) as client, open_ws(venue) as ws:
            past = await fetch_aggs(client, 0)
            heard = await hear(ws, 3, quiet_s=3)
            now = (await client.get("/api/v3/time")).json()["serverTime"]
            found = await fetch_aggs(client, past[0]["a"])
    assert abs(now - time.time_ns() // 1_000_000) < 10_000
    assert now - 130_000 < past[0]["T"] < past[-1]["T"] <= now
    assert [a["a"] + 1 for a in found[:-1]] == [a["a"] for a in found[1:]]
    assert ids(heard) == [a for a in ids(heard) if a in {one["a"] for one in found}]


async def test_pings_must_be_answered(session):
    """The server pings; who is silent for three of them is cut off."""
    async with open_local("binance.spot", session=session, ping_s=0.25) as venue:
        async with open_ws(venue) as ws:
            for held_up_s in (1, 0):  # venue and client alike: who is, isn't silent
                with trio.move_on_after(1):
                    while True:
                        await ws.recv()
                time.sleep(held_up_s)
            assert (await venue.stats())["websockets_now"] == 1
        stream = await trio.open_tcp_stream("127.0.0.1", venue.port)
        async with stream:
            await stream.send_all(HANDSHAKE)
            with trio.fail_after(20):
                while await stream.receive_some():
                    pass
