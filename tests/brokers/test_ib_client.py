"""IB's client against an emulated gateway that does things wrong."""

from __future__ import annotations

import logging
import socket
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import NamedTuple

import pytest
import trio
from ib_async import Contract

from piker.brokers._aio import MethodProxy, open_proxy
from piker.brokers.ib import _gateway
from piker.brokers.ib._client import Client, open_client
from piker.brokers.ib._conf import IbConf
from piker.brokers.ib._gateway import LineDown, LineUp
from piker.brokers.ib._line import FarmNote, Note, RawTick, Subscribed, key_of
from piker.brokers.ib._symbols import _listed
from piker.errors import (
    MarketGone,
    NoData,
    RateLimited,
    SymbolNotFound,
    VenueError,
    VenueRefused,
    VenueUnreachable,
)
from piker.testing import free_port
from piker.testing.emulator import Emulator, open_emulator
from tests._infected import run_infected

pytestmark = pytest.mark.tree

TSLA = "tsla.nasdaq.ib"
SIM = ["tsla.nasdaq.sim"]
#: Searches may come much closer together than they were sent: it never answers those.
SEARCHES = {"symbols_s": 0}


class At(NamedTuple):
    """An emulated gateway, and a client of it."""

    venue: Emulator
    proxy: MethodProxy[Client]
    conf: IbConf


@asynccontextmanager
async def connected(conf: IbConf, role="datad", kept=None):
    opener = partial(open_client, conf, role, kept)
    async with open_proxy(opener, venue="ib", deadline_s=conf.deadline_s) as proxy:
        yield proxy


@asynccontextmanager
async def gateway(**conf):
    options = {"small_bars": 100_000, "reconnect_max_s": 0.3, "deadline_s": 5.0}
    async with open_emulator("ib.tws", sim=SIM, past_s=600) as venue:
        made = IbConf(ports=(venue.port,), **(options | conf))
        async with connected(made) as proxy:
            yield At(venue, proxy, made)


async def refused(kind, proxy, method, *args) -> str:
    """Return what a request is refused with, one line."""
    with pytest.raises(kind) as caught:
        await proxy.call(method, *args)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def lost_servers(client) -> str:
    return client.gateway.lost("contracts")


async def lost_farms(client) -> list[str]:
    return list(client.gateway.farms)


async def now_s(venue) -> int:
    return (await venue.stats())["clock_ns"] // 10**9


def infected(test):
    """Run an async test in an actor with an asyncio loop."""

    @wraps(test)
    def run(**params):
        run_infected(partial(test, **params), deadline_s=60)

    return run


# -- the connection -----------------------------------------------------------------


@infected
async def test_it_looks_at_each_place():
    """Nobody listens at the first port, the second takes a call and says nothing."""
    async with open_emulator("ib.tws", sim=SIM, past_s=600) as venue:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            ports = (free_port(), silent.getsockname()[1], venue.port)
            conf = IbConf(ports=ports, deadline_s=5.0)
            async with connected(IbConf(ports=ports, deadline_s=1.0)) as proxy:
                found = await proxy.within(20).call(Client.ready)
    assert found == ("127.0.0.1", venue.port, conf.datad_id)


@infected
async def test_where_there_is_no_gateway_it_is_said_at_once():
    conf = IbConf(ports=(free_port(), free_port()))
    async with connected(conf) as proxy:
        began = trio.current_time()
        for _ in range(3):
            said = await refused(VenueUnreachable, proxy, Client.market, TSLA)
            assert "the connection was refused" in said
            assert all(str(port) in said for port in conf.ports)
        assert trio.current_time() - began < conf.deadline_s


@infected
async def test_orders_go_to_no_gateway_of_another_login():
    """A paper account's and a live one's may run side by side, and one restart."""
    async with open_emulator("ib.tws", sim=SIM, past_s=600) as other:
        await other.open_account("U2", "U2", "")
        async with open_emulator("ib.tws", sim=SIM, past_s=600) as usual:
            await usual.open_account("U1", "U1", "")
            ports = (usual.port, other.port)
            conf = IbConf(ports=ports, reconnect_max_s=0.3)
            async with connected(conf, "brokerd") as orders, connected(conf) as data:
                assert (await orders.call(Client.ready))[1] == usual.port
                assert (await data.call(Client.ready))[1] == usual.port
                usual.process.kill()
                with trio.fail_after(20):
                    said = ""
                    while "other accounts" not in said:
                        await trio.sleep(0.2)
                        try:
                            found = await orders.call(Client.ready)
                        except VenueUnreachable as err:
                            said = str(err)
                        else:
                            assert found[1] == usual.port
                    while await _port(data) != other.port:
                        await trio.sleep(0.2)
                assert "U1" not in said
                assert "U2" not in said


async def _port(proxy) -> int:
    try:
        return (await proxy.call(Client.ready))[1]
    except VenueUnreachable:
        return 0


@infected
async def test_a_client_id_that_is_in_use_is_passed_over():
    async with open_emulator("ib.tws", sim=SIM, past_s=600) as venue:
        conf = IbConf(ports=(venue.port,), ids=2)
        async with connected(conf) as one, connected(conf) as other:
            first = (await one.call(Client.ready))[2]
            second = (await other.call(Client.ready))[2]
            assert sorted((first, second)) == [conf.datad_id, conf.datad_id + 1]
            async with connected(conf) as third:
                said = await refused(VenueUnreachable, third, Client.ready)
                assert "6116 to 6117 are all in use" in said
            async with connected(conf, "brokerd") as orders:
                assert (await orders.call(Client.ready))[2] == conf.brokerd_id
                async with connected(conf, "brokerd") as more:
                    said = await refused(VenueUnreachable, more, Client.ready)
                    assert "6136 is in use there: end who has it, or set" in said


@infected
async def test_a_lost_gateway_is_found_again():
    """Whoever waits for an answer is told; the next request is answered."""
    async with gateway() as at:
        async with at.proxy.stream(Client.watch) as events:
            known = await at.proxy.call(Client.market, TSLA)
            await at.venue.fault("answer", on="bars", how="never")
            with pytest.raises(VenueUnreachable):
                async with trio.open_nursery() as tasks:
                    tasks.start_soon(
                        at.proxy.call, Client.bars, known.contract,
                        await now_s(at.venue), "60 S", "1 secs", "TRADES",
                    )  # fmt: skip
                    await trio.sleep(0.3)
                    await at.venue.fault("disconnect", how="rst")
            with trio.fail_after(20):
                seen = []
                async for batch in events:
                    seen += batch
                    if len([e for e in seen if isinstance(e, LineUp)]) == 2:
                        break
            kinds = [type(event) for event in seen if not hasattr(event, "serves")]
            assert kinds == [LineUp, LineDown, LineUp]
            assert await at.proxy.call(Client.accounts)


@infected
async def test_a_gateway_that_hangs_is_given_up():
    """It takes what is sent and says nothing: it is asked, and another line made."""
    before, _gateway.HEARTBEAT_S = _gateway.HEARTBEAT_S, 0.3
    try:
        async with gateway(deadline_s=1.0) as at:
            await at.proxy.call(Client.ready)
            await at.venue.fault("answer", on="time", how="never", count=1)
            with trio.fail_after(20):
                while (await at.venue.stats())["websockets"] < 2:
                    await trio.sleep(0.05)
                while not await _port(at.proxy):
                    await trio.sleep(0.05)
    finally:
        _gateway.HEARTBEAT_S = before


@infected
async def test_while_ib_is_away_requests_are_told_so():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        await at.venue.fault("connectivity", seconds=0)
        with trio.fail_after(20):
            while await _port(at.proxy):
                await trio.sleep(0.02)
        said = await refused(
            VenueUnreachable, at.proxy, Client.trades, known.contract, 1
        )
        assert "has lost ib" in said
        await at.venue.clear()
        with trio.fail_after(20):
            while True:
                try:
                    await at.proxy.call(Client.ready)
                    break
                except VenueUnreachable:
                    await trio.sleep(0.05)


# -- answers ------------------------------------------------------------------------


@infected
async def test_an_answer_that_never_comes_has_a_deadline():
    async with gateway() as at:
        await at.proxy.call(Client.ready)
        await at.venue.fault("answer", on="details", how="never")
        with pytest.raises(VenueUnreachable):
            await at.proxy.within(0.5).call(Client.market, TSLA)
        found = await at.proxy.call(Client.market, "tsla.mexi.ib")
        assert found.mkt.fqme == "tsla.mexi.ib"


@infected
async def test_what_was_never_answered_is_asked_anew():
    """However many wait for it together, and though nobody is let go of meanwhile."""
    async with gateway(deadline_s=1.0) as at:
        await at.proxy.call(Client.ready)
        await at.venue.fault("answer", on="details", how="never")
        for _ in range(2):
            with pytest.raises(VenueUnreachable):
                await at.proxy.call(Client.market, TSLA)
        with trio.fail_after(20):
            while True:
                try:
                    await at.proxy.call(Client.market, TSLA)
                    break
                except VenueUnreachable:
                    await trio.sleep(0.1)


@infected
async def test_a_market_is_known_with_its_steps_of_prices():
    """What one lost answer left out would stay so for hours, other than elsewhere."""
    async with gateway(deadline_s=1.0) as at:
        await at.proxy.call(Client.ready)
        await at.venue.fault("answer", on="rule", how="never")
        assert (await at.proxy.within(20).call(Client.market, TSLA)).rules


@infected
async def test_a_line_that_is_lost_leaves_no_market_half_known():
    async with gateway() as at:
        await at.proxy.call(Client.ready)
        await at.venue.fault("answer", on="rule", how="never")
        async with trio.open_nursery() as tasks:
            tasks.start_soon(refused, VenueUnreachable, at.proxy, Client.market, TSLA)
            await trio.sleep(0.5)
            await at.venue.fault("disconnect", how="rst")
        with trio.fail_after(20):
            while not await _port(at.proxy):
                await trio.sleep(0.05)
        assert (await at.proxy.call(Client.market, TSLA)).rules


@infected
async def test_answers_out_of_order_and_twice_find_who_asked():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        end_s = await now_s(at.venue) - 5
        for how in ("swapped", "twice", "late"):
            await at.venue.fault("answer", on="bars", how=how, seconds=0.3)
            got = {}

            async def ask(span_s, how=how, got=got, end_s=end_s):
                bars = await at.proxy.within(20).call(
                    Client.bars, known.contract, end_s - len(how), f"{span_s} S",
                    "1 secs", "TRADES",
                )  # fmt: skip
                got[span_s] = bars[0].date.timestamp()

            async with trio.open_nursery() as tasks:
                for span_s in (60, 120, 180):
                    tasks.start_soon(ask, span_s)
                    await trio.sleep(0.1)
            for span_s, first_s in got.items():
                assert 0 <= first_s - (end_s - len(how) - span_s) < 10, how


@infected
async def test_errors_of_ib_reach_who_asked():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        contract, ask = known.contract, (60, "60 S", "1 secs", "TRADES")
        said = await refused(
            MarketGone, at.proxy, Client.details, Contract(secType="STK", symbol="NO")
        )
        assert "code 200" in said
        await refused(SymbolNotFound, at.proxy, Client.market, "no.nasdaq.ib")
        await refused(SymbolNotFound, at.proxy, Client.market_of, 12)
        await refused(NoData, at.proxy, Client.bars, contract, *ask)
        for code, kind in (
            (321, VenueRefused),
            (322, VenueRefused),
            (354, VenueRefused),
            (366, VenueUnreachable),
            (504, VenueUnreachable),
            (100, VenueError),
        ):
            await at.venue.fault("answer", on="details", how="error", code=code)
            wanted = Contract(secType="STK", symbol="TSLA", tradingClass=f"X{code}")
            with pytest.raises(VenueError) as caught:
                await at.proxy.call(Client.details, wanted)
            assert isinstance(caught.value, kind)
            assert f"code {code}" in str(caught.value)


@infected
async def test_no_contract_is_no_last_word_while_the_servers_of_contracts_are_lost():
    """In the night IB says of any that there is none."""
    async with gateway() as at:
        await at.venue.fault("farm", name="secdefil")
        while not await at.proxy.call(lost_servers):
            await trio.sleep(0.02)
        await at.venue.fault("answer", on="details", how="error", code=200, count=0)
        said = await refused(VenueUnreachable, at.proxy, Client.market, TSLA)
        assert "code 200" in said
        assert said.endswith("lost: secdefil")
        await at.venue.clear()
        assert (await at.proxy.call(Client.market, TSLA)).mkt.fqme == TSLA


@infected
async def test_a_past_of_no_contract_is_one_that_can_not_be_had_now():
    """IB says so of what there is, too, in the night when its servers are away."""
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        end_s = await now_s(at.venue)
        await at.venue.fault("answer", on="bars", how="error", code=200)
        said = await refused(
            VenueUnreachable, at.proxy, Client.bars, known.contract, end_s, "60 S",
            "1 secs", "TRADES",
        )  # fmt: skip
        assert "code 200" in said


@infected
async def test_who_is_cancelled_takes_the_request_back():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        await at.venue.fault("answer", on="bars", how="never", count=0)
        for nth in range(5):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(
                    at.proxy.call, Client.bars, known.contract, 1_000_000 + nth,
                    "60 S", "1 secs", "TRADES",
                )  # fmt: skip
                await _asked(at.venue, "reqHistoricalData", nth + 1)
                tasks.cancel_scope.cancel()
        await _asked(at.venue, "cancelHistoricalData", 5)
        with trio.fail_after(20):
            while at.proxy.running:
                await trio.sleep(0.02)


async def _asked(venue, what: str, times: int) -> None:
    """Wait until a request has come so often; fail if it came more often."""
    with trio.fail_after(20):
        while (came := (await venue.stats())["requests"].get(what, 0)) < times:
            await trio.sleep(0.02)
    assert came == times


@infected
async def test_one_asks_for_all():
    async with gateway() as at:
        await at.proxy.call(Client.ready)
        await at.venue.fault("answer", on="details", how="late", seconds=0.3)
        async with trio.open_nursery() as tasks:
            for _ in range(20):
                tasks.start_soon(at.proxy.call, Client.market, TSLA)
        await at.proxy.call(Client.market, TSLA)
        assert (await at.venue.stats())["requests"]["reqContractDetails"] == 1


# -- how often ----------------------------------------------------------------------


def test_our_pace_is_that_of_whoever_was_before(tmp_path):
    """One that ends right after it asked all it may doesn't make the next ask more."""

    async def ask_five(at, kept, first) -> None:
        async with connected(at.conf, kept=kept) as proxy:
            known = await proxy.call(Client.market, TSLA)
            end_s = await now_s(at.venue)
            for nth in range(first, first + 5):
                await proxy.within(20).call(
                    Client.bars, known.contract, end_s - nth, "60 S", "1 secs", "TRADES"
                )

    async def scenario() -> None:
        async with gateway() as at:
            began = trio.current_time()
            await ask_five(at, tmp_path / "ib" / "asked", 0)
            await ask_five(at, tmp_path / "ib" / "asked", 10)
            assert trio.current_time() - began > 2
            assert (await at.venue.stats())["limited"] == 0

    run_infected(scenario, deadline_s=60)


@infected
async def test_bars_of_trades_and_single_trades_are_one_kind():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        end_s, began = await now_s(at.venue), trio.current_time()
        for nth in range(4):
            await at.proxy.within(20).call(
                Client.bars, known.contract, end_s - nth, "60 S", "1 secs", "TRADES"
            )
            await at.proxy.within(20).call(
                Client.trades, known.contract, end_s - nth, 9
            )
        assert trio.current_time() - began > 2
        assert (await at.venue.stats())["limited"] == 0


@infected
async def test_our_pace_breaks_no_rule_of_ib():
    """More is asked for than the rules let through: what waits too long is told so."""
    async with gateway(small_bars=55) as at:
        # by its clock two of our bursts may be one, if the first was long on its way
        await at.venue.control("limits", {"burst": 11})
        known = await at.proxy.call(Client.market, TSLA)
        end_s = await now_s(at.venue)
        answered = told = 0

        async def ask(nth):
            nonlocal answered, told
            try:
                await at.proxy.within(20).call(
                    Client.bars, known.contract, end_s - nth, "60 S", "1 secs", "TRADES"
                )
                answered += 1
            except RateLimited:
                told += 1

        async with trio.open_nursery() as tasks:
            for nth in range(40):
                tasks.start_soon(ask, nth)
        assert answered >= 15
        assert told + answered == 40
        assert (await at.venue.stats())["limited"] == 0


@infected
async def test_a_violation_is_asked_again_after_a_while():
    """Another program of the same user has asked for as much as is allowed."""
    async with gateway() as at, connected(at.conf) as other:
        known = await at.proxy.call(Client.market, TSLA)
        end_s = await now_s(at.venue)
        await at.venue.control("limits", {"history": 5})
        async with trio.open_nursery() as tasks:
            for nth in range(5):
                of = (known.contract, end_s - nth, "60 S", "1 secs", "TRADES")
                tasks.start_soon(other.call, Client.bars, *of)
        bars = []

        async def ask():
            bars.extend(
                await at.proxy.within(40).call(
                    Client.bars, known.contract, end_s - 30, "60 S", "1 secs", "TRADES"
                )
            )

        async with trio.open_nursery() as tasks:
            tasks.start_soon(ask)
            while not (await at.venue.stats())["limited"]:
                await trio.sleep(0.05)
            await at.venue.control("limits", {"history": 60})
        assert bars
        assert (await at.venue.stats())["limited"] == 1


@infected
async def test_searches_keep_their_second():
    async with gateway() as at:
        await at.venue.control("limits", SEARCHES)
        began = trio.current_time()
        async with trio.open_nursery() as tasks:
            for pattern in ("TS", "TSL", "T"):
                tasks.start_soon(at.proxy.call, Client.matching, pattern)
        assert trio.current_time() - began >= 2
        assert (await at.venue.stats())["requests"]["reqMatchingSymbols"] == 3


# -- lines of market data -----------------------------------------------------------


@infected
async def test_a_line_too_many_is_told_to_be_a_limit():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        await at.venue.control("limits", {"lines": 1})

        async def listen(contract):
            async with at.proxy.stream(Client.ticks, contract, "233,375") as batches:
                async for _ in batches:
                    pass

        other = await at.proxy.call(Client.market, "tsla.mexi.ib")
        async with trio.open_nursery() as tasks:
            tasks.start_soon(listen, known.contract)
            with trio.fail_after(20):
                while not (await at.venue.stats())["subscribed_now"]:
                    await trio.sleep(0.02)
            with pytest.raises(RateLimited) as caught:
                await listen(other.contract)
            assert "101" in str(caught.value)
            tasks.cancel_scope.cancel()


@infected
async def test_data_that_is_not_subscribed_is_refused():
    async with gateway() as at:
        await at.venue.control("permit?symbol=TSLA&code=354", {})
        assert "not subscribed" in await _line_ends(VenueRefused, at)


@infected
async def test_who_does_not_take_a_lines_ticks_gets_the_newest():
    """Quotes are merged, trades aren't; room for them has an end, which is told."""
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        async with at.proxy.stream(
            Client.ticks, known.contract, "233,375", room=80, key=key_of
        ) as batches:
            taken, serials = [], []
            with trio.fail_after(50):
                async for batch in batches:
                    taken += batch
                    ticks = [item for item in batch if isinstance(item, RawTick)]
                    serials += [tick.serial for tick in ticks if tick.serial >= 0]
                    if len(serials) > 20:
                        break
                    await trio.sleep(1)
    assert serials == list(range(len(serials)))
    assert sum(isinstance(i, Subscribed) for i in taken) == 1


@infected
async def test_a_line_that_is_left_is_taken_back():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        for _ in range(3):
            async with at.proxy.stream(Client.ticks, known.contract, "") as batches:
                async for _ in batches:
                    break
        with trio.fail_after(20):
            while (await at.venue.stats())["subscribed_now"]:
                await trio.sleep(0.02)


@infected
async def test_a_line_that_lacks_a_part_goes_on():
    """An option's greeks, e.g., if its stock isn't subscribed: it is a note."""
    async with gateway() as at:
        for code in (10090, 10091):
            await at.venue.control(f"permit?symbol=TSLA&code={code}", {})
            told = await _of_line(at, Note | RawTick, 20)
            assert isinstance(told[0], Note)
            assert "Part of requested" in told[0].text
            assert len([one for one in told if isinstance(one, RawTick)]) >= 10


@infected
async def test_a_line_of_no_contract_is_one_that_can_not_be_had_now():
    """Nobody opens a market again that is told to be gone: its feed would be over."""
    async with gateway() as at:
        await at.venue.fault("answer", on="market", how="error", code=200)
        assert "code 200" in await _line_ends(VenueUnreachable, at)


@infected
async def test_a_line_that_ib_ends_is_taken_back():
    """Those of a user who is logged in elsewhere count on, and would be told again."""
    async with gateway() as at:
        denies = partial(at.venue.control, "permit?symbol=TSLA&code=10197", {})
        for _ in range(3):
            assert "10197" in await _line_ends(VenueUnreachable, at, denies)
            await at.venue.control("permit?symbol=TSLA&code=0", {})
        with trio.fail_after(20):
            while (await at.venue.stats())["subscribed_now"]:
                await trio.sleep(0.02)


async def _line_ends(kind, at, on_batch=trio.lowlevel.checkpoint) -> str:
    """Return what ends a line of TSLA; *on_batch* is called each time it tells."""
    known = await at.proxy.call(Client.market, TSLA)
    with pytest.raises(kind) as caught:
        async with at.proxy.stream(Client.ticks, known.contract, "") as batches:
            async for _ in batches:
                await on_batch()
    return str(caught.value)


async def _of_line(at, kind, n: int) -> list:
    """Return the first *n* items of a kind that a new line of TSLA tells."""
    known = await at.proxy.call(Client.market, TSLA)
    found = []
    with trio.move_on_after(20):
        async with at.proxy.stream(
            Client.ticks, known.contract, "233,375", key=key_of
        ) as batches:
            async for batch in batches:
                found += [one for one in batch if isinstance(one, kind)]
                if len(found) >= n:
                    break
    return found


@infected
async def test_a_line_is_told_of_servers_that_were_lost_before_it():
    async with gateway() as at:
        await at.proxy.call(Client.market, TSLA)
        await at.venue.fault("farm", name="usfarm")
        await at.venue.fault("farm", name="ushmds")
        with trio.fail_after(20):
            while len(await at.proxy.call(lost_farms)) < 2:
                await trio.sleep(0.02)
        told = await _of_line(at, FarmNote, 1)
        assert told == [FarmNote("usfarm", is_up=False)]


@pytest.mark.parametrize(
    ("farm", "seconds", "lines"),
    [("usfarm", 2.5, 2), ("usfarm", 0.5, 2), ("usfuture", 6, 1)],  # it trades in 5 s
)
@infected
async def test_a_line_whose_servers_were_lost_is_asked_for_anew(farm, seconds, lines):
    """IB says that they are back, and may never tell a thing of what was asked for."""
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        told = []
        with trio.move_on_after(20) as listening:
            async with at.proxy.stream(
                Client.ticks, known.contract, "233,375", key=key_of
            ) as batches:
                await at.venue.fault("farm", name=farm, seconds=seconds)
                async for batch in batches:
                    told += [i for i in batch if isinstance(i, Subscribed | FarmNote)]
                    if len(told) >= 2 + lines:  # now nothing more may come
                        end = trio.current_time() + 1
                        listening.deadline = min(listening.deadline, end)
        again = [Subscribed()] * (lines - 1)
        notes = [FarmNote(farm, is_up=False), FarmNote(farm, is_up=True)]
        assert told == [Subscribed(), *notes, *again]
        assert (await at.venue.stats())["requests"]["reqMktData"] == lines


@infected
async def test_a_market_that_says_nothing_is_asked_for_less_and_less_often():
    async with gateway(quiet_s=0.5) as at:
        option = Contract(secType="OPT", symbol="TSLA", exchange="SMART")
        (one, *_) = await at.proxy.call(Client.details, option)
        told, began = [], trio.current_time()
        with trio.fail_after(20):
            async with at.proxy.stream(
                Client.ticks, one.contract, "233,375", key=key_of
            ) as batches:
                async for batch in batches:
                    told += [i for i in batch if isinstance(i, Subscribed)]
                    if len(told) >= 4:
                        break
        assert told == [Subscribed(), *[Subscribed(is_doubt=True)] * 3]
        # after half a second, one, two
        assert trio.current_time() - began >= 3.5


@infected
async def test_money_is_found_by_both_currencies():
    """IB knows symbols only: that of EUR.USD is EUR."""
    async with open_emulator(
        "ib.tws", sim=["eurusd.idealpro.sim"], past_s=600
    ) as venue:
        await venue.control("limits", SEARCHES)
        conf = IbConf(ports=(venue.port,), deadline_s=5.0)
        async with connected(conf) as proxy:
            for words in (["eur", "usd"], ["eurusd"], ["eurusd.idealpro.ib"]):
                found = await _listed(proxy.within(10), words, "")
                assert [one.fqme for one in found] == ["eurusd.idealpro.ib"]
            asked = (await venue.stats())["requests"]["reqMatchingSymbols"]
            assert await _listed(proxy.within(10), ["nosuch"], "") == []
            stats = await venue.stats()
            assert stats["requests"]["reqMatchingSymbols"] == asked + 1


@infected
async def test_what_a_gateway_says_as_it_lets_us_in_counts():
    """It may be told together with that, before we know that we are in."""
    async with open_emulator("ib.tws", sim=SIM, past_s=600) as venue:
        conf = IbConf(ports=(venue.port,), deadline_s=5.0)
        await venue.fault("farm", name="usfarm")
        async with connected(conf) as proxy:
            told = await _of_line(At(venue, proxy, conf), FarmNote, 1)
            assert told == [FarmNote("usfarm", is_up=False)]
        await venue.fault("connectivity")
        async with connected(conf) as proxy:
            await trio.sleep(0.5)
            said = await refused(VenueUnreachable, proxy, Client.ready)
            assert "has lost ib" in said


@infected
async def test_servers_that_stay_lost_over_a_cut_are_told_of_again():
    async with gateway() as at:
        known = await at.proxy.call(Client.market, TSLA)
        told = []
        with trio.move_on_after(15):
            async with at.proxy.stream(
                Client.ticks, known.contract, "233,375", key=key_of
            ) as batches:
                await at.venue.fault("farm", name="usfarm")
                await at.venue.fault("connectivity", seconds=0.3)
                async for batch in batches:
                    told += [i for i in batch if isinstance(i, Subscribed | FarmNote)]
                    if len(told) == 4:
                        break
        lost = FarmNote("usfarm", is_up=False)
        assert told == [Subscribed(), lost, Subscribed(is_new=False), lost]


@infected
async def test_the_library_says_nothing():
    """What goes wrong is told as errors of ours; its own log is off."""
    noise = []
    handler = logging.Handler()
    handler.emit = noise.append
    logger = logging.getLogger("ib_async")
    logger.addHandler(handler)
    try:
        async with gateway() as at:
            await refused(SymbolNotFound, at.proxy, Client.market, "no.nasdaq.ib")
            await at.venue.fault("disconnect", how="rst")
            await trio.sleep(0.3)
    finally:
        logger.removeHandler(handler)
    assert not noise
