"""A recorder's line to one venue: what is lost on it, and what the venue refuses."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest
import trio

from piker.brokers.sessions import Down, SessionWriter
from piker.brokers.sim import session_info
from piker.brokers.sim._frames import iter_records
from piker.data import _frame_line
from piker.data._frame_line import FrameLine
from piker.errors import SymbolNotFound, TransportClosed, VenueRefused
from piker.msgs import (
    Asset,
    Credit,
    Disconnected,
    Ended,
    FrameBatch,
    FramePoint,
    Reconnected,
    boot_ns,
)
from tests.brokers._recorded import MKT, NS, START_NS, frame

OTHER = msgspec.structs.replace(MKT, dst=Asset(name="eth"), bs_mktid="ETHUSDT")
BTC, ETH = MKT.fqme, OTHER.fqme


def batch(number: int, *events) -> FrameBatch:
    return FrameBatch(
        lines=b"%d %s\n" % (START_NS + number, frame(number)),
        frames=1,
        first_ns=START_NS + number,
        last_ns=START_NS + number,
        points={BTC: FramePoint(serial=number + 1, time_ns=START_NS)},
        events=events,
    )


class Daemon:
    """The far end of a line: what it says each time it is held, then how it is lost."""

    def __init__(self, *script):
        self.script, self.asked, self.clocks, self.credits = list(script), [], [], 0

    @asynccontextmanager
    async def open_context(self, portal, func, *, fqmes, points, ahead_ns):
        self.asked.append(tuple(fqmes))
        self.clocks.append(ahead_ns)
        yield self, None

    @asynccontextmanager
    async def open_stream(self):
        yield self

    async def __aiter__(self):
        batches, error = self.script.pop(0)
        for one in batches:
            await trio.lowlevel.checkpoint()
            yield one
        raise error

    async def send(self, credit):
        assert isinstance(credit, Credit)
        self.credits += credit.n


@pytest.fixture
def record(tmp_path, monkeypatch, autojump_clock):
    """Return what records what a daemon says: gives the refusal, file, events."""

    async def record(daemon):
        said, path = [], tmp_path / "line"
        monkeypatch.setattr(_frame_line, "maybe_spawn_datad", nullcontext)
        monkeypatch.setattr(_frame_line, "open_context", daemon.open_context)
        line = FrameLine(
            "binance",
            [MKT, OTHER],
            partial(SessionWriter, path, [MKT, OTHER]),
            said.append,
            lambda frames: frames,
        )
        refusal = await line.run()
        line.writer.close()
        return refusal, session_info(path), said

    return record


@pytest.mark.parametrize("error", [VenueRefused("banned"), SymbolNotFound("banned")])
async def test_a_venue_that_refuses_all_is_told_and_noted(record, caplog, error):
    """The note is the recorder's: the error may overtake what datad still queues."""
    daemon = Daemon(([batch(0)], error))
    refusal, info, said = await record(daemon)
    assert (type(refusal), str(refusal)) == (VenueRefused, "banned")
    assert [(type(one), one.fqmes, one.reason) for one in said] == [
        (Ended, (BTC, ETH), "banned")
    ]
    assert [market.gone for market in info.markets] == ["banned", "banned"]
    assert info.in_order
    assert "banned" in caplog.text


async def test_what_the_venue_lists_no_more_is_not_asked_for_again(record):
    ended = Ended(fqmes=(ETH,), reason="no market", time_ns=1)
    daemon = Daemon(
        ([batch(0)], TransportClosed("it died")),
        ([batch(1, ended), batch(2)], TransportClosed("it died")),
        ([batch(3)], VenueRefused("banned")),
    )
    _, info, said = await record(daemon)
    assert daemon.asked == [(BTC, ETH), (BTC, ETH), (BTC,)]
    assert daemon.credits == 4
    assert [(type(one), one.fqmes) for one in said] == [
        (Disconnected, (BTC, ETH)),
        (Reconnected, (BTC, ETH)),
        (Ended, (ETH,)),
        (Disconnected, (BTC,)),
        (Reconnected, (BTC,)),
        (Ended, (BTC,)),
    ]
    assert [market.gone for market in info.markets] == ["banned", "no market"]
    records = [one for _, _, one in iter_records(Path(info.path))]
    down = [one for one in records if isinstance(one, Down)]
    assert [one.symbols for one in down] == [("BTCUSDT", "ETHUSDT"), ("BTCUSDT",)]


async def test_a_recording_goes_by_one_clock_whatever_the_time_of_day(
    record, monkeypatch
):
    ahead_ns, hours = time.time_ns() - boot_ns(), count()
    monkeypatch.setattr(
        time, "time_ns", lambda: boot_ns() + ahead_ns + 3600 * NS * next(hours)
    )
    daemon = Daemon(
        ([batch(0)], TransportClosed("it died")), ([], VenueRefused("banned"))
    )
    await record(daemon)
    assert next(hours) > 2
    first_ns, again_ns = daemon.clocks
    assert again_ns == first_ns == pytest.approx(ahead_ns, abs=NS)
