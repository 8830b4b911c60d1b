"""A venue's websocket into bars, at full speed; and how soon a lost stream is back.

emulator --websocket--> datad: decode, order, bars  | the same frames, received only
emulator cuts the line --> a fresh quote at a client, in round trips of the emulator
"""

from __future__ import annotations

import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import trio
from websockets.trio.client import connect

from piker.data import Disconnected, Feed, Quote, Reconnected, open_feed
from piker.testing import open_test_pikerd
from piker.testing.emulator import Emulator, open_emulator

from ._report import Report, compared
from ._sessions import recorded_session, write_session

FLOOR = "websockets' own trio client, receiving the same frames; round trips"
#: 0.8 of what the library alone receives is 1.25 of its time.
TIMES = 1 / 0.8
ROUND_TRIPS = 3.0
_LATENCY_MS = 50
_FQME = "btcusdt.usdtm.perp.binance"
_XBT = "xbtusdt.spot.kraken"
_PATHS = (
    "/market/stream?streams=btcusdt@aggTrade",
    "/public/stream?streams=btcusdt@bookTicker",
)
_SOON = "reconnect_max_s = 0.01\n"


def run(rounds: int = 5, frames: int | None = None, cuts: int = 5) -> Report:
    """Measure microseconds a frame, and round trips until a stream is back.

    Args:
      rounds: of both, in turn.
      frames: of a made session; the recorded one by default, where there is one.
      cuts: of the line, a venue.
    """
    with tempfile.TemporaryDirectory() as name:
        path = None if frames else recorded_session()
        if path is None:
            path = Path(name) / "session"
            write_session(path, 1000, (frames or 90_000) / 1000, quotes_a_trade=3)
        ours: list[float] = []
        alone: list[float] = []
        for _ in range(rounds):
            ours.append(trio.run(_into_bars, path))
            alone.append(trio.run(_received, path))
    trips = {
        venue: trio.run(_cut, venue, fqme, cuts)
        for venue, fqme in (
            ("binance.spot", "btcusdt.spot.binance"),
            ("kraken.spot", _XBT),
        )
    }
    rows = [compared("wire to bars", "us a frame", ours, alone, target=TIMES)]
    rows += [
        compared(f"{venue}, lost to fresh quote", "round trips", found,
                 rule="<=", target=ROUND_TRIPS)
        for venue, found in trips.items()
    ]  # fmt: skip
    return Report("wire", FLOOR, tuple(rows))


async def _into_bars(path: Path) -> float:
    async with _open_usdtm(path) as emulator:
        with tempfile.TemporaryDirectory() as name:
            async with (
                open_test_pikerd(
                    Path(name), conf=emulator.conf, embedded=False, deadline_s=120
                ),
                open_feed(_FQME, tick_throttle=1) as feed,
            ):
                return await _played(emulator, feed)


async def _played(emulator: Emulator, feed: Feed) -> float:
    """Return microseconds a frame, from the first that left to the last in a bar."""
    began = await _begun(emulator)
    whole = len(await emulator.trades("BTCUSDT", whole=True))
    shm = feed.flumes[_FQME].rt_shm
    while int(shm.last(shm.capacity).to_structured()["count"].sum()) < whole:
        await trio.sleep(0.005)
    took_s = time.perf_counter() - began
    return took_s / (await emulator.stats())["frames"] * 1e6


def _open_usdtm(path: Path) -> AbstractAsyncContextManager[Emulator]:
    """Run a venue that waits for all who listen: to trades, to bids and asks."""
    return open_emulator("binance.usdtm", session=path, speed=0, streams=len(_PATHS))


async def _received(path: Path) -> float:
    async with _open_usdtm(path) as emulator:
        got = 0

        async def receive(conn: Any) -> None:
            nonlocal got
            async for _ in conn:
                got += 1

        async with trio.open_nursery() as tasks:
            for url in (f"{emulator.ws_url}{path}" for path in _PATHS):
                connecting = connect(url, compression=None, max_queue=None)
                # its own `async with` can't be cancelled on trio 0.22
                tasks.start_soon(receive, await connecting.connect(tasks))
            began = await _begun(emulator)
            total = (await emulator.wait_done(120))["frames"]
            while got < total:
                await trio.sleep(0.002)
            took_s = time.perf_counter() - began
            tasks.cancel_scope.cancel()
        return took_s / total * 1e6


async def _begun(emulator: Emulator) -> float:
    """Return when the first frame left, by and large."""
    while not (await emulator.stats())["frames"]:
        await trio.sleep(0.001)
    return time.perf_counter()


async def _cut(venue: str, fqme: str, cuts: int) -> list[float]:
    """Return round trips from each loss to the first quote after it."""
    slow: list[dict[str, Any]] = [{"kind": "latency", "ms": _LATENCY_MS}]
    found = []
    async with open_emulator(
        venue, sim=["btcusdt.spot.sim"], faults=slow, budget=100_000
    ) as emulator:
        with tempfile.TemporaryDirectory() as name:
            async with (
                open_test_pikerd(
                    Path(name),
                    conf=emulator.conf + _SOON,
                    embedded=False,
                    deadline_s=120,
                ),
                open_feed(fqme) as feed,
            ):
                messages = feed.messages
                for _ in range(cuts):
                    await trio.sleep(0.5)
                    await emulator.fault("disconnect", how="rst")
                    found.append(await _lost_for(messages) / (_LATENCY_MS * 2e-3))
    return found


async def _lost_for(messages: Any) -> float:
    """Return seconds between a loss and the end of it, by what a client is told."""
    lost = 0.0
    async for item in messages:
        if isinstance(item, Disconnected):
            lost = time.perf_counter()
        elif isinstance(item, Reconnected):
            back = time.perf_counter()
        elif isinstance(item, Quote) and lost:
            return back - lost
    raise RuntimeError("the feed ended")
