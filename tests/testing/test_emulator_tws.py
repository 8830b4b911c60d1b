"""The emulated TWS, asked by a client that doesn't know it is one: data."""

from __future__ import annotations

import asyncio
import math
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from ib_async import Contract, Crypto, Forex, Future, Option, Stock

from tests.testing._tws import (
    ES,
    MONTH,
    QUARTER,
    QUIET,
    contract,
    future,
    on_asyncio,
    open_tws,
    tws_process,
    until,
)

pytestmark = pytest.mark.tree

ALL = (
    "--sim", "tsla.nasdaq.sim", f"es.cme.{QUARTER}.sim", "eurusd.idealpro.sim",
    "btcusdt.spot.sim", f"tsla.{MONTH}.250c.sim", "--streams=0", "--history-s=864000",
)  # fmt: skip
FAST = ("--budget=100000",)
BTC = ("--sim", "btcusdt.spot.sim", *QUIET)


@pytest.fixture(scope="module")
def shared():
    """Yields the port of an emulator for tests that leave it as it was."""
    with tws_process(*ALL, *FAST) as port:
        yield port


async def relax(tws):
    """Have history be had as often as a test likes."""
    await tws.control("limits", {"identical_s": 0, "burst": 10_000})


# -- connecting -------------------------------------------------------------------


@on_asyncio
async def test_connecting_brings_all_that_a_client_waits_for():
    async with open_tws() as tws:
        for name in ("DU7", "DU8"):
            await tws.open_account(name)
        ib = await tws.connect(7)
        assert ib.managedAccounts() == ["DU7", "DU8"]
        assert ib.client.serverVersion() == 178
        values = {(v.account, v.tag): v.value for v in ib.accountValues()}
        assert values["DU8", "NetLiquidation"] == "100000.00"
        assert (ib.positions(), ib.openTrades(), ib.fills()) == ([], [], [])
        await until(lambda: 2158 in tws.codes())
        assert Counter(tws.codes()) == {2104: 3, 2106: 1, 2158: 1}
        before = datetime.now(UTC)
        now = await ib.reqCurrentTimeAsync()
        assert before - timedelta(seconds=2) < now <= datetime.now(UTC)


@on_asyncio
async def test_an_id_belongs_to_one_client():
    """The second gets error 326, and can have the id once the first is gone."""
    async with open_tws() as tws:
        first = await tws.connect(7)
        second = asyncio.ensure_future(tws.connect(7))
        await until(lambda: 326 in tws.codes(-1))
        await asyncio.wait([second], timeout=0.3)
        assert not second.done()
        second.cancel()
        assert first.isConnected()
        await tws.connect(8)
        first.disconnect()
        await tws.until_left(1)
        assert (await tws.connect(7)).isConnected()


@on_asyncio
async def test_bytes_in_crumbs_and_a_version_that_is_too_old():
    async with open_tws() as tws:

        async def greet(versions):
            reader, writer = await asyncio.open_connection("127.0.0.1", tws.port)
            body = f"v{versions}".encode()
            for byte in b"API\0" + struct.pack(">I", len(body)) + body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            size = struct.unpack(">I", await reader.readexactly(4))[0]
            fields = (await reader.readexactly(size)).split(b"\0")
            writer.close()
            await writer.wait_closed()
            return fields

        version, now, end = await greet("100..180")
        assert (version, end) == (b"178", b"")
        assert now.endswith(b" US/Eastern")
        assert (await greet("100..160"))[3] == b"503"


@on_asyncio
async def test_too_many_messages_are_the_end():
    async with open_tws() as tws:
        ib = await tws.connect()
        ib.client.MaxRequests = 0
        for _ in range(160):
            ib.client.reqCurrentTime()
        await until(lambda: not ib.isConnected())
        assert tws.codes().count(100) == 3


# -- contracts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "count", "local", "tick", "multiplier", "zone"),
    [
        (Stock("TSLA", "SMART", "USD"), 1, "TSLA", 0.01, "", "US/Eastern"),
        (Stock("TSLA"), 3, "TSLA", 0.01, "", "US/Eastern"),
        (Future("ES", exchange="CME"), 4, ES, 0.25, "50", "US/Central"),
        (Future("ES", QUARTER[:6], "CME"), 1, ES, 0.25, "50", "US/Central"),
        (Contract(secType="CONTFUT", symbol="ES", exchange="CME"), 1, "", 0.25,
         "50", "US/Central"),
        (Forex("EURUSD"), 1, "EUR.USD", 0.00005, "", "US/Eastern"),
        (Crypto("BTC", "PAXOS", "USD"), 1, "BTC.USD", 0.01, "", "US/Eastern"),
        (Option("TSLA", MONTH, 250, "C", "SMART"), 1, f"TSLA  {MONTH[2:]}C00250000",
         0.01, "100", "US/Eastern"),
        (Option("TSLA", MONTH[:6], exchange="SMART"), 26,
         f"TSLA  {MONTH[2:]}C00250000", 0.01, "100", "US/Eastern"),
        (Stock("NOPE", "SMART", "USD"), 0, "", 0, "", ""),
        (Stock("TSLA", "GLOBEX", "USD"), 0, "", 0, "", ""),
    ],
)  # fmt: skip
@on_asyncio
async def test_contracts_by_what_is_known_of_them(
    shared, asked, count, local, tick, multiplier, zone
):
    async with open_tws(port=shared) as tws:
        ib = await tws.connect()
        found = await ib.reqContractDetailsAsync(asked)
        assert len(found) == count
        if not count:
            assert tws.codes()[-1] == 200
            return
        (one, *_), by_id = found, Contract(conId=found[0].contract.conId)
        assert local in ("", one.contract.localSymbol)
        assert (one.minTick, one.contract.multiplier) == (tick, multiplier)
        assert (one.timeZoneId, one.priceMagnifier) == (zone, 1)
        assert one.contract.exchange in one.validExchanges.split(",")
        assert len(one.marketRuleIds.split(",")) == len(one.validExchanges.split(","))
        rule = await ib.reqMarketRuleAsync(int(one.marketRuleIds.split(",")[0]))
        assert [(each.lowEdge, each.increment) for each in rule] == [(0, tick)]
        (same,) = await ib.reqContractDetailsAsync(by_id)
        assert same.contract == one.contract
        ids = [each.contract.conId for each in found]
        assert len(set(ids)) == count


@on_asyncio
async def test_chains_and_patterns():
    async with open_tws(*ALL) as tws:
        ib = await tws.connect()
        tsla = await contract(ib)
        chains = await ib.reqSecDefOptParamsAsync("TSLA", "", "STK", tsla.conId)
        assert {one.exchange for one in chains} == {"SMART", "AMEX", "CBOE", "PHLX"}
        days, strikes = chains[0].expirations, chains[0].strikes
        assert (len(days), MONTH in days, days) == (4, True, sorted(days))
        assert (strikes[0], strikes[-1]) == (220, 280)
        for strike in (strikes[0], strikes[-1]):
            await contract(ib, Option("TSLA", days[-1], strike, "P", "SMART"))
        found = await ib.reqMatchingSymbolsAsync("ts")
        assert [one.contract.primaryExchange for one in found] == [
            "NASDAQ", "MEXI", "LSEETF",
        ]  # fmt: skip
        assert found[0].derivativeSecTypes == ["OPT"]
        # one in so many seconds is answered
        await tws.control("limits", {"symbols_s": 60})
        ib.client.reqMatchingSymbols(900, "es")
        await ib.reqCurrentTimeAsync()
        assert (await tws.stats())["limited"] == 1
        await tws.control("limits", {"symbols_s": 1})
        await asyncio.sleep(1)
        assert await ib.reqMatchingSymbolsAsync("es")


@on_asyncio
async def test_hours_are_told_in_the_zone_of_the_exchange():
    """A share opens in the morning, a future in the evening; weekends are closed."""
    args = ("--sim", "tsla.nasdaq.sim", f"es.cme.{QUARTER}.sim", *QUIET)
    async with open_tws(*args, "--hours=usual") as tws:
        ib = await tws.connect()
        for asked, opens, length_h in ((None, "1430", 6.5), (future(), "2300", 23)):
            one = await contract(ib, asked)
            (details,) = await ib.reqContractDetailsAsync(one)
            spans = [
                span for span in details.liquidSessions() if span.start != span.end
            ]
            assert 3 <= len(spans) <= 5
            assert {f"{at.start.astimezone(UTC):%H%M}" for at in spans} == {opens}
            hours = {(span.end - span.start) / timedelta(hours=1) for span in spans}
            assert hours == {length_h}
            assert "CLOSED" in details.tradingHours
            assert all(before.end <= after.start for before, after in pairwise(spans))


# -- history ----------------------------------------------------------------------


async def ask(ib, one, length="1800 S", size="1 secs", what="TRADES", end=""):
    return await ib.reqHistoricalDataAsync(
        one, end, length, size, what, useRTH=False, formatDate=2
    )


@on_asyncio
async def test_bars_are_what_the_trades_make():
    """A second's and a minute's, against the trades that the emulator tells."""
    async with open_tws(*ALL, *FAST) as tws:
        await relax(tws)
        ib = await tws.connect()
        tsla = await contract(ib)
        bars = await ask(ib, tsla)
        trades = await tws.control("trades?symbol=tsla.nasdaq.sim")
        by_second = {}
        for time_ns, _, price, size, *_ in trades:
            by_second.setdefault(time_ns // 10**9, []).append((price, size))
        assert len(bars) > 1000
        for bar in bars[1:-1]:
            made = by_second[int(bar.date.timestamp())]
            prices = [price for price, _ in made]
            assert (bar.open, bar.close) == (prices[0], prices[-1])
            assert (bar.high, bar.low) == (max(prices), min(prices))
            assert bar.volume == sum(size for _, size in made)
            assert bar.barCount == len(made)
            assert bar.low - 1e-4 <= bar.average <= bar.high + 1e-4
        times = [int(bar.date.timestamp()) for bar in bars]
        assert times == sorted(set(times))
        minutes = await ask(ib, tsla, "2 D", "1 min")
        assert len(minutes) > 2800
        first, last = minutes[0].date, minutes[-1].date
        assert timedelta(days=2) - timedelta(minutes=2) <= last - first
        upto = last - timedelta(minutes=100)
        older = await ask(ib, tsla, "3600 S", "1 min", end=upto)
        assert older[-1].date == upto - timedelta(minutes=1)
        assert [b for b in minutes if older[0].date <= b.date < upto] == list(older)


@on_asyncio
async def test_bars_of_quotes_know_each_period():
    async with open_tws(*ALL, *FAST) as tws:
        await relax(tws)
        ib = await tws.connect()
        euro = await contract(ib, Forex("EURUSD"))
        found = {}
        end = await ib.reqCurrentTimeAsync() - timedelta(seconds=5)
        for what in ("BID", "MIDPOINT", "ASK"):
            found[what] = await ask(ib, euro, "600 S", what=what, end=end)
            assert len(found[what]) == 600
            assert {bar.volume for bar in found[what]} == {-1}
        for bid, middle, ask_ in zip(*found.values(), strict=True):
            assert bid.date == ask_.date == middle.date
            assert bid.close <= middle.close <= ask_.close
        assert not await ask(ib, euro)  # money isn't traded at an exchange
        assert tws.codes()[-1] == 162


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"size": "7 secs"}, 321), ({"length": "2 X"}, 321), ({"length": "0 S"}, 321),
        ({"length": "100000 S"}, 321), ({"length": "400 D"}, 321),
        ({"length": "1 D"}, 162), ({"what": "NOTHING"}, 321),
        ({"end": "20261399 10:00:00"}, 10314), ({"end": "yesterday"}, 10314),
        ({"end": "20200101 10:00:00 UTC"}, 162),
        ({"one": Stock("NOPE", "SMART", "USD")}, 200),
        ({"one": Stock("TSLA", "SMART")}, 200), ({"one": Stock("TSLA")}, 321),
    ],
)  # fmt: skip
@on_asyncio
async def test_history_that_cannot_be_had(shared, changed, code):
    async with open_tws(port=shared) as tws:
        ib = await tws.connect()
        asked = {"one": Stock("TSLA", "SMART", "USD"), **changed}
        if code == 321:  # a mere warning to this client, which then waits
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(ib, **asked), 0.3)
        else:
            assert not await ask(ib, **asked)
        await until(lambda: tws.codes()[-1:] == [code], what=code)


@on_asyncio
async def test_history_is_paced():
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        assert await ask(ib, one)
        assert not await ask(ib, one)  # the same within 15 seconds
        assert (tws.errors[-1][1], tws.errors[-1][2][-16:]) == (162, "pacing violation")
        await tws.control("limits", {"identical_s": 0})
        assert await ask(ib, one)
        # the sixth of a contract in two seconds
        await asyncio.sleep(2)
        some = await asyncio.gather(
            *(ask(ib, one, f"{60 + nth} S") for nth in range(6))
        )
        assert [bool(bars) for bars in some] == [True] * 5 + [False]
        # of a minute and more it is lifted
        for _ in range(8):
            assert await ask(ib, one, "3600 S", "1 min")
        # in ten minutes; a request for BID_ASK counts twice
        used = 3 + 6
        await tws.control("limits", {"history": used + 2, "burst": 10_000})
        assert await ask(ib, one, "90 S", what="BID_ASK")
        assert not await ask(ib, one, "91 S")
        assert (await tws.stats())["limited"] == 3


@on_asyncio
async def test_history_that_takes_its_time_can_be_called_off():
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        await tws.control("limits", {"open_history": 2})
        await tws.control("takes?history_s=60")
        of_first = ib.client._reqIdSeq
        requests = [asyncio.ensure_future(ask(ib, one, "60 S"))]
        await asyncio.sleep(0)
        await ib.reqCurrentTimeAsync()
        await tws.control("takes?history_s=1")
        requests += [
            asyncio.ensure_future(ask(ib, one, f"{60 + nth} S")) for nth in (1, 2)
        ]
        await until(lambda: 322 in tws.codes())  # the third
        ib.client.cancelHistoricalData(of_first)
        first, second, third = await asyncio.gather(*requests)
        assert (bool(first), bool(second), bool(third)) == (False, True, False)
        assert tws.codes()[-1] == 162
        assert "query cancelled" in tws.errors[-1][2]
        ib.client.cancelHistoricalData(12345)
        await until(lambda: 366 in tws.codes(12345))


@on_asyncio
async def test_ticks_come_in_pages_of_whole_seconds():
    async with open_tws(*ALL, *FAST) as tws:
        await relax(tws)
        ib = await tws.connect()
        one = await contract(ib)
        trades = await tws.control("trades?symbol=tsla.nasdaq.sim")
        first_s = trades[0][0] // 10**9
        end_s = trades[-1][0] // 10**9 - 5
        wanted = [
            (row[0] // 10**9, row[2], row[3])
            for row in trades
            if row[0] < end_s * 10**9
        ]

        async def pages(**at):
            ticks = await ib.reqHistoricalTicksAsync(
                one,
                at.get("start", ""),
                at.get("end", ""),
                1000,
                "TRADES",
                useRth=False,
            )
            return [(int(t.time.timestamp()), t.price, t.size) for t in ticks]

        forward, at_s = [], first_s
        while page := await pages(start=datetime.fromtimestamp(at_s, UTC)):
            forward += page
            at_s = page[-1][0] + 1
            if len(page) < 1000:
                break
        assert forward[: len(wanted)] == wanted
        backward, at_s = [], end_s
        while page := await pages(end=datetime.fromtimestamp(at_s, UTC)):
            backward = page + backward
            at_s = page[0][0]
        assert backward == wanted
        quotes = await ib.reqHistoricalTicksAsync(
            one, "", datetime.fromtimestamp(end_s, UTC), 200, "BID_ASK", useRth=False
        )
        assert len(quotes) >= 200
        assert all(tick.priceBid < tick.priceAsk for tick in quotes)


@on_asyncio
async def test_where_the_past_begins():
    async with open_tws(*ALL) as tws:
        ib = await tws.connect()
        one = await contract(ib)
        head = ib.reqHeadTimeStampAsync
        found = await head(one, "TRADES", useRTH=False, formatDate=2)
        now = await ib.reqCurrentTimeAsync()
        length_s = (now - found).total_seconds()
        assert abs(length_s - 864_000 - 3600) < 60
        text = await head(one, "TRADES", useRTH=False, formatDate=1)
        assert text.replace(tzinfo=UTC) == found


# -- market data ------------------------------------------------------------------


@on_asyncio
async def test_a_line_tells_trades_and_quotes():
    async with open_tws(*BTC) as tws:
        ib = await tws.connect()
        one = await contract(ib, Crypto("BTC", "PAXOS", "USD"))
        ticker = ib.reqMktData(one, "233,375")
        heard, ranges = [], set()

        def hear(told):
            heard.extend(told.ticks)
            ranges.add((told.low, told.last, told.high))

        ticker.updateEvent += hear
        await until(lambda: sum(t.tickType == 48 for t in heard) >= 12, 20)
        assert (ticker.minTick, ticker.marketDataType) == (0.01, 1)
        assert ticker.bid < ticker.ask
        known = [one for one in ranges if not any(map(math.isnan, one))]
        assert len(known) > 1
        assert all(low <= last <= high for low, last, high in known)
        ib.cancelMktData(one)
        await ib.reqCurrentTimeAsync()  # what was on its way has come
        count = len(heard)
        trades = await tws.control("trades?symbol=btcusdt.spot.sim")
        told = [(t.price, t.size) for t in heard if t.tickType == 48]
        assert told == [(t.price, t.size) for t in heard if t.tickType == 77]
        wanted = [(row[2], row[3]) for row in trades]
        at = next(
            at for at in range(len(wanted)) if wanted[at : at + len(told)] == told
        )
        assert at > 0
        await asyncio.sleep(0.5)
        assert len(heard) == count
        kinds = Counter(t.tickType for t in heard)
        assert kinds[1] + kinds[0] > 0 < kinds[2] + kinds[3]
        assert (await tws.stats())["subscribed_now"] == {}


@on_asyncio
async def test_a_snapshot_and_delayed_and_denied_data():
    async with open_tws() as tws:
        ib = await tws.connect()
        one = await contract(ib)
        (ticker,) = await ib.reqTickersAsync(one)
        assert ticker.bid < ticker.ask
        await tws.control("permit?symbol=TSLA&code=10167")
        ib.reqMktData(one, "")
        await until(lambda: 354 in tws.codes())
        ib.cancelMktData(one)
        ib.reqMarketDataType(3)
        ticker = ib.reqMktData(one, "")
        await until(lambda: ticker.marketDataType == 3)
        assert 10167 in tws.codes()
        ib.cancelMktData(one)
        await tws.control("permit?symbol=TSLA&code=0")
        ticker = ib.reqMktData(one, "233")
        count = []
        ticker.updateEvent += count.append
        await until(lambda: len(count) > 2)
        await tws.control("permit?symbol=*&code=10197")  # logged in elsewhere
        await until(lambda: 10197 in tws.codes())
        await ib.reqCurrentTimeAsync()  # what was on its way has come
        heard = len(count)
        await asyncio.sleep(1)
        assert len(count) == heard


@on_asyncio
async def test_lines_are_limited():
    async with open_tws(*ALL) as tws:
        ib = await tws.connect()
        await tws.control("limits", {"lines": 2, "tick_by_tick": 1})
        some = [
            await contract(ib, one)
            for one in (None, future(), Crypto("BTC", "PAXOS", "USD"), Forex("EURUSD"))
        ]
        for one in some[:3]:
            ib.reqMktData(one)
        await until(lambda: 101 in tws.codes())
        ib.cancelMktData(some[0])
        ib.cancelMktData(some[2])  # was refused
        await until(lambda: 300 in tws.codes())
        ticker = ib.reqMktData(some[3])
        await until(lambda: ticker.bid > 0)
        ib.reqTickByTickData(some[3], "Last")
        await until(lambda: 10189 in tws.codes())
        ib.reqTickByTickData(some[0], "Last")
        ib.reqTickByTickData(some[1], "Last")
        await until(lambda: 10190 in tws.codes())


@pytest.mark.parametrize("kind", ["Last", "AllLast", "BidAsk", "MidPoint"])
@on_asyncio
async def test_single_ticks(kind):
    async with open_tws(*BTC) as tws:
        ib = await tws.connect()
        one = await contract(ib, Crypto("BTC", "PAXOS", "USD"))
        heard = []
        ticker = ib.reqTickByTickData(one, kind)
        ticker.updateEvent += lambda told: heard.extend(told.tickByTicks)
        await until(lambda: len(heard) >= 8, 20)
        ticks = list(heard)
        trades = await tws.control("trades?symbol=btcusdt.spot.sim")
        if "Last" in kind:
            told = [(t.price, t.size) for t in ticks]
            wanted = [(row[2], row[3]) for row in trades]
            assert any(wanted[at : at + len(told)] == told for at in range(len(wanted)))
            assert {t.exchange for t in heard} == {"PAXOS"}
        elif kind == "BidAsk":
            assert all(t.bidPrice < t.askPrice for t in heard)
        else:
            assert all(Decimal(str(t.midPoint)) % Decimal("0.005") == 0 for t in heard)
        ib.cancelTickByTickData(one, kind)
        await ib.reqCurrentTimeAsync()  # what was on its way has come
        count = len(heard)
        await asyncio.sleep(0.5)
        assert len(heard) == count
