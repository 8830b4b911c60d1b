"""The emulated Binance's websockets: what is told where, and how much may be asked."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest
import trio
from websockets.exceptions import ConnectionClosed

from ._emulated import HANDSHAKE, ask, hear, open_local, open_ws, write_session


@pytest.fixture
def session(tmp_path):
    return write_session(tmp_path / "session.txt")


async def test_limits_of_a_websocket(session):
    """The sixth message in a second ends it; too many streams are refused."""
    names = [f"m{at}usdt@trade" for at in range(1025)]
    async with open_local("binance.spot", session=session, streams=9) as venue:
        path = f"/stream?streams={'/'.join(names[:420])}"
        async with open_ws(venue, path) as ws:
            began = trio.current_time()
            for at in range(420, 1020, 200):
                params = names[at : at + 200]
                answer = await ask(ws, method="SUBSCRIBE", params=params, id=at)
                assert answer == {"result": None, "id": at}
            answer = await ask(ws, method="SUBSCRIBE", params=names[-5:], id=1)
            assert answer["code"] == 2
            await ask(ws, method="LIST_SUBSCRIPTIONS", id=2)
            answered = 5
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    await ask(ws, method="LIST_SUBSCRIPTIONS", id=9)
                    answered += 1
            assert answered < 6 + 5 * (trio.current_time() - began), "a second each"
            assert caught.value.rcvd.code == 1008
    async with open_local("binance.usdtm", session=session, streams=9) as other:
        async with open_ws(other, "/market/ws") as ws:
            assert "code" in await ask(ws, method="SUBSCRIBE", params=names[:201], id=0)
            for at in range(9):
                await ask(ws, method="LIST_SUBSCRIPTIONS", id=at)


async def test_what_is_too_long_for_the_venue(session):
    """A URL is refused with 414, a request never answered; the connection lives on."""
    async with open_local("binance.spot", session=session, streams=9) as venue:
        room = 8004 - len(f"{venue.ws_url}/stream?streams=")
        for length in (8005, 8300, 20_000):  # the second is too long for any server
            path = f"/stream?streams={'x' * (room + length - 8004)}"
            assert await status_of(venue, path) == 414
        assert await status_of(venue, f"/stream?streams={'x' * room}") == 101
        async with open_ws(venue, "/ws") as ws:
            size = len(
                json.dumps({"method": "SUBSCRIBE", "params": ["@trade"], "id": 1})
            )
            name = f"{'m' * (4089 - size)}@trade"
            await ws.send(
                json.dumps({"method": "SUBSCRIBE", "params": [name], "id": 1})
            )
            answer = await ask(ws, method="SUBSCRIBE", params=[name[1:]], id=2)
            assert answer == {"result": None, "id": 2}
            answer = await ask(ws, method="LIST_SUBSCRIPTIONS", id=3)
            assert answer["result"] == [name[1:]]


async def status_of(venue, path) -> int:
    """Return what a handshake is answered with."""
    async with await trio.open_tcp_stream("127.0.0.1", venue.port) as stream:
        host = f"127.0.0.1:{venue.port}".encode()
        head = HANDSHAKE.replace(b"/ws", path.encode()).replace(b" x", b" " + host)
        await stream.send_all(head)
        return int((await stream.receive_some()).split()[1])


async def test_routes_of_usdtm(tmp_path):
    """Each tells its own streams alone; what else is asked for is acknowledged."""
    session = write_session(tmp_path / "session.txt", usdtm=True)
    heard = {}
    async with open_local(
        "binance.usdtm", session=session, speed=0, streams=3
    ) as venue:
        async with AsyncExitStack() as stack:
            sockets = {
                route: await stack.enter_async_context(
                    open_ws(venue, f"{route}/stream")
                )
                for route in ("", "/public", "/private", "/market")
            }
            for ws in sockets.values():
                answer = await ask(ws, method="SUBSCRIBE", params=ALL, id=1)
                assert answer == {"result": None, "id": 1}
                if ws is sockets[""]:  # nothing is told before all are subscribed
                    answer = await ask(ws, method="LIST_SUBSCRIPTIONS", id=2)
                    assert sorted(answer["result"]) == ALL
            for route, ws in sockets.items():
                heard[route] = {message.get("stream") for message in await hear(ws)}
        assert (await venue.stats())["subscribed"] == dict.fromkeys(ALL, 1) | {
            "btcusdt@bookTicker": 2, "btcusdt@trade": 2,
        }  # fmt: skip
        assert await status_of(venue, "/nowhere/stream") == 404
    public, market = set(ALL[1:]), {ALL[0]}
    assert heard == {
        "": public,
        "/public": public,
        "/market": market,
        "/private": set(),
    }


ALL = ["btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@trade"]
