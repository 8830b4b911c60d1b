"""What the emulated TWS does wrong on command, and what was recorded of a true one."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from ib_async import Crypto, Stock

from tests._data import data_dir
from tests.testing._tws import QUIET, contract, limit, on_asyncio, open_tws, until
from tests.testing.test_emulator_tws_orders import open_talk

pytestmark = pytest.mark.tree

BTC = ("--sim", "btcusdt.spot.sim", *QUIET)


async def ask(ib, one, length="60 S"):
    return await ib.reqHistoricalDataAsync(
        one, "", length, "1 secs", "TRADES", useRTH=False, formatDate=2
    )


# -- answers ----------------------------------------------------------------------


@on_asyncio
async def test_an_answer_comes_late_or_never():
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        loop = asyncio.get_running_loop()
        await tws.fault("answer", on="bars", how="late", seconds=3.0)
        began = loop.time()
        others = asyncio.ensure_future(contract(ib))
        assert await ask(ib, one)
        assert loop.time() - began >= 3.0
        assert others.done()
        await tws.fault("answer", on="details", how="never", count=2)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(contract(ib), 0.2)
        assert await contract(ib) == one
        assert (await tws.stats())["fired"] == {"answer": 3}


@on_asyncio
async def test_answers_out_of_order_twice_and_errors_instead():
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        await tws.fault("answer", on="bars", how="swapped")
        order = []

        async def note(name, length):
            assert await ask(ib, one, length)
            order.append(name)

        first = asyncio.ensure_future(note("first", "61 S"))
        await asyncio.sleep(0.1)
        await note("second", "62 S")
        await first
        assert order == ["second", "first"]
        await tws.fault("answer", on="time", how="twice")
        await ib.reqCurrentTimeAsync()
        await tws.fault("answer", on="details", how="error", code=322)
        assert await ib.reqContractDetailsAsync(one) == []
        assert tws.codes()[-1] == 322
        assert await contract(ib) == one


@pytest.mark.parametrize("how", ["garbage", "cut"])
@on_asyncio
async def test_an_answer_that_is_none(how):
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        await tws.fault("answer", on="bars", how=how)
        if how == "cut":  # half of it, and the connection is gone
            with pytest.raises(ConnectionError):
                await ask(ib, one)
            ib = await tws.connect(2)
        else:
            asked = asyncio.ensure_future(ask(ib, one))
            await until(lambda: tws.unread)
            await asyncio.wait([asked], timeout=0.1)
            assert not asked.done()
            asked.cancel()
            tws.unread.clear()
        assert await ask(ib, one, "90 S")


@pytest.mark.parametrize(
    ("how", "holds"),
    [
        ("empty", lambda got, all_: got == []),
        ("cut", lambda got, all_: got == all_[: -(-len(all_) // 2)]),
        ("reversed", lambda got, all_: got == [*all_[::-1], *all_[:3]]),
        ("overlap", lambda got, all_: got[-len(all_) :] == all_ != got),
        ("odd", lambda got, all_: [b.date for b in got] == [b.date for b in all_] != 0
         and got != all_),
    ],
)  # fmt: skip
@on_asyncio
async def test_bars_that_are_wrong(how, holds):
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        await tws.control("limits", {"identical_s": 0})
        end = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) - 60, UTC)

        async def bars():
            return list(
                await ib.reqHistoricalDataAsync(
                    one, end, "300 S", "1 secs", "TRADES", useRTH=False, formatDate=2
                )
            )

        whole = await bars()
        await tws.fault("bars", how=how)
        assert holds(await bars(), whole)
        assert await bars() == whole


# -- connections ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["clean", "rst", "mid_frame"])
@on_asyncio
async def test_the_socket_drops(how):
    async with open_talk() as talk:
        live = await talk.placed(limit())
        gone = []
        talk.ib.disconnectedEvent += lambda: gone.append(1)
        await talk.tws.fault("disconnect", how=how)
        await until(lambda: not talk.ib.isConnected())
        await talk.tws.until_left()
        ib = await talk.tws.connect(1)
        assert [t.order.permId for t in ib.openTrades()] == [live.order.permId]


@on_asyncio
async def test_nobody_listens_and_limbo():
    async with open_tws() as tws:
        await tws.connect(1)
        await tws.fault("refuse", seconds=3)
        await tws.until_listening(is_listening=False)
        with pytest.raises(ConnectionRefusedError):
            await tws.connect(2)
        await tws.until_listening()
        await tws.fault("limbo")
        with pytest.raises(TimeoutError):
            await tws.connect(2, deadline_s=0.3)
        await tws.fault("upgrade")  # hangs up at once
        with pytest.raises((TimeoutError, ConnectionError)):
            await tws.connect(2, deadline_s=0.3)
        assert (await tws.connect(2)).isConnected()
        assert tws.clients[0].isConnected()


@on_asyncio
async def test_the_nightly_reset():
    """All are cut off, nobody is there for a while, and then all is as it was."""
    async with open_talk() as talk:
        live = await talk.placed(limit())
        await talk.tws.fault("reset", seconds=3)
        await until(lambda: not talk.ib.isConnected())
        await talk.tws.until_listening(is_listening=False)
        with pytest.raises(ConnectionRefusedError):
            await talk.tws.connect(1)
        await talk.tws.until_listening()
        await talk.tws.until_left()
        ib = await talk.tws.connect(1)
        assert [t.order.permId for t in ib.openTrades()] == [live.order.permId]


# -- farms, and the line to IB ----------------------------------------------------


async def is_told(ticker, seconds=1.5):
    """Tell whether anything is told within some seconds."""
    heard = []
    ticker.updateEvent += heard.append
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not heard:
                await asyncio.sleep(0.005)
    ticker.updateEvent -= heard.append
    return bool(heard)


@on_asyncio
async def test_a_farm_is_down():
    async with open_tws(*BTC) as tws:
        ib = await tws.connect()
        one = await contract(ib, Crypto("BTC", "PAXOS", "USD"))
        ticker = ib.reqMktData(one, "233")
        await until(lambda: ticker.bid > 0)
        await tws.fault("farm", name="cryptofarm")
        await until(lambda: 2103 in tws.codes())
        assert tws.errors[-1][2].endswith("is broken:cryptofarm")
        assert not await is_told(ticker)
        await tws.control("clear", {})
        await until(lambda: tws.errors[-1][2].endswith("is OK:cryptofarm"))
        assert await is_told(ticker, 30)
        # of history: its requests wait
        await tws.fault("farm", name="ushmds")
        await until(lambda: tws.codes()[-1] == 2105)
        asked = asyncio.ensure_future(ask(ib, one))
        await asyncio.sleep(0.3)
        assert not asked.done()
        await tws.control("clear", {})
        assert await asyncio.wait_for(asked, 30)
        assert tws.codes()[-1] == 2106
        await tws.fault("farm", name="secdefil", seconds=0.3)
        assert await contract(ib, Crypto("BTC", "PAXOS", "USD")) == one


@pytest.mark.parametrize(("lost", "code"), [(False, 1102), (True, 1101)])
@on_asyncio
async def test_the_line_to_ib_is_lost(lost, code):
    """Nothing is told, orders wait; then data goes on, or has to be asked for again."""
    async with open_tws(*BTC) as tws:
        await tws.open_account()
        ib = await tws.connect()
        one = await contract(ib, Crypto("BTC", "PAXOS", "USD"))
        ticker = ib.reqMktData(one, "233")
        await until(lambda: ticker.bid > 0)
        await tws.fault("connectivity", seconds=0, lost=lost)
        await until(lambda: tws.codes()[-1] == 1100)
        trade = ib.placeOrder(one, limit(size=0.01, price=30_000))
        assert not await is_told(ticker)
        assert trade.orderStatus.status == "PendingSubmit"
        await tws.control("clear", {})
        await until(lambda: tws.codes()[-1] == code)
        await until(lambda: trade.orderStatus.status == "Submitted")
        assert await is_told(ticker, 3 if lost else 30) is not lost
        if lost:
            ticker = ib.reqMktData(one, "233")
            assert await is_told(ticker, 30)


@on_asyncio
async def test_notices_of_the_system():
    async with open_tws() as tws:
        await tws.connect()
        await tws.fault("notice", code=2110)
        await until(lambda: tws.errors[-1][1:2] == (2110,))
        await tws.fault("notice", code=2107, text="inactive")
        await until(lambda: tws.errors[-1] == (-1, 2107, "inactive"))


@on_asyncio
async def test_faults_that_strike_at_frames():
    async with open_tws(*BTC) as tws:
        ib = await tws.connect()
        one = await contract(ib, Crypto("BTC", "PAXOS", "USD"))
        ticker = ib.reqMktData(one, "233")
        heard = []
        ticker.updateEvent += lambda told: heard.extend(told.ticks)
        await until(lambda: len(heard) > 5, 20)
        for kind in ("garbage", "truncate", "duplicate", "reorder"):
            await tws.fault(kind)
        count = len(heard)
        await until(lambda: len(heard) > count + 20, 20)
        fired = (await tws.stats())["fired"]
        assert set(fired) == {"garbage", "truncate", "duplicate", "reorder"}
        tws.unread.clear()
        await tws.fault("silence", seconds=60)
        await asyncio.sleep(0.2)  # what was on its way
        assert not await is_told(ticker, 1)
        await tws.control("clear", {})
        await until(lambda: len(heard) > count + 30, 20)


# -- orders -----------------------------------------------------------------------


async def until_orders(tws, wanted, *keys):
    """Wait until some fields of an account's orders are as *wanted*."""

    async def found():
        orders = (await tws.account())["orders"]
        return [tuple(one[key] for key in keys) for one in orders]

    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            while await found() != wanted:
                await asyncio.sleep(0.02)
    assert await found() == wanted


@pytest.mark.parametrize(
    ("how", "is_cut", "is_placed"),
    [
        ("unheard", True, False), ("unanswered", True, True), ("late", True, True),
        ("refused", False, False), ("unsure", False, True), ("silent", False, True),
        ("slow", False, True), ("page", False, True), ("odd", False, True),
    ],
)  # fmt: skip
@on_asyncio
async def test_placing_goes_wrong(how, is_cut, is_placed):
    async with open_talk() as talk:
        await talk.tws.fault("asked", on="place", how=how, seconds=2)
        trade = talk.place(limit(orderRef="it"))
        if is_cut:
            await until(lambda: not talk.ib.isConnected())
        if how == "late":
            assert (await talk.tws.account())["orders"] == []
        codes = {"refused": 201, "unsure": 504}
        if how in codes:
            await until(lambda: talk.tws.codes(trade.order.orderId))
            assert talk.tws.codes(trade.order.orderId) == [codes[how]]
        elif not is_cut:
            await asyncio.sleep(0.1)  # nothing is told
            assert trade.orderStatus.status == "PendingSubmit"
        if not is_placed:
            await asyncio.sleep(0.1)  # nothing is done
        await until_orders(talk.tws, [("it",)] * is_placed, "ref")
        if how == "slow":
            await talk.until(trade, "Submitted")
        elif is_placed:  # whatever was told, it can be found, and is filled
            ib = await talk.tws.connect(2)
            (seen,) = await ib.reqAllOpenOrdersAsync()
            assert seen.order.orderRef == "it"
            await talk.tws.outside("sell", 174, 310)
            assert (await talk.tws.account())["money"]["TSLA"]["free"] == "10"
        talk.tws.unread.clear()


@pytest.mark.parametrize(
    ("how", "is_placed"), [("unheard", False), ("silent", True), ("slow", True)]
)
@on_asyncio
async def test_requests_that_come_together_are_done_in_their_order(how, is_placed):
    """What follows a request that goes wrong comes after it, or isn't heard either."""
    async with open_talk() as talk:
        await talk.tws.fault("asked", on="place", how=how, seconds=0.1)
        first = talk.place(limit())
        talk.ib.client.cancelOrder(first.order.orderId)
        talk.place(limit(price=173))
        if not is_placed:
            await until(lambda: not talk.ib.isConnected())
            await asyncio.sleep(0.5)  # nothing is done
        wanted = [("canceled",), ("open",)] * is_placed
        await until_orders(talk.tws, wanted, "state")


@pytest.mark.parametrize("how", ["refused", "silent", "slow"])
@pytest.mark.parametrize("on", ["amend", "cancel"])
@on_asyncio
async def test_a_change_or_an_end_goes_wrong(on, how):
    async with open_talk() as talk:
        trade = await talk.placed(limit())
        order_id = trade.order.orderId
        await talk.tws.fault("asked", on=on, how=how, seconds=0.3)
        if on == "amend":
            trade.order.lmtPrice = 173.5
            talk.place(trade.order)
        else:
            talk.ib.cancelOrder(trade.order)
        is_done = how != "refused"
        codes = []
        if how == "refused":
            codes = [{"amend": 201, "cancel": 161}[on]]
        elif on == "cancel":
            codes = [202]
        await until(lambda: len(talk.tws.codes(order_id)) >= len(codes))
        wanted = (
            ("173.5" if is_done else "174.0", "open")
            if on == "amend"
            else ("174.0", "canceled" if is_done else "open")
        )
        await until_orders(talk.tws, [wanted], "price", "state")
        await asyncio.sleep(0.1)  # no more is done or told
        await until_orders(talk.tws, [wanted], "price", "state")
        assert not codes or talk.tws.codes(order_id) == codes


@pytest.mark.parametrize("how", ["lost", "twice", "swapped", "late"])
@on_asyncio
async def test_an_event_is_told_wrongly(how):
    async with open_talk() as talk:
        trade = await talk.placed(limit())
        await talk.tws.fault("told", what="traded", how=how, seconds=2)
        await talk.tws.outside("sell", 174, 304)
        if how == "twice":
            await until(lambda: trade.filled() == 4)
        await asyncio.sleep(0.1)  # nothing more is told
        assert trade.filled() == (4 if how == "twice" else 0)
        if how == "swapped":
            await talk.tws.outside("sell", 174, 1)
            await until(lambda: trade.filled() == 5)
            assert [fill.execution.shares for fill in trade.fills] == [1, 4]
        elif how == "late":
            await until(lambda: trade.filled() == 4)
        elif how == "lost":
            fills = await talk.ib.reqExecutionsAsync()
            assert [fill.execution.shares for fill in fills] == [4]


@on_asyncio
async def test_a_commission_comes_late_by_itself():
    async with open_talk() as talk:
        await talk.tws.fault("answer", on="commission", how="late", seconds=2)
        trade = await talk.placed(limit(price=175), "Filled")
        await until(lambda: trade.fills)
        (fill,) = trade.fills
        assert fill.commissionReport.execId == ""
        await until(lambda: fill.commissionReport.commission == 1)


@pytest.mark.parametrize("how", ["stale", "slow", "refused", "odd", "unanswered"])
@on_asyncio
async def test_the_question_for_open_orders_goes_wrong(how):
    async with open_talk() as talk:
        await talk.placed(limit())
        if how == "stale":
            await asyncio.sleep(4)
        await talk.placed(limit())
        seconds = 3.5 if how == "stale" else 0.5
        await talk.tws.fault("asked", on="open", how=how, seconds=seconds)
        asked = asyncio.ensure_future(talk.ib.reqOpenOrdersAsync())
        if how == "unanswered":
            with pytest.raises(ConnectionError):
                await asked
        elif how in ("refused", "odd"):
            await asyncio.wait([asked], timeout=0.3)
            if how == "odd":
                await until(lambda: talk.tws.unread)
            talk.tws.unread.clear()
            asked.cancel()
        else:
            assert len(await asked) == (1 if how == "stale" else 2)


# -- what was recorded ------------------------------------------------------------


def recorded(name):
    """Return the rows of a recorded file."""
    with gzip.open(data_dir() / "protocol" / "nautilus_ib" / f"{name}.json.gz") as file:
        text = file.read()
    if text.startswith(b"["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines()]


def sessions(*names):
    folder = data_dir() / "protocol" / "nautilus_ib"
    return [f"--session={folder / name}.json.gz" for name in names]


@on_asyncio
async def test_recorded_bars_are_told_as_they_were():
    async with open_tws(*sessions("bars"), "--speed=0") as tws:
        ib = await tws.connect()
        one = await contract(ib, Stock("BARS", "SMART", "USD"))
        wanted = [
            (row["date"], row["open"], row["high"], row["low"], row["close"],
             row["volume"], row["average"], row["barCount"])
            for row in recorded("bars")
        ]  # fmt: skip

        async def bars(size, length="2 D"):
            return await ib.reqHistoricalDataAsync(
                one, "", length, size, "TRADES", useRTH=False, formatDate=2
            )

        got = [
            (f"{b.date:%Y-%m-%dT%H:%M:%S}", b.open, b.high, b.low, b.close, b.volume,
             b.average, b.barCount)
            for b in await bars("1 min")
        ]  # fmt: skip
        assert got == wanted
        hours = await bars("1 hour")
        assert sum(b.volume for b in hours) == sum(row[5] for row in wanted)
        assert max(b.high for b in hours) == max(row[2] for row in wanted)
        assert not await bars("1 secs", "60 S")


@on_asyncio
async def test_recorded_ticks_of_the_past():
    names = ("bid_ask_ticks", "trade_ticks")
    async with open_tws(*sessions(*names), "--speed=0") as tws:
        ib = await tws.connect()
        one = await contract(ib, Stock("TICKS", "SMART", "USD"))

        async def ticks(what, start="20220301 00:00:00 UTC"):
            return await ib.reqHistoricalTicksAsync(
                one, start, "", 1000, what, useRth=False
            )

        first = await ticks("BID_ASK")
        after = f"{first[-1].time + timedelta(seconds=1):%Y%m%d %H:%M:%S} UTC"
        quotes = [
            (t.time.isoformat(), t.priceBid, t.priceAsk, t.sizeBid, t.sizeAsk)
            for t in [*first, *await ticks("BID_ASK", after)]
        ]
        assert quotes == [
            (
                row["time"],
                row["priceBid"],
                row["priceAsk"],
                row["sizeBid"],
                row["sizeAsk"],
            )
            for row in recorded("bid_ask_ticks")
        ]
        assert (len(first), len(quotes)) == (1000, 1003)
        trades = [
            (t.time.isoformat(), t.price, t.size, t.exchange)
            for t in await ticks("TRADES")
        ]
        assert trades == [
            (row["time"], row["price"], row["size"], row["exchange"])
            for row in recorded("trade_ticks")
        ]


@on_asyncio
async def test_recorded_live_ticks_are_told_again_each_as_it_was():
    async with open_tws(*sessions("tick_data"), "--speed=0") as tws:
        ib = await tws.connect()
        one = await contract(ib, Stock("LIVE", "SMART", "USD"))
        (details,) = await ib.reqContractDetailsAsync(one)
        assert details.minTick == 0.2
        wanted = [
            (row["tickType"], row["price"], row["size"])
            for row in recorded("tick_data")
        ]
        heard = []
        ticker = ib.reqMktData(one, "233")
        ticker.updateEvent += lambda told: heard.extend(
            (t.tickType, t.price, t.size) for t in told.ticks
        )
        volume = [size for kind, _, size in wanted if kind == 8]
        more = volume[-1] - volume[0]
        traded = lambda: sum(size for kind, _, size in heard if kind == 48)  # noqa: E731
        await until(lambda: traded() == more and heard[-1] == wanted[-1])
        await asyncio.sleep(0.2)
        told = [row for row in heard if row[0] != 48]
        opening, told = told[:3], told[3:]
        assert opening == [(1, 443.6, 1), (2, 444.0, 1), (4, 444.0, 1)]
        assert told == wanted
        assert Counter(kind for kind, *_ in heard)[48] == len(volume) - 1
        assert ticker.rtVolume == more
