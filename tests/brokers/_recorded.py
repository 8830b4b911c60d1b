"""Recordings made by hand: frames of a market whose every trade is known."""

from __future__ import annotations

import json
from decimal import Decimal

from piker.brokers._refetched import as_frame
from piker.brokers.sessions import SessionWriter
from piker.msgs import Asset, MktPair

NS = 10**9
START_NS = 1_700_000_000 * NS

MKT = MktPair(
    dst=Asset(name="btc"), src=Asset(name="usdt"), price_tick=Decimal("0.01"),
    size_tick=Decimal("0.001"), bs_mktid="BTCUSDT", broker="binance", venue="spot",
)  # fmt: skip
NAME = "btcusdt.spot.binance.sim"


def agg(number: int, time_ns: int | None = None) -> dict:
    """Return an aggregate of one trade; its serial and its id are *number*."""
    time_ns = START_NS + number * NS // 10 if time_ns is None else time_ns
    return {
        "a": number, "p": f"{36_500 + number % 7}.20", "q": "0.250", "f": number,
        "l": number, "T": time_ns // 10**6, "m": bool(number % 3), "M": True,
    }  # fmt: skip


def frame(number: int, time_ns: int | None = None) -> bytes:
    """Return the frame of the stream that tells it."""
    told = {"e": "aggTrade", "E": 1, "s": "BTCUSDT", **agg(number, time_ns)}
    return json.dumps({"stream": "btcusdt@aggTrade", "data": told}).encode()


def refetched(first: int, end: int) -> bytes:
    """Return the frame that holds the REST answer with all from *first* on."""
    body = json.dumps([agg(number) for number in range(first, end)]).encode()
    return as_frame("BTCUSDT", body)


def put(writer: SessionWriter, receive_ns: int, payload: bytes) -> None:
    """Write one frame."""
    writer.add(b"%d %s\n" % (receive_ns, payload), 1, receive_ns, receive_ns)
