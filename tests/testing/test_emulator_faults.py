"""Each fault of an emulated venue, seen from a client."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from functools import partial
from itertools import pairwise

import httpx
import pytest
import trio
from websockets.exceptions import ConnectionClosed

from piker.errors import UsageError
from piker.testing.emulator import _player, _ws
from piker.testing.emulator._sources import tape_of_sessions

from ._emulated import (
    ORIGIN_MS,
    ask,
    hear,
    http,
    ids,
    open_local,
    open_ws,
    within,
    write_session,
)

AGGS = "/stream?streams=btcusdt@aggTrade"


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.txt")


@pytest.fixture
async def venue(session):
    """A venue at full speed, whose tape nobody has heard yet."""
    async with open_local("binance.spot", session=session, speed=0) as venue:
        yield venue


async def rest_ids(venue):
    async with http(venue) as client:
        path = "/api/v3/aggTrades?symbol=BTCUSDT&limit=1000"
        return [row["a"] for row in (await client.get(path)).json()]


async def test_disconnects_at_frames(venue):
    """The frames before arrive, those after come to the next connection, in order."""
    await venue.fault("disconnect", at=[10], how="clean")
    await venue.fault("disconnect", at=[20], how="rst")
    await venue.fault("disconnect", at=[30], how="mid_frame", missed=7)
    parts, ends = [], []
    for _ in range(3):
        async with open_ws(venue, AGGS) as ws:
            parts.append(ids(await hear(ws, quiet_s=10)))
            with pytest.raises(ConnectionClosed) as caught:
                await ws.recv()
            ends.append(caught.value)
    async with open_ws(venue, AGGS) as ws:
        parts.append(ids(await hear(ws, quiet_s=1)))
    assert [len(part) for part in parts[:3]] == [10, 9, 9]
    assert ends[0].rcvd.code == 1000
    assert [error.rcvd for error in ends[1:]] == [None, None]
    assert [
        isinstance(e.__cause__, OSError | trio.BrokenResourceError) for e in ends[1:]
    ] == [True] * 2
    every = await rest_ids(venue)
    base = every[0]
    assert parts[0] == [base + at for at in range(10)]
    assert parts[1] == [base + at for at in range(11, 20)], "its frame is lost"
    assert parts[2] == [base + at for at in range(21, 30)]
    lost = {trade.agg_id for trade in (await venue.trades("BTCUSDT"))} - set(parts[3])
    assert parts[3][-1] == every[-1]
    missed = [
        t
        for t in await venue.trades("BTCUSDT")
        if t.agg_id in lost and t.agg_id > base + 30
    ]
    assert 7 <= len(missed) <= 9, "whole aggregates, at least seven trades"
    assert (await venue.stats())["fired"] == {"disconnect": 3}
    assert every == list(range(base, every[-1] + 1)), "REST has them all"


async def test_a_reset_is_a_reset(venue):
    """A plain socket sees ECONNRESET after the last whole frame, and half of one."""
    await venue.fault("disconnect", at=[0], how="mid_frame")
    stream = await trio.open_tcp_stream("127.0.0.1", venue.port)
    async with stream:
        await stream.send_all(HANDSHAKE)
        got = b""
        with pytest.raises(trio.BrokenResourceError) as caught:
            while data := await stream.receive_some():
                got += data
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    frame = got.partition(b"\r\n\r\n")[2]
    size = int.from_bytes(frame[2:4], "big") + 4
    assert len(frame) == size // 2


HANDSHAKE = (
    b"GET /ws/btcusdt@aggTrade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


async def test_a_client_that_left_can_be_reset():
    """It may go while the emulator waits for it to take what precedes the reset."""
    sock = trio.socket.socket()
    sock.close()
    assert _ws._unacknowledged(sock) == 0


async def test_a_disconnect_at_once(session):
    """All websockets end, whatever they listen to; the port still takes others."""
    async with open_local("binance.spot", session=session, streams=9) as venue:
        async with open_ws(venue, AGGS) as one, open_ws(venue, "/ws") as other:
            await venue.fault("disconnect", how="rst")
            for ws in (one, other):
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
        async with open_ws(venue, "/ws") as ws:
            assert (await ask(ws, method="LIST_SUBSCRIPTIONS", id=1))["result"] == []


async def test_spoilt_frames(venue):
    """Garbage, half a message, one twice, some in another order; what was lost."""
    await venue.fault("garbage", at=[3], text="no json")
    await venue.fault("garbage", at=[5], replace=True)
    await venue.fault("truncate", at=[8])
    await venue.fault("duplicate", at=[11])
    await venue.fault("reorder", at=[14], span=3)
    async with open_ws(venue, AGGS) as ws:
        heard = await hear(ws)
    every = await rest_ids(venue)
    at = every[0]
    good = ids(heard)
    assert good[:12] == [at, at + 1, at + 2, at + 3, at + 4, at + 6, at + 7, at + 9,
                         at + 10, at + 11, at + 11, at + 12]  # fmt: skip
    assert good[12:16] == [at + 13, at + 16, at + 15, at + 14]
    assert good[16:] == every[17:]
    assert heard[3] == "no json"
    assert heard[6] == "<html><body>502 Bad Gateway</body></html>"
    assert heard[9].startswith('{"stream":"btcusdt@aggTrade","data":{')
    assert (await venue.stats())["fired"] == {
        "garbage": 2, "truncate": 1, "duplicate": 1, "reorder": 1
    }  # fmt: skip


async def test_frames_swallowed_in_silence(venue):
    """So many frames don't come, then the stream goes on; REST has them."""
    await venue.fault("silence", at=[20], frames=15)
    async with open_ws(venue, AGGS) as ws:
        heard = ids(await hear(ws))
    every = await rest_ids(venue)
    assert heard == every[:20] + every[35:]


async def test_silence_with_the_socket_open(venue):
    """Nothing comes for a while, pings are or aren't answered; then it goes on."""
    await venue.fault("silence", at=[10], seconds=2, pongs=False)
    await venue.fault("silence", at=[20], seconds=30)
    async with open_ws(venue, AGGS) as ws:
        assert len(await hear(ws, 11)) == 11
        assert await hear(ws, 1, quiet_s=0.2) == []
        with trio.move_on_after(0.1) as scope:
            await (await ws.ping()).wait()
        assert scope.cancelled_caught
        assert len(await hear(ws, 10)) == 10, "the tape waited"
        with trio.fail_after(10):
            await (await ws.ping()).wait()
        async with open_ws(venue, AGGS) as other:  # which isn't struck
            assert ids(await hear(other))[0] == (await rest_ids(venue))[21]
        assert await hear(ws) == []
        await venue.clear()


async def test_silence_while_a_clock_runs(session):
    """What came due meanwhile is lost on the stream; REST has it."""
    async with open_local("binance.spot", session=session, speed=5) as venue:
        await venue.fault("silence", at=[20], seconds=1)
        async with open_ws(venue, AGGS) as ws:
            heard = ids(await hear(ws, quiet_s=1.5))
        every = await rest_ids(venue)
    gaps = [b - a for a, b in pairwise(heard) if b != a + 1]
    assert len(gaps) == 1
    assert gaps[0] > 10
    assert heard[-1] == every[-1]


async def test_faults_of_rest(session):
    async with (
        open_local("binance.spot", session=session) as venue,
        http(venue) as client,
    ):
        await venue.fault("http", status=429, retry_after=7, path="/api/v3/aggTrades")
        await venue.fault("http", status=503, count=2, path="/api/v3/time")
        await venue.fault("http", status=200, html=True, path="/api/v3/klines", count=0)
        agg = "/api/v3/aggTrades?symbol=BTCUSDT"
        limited = await client.get(agg)
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
        assert (await client.get(agg)).status_code == 200
        found = [(await client.get("/api/v3/time")).status_code for _ in range(3)]
        assert found == [503, 503, 200]
        for _ in range(3):
            page = await client.get("/api/v3/klines?symbol=BTCUSDT&interval=1m")
            assert page.headers["content-type"] == "text/html"
        await venue.clear()
        page = await client.get("/api/v3/klines?symbol=BTCUSDT&interval=1m")
        assert page.headers["content-type"] == "application/json"
        assert (await venue.stats())["fired"] == {"http": 6}


async def test_faults_of_connecting(session):
    """A refused handshake, a slow accept, a port where nobody listens for a while."""
    async with open_local("binance.spot", session=session, streams=9) as venue:
        await venue.fault("upgrade", status=503)
        names = dict(
            line.split(": ") for line in HANDSHAKE.decode().split("\r\n")[1:-2]
        )
        async with http(venue) as client:
            assert (await client.get("/ws", headers=names)).status_code == 503
        await venue.fault("slow", accept_s=0.3)
        began = time.monotonic()
        async with open_ws(venue, AGGS) as ws:
            assert time.monotonic() - began >= 0.3
            await venue.clear()
            began = time.monotonic()
            await venue.fault("refuse", seconds=1)
            with trio.fail_after(20):
                while await connects(venue.port):
                    await trio.sleep(0.005)
                while not await connects(venue.port):
                    await trio.sleep(0.01)
            assert time.monotonic() - began >= 1
            assert (await ask(ws, method="GET_PROPERTY", params=["combined"], id=1))[
                "result"
            ]
        await venue.fault("slow", response_s=0.3)
        async with http(venue) as client:
            began = time.monotonic()
            await client.get("/api/v3/ping")
            assert time.monotonic() - began >= 0.3


async def test_no_tls_is_offered_and_nonsense_is_survived(session):
    async with open_local("binance.spot", session=session) as venue:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"https://127.0.0.1:{venue.port}/api/v3/ping")
        for nonsense in (b"\r\n\r\n", b"x" * 70_000, b"GET / HTTP/9\r\n\r\n"):
            async with await trio.open_tcp_stream("127.0.0.1", venue.port) as stream:
                await stream.send_all(nonsense)
                with trio.fail_after(10), suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
        async with open_ws(venue, "/ws") as ws:
            await ws.send("[" * 4_000)
            assert json.loads(await ws.recv())["code"] == 3
        with pytest.raises(UsageError, match="same market"):
            tape_of_sessions([session, session])


async def connects(port):
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def test_skew_and_latency(venue):
    """The clock is off; a round trip takes twice the latency, whatever it is of."""
    await venue.fault("skew", ms=-4000)
    async with http(venue) as client, open_ws(venue, "/ws") as ws:
        now = (await client.get("/api/v3/time")).json()["serverTime"]
        assert now == ORIGIN_MS - 4000
        await venue.fault("latency", ms=100)
        for call in (
            lambda: client.get("/api/v3/ping"),
            lambda: ask(ws, method="LIST_SUBSCRIPTIONS", id=1),
        ):
            took = []
            while not took or (min(took) >= 0.35 and len(took) < 9):  # a busy machine
                began = time.monotonic()
                await call()
                took.append(time.monotonic() - began)
            assert 0.2 <= min(took) < 0.35, took
        await ask(ws, method="SUBSCRIBE", params=["btcusdt@aggTrade"], id=2)
        event = json.loads(await ws.recv())
    assert event["E"] == event["T"] - 4000


async def test_faults_from_the_start_and_bad_ones(session):
    latency = {"kind": "latency", "ms": 60}
    async with open_local("binance.spot", session=session, faults=[latency]) as venue:
        async with http(venue) as client:
            began = time.monotonic()
            await client.get("/api/v3/ping")
            assert time.monotonic() - began >= 0.12
        for kind, args in (
            ("nosuch", {}),
            ("refuse", {"secnds": 1}),
            ("silence", {"at": [-1]}),
        ):
            with pytest.raises(ValueError, match="not a fault"):
                await venue.fault(kind, **args)


async def open_slow(venue, streams):
    """Return a connection whose kernel takes little, after its request."""
    stream = await trio.open_tcp_stream("127.0.0.1", venue.port)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    path = b"/stream?streams=" + streams.encode()
    await stream.send_all(HANDSHAKE.replace(b"/ws/btcusdt@aggTrade", path))
    return stream


async def test_a_client_that_does_not_read_is_cut_off(tmp_path, monkeypatch):
    """Where a clock is kept, nothing piles up for a slow client; others aren't hurt."""
    monkeypatch.setattr(_player, "SLOW_BYTES", 300_000)
    session = write_session(tmp_path / "long.txt", 8_000)
    async with open_local("binance.spot", session=session, speed=2000) as venue:
        async with await open_slow(venue, "btcusdt@bookTicker"):
            async with open_ws(venue, AGGS) as reader:
                heard = ids(await hear(reader))
                assert (await venue.stats())["slow_clients"] == 1
                assert heard[-1] == (await rest_ids(venue))[-1]


async def test_at_full_speed_the_tape_waits(tmp_path):
    """Who stops reading stops the tape; nothing is lost."""
    session = write_session(tmp_path / "long.txt", 8_000)
    streams = "btcusdt@trade/btcusdt@bookTicker/btcusdt@aggTrade"
    async with open_local("binance.spot", session=session, speed=0) as venue:
        async with await open_slow(venue, streams) as stream:
            seen = [-1]
            while seen[-1] != (passed := (await venue.stats())["passed"]):
                seen.append(passed)
                await trio.sleep(0.1)
            assert 0 < passed < 10_000
            assert not (await venue.stats())["done"]
            size, receive = 0, partial(stream.receive_some, 1 << 20)
            while data := await within(0.3, receive):
                size += len(data)
            assert (await venue.stats())["done"]
    assert size > 1_000_000
