"""IB's ticks into bars at a steady rate; an option chain, subscribed.

a gateway tells 2,000 ticks a second --datad, infected--> bars, a client of every tick
100 options by name: details, subscription | the same by the library alone
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import trio
from ib_async import IB, Contract

from piker.data import Feed, open_feed
from piker.testing import open_test_pikerd
from piker.testing.emulator import Emulator, open_emulator

from ._report import Measure, Report, compared

FLOOR = "ib_async alone: the same contracts looked up and subscribed, the same pace"
RATE_HZ: Final = 2000
LASTS_S: Final = 60.0
#: What datad may grow by from the tenth second on, MB.
FLAT_MB: Final = 8.0
#: The last trade is in a bar within so long, ms.
BEHIND_MS: Final = 500.0
TIMES: Final = 2.0
LEGS: Final = 100
_FQME: Final = "live.nasdaq.ib"
_WARM_S: Final = 10.0
_ORIGIN: Final = datetime(2026, 7, 20, 14, 0, tzinfo=UTC).timestamp()
#: Kinds of ticks as they follow each other: sizes, prices, a trade with its volume.
_KINDS: Final = (0, 3, 1, 0, 2, 3, 4, 5, 8, 0)


def run(
    rounds: int = 3, seconds: float = LASTS_S, rate_hz: int = RATE_HZ, legs: int = LEGS
) -> Report:
    """Measure how late ticks come, what datad grows by, and how long a chain takes.

    Args:
      rounds: of chains.
      seconds: of ticks.
      rate_hz: ticks a second.
      legs: options of a chain.
    """
    played = trio.run(_ticks, seconds, rate_hz)
    ours, alone = [], []
    for _ in range(rounds):
        ours.append(trio.run(_chain, legs))
        alone.append(trio.run(_chain_alone, legs))
    return Report(
        "ib",
        FLOOR,
        (
            Measure(
                name=f"{rate_hz} ticks/s for {seconds:g} s, bars behind at the end",
                unit="ms", ours=played.behind_ms, rule="<=", target=BEHIND_MS,
            ),
            Measure(name="ticks at a client", unit="1/s", ours=played.ticks_a_s),
            Measure(
                name="datad grows meanwhile", unit="MB", ours=played.grown_mb,
                rule="<=", target=FLAT_MB,
            ),
            Measure(
                name="of what was traded, missing in bars", unit="shares",
                ours=played.missing, rule="<=", target=0,
            ),
            compared(
                f"{legs} options by name, to subscribed", "s", ours, alone, target=TIMES
            ),
        ),
    )  # fmt: skip


# -- ticks --------------------------------------------------------------------------


def _rows(seconds: float, rate_hz: int) -> Iterator[dict[str, object]]:
    """Yield ticks as clients of IB record them, each at its time."""
    volume, price = 100_000.0, 200.0
    for nth in range(int(seconds * rate_hz)):
        at = datetime.fromtimestamp(_ORIGIN + nth / rate_hz, UTC)
        kind = _KINDS[nth % len(_KINDS)]
        price += 0.01 if nth % 7 == 0 else -0.01 if nth % 7 == 3 else 0.0
        size = float(100 + nth % 50)
        if kind == 8:
            volume += 10
            size = volume
        told = round(price + (0.01 if kind in (2, 3) else 0), 2)
        yield {
            "time": at.isoformat(), "price": told if kind != 8 else -1.0,
            "size": size, "tickType": kind,
        }  # fmt: skip


class Played(NamedTuple):
    """What came of a session.

    Attributes:
      behind_ms: from its end until all of it was in bars.
      ticks_a_s: at a client.
      grown_mb: what datad grew by, once it was warm.
      missing: what was traded and is in no bar.
    """

    behind_ms: float
    ticks_a_s: float
    grown_mb: float
    missing: float


async def _ticks(seconds: float, rate_hz: int) -> Played:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "session.json"
        rows = list(_rows(seconds, rate_hz))
        path.write_text(json.dumps(rows))
        traded = 10.0 * (sum(row["tickType"] == 8 for row in rows) - 1)
        async with (
            open_emulator("ib.tws", session=path) as venue,
            open_test_pikerd(
                Path(name), conf=venue.conf + 'clock = "data"\n', embedded=False,
                deadline_s=seconds + 120,
            ) as tree,
            open_feed(_FQME, every_tick=True) as feed,
        ):  # fmt: skip
            pid = (await tree.infos())["datad.ib"].pid
            return await _watched(venue, feed, psutil.Process(pid), seconds, traded)


async def _watched(
    venue: Emulator, feed: Feed, datad: psutil.Process, seconds: float, traded: float
) -> Played:
    sizes: list[float] = []
    got = 0

    async def weigh() -> None:
        while True:
            sizes.append(datad.memory_info().rss / 2**20)
            await trio.sleep(1)

    async def read() -> None:
        nonlocal got
        async for quote in feed.stream:
            assert not quote.missed, "a client of every tick has lost some"
            got += len(quote.ticks)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(weigh)
        tasks.start_soon(read)
        began = time.monotonic()
        await venue.wait_done(seconds + 60)
        ended = time.monotonic()
        with trio.move_on_after(10):
            while _in_bars(feed) < traded:
                await trio.sleep(0.005)
        behind_s = time.monotonic() - ended
        tasks.cancel_scope.cancel()
    settled = sizes[int(_WARM_S) :] or sizes
    return Played(
        behind_s * 1e3,
        got / (ended - began),
        max(settled) - settled[0],
        traded - _in_bars(feed),
    )


def _in_bars(feed: Feed) -> float:
    shm = feed.flumes[_FQME].rt_shm
    return float(shm.last(shm.capacity).to_structured()["volume"].sum())


# -- a chain ------------------------------------------------------------------------


async def _legs(venue: Emulator, legs: int) -> list[str]:
    """Return names of options that the gateway lists."""
    told = await venue.control("contracts")
    found = [_name_of(one["key"]) for one in told if one["sec_type"] == "OPT"]
    return found[:legs]


def _name_of(key: str) -> str:
    """Return the name of an option by its local symbol: ``TSLA  270115C00250000``."""
    symbol, rest = key[:6].strip().lower(), key[6:]
    strike = f"{int(rest[7:]) / 1000:g}".replace(".", "_")
    return f"{symbol}.20{rest[:6]}.{strike}{rest[6].lower()}.cboe.ib"


async def _chain(legs: int) -> float:
    """Return seconds until a datad that is up has subscribed to all."""
    async with open_emulator("ib.tws", sim=["tsla.nasdaq.sim"]) as venue:
        names = await _legs(venue, legs)
        await venue.control("limits", {"lines": legs + 1})  # that of the share, too
        with tempfile.TemporaryDirectory() as name:
            async with (
                open_test_pikerd(
                    Path(name), conf=venue.conf, embedded=False, deadline_s=120
                ),
                open_feed("tsla.nasdaq.ib"),
                trio.open_nursery() as tasks,
            ):
                await trio.sleep(1)  # what it asked for on its own behalf
                began = time.perf_counter()
                tasks.start_soon(_hold, names)
                while len((await venue.stats())["subscribed_now"]) <= legs:
                    await trio.sleep(0.01)
                took_s = time.perf_counter() - began
                tasks.cancel_scope.cancel()
                return took_s


async def _hold(names: list[str]) -> None:
    async with open_feed(names):
        await trio.sleep_forever()


async def _chain_alone(legs: int) -> float:
    """Return seconds until the library alone has done so."""
    async with open_emulator("ib.tws", sim=["tsla.nasdaq.sim"]) as venue:
        told = [
            one for one in await venue.control("contracts") if one["sec_type"] == "OPT"
        ][:legs]

        def bare() -> float:
            return asyncio.run(_alone(venue.port, told))

        return await trio.to_thread.run_sync(bare)


async def _alone(port: int, told: list[dict[str, Any]]) -> float:
    ib = IB()
    await ib.connectAsync("127.0.0.1", port, clientId=9)
    try:
        began = time.perf_counter()
        wanted = [Contract(conId=one["con_id"], exchange="SMART") for one in told]
        found = await asyncio.gather(*map(ib.reqContractDetailsAsync, wanted))
        tickers = [ib.reqMktData(each[0].contract) for each in found]
        while any(ticker.minTick != ticker.minTick for ticker in tickers):
            await asyncio.sleep(0.005)
        return time.perf_counter() - began
    finally:
        ib.disconnect()
