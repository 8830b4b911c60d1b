"""What tests of the emulators share: a small session, clients that only listen."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect

from piker.testing.emulator import Emulator
from piker.testing.emulator._client import no_tls
from piker.testing.emulator._faults import parse_fault
from piker.testing.emulator._run import Options, open_server

ORIGIN_MS = 1_700_000_000_000
STREAMS = "btcusdt@aggTrade/btcusdt@bookTicker"
#: What tells all of a market of Binance: on USD-M each route has streams of its own.
PATHS = {
    "spot": [f"/stream?streams={STREAMS}"],
    "usdtm": [
        "/market/stream?streams=btcusdt@aggTrade",
        "/public/stream?streams=btcusdt@bookTicker",
    ],
}

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def write_session(path: Path, trades: int = 300, *, usdtm: bool = False) -> Path:
    """Write a session of BTCUSDT: runs of trades that make aggregates, and books.

    A trade every 50 ms, three of four of a taker order of up to three; prices walk.
    """
    lines = []
    for at in range(trades):
        order = at // 3
        time_ms = ORIGIN_MS + order * 150
        cents = 3_000_000 + order * 7 % 400
        is_maker = order % 2 == 1
        trade = {
            "e": "trade", "E": time_ms + 1, "s": "BTCUSDT", "t": 5000 + at,
            "p": f"{cents / 100:.8f}", "q": f"{(at % 9 + 1) / 1000:.8f}",
            "T": time_ms + (at % 3 == 2) * (order % 4 == 0), "m": is_maker,
        }  # fmt: skip
        trade |= {"X": "MARKET"} if usdtm else {"M": True}
        receive_ns = (ORIGIN_MS + at * 50 + 200) * 1_000_000
        lines.append((receive_ns, "btcusdt@trade", trade))
        book = {
            "u": 9000 + at, "s": "BTCUSDT", "b": f"{(cents - 1) / 100:.8f}",
            "B": "1.50000000", "a": f"{(cents + 1) / 100:.8f}", "A": "0.25000000",
        }  # fmt: skip
        if usdtm:
            book |= {"e": "bookTicker", "T": time_ms, "E": time_ms + 1}
        lines.append((receive_ns + 1000, "btcusdt@bookTicker", book))
    with path.open("w") as file:
        for stamp, stream, data in lines:
            file.write(f"{stamp} {json.dumps({'stream': stream, 'data': data})}\n")
    return path


@asynccontextmanager
async def open_local(venue, *, session=None, sim=(), speed=1.0, faults=(), **options):
    """Run an emulator as `open_emulator` does, but in this process: faster."""
    sessions = session if isinstance(session, list) else [session] if session else []
    server = open_server(Options(venue, sessions, sim, speed, **options))
    sock = server.listen(0)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(server.run, sock)
        for fault in faults:
            await server.set_fault(parse_fault(json.dumps(fault)))
        yield Emulator(venue, None, server.port, is_replay=bool(session))
        tasks.cancel_scope.cancel()


def plain_http(base_url="", timeout=10):
    """Return a client for plain HTTP."""
    return httpx.AsyncClient(
        base_url=base_url,
        trust_env=False,
        timeout=timeout,
        verify=no_tls(),
    )


@asynccontextmanager
async def http(venue):
    async with plain_http(venue.http_url) as client:
        yield client


def open_ws(venue, path=f"/stream?streams={STREAMS}"):
    # a client whose queue is full doesn't see the answer to its goodbye
    url = venue.ws_url + path
    return connect(url, compression=None, proxy=None, max_queue=None)


@asynccontextmanager
async def open_all(venue, more=""):
    """Yield websockets that tell all of a market of Binance, *more* on the last."""
    *paths, last = PATHS[venue.venue.partition(".")[2]]
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_ws(venue, path))
            for path in (*paths, last + more)
        ]


#: Of Kraken, in each second in which it says nothing else: a busy machine has many.
BEAT = {"channel": "heartbeat"}


async def hear(ws, count=None, *, quiet_s=None, beats=False):
    """Return messages until *count*, the end, or a pause; JSON where it is JSON.

    The pause is of 0.3 s; of ten where so many messages are to come. Heartbeats are
    left out unless *beats*.
    """
    quiet_s = quiet_s or (10 if count else 0.3)
    heard = []
    with suppress(ConnectionClosed):
        while count is None or len(heard) < count:
            message = await within(quiet_s, ws.recv)
            if message is None:
                break
            told = parse(message)
            if beats or told != BEAT:
                heard.append(told)
    return heard


async def within(seconds, receive):
    """Return what is received in so long, None if nothing is.

    Bit by bit: of who is held up, venue and client alike, one bit is lost, not all.
    """
    for _ in range(10):
        with trio.move_on_after(seconds / 10):
            return await receive()
    return None


def parse(message):
    try:
        return json.loads(message)
    except ValueError:
        return message


async def ask(ws, **request):
    """Send a request; return the next message, heartbeats left out."""
    await ws.send(json.dumps(request))
    while (told := parse(await ws.recv())) == BEAT:
        pass
    return told


def aggs(heard):
    """Return the aggregates among *heard*, in order of arrival."""
    found = (m["data"] for m in heard if isinstance(m, dict) and "stream" in m)
    return [data for data in found if data.get("e") == "aggTrade"]


def ids(heard):
    return [data["a"] for data in aggs(heard)]
