"""Recorded by one, played by the other: the same bars, exactly.

emulator --> datad --> live bars
               `----> recorder --> file --> datad.sim --> bars
recorded session --json, Decimal--> the bars both should be
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
import trio

from piker.brokers.sessions import Begun, Down, SessionWriter, Up
from piker.brokers.sim import PlayReport, SessionInfo, open_session, session_info
from piker.data import Disconnected, Reconnected, open_feed
from piker.data.recording import open_recording
from piker.errors import SessionFileError
from piker.msgs import Asset
from piker.service import Policy
from piker.testing.emulator import conf_of, open_emulator
from tests.brokers._recorded import MKT, NAME, NS, START_NS, agg, frame, put, refetched
from tests.brokers._venues import KRAKEN, SPOT, USDTM, VENUES, Venue, differences
from tests.cli import _cli
from tests.data._naive import Print, naive_bars
from tests.data._replays import bars_of, prints_of, rows
from tests.data.test_replay import until_ended

pytestmark = pytest.mark.tree

SOON = "reconnect_max_s = 0.05\n"
#: Kraken wants a request a second: those of four gaps would take ten seconds.
BUDGET = {"binance": "", "kraken": "requests = 1000\n"}
LENIENT = Policy(delays_s=(0.0,), max_deaths=10_000)


def sim_conf(*paths, speed: float = 0) -> str:
    return f"[sim]\nspeed = {speed}\nsessions = {json.dumps([*map(str, paths)])}\n"


async def wait_recorded(emulator, path, venue: Venue) -> SessionInfo:
    """Wait until a file holds all trades of a session, and says so of each gap.

    That there is no more to fetch may show seconds after the last trade: the question
    waits for the venue's rate limit.
    """
    await emulator.wait_done(60)
    wanted, read = len(prints_of(venue.path)), 0
    with trio.fail_after(80):
        while True:
            while path.stat().st_size == read:
                await trio.sleep(0.05)
            read = path.stat().st_size
            info = session_info(path)
            is_mended = all(gap.to_ns for gap in info.gaps)
            if info.markets[0].trades >= wanted and is_mended:
                return info


def check_live(feed, venue: Venue) -> None:
    """Compare the bars that live ones have; some may have begun late."""
    wrong = [one for one in differences(feed, venue) if one[2] is not None]
    assert not wrong, f"{len(wrong)} live bars differ, e.g. {wrong[:3]}"


async def check_played(info: SessionInfo, venue: Venue) -> None:
    """Play a recording of a whole session, and compare each bar."""
    (market,) = info.markets
    async with open_feed(market.fqme) as feed:
        await until_ended(feed)
        flume = feed.flumes[market.fqme]
        assert rows(flume.rt_shm) == bars_of(venue.session, 1)
        assert rows(flume.hist_shm) == bars_of(venue.session, 60)


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
async def test_recorded_and_played_are_the_same_bars(open_test_pikerd, tmp_path, venue):
    """At full speed, with lost connections in the middle; one request mends both."""
    rng, out = random.Random(venue.name), tmp_path / "out.zst"
    began_ns = time.time_ns()
    async with open_emulator(
        venue.name, session=venue.path, speed=0, budget=100_000
    ) as emulator:
        for at in (900, 2500, 4200, 6000):
            how = rng.choice(["clean", "rst", "mid_frame"])
            missed = rng.choice([1, 40, 300])
            await emulator.fault("disconnect", at=[at], how=how, missed=missed)
        conf = emulator.conf + SOON + BUDGET[venue.broker] + sim_conf(out)
        async with open_test_pikerd(conf=conf, deadline_s=180):
            async with (
                open_recording([venue.fqme], out) as recording,
                open_feed(venue.fqme) as feed,
            ):
                await wait_recorded(emulator, out, venue)
                told = await emulator.stats()
                with trio.fail_after(40):
                    while (
                        feed.flumes[venue.fqme].rt_shm.last(1).time[0]
                        != (bars_of(venue.session, 1)[-1][0])
                    ):
                        await trio.sleep(0.05)
                check_live(feed, venue)
                # each, and again when it is lost
                assert 3 <= told["websockets"] - venue.lines <= 4
                assert recording.fqmes == [venue.fqme]
            info = session_info(out)
            assert (info.venue, info.lost, info.torn) == (venue.name, 0, "")
            assert info.in_order
            assert began_ns < info.first_ns < info.last_ns < time.time_ns()
            assert info.gaps
            assert all(gap.to_ns for gap in info.gaps)
            await check_played(info, venue)


async def test_three_venues_while_their_daemons_are_killed(open_test_pikerd, tmp_path):
    """One recording, a file a venue, each exact; who looks on is told."""
    out, rng, said = tmp_path / "day.zst", random.Random(5), []
    paths = {v: tmp_path / f"day.{v.name}.zst" for v in VENUES}
    async with (
        open_emulator(SPOT.name, session=SPOT.path, speed=40) as spot,
        open_emulator(USDTM.name, session=USDTM.path, speed=40) as usdtm,
        open_emulator(KRAKEN.name, session=KRAKEN.path, speed=40) as kraken,
    ):
        conf = conf_of(spot, usdtm, kraken) + sim_conf(*paths.values())
        async with open_test_pikerd(conf=conf, policy=LENIENT, deadline_s=180) as tree:
            names = [venue.fqme for venue in VENUES]
            async with open_recording(names, out, on_event=said.append) as recording:
                assert sorted(file.path for file in recording.files) == sorted(
                    paths.values()
                )
                for name in ("datad.binance", "datad.kraken", "datad.binance"):
                    await trio.sleep(rng.uniform(0.2, 1.5))
                    await tree.services.wait_up(name)
                    os.kill(tree.services.service_tasks[name].pid, signal.SIGKILL)
                infos = [
                    await wait_recorded(emulator, paths[venue], venue)
                    for emulator, venue in zip(
                        (spot, usdtm, kraken), VENUES, strict=True
                    )
                ]
            for venue, info in zip(VENUES, infos, strict=True):
                assert info.lost == 0
                assert info.gaps
                await check_played(info, venue)
    for venue in VENUES:
        mine = [type(one) for one in said if venue.fqme in one.fqmes]
        assert mine[0] is Disconnected
        assert Reconnected in mine


async def test_a_recorder_without_room_and_one_killed_20_times(
    open_test_pikerd, tmp_path
):
    """Each file plays up to its last whole frame.

    No trade before it is missing, but what was still being fetched; that is counted.
    """
    rng, speed, killed = random.Random(11), 2, []
    async with (
        open_emulator(SPOT.name, session=SPOT.path, speed=speed) as emulator,
        open_test_pikerd(conf=emulator.conf, deadline_s=240) as tree,
        open_feed(SPOT.fqme),
        trio.open_nursery() as tasks,
    ):
        limiter = trio.CapacityLimiter(4)

        async def record_and_kill(i: int) -> None:
            async with limiter:
                path = tmp_path / f"{i}.zst"
                args = ("record", SPOT.fqme, "--out", path)
                async with _cli.start(*args, env=tree.env) as recorder:
                    with trio.fail_after(30):
                        while not path.exists():
                            await trio.sleep(0.01)
                        # of half of them something is there for sure
                        least = path.stat().st_size + 1000 if i % 2 else 0
                        while path.stat().st_size < least:
                            await trio.sleep(0.01)
                    await trio.sleep(rng.uniform(0.0, 2.5))
                    recorder.proc.kill()
                    await recorder.proc.wait()
                killed.append(path)

        await check_full_disk(tree.env, tmp_path)
        for i in range(20):
            tasks.start_soon(record_and_kill, i)
        while len(killed) < 20:
            await trio.sleep(0.1)
        tasks.cancel_scope.cancel()
    whole = [path for path in killed if is_played_as_it_was(path)]
    assert len(whole) >= 10  # one killed at once has none


async def check_full_disk(env, folder) -> None:
    """Without room it says so, and leaves what it has."""
    out = folder / "full.zst"
    command = 'ulimit -f 96; exec "$0" -m piker record "$1" --out "$2"'
    with trio.fail_after(80):
        done = await trio.run_process(
            ["sh", "-c", command, sys.executable, SPOT.fqme, str(out)],
            env=env, capture_stdout=True, capture_stderr=True, check=False,
        )  # fmt: skip
    said = done.stderr.decode()
    assert (done.returncode, said.count("\n")) == (1, 1), said
    assert said.startswith(f"error: can't write {out}: ")
    info = session_info(out)
    assert f"{out}: {info.frames:,} frames" in done.stdout.decode()
    assert info.frames > 0
    assert info.lost == 0
    assert "cut off" in info.torn


def is_played_as_it_was(path) -> bool:
    """Play what a killed recorder left; False if it holds no trade yet."""
    try:
        session = open_session(path)
    except SessionFileError as err:
        assert "cut off" in str(err) or "empty" in str(err)  # noqa: PT017
        return False
    report, ticks = PlayReport(), []
    with pytest.raises(SessionFileError, match="is cut off after line"):
        for batch in session.batches(report):
            ticks += [tick for tick in batch.ticks if tick.type == "trade"]
    assert report.bad == 0
    played = [
        (tid, tick.price)
        for tick in ticks
        for tid in range(tick.tid - tick.count + 1, tick.tid + 1)
    ]
    if not played:
        return False
    first, last = played[0][0], played[-1][0]
    theirs = [
        (one.tid, float(one.price))
        for one in prints_of(SPOT.path)
        if first <= one.tid <= last
    ]
    holes = [tid for (before, _), (tid, _) in pairwise(played) if tid != before + 1]
    assert len(holes) == bool(report.lost)
    assert set(played) <= set(theirs)
    assert len(played) == len(theirs) - sum(
        tid - before - 1 for (before, _), (tid, _) in pairwise(played)
    )
    return True


async def test_a_stopped_recorder_delays_nobody_and_misses_nothing(
    open_test_pikerd, tmp_path, monkeypatch
):
    """Too much waits for it: datad lets it go, and it asks for what it lacks."""
    path = tmp_path / "stopped.zst"
    async with open_emulator(USDTM.name, session=USDTM.path, speed=40) as emulator:
        let_wait(1 << 20, tmp_path / "site", monkeypatch)
        conf = emulator.conf + sim_conf(path)
        async with open_test_pikerd(conf=conf, deadline_s=180) as tree:
            args = ("record", USDTM.fqme, "--out", path)
            async with _cli.start(*args, env=tree.env) as recorder:
                with trio.fail_after(40):
                    while not path.exists():
                        await trio.sleep(0.01)
                async with open_feed(USDTM.fqme) as feed:
                    await stop_and_look_on(recorder, feed)
                    await emulator.wait_done(60)
                    recorder.proc.send_signal(signal.SIGCONT)
                    info = await wait_recorded(emulator, path, USDTM)
                code, said = await recorder.end()
        assert code == 130
        # why it was lost may not get through to it; if held up it was lost before, too
        lines = said.splitlines()
        assert lines
        assert [line.split(": ")[:2] for line in lines] == [
            [what, USDTM.fqme]
            for _ in lines[::2]
            for what in ("disconnected", "reconnected")
        ]
        assert "Overrun: the recorder is too slow: more than 1 MiB" in tree.logs()
        info = session_info(path)
        assert (info.lost, info.torn, info.in_order) == (0, "", True)
        async with open_test_pikerd(conf=conf, deadline_s=180):
            await check_played(info, USDTM)


def let_wait(n_bytes: int, folder, monkeypatch) -> None:
    """Have daemons started from here on let less wait for a recorder."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"from piker.data import _frames\n_frames.WAITING_MAX = {n_bytes}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    # a fork server that was there before has no such site: have another one
    monkeypatch.setattr("piker.service._tractor._fork._current", None)


async def stop_and_look_on(recorder, feed) -> None:
    """Stop a recorder; see that nobody else is delayed."""
    recorder.proc.send_signal(signal.SIGSTOP)
    late = 0
    for _ in range(40):
        began = trio.current_time()
        await feed.stream.receive()
        late += trio.current_time() - began > 1.0
    assert late <= 2, "a machine's own hitches, and no wait of ours"
    assert len(feed.events) == 0


async def test_a_long_gap_and_a_wrong_clock_at_speed(open_test_pikerd, tmp_path):
    """The clock opens no bars over trades that follow, nor ahead of the venue's."""
    gap, wrong = tmp_path / "gap", tmp_path / "wrong"
    write_gap(gap)
    write_wrong(wrong)
    numbers = range(600)  # ten a second
    expected = naive_bars([as_print(number) for number in numbers], 1)
    async with (
        open_test_pikerd(conf=sim_conf(gap, wrong, speed=30)),
        open_feed([NAME, OTHER]) as feed,
    ):
        await until_ended(feed)
        for name in (NAME, OTHER):
            got = rows(feed.flumes[name].rt_shm)
            assert got[: len(expected)] == expected, name
            assert all(row[6] == 0 for row in got[len(expected) :])


OTHER = NAME.replace("btc", "eth")


def write_gap(path) -> None:
    """Record a minute of which 30 s are fetched at their end."""
    writer = SessionWriter(path, [MKT])
    writer.note(Begun(symbol="BTCUSDT", serial=0))
    for number in range(100):
        put(writer, START_NS + number * NS // 10, frame(number))
    down_ns = START_NS + 12 * NS
    writer.note(Down(symbols=("BTCUSDT",), reason="it broke", time_ns=down_ns))
    put(writer, START_NS + 40 * NS, frame(400))  # the new connection's first
    put(writer, START_NS + 41 * NS, refetched(100, 411))
    writer.note(Up(symbols=("BTCUSDT",), time_ns=START_NS + 41 * NS))
    for number in range(405, 600):
        put(writer, START_NS + max(number * NS // 10, 41 * NS), frame(number))
    writer.close()


def write_wrong(path) -> None:
    """Record the same, another market, on a machine whose clock is an hour ahead."""
    mkt = msgspec.structs.replace(MKT, dst=Asset(name="eth"), bs_mktid="ETHUSDT")
    writer = SessionWriter(path, [mkt])
    writer.note(Begun(symbol="ETHUSDT", serial=0))
    for number in range(600):
        payload = frame(number).replace(b"BTCUSDT", b"ETHUSDT")
        put(writer, START_NS + 3600 * NS + number * NS // 10, payload)
    writer.close()


def as_print(number: int) -> Print:
    told = agg(number)
    time_ns = told["T"] * 10**6
    return Print(time_ns, number, Decimal(told["p"]), Decimal(told["q"]))
