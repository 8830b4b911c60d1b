"""A client of the emulated Deribit: asks, and gathers what it is told meanwhile."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import trio

from tests.testing._emulated import open_local, open_ws

KEY, SECRET = "an-id", "a-secret"
PERP = "BTC-PERPETUAL"
SIM = ("btcusdt.usdtm.perp.sim",)


class Failed(Exception):
    """An answer that is an error."""

    def __init__(self, error) -> None:
        super().__init__(error)
        self.code, self.text = error["code"], error["message"]
        self.data = error.get("data", {})


class Talk:
    """A connection, and what it was told."""

    def __init__(self, venue, socket) -> None:
        self.venue, self.socket = venue, socket
        self.told, self.answers, self._count = [], {}, 0

    async def ask(self, method, **params):
        """Return a result; raises Failed."""
        return await self.answer(await self.send(method, **params))

    async def send(self, method, **params):
        self._count += 1
        told = {"jsonrpc": "2.0", "id": self._count, "method": method,
                "params": params}  # fmt: skip
        await self.socket.send(json.dumps(told))
        return self._count

    async def answer(self, number):
        with trio.fail_after(30):
            while number not in self.answers:
                await self._hear()
        found = self.answers.pop(number)
        if "error" in found:
            raise Failed(found["error"])
        return found["result"]

    async def _hear(self):
        message = json.loads(await self.socket.recv())
        if message.get("method") == "subscription":
            params = message["params"]
            self.told.append((params["channel"], params["data"]))
        elif "method" in message:
            self.told.append((message["method"], message["params"]))
        else:
            self.answers[message.get("id")] = message

    async def hear(self, channel, count=1, where=lambda _: True):
        """Return the first so many notifications of a channel, in order."""
        with trio.fail_after(30):
            while True:
                found = [d for c, d in self.told if c == channel and where(d)]
                if len(found) >= count:
                    return found
                await self._hear()

    async def auth(self, key=KEY, secret=SECRET, **more):
        return await self.ask(
            "public/auth", grant_type="client_credentials", client_id=key,
            client_secret=secret, **more,
        )  # fmt: skip

    async def subscribe(self, *names, of="public"):
        return await self.ask(f"{of}/subscribe", channels=list(names))


@asynccontextmanager
async def talking(*, sim=SIM, session=None, money=None, **options):
    """Yield a connection to an emulator in this process."""
    options = {"streams": 0, **({} if session else {"past_s": 60}), **options}
    tape = {"session": session} if session else {"sim": sim}
    async with (
        open_local("deribit", **tape, **options) as venue,
        open_ws(venue, "/ws/api/v2") as socket,
    ):
        if money is not None:
            await venue.open_account("main", KEY, SECRET, **money)
        yield Talk(venue, socket)
