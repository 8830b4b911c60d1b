"""A market's whole past, and a venue that gives bars of it, well-behaved or not."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import trio

from piker.brokers import HistoryConf
from piker.errors import BadPayload, NoData, RateLimited, VenueUnreachable
from piker.msgs import NS, Tick
from piker.tsp import aggregate, between
from tests.data._scripted import make_mkt

FQME = "btcusdt.spot.scripted"
MKT = make_mkt(FQME)
LOT = Decimal("0.001")
#: The first trade ever; a whole minute.
BEGIN_S = 1_700_000_040


class Truth:
    """All trades there are, from BEGIN_S on, and the bars of them."""

    def __init__(self, seed: int, length_s: int, share: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        seconds = np.flatnonzero(rng.random(length_s) < share)
        self.time_ns = (BEGIN_S + seconds) * NS + rng.integers(NS, size=len(seconds))
        self.price = 100 + rng.integers(-500, 500, len(seconds)) / 100
        self.lots = rng.integers(1, 9, len(seconds))
        self.bars = {
            p: aggregate(self.time_ns, self.price, self.lots, p, LOT) for p in (1, 60)
        }

    def ticks(self, start_s: float, end_s: float) -> list[Tick]:
        first, last = np.searchsorted(self.time_ns, (start_s * NS, end_s * NS))
        return [
            Tick("trade", float(self.price[i]), float(self.lots[i] / 1000),
                 int(self.time_ns[i]), int(i) + 1)
            for i in range(first, last)
        ]  # fmt: skip


class Venue:
    """Gives bars of the truth, as ill-behaved as a test wants it."""

    def __init__(self, truth: Truth, **moods) -> None:
        self.truth = truth
        self.rng = random.Random(moods.get("seed", 0))
        self.periods = moods.get("periods", (1, 60))
        self.max_bars = moods.get("max_bars", 100)
        self.fault_share = moods.get("fault_share", 0.0)
        self.is_odd = moods.get("is_odd", False)
        self.cuts_newest = moods.get("cuts_newest", False)
        self.oldest_s = moods.get("oldest_s", 0)
        self.ahead = moods.get("ahead", False)
        self.requests: list[tuple[int, int, int | None]] = []
        self.now_s = BEGIN_S

    def module(self):
        @asynccontextmanager
        async def open_history_client(mkt):
            conf = HistoryConf(self.periods, self.max_bars, 1e6, ahead=self.ahead)
            yield self.get_bars, conf

        return SimpleNamespace(
            __name__="piker.brokers.scripted", open_history_client=open_history_client
        )

    async def get_bars(self, period_s, end_s, start_s=None):
        self.requests.append((period_s, end_s, start_s))
        for _ in range(self.rng.randrange(4)):
            await trio.lowlevel.checkpoint()
        if self.rng.random() < self.fault_share:
            kinds = (VenueUnreachable, BadPayload, RateLimited)
            raise self.rng.choice(kinds)("not now")
        bars = self.truth.bars[period_s]
        bars = between(bars, self.oldest_s, min(end_s, self.now_s))
        rows = self.max_bars
        if start_s is None:
            bars = bars[-rows:]
        else:
            asked = between(bars, start_s, None)
            asked = asked[-rows:] if self.cuts_newest else asked[:rows]
            if self.is_odd and self.rng.random() < 0.5:
                asked = bars[-rows:] if len(bars) else asked  # not what was asked for
                asked = np.union1d(asked, between(bars, start_s, None)[:rows])
            bars = asked
        if not len(bars):
            raise NoData("none")
        if self.is_odd and self.rng.random() < 0.3:
            bars = np.concatenate((bars[::-1], bars[:3]))
        return bars
