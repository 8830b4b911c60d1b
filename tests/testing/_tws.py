"""What tests of the emulated TWS share: its process, and clients of ib_async."""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import sys
import tempfile
import threading
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count

import httpx
import trio
from ib_async import IB, Contract, Future, LimitOrder, Stock

from piker.brokers.sim._universe import third_friday
from piker.testing.emulator._client import _end, _ready, _text_of
from piker.testing.emulator._forked import open_process
from tests.testing._emulated import plain_http


def _fridays(every_months):
    """Yield the third Fridays on which something expires, a month from now on."""
    day = datetime.now(UTC).date() + timedelta(days=31)
    for nth in range(24):
        year, month = divmod(day.year * 12 + day.month - 1 + nth, 12)
        friday = third_friday(year, month + 1)
        if friday >= day and (month + 1) % every_months == 0:
            yield f"{friday:%Y%m%d}"


QUARTER = next(_fridays(3))
MONTH = next(_fridays(1))
#: Its local symbol; quarters are named H, M, U, Z.
ES = f"ES{'HMUZ'[int(QUARTER[4:6]) // 3 - 1]}{QUARTER[3]}"
#: It begins at once, with a past that is soon made.
QUIET = ("--streams=0", "--past-s=400")
SHARES = ("--sim", "tsla.nasdaq.sim", *QUIET)
TSLA = "TSLA"
#: Of clients for which a test doesn't care.
_IDS = count(101)


def on_asyncio(test):
    """Make a test of a coroutine function that needs asyncio's loop."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 120))

    return run


@contextmanager
def tws_process(*args):
    """Run an emulator in a process of its own; yields its port.

    A thread looks after it, as the one that tests may run in is asyncio's.
    """
    said, ends = queue.Queue(), threading.Event()

    async def hold():
        with tempfile.TemporaryFile() as stderr:
            process = await open_process(["ib.tws", *map(str, args)], stderr)
            try:
                said.put(await _ready(process, stderr))
                await trio.to_thread.run_sync(ends.wait)
            finally:
                await _end(process)
                sys.stderr.write(_text_of(stderr))

    def run():
        try:
            trio.run(hold)
        except Exception as error:  # noqa: BLE001 - who waits is told
            said.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        port = said.get(timeout=30)
        assert isinstance(port, int), repr(port)
        yield port
    finally:
        ends.set()
        thread.join(10)


class _Unread(logging.Handler):
    """Keeps what clients couldn't decode."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


class Tws:
    """A running emulator, and its clients.

    Attributes:
      port: of 127.0.0.1.
      errors: (request, code, text) of all clients, in order.
      unread: messages that clients couldn't decode; must be empty in the end, unless
        a test takes them away.
    """

    def __init__(self, port, http):
        self.port, self._http = port, http
        self.errors, self.unread = [], []
        self.clients = []

    async def control(self, path, body=None):
        method = "GET" if body is None else "POST"
        for _ in range(100):
            try:
                answer = await self._http.request(method, path, json=body)
                break
            except (
                httpx.NetworkError,
                httpx.RemoteProtocolError,
            ):  # told not to listen
                await asyncio.sleep(0.05)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def fault(self, kind, **args):
        await self.control("fault", {"kind": kind, **args})

    async def outside(self, side, price, size, symbol=TSLA, *, rests=False):
        told = {"symbol": symbol, "side": side, "price": str(price), "size": str(size)}
        await self.control("outside", {**told, "rests": rests})

    async def open_account(self, name="DU7", **money):
        money = money or {"USD": "100000"}
        told = {"name": name, "key": name, "secret": "", "money": money}
        await self.control("account", told)

    async def account(self, name="DU7"):
        return await self.control(f"account?name={name}")

    async def stats(self):
        return await self.control("stats")

    async def quotes(self, bid=174, ask=175, size=300, symbol=TSLA):
        """Have the tape be still, and nobody's best be these."""
        await self.control("still")
        await self.outside("buy", bid, size, symbol, rests=True)
        await self.outside("sell", ask, size, symbol, rests=True)

    async def connect(self, client_id=None, *, deadline_s=30, **more):
        client_id = next(_IDS) if client_id is None else client_id
        ib = IB()
        ib.errorEvent += lambda *told: self.errors.append(told[:3])
        ib.client.apiError.clear()
        self.clients.append(ib)
        await ib.connectAsync(
            "127.0.0.1", self.port, client_id, timeout=deadline_s, **more
        )
        return ib

    async def until_left(self, clients=0):
        """Wait until no more clients are there: an id is free again then."""
        async with asyncio.timeout(30):
            while (await self.stats())["websockets_now"] > clients:
                await asyncio.sleep(0.01)

    async def until_listening(self, *, is_listening=True):
        """Wait until somebody listens at the port, or nobody does."""
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    if not is_listening:
                        return
                else:
                    writer.close()
                    await writer.wait_closed()
                    if is_listening:
                        return
                await asyncio.sleep(0.02)

    def codes(self, req_id=None):
        return [code for of, code, _ in self.errors if req_id in (None, of)]


@asynccontextmanager
async def open_tws(*args, port=None):
    """Run an emulator, or talk to the one at a port; yields a `Tws`."""
    with nullcontext(port) if port else tws_process(*(args or SHARES)) as port:
        async with plain_http(
            f"http://127.0.0.1:{port}/_emulator/", timeout=20
        ) as http:
            tws = Tws(port, http)
            log, handler = logging.getLogger("ib_async.Decoder"), _Unread()
            log.addHandler(handler)
            log.setLevel(logging.ERROR)  # a client of ours here has hushed its parent
            tws.unread = handler.texts
            try:
                yield tws
            finally:
                log.removeHandler(handler)
                log.setLevel(logging.NOTSET)
                for ib in tws.clients:
                    ib.disconnect()
                await asyncio.sleep(0.02)  # their transports close
            assert tws.unread == []


async def until(true, deadline_s=30.0, *, what=""):
    """Wait until something is true."""
    try:
        async with asyncio.timeout(deadline_s):
            while not true():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"it never came true: {what}") from None


async def contract(ib, one: Contract | None = None) -> Contract:
    """Return a contract with all its fields, TSLA if none is named."""
    one = one or Stock(TSLA, "SMART", "USD")
    (found,) = await ib.qualifyContractsAsync(one)
    assert found is not None, f"{one} isn't listed, or not alone"
    return found


def limit(side="BUY", size=10, price=174.0, **more):
    return LimitOrder(side, size, price, **{"account": "DU7", "tif": "GTC", **more})


def future():
    return Future("ES", QUARTER, "CME")
