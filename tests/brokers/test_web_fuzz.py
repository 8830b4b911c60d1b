"""A hundred thousand damaged frames through real sockets into real datads."""

from __future__ import annotations

import logging
import random
import time

import pytest
import trio

from piker.brokers._parts import Notice
from piker.brokers._web._faults import FaultLog
from piker.brokers.binance import _decode as binance
from piker.brokers.kraken import _decode as kraken
from piker.data import Quote, open_feed
from piker.errors import BadPayload
from piker.msgs import NS
from piker.testing.emulator import conf_of, open_emulator
from tests.brokers._damage import damaged
from tests.brokers._venues import check_live_bars
from tests.brokers.test_decode_fuzz import BINANCE, FRAMES, KRAKEN

pytestmark = pytest.mark.tree

BTC, XBT = "btcusdt.spot.binance", "xbtusdt.spot.kraken"
CHUNK = 5_000


class Noted(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record) -> None:
        self.said.append(record.getMessage())


def expected(broker: str, decode, frames: list[bytes]) -> tuple[int, list[str]]:
    """Return how many of *frames* are bad, and what is to be logged of them."""
    log, noted = logging.getLogger(f"expected.{broker}"), Noted()
    log.addHandler(noted)
    faults, bad = FaultLog(log, broker), 0
    for frame in frames:
        try:
            told = decode(frame)
        except BadPayload as error:
            bad += 1
            faults.note(str(error))
        else:
            if isinstance(told, Notice) and told.kind == "refused":
                faults.note(f"it refuses what nobody asked for: {told.text!r}")
    return bad, noted.said


async def flood(emulator, folder, frames: list[bytes]) -> None:
    for at in range(0, len(frames), CHUNK):
        path = folder / f"{emulator.venue}.{at}"
        path.write_bytes(
            b"".join(len(f).to_bytes(4) + f for f in frames[at : at + CHUNK])
        )
        await emulator.fault("flood", path=str(path))


def is_read_after(quote: Quote, answered_ns: int) -> bool:
    """Whether it is of the batch of frames that held the last ping, or a later one.

    The one before was decoded when that was answered, a moment may be for its way.
    Trades are no sign: they are asked for over REST, too.
    """
    sides = any(tick.type in {"bid", "ask", "bsize", "asize"} for tick in quote.ticks)
    return sides and quote.time_ns > answered_ns + NS


def logged(tree, broker: str) -> list[str]:
    text = (tree.folder / "state" / "log" / f"datad.{broker}.log").read_text()
    return text.splitlines()


async def test_damaged_frames_never_end_a_datad(open_test_pikerd, tmp_path):
    cases = {
        "binance": (
            binance.decode_message,
            list(damaged(random.Random(1), BINANCE, FRAMES)),
        ),
        "kraken": (
            kraken.decode_message,
            list(damaged(random.Random(2), KRAKEN, FRAMES)),
        ),
    }
    assert sum(len(frames) for _, frames in cases.values()) == 2 * FRAMES == 100_000
    async with (
        open_emulator(
            "binance.spot", sim=["btcusdt.spot.sim"], past_s=600, budget=10**6
        ) as spot,
        open_emulator(
            "kraken.spot", sim=["btcusdt.spot.sim"], past_s=600, budget=10**6
        ) as other,
        open_test_pikerd(
            conf=conf_of(spot, other) + "requests = 1000\n[data]\nlinger_s = 0.1\n",
            deadline_s=150,
        ) as tree,
    ):
        services = tree.services.service_tasks
        async with open_feed([BTC, XBT]) as feed:
            pids = {name: services[f"datad.{name}"].pid for name in cases}
            async with trio.open_nursery() as tasks:
                for emulator, name in ((spot, "binance"), (other, "kraken")):
                    tasks.start_soon(flood, emulator, tmp_path, cases[name][1])
            flooded_ns = time.time_ns()
            wanted = {BTC, XBT}
            with trio.fail_after(40):
                async for item in feed.messages:
                    if isinstance(item, Quote) and is_read_after(item, flooded_ns):
                        wanted.discard(item.fqme)
                        if not wanted:
                            break
            await check_live_bars(feed, BTC, spot)
            await check_live_bars(feed, XBT, other)
        for name, (decode, frames) in cases.items():
            assert services[f"datad.{name}"].pid == pids[name]
            assert services[f"datad.{name}"].restarts == 0
            bad, said = expected(name, decode, frames)
            end = f" {bad} of them bad"
            with trio.fail_after(20):
                while not any(line.endswith(end) for line in logged(tree, name)):
                    await trio.sleep(0.05)
            told = [line for line in logged(tree, name) if "WARNING" in line]
            # after a minute sums are told
            told = [line for line in told if not line.endswith(" times)")]
            got = [line.partition("_hub: ")[2] for line in told]
            assert sorted(filter(None, got)) == sorted(said)
            assert 5 < len(said) <= 65, "once a kind; all after the 64th are one"
            assert len(told) < len(said) + 20
