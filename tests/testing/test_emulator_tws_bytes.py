"""What the emulated TWS makes of bytes that no client should send."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
import trio

from piker.testing.emulator._tws_names import NAMES
from piker.testing.emulator._tws_wire import message
from tests.testing._emulated import open_local

ODD = (
    "", "0", "1", "-1", "x", "1.5", "nan", "inf", "1e400", "9" * 400, "TSLA", "SMART",
    "STK", "BAG", "USD", "LMT", "STP", "BUY", "1 D", "1 secs", "TRADES", "MIDPOINT",
    "20260101 10:00:00", "99999999 99:99:99", "BidAsk", "233", "233,", "é", "2" * 9,
    "\u00b2", "1e-400", "00010101 00:00:00 US/Eastern", "999999 Y", "STP LMT", "SELL",
)  # fmt: skip
TSLA = (0, "TSLA", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")


async def _said(stream):
    """Return the fields of the next message."""
    size = b""
    while len(size) < 4:
        size += await stream.receive_some(4 - len(size))
    told = b""
    while len(told) < int.from_bytes(size):
        told += await stream.receive_some(int.from_bytes(size) - len(told))
    return told.decode().split("\0")[:-1]


async def _until(stream, number):
    """Return the next message of a number."""
    with trio.fail_after(30):
        while (told := await _said(stream))[0] != str(number):
            pass
    return told


async def _begin(venue, client_id=1):
    stream = await trio.open_tcp_stream("127.0.0.1", venue.port)
    versions = b"v157..178"
    await stream.send_all(b"API\0" + len(versions).to_bytes(4) + versions)
    assert (await _said(stream))[0] == "178"
    await stream.send_all(message(71, 2, client_id, ""))
    await _until(stream, 9)
    return stream


def _open():
    return open_local("ib.tws", sim=["tsla.nasdaq.sim"], streams=0, past_s=60)


#: What stands before the contract of a request, by its number.
HEADS = {
    1: (11, 0), 3: (0,), 9: (8, 0), 20: (0,), 87: (0,), 96: (0,), 97: (0,),
}  # fmt: skip
#: What follows it in a request that makes sense.
TAILS = {
    1: (0, "233", 0, 0, ""),
    3: ("", "", "BUY", 1, "LMT", 100, 0, "GTC", "", "", "", 0, "", 1, 0),
    9: (0, "", "", ""), 20: (0, "", "1 min", "3600 S", 0, "TRADES", 2, 0, ""),
    96: (0, "20260101 10:00:00 UTC", "", 10, "TRADES", 0, 0, ""),
    87: (0, 0, "TRADES", 2), 97: ("Last", 0, 0),
}  # fmt: skip


def _request(rng, nth):
    """Return a request: of a contract, some fields changed; or any fields at all."""
    if rng.random() < 0.3:
        some = [rng.choice(ODD) for _ in range(rng.randrange(120))]
        return rng.choice([*NAMES, 0, 10, 50, 999, "x"]), some
    number = rng.choice(list(HEADS))
    *head, _ = HEADS[number]
    fields = [*head, 1000 + nth, *TSLA, *TAILS[number]]
    for at in rng.sample(range(len(head), len(fields)), rng.randrange(4)):
        fields[at] = rng.choice(ODD)
    return number, fields


@pytest.mark.parametrize("seed", range(2))
async def test_fields_that_make_no_sense(seed):
    """Whatever comes, it goes on serving, and never dies of a request."""
    rng = random.Random(seed)
    async with _open() as venue:
        limits = ("messages", "burst", "history", "lines", "tick_by_tick")
        await venue.control("limits", dict.fromkeys(limits, 10**6))
        async with await _begin(venue) as stream, trio.open_nursery() as tasks:

            async def drain():
                while await stream.receive_some(65536):
                    pass

            tasks.start_soon(drain)
            for nth in range(1000):
                number, fields = _request(rng, nth)
                await stream.send_all(message(number, *fields))
            await venue.stats()
            tasks.cancel_scope.cancel()
        with trio.fail_after(30):
            async with await _begin(venue, 2) as other:
                await other.send_all(message(49, 1))
                await _until(other, 49)
                await other.send_all(message(9, 8, 77, *TSLA))
                assert (await _until(other, 10))[1:3] == ["77", "TSLA"]


@pytest.mark.parametrize(
    "bytes_",
    [
        b"API\0\xff\xff\xff\xff", b"API\0\0\0\0\3abc", b"API\0\0\0\0\0", b"API",
        b"API\0\0\0\0\x09v1..99999",
        b"API\0\0\0\x13\x89v" + b"9" * 5000, b"\0" * 64, b"APIGET / HTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
async def test_no_handshake(bytes_):
    async with _open() as venue:
        async with await trio.open_tcp_stream("127.0.0.1", venue.port) as stream:
            await stream.send_all(bytes_)
            await stream.send_eof()
            with trio.fail_after(30):
                while await stream.receive_some(4096):
                    pass
        async with await _begin(venue):
            pass


async def test_requests_before_the_start_are_refused():
    async with (
        _open() as venue,
        await trio.open_tcp_stream("127.0.0.1", venue.port) as stream,
    ):
        versions = b"v157..178 +PACEAPI"
        await stream.send_all(b"API\0" + len(versions).to_bytes(4) + versions)
        await _said(stream)
        await stream.send_all(message(49, 1))
        assert (await _said(stream))[:4] == ["4", "2", "-1", "504"]
        await stream.send_all(message(71, 2, 5, ""))
        assert (await _said(stream))[:3] == ["15", "1", "DU1000001"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("permit?symbol=TSLA&code=x", None), ("permit?symbol=NOPE&code=354", None),
        ("permit?symbol=TSLA&code=7", None), ("permit", None),
        ("takes?history_s=soon", None), ("master?client_id=", None),
        ("limits", {"lines": -1}), ("limits", {"nothing": 1}), ("limits", [1]),
        ("limits", {"burst": "x"}), ("nothing", None), ("account?name=", {"name": 1}),
        ("outside", {"symbol": "NOPE", "side": "buy", "price": "1", "size": "1"}),
        ("outside", {"symbol": "TSLA", "side": "buy", "price": "NaN", "size": "1"}),
        ("outside", {"symbol": "TSLA", "side": "buy", "price": "1", "size": "1e99"}),
        ("place", {"account": "DU7", "symbol": "NOPE", "side": "buy", "price": "1",
                   "size": "1"}),
        ("place", {"account": "DU7", "symbol": "TSLA", "side": "buy", "price": "1e99",
                   "size": "1"}),
        ("cancel?serial=77", None), ("cancel?serial=x", None),
    ],
)  # fmt: skip
async def test_control_paths_that_make_no_sense(path, body):
    """They are refused, or come to nothing; it serves on."""
    async with _open() as venue:
        await venue.open_account("DU7", "DU7", "", USD="1000")
        with suppress(ValueError):
            await venue.control(path, body)
        async with await _begin(venue) as stream:
            await stream.send_all(message(61, 1))
            await _until(stream, 62)
