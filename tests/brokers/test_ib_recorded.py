"""What a TWS really said, told again by the emulator: quotes, bars, trades, exactly.

What is expected is worked out from the files alone, with nothing of piker's.
"""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from pathlib import Path

import pytest
import trio

from piker.brokers.ib import get_mkt_info, open_history_client
from piker.brokers.ib._client import Client
from piker.brokers.ib._decode import Ids
from piker.brokers.ib._link import open_link
from piker.brokers.ib._past import to_ticks
from piker.data import open_feed
from piker.errors import NoData
from piker.testing import private_dirs
from piker.testing.emulator import open_emulator
from tests._data import data_dir
from tests._infected import run_infected
from tests.data._naive import Print, naive_bars
from tests.data._replays import rows

pytestmark = pytest.mark.tree

NS = 10**9
LIVE, BARS, TICKS = "live.nasdaq.ib", "bars.nasdaq.ib", "ticks.nasdaq.ib"
#: It plays another time: bars follow the trades.
CLOCK = 'clock = "data"\n'
#: 81 minutes in so many seconds' time.
SPEED = 150.0


def path(name: str) -> Path:
    return data_dir() / "protocol" / "nautilus_ib" / f"{name}.json.gz"


@cache
def told(name: str) -> tuple[dict, ...]:
    text = gzip.decompress(path(name).read_bytes()).decode()
    if text.startswith("["):
        return tuple(json.loads(text))
    return tuple(json.loads(line) for line in text.splitlines())


def second(stamp: str) -> int:
    at = datetime.fromisoformat(stamp)
    return math.floor((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def quotes_told() -> list[tuple]:
    """Return (type, price, size) of each quote and last price, in order."""
    found, prices = [], {}
    for row in told("tick_data"):
        kind, price, size = row["tickType"], row["price"], row["size"]
        if kind in (1, 2):
            prices[kind] = price
            found.append(("bid" if kind == 1 else "ask", price, size))
        elif kind in (0, 3):
            side = 1 if kind == 0 else 2
            price = prices.get(side, price)
            found.append(("bsize" if kind == 0 else "asize", price, size))
        elif kind == 4:
            found.append(("last", price, size))
    return found


def prints_told() -> list[Print]:
    """Return the trades that the day's volume shows."""
    found, last, volume = [], 0.0, 0.0
    for row in told("tick_data"):
        if row["tickType"] in (4, 5):
            last = row["price"]
        elif row["tickType"] == 8:
            more = row["size"] - volume
            if volume and last and more > 0:
                time_ns = second(row["time"]) * NS
                size = Decimal(str(more))
                found.append(Print(time_ns, len(found), Decimal(str(last)), size))
            volume = row["size"]
    return found


async def test_live_ticks_give_their_quotes_and_bars(open_test_pikerd):
    """Each quote, in order, from where the feed begins; each trade in a bar."""
    expected, prints = quotes_told(), prints_told()
    assert len(expected) > 8_000
    assert len(prints) > 3_000
    got = []
    async with (
        open_emulator("ib.tws", session=path("tick_data"), speed=SPEED) as venue,
        open_test_pikerd(conf=venue.conf + CLOCK, deadline_s=150),
        open_feed([LIVE], every_tick=True) as feed,
    ):
        volume = sum(one.size for one in prints)
        shm = feed.flumes[LIVE].rt_shm
        traded = Decimal(0)
        with trio.fail_after(90):
            async for quote in feed.stream:
                assert not quote.missed
                for tick in quote.ticks:
                    if tick.type == "trade":
                        traded += Decimal(repr(tick.size))
                    else:
                        got.append((tick.type, tick.price, tick.size))
                in_bars = sum(row[5] for row in rows(shm))
                if in_bars >= volume:
                    break
        wanted = naive_bars(prints, 1)
        assert [row for row in rows(shm) if row[6]] == [r for r in wanted if r[6]]
        hist = [row for row in rows(feed.flumes[LIVE].hist_shm) if row[6]]
        assert hist == [row for row in naive_bars(prints, 60) if row[6]]
    assert len(got) > 1_000  # how many depends on how soon the feed is open
    tail = expected[: len(expected) - _after(expected, got)]
    assert got == tail[len(tail) - len(got) :]
    assert 0 < traded <= volume


def _after(expected: list[tuple], got: list[tuple]) -> int:
    """Return how many were told after the last that came."""
    for behind in range(len(expected)):
        end = len(expected) - behind
        if expected[end - 50 : end] == got[-50:]:
            return behind
    raise AssertionError(f"never told in this order: {got[-50:]}")


async def test_recorded_bars_are_in_the_buffer(open_test_pikerd):
    async with (
        open_emulator("ib.tws", session=path("bars")) as venue,
        open_test_pikerd(conf=venue.conf + CLOCK),
        open_feed([BARS]) as feed,
    ):
        got = [row for row in rows(feed.flumes[BARS].hist_shm) if row[6]]
    wanted = _minutes()
    assert got
    assert got == [row for row in wanted if row[0] >= got[0][0]][: len(got)]
    assert len(got) > 100


def _minutes() -> list[tuple]:
    return [
        (
            second(row["date"]), row["open"], row["high"], row["low"], row["close"],
            row["volume"], row["barCount"],
        )
        for row in told("bars")
    ]  # fmt: skip


async def _page_back(tmp_path):
    """Ask for all there is, the newest first, as datad does; weekends are no end."""
    async with open_emulator("ib.tws", session=path("bars")) as venue:
        with private_dirs(tmp_path, venue.conf + CLOCK):
            mkt, _ = await get_mkt_info(BARS)
            found, end_s = [], second(told("bars")[-1]["date"]) + 60
            async with open_history_client(mkt) as (get_bars, _):
                while True:
                    try:
                        bars = await get_bars(60, end_s)
                    except NoData:
                        break
                    found = bars.tolist() + found
                    end_s = int(bars["time"][0])
                assert found == _minutes()
                start_s, end_s = found[10][0], found[20][0]
                some = await get_bars(60, end_s, start_s)
                assert some.tolist() == found[10:20]


def test_all_recorded_bars_can_be_had(tmp_path):
    run_infected(partial(_page_back, tmp_path))


async def _past_trades(tmp_path):
    files = [path("trade_ticks"), path("bid_ask_ticks")]
    async with open_emulator("ib.tws", session=files) as venue:
        with private_dirs(tmp_path, venue.conf + CLOCK):
            _, known = await get_mkt_info(TICKS)
            async with open_link("datad") as proxy:
                rows = told("trade_ticks")
                first_s = second(rows[0]["time"])
                listed = await proxy.call(Client.trades, known.contract, first_s)
                ticks, newest_s = to_ticks(listed, Ids(), 1 << 40)
                assert [(t.time_ns, t.price, t.size) for t in ticks] == [
                    (second(r["time"]) * NS, r["price"], r["size"]) for r in rows
                ]
                assert newest_s == second(rows[-1]["time"])
                assert {t.type for t in ticks} == {"trade"}


def test_recorded_trades_can_be_had(tmp_path):
    run_infected(partial(_past_trades, tmp_path))
