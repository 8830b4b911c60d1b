"""Each fault at each step of an order's life, generated; what must hold after each.

a case: place, amend, fill in part, amend, cancel; something goes wrong at one step
    --> venue, ledger, position, journal and what was told agree
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import trio

from piker.accounting import read_ledger
from piker.clearing import Order
from piker.errors import OrderError
from piker.service import current_pikerd
from tests.brokers._live import BINANCE, At, Live, order
from tests.clearing._trade import Trader

STEPS = ("place", "amend", "fill", "amend_rest", "cancel")
#: What a step asks the venue for, as its faults know it.
ASKS = {"place": "place", "amend": "amend", "amend_rest": "cancel", "cancel": "cancel"}
REQUESTS = (
    "unheard", "unanswered", "unsure", "refused", "late", "slow", "page", "odd",
    "silent",
)  # fmt: skip
EVENTS = ("lost", "twice", "swapped", "late")
#: What an account is told of, and after which step it isn't any more, by broker: a
#: change ends an order and begins another, or changes it where it is.
WHATS = {
    "binance": {"accepted": "amend_rest", "traded": "fill", "ended": "cancel"},
    "kraken": {
        "accepted": "place", "amended": "amend_rest", "traded": "fill",
        "ended": "cancel",
    },
    "ib": {
        "accepted": "place", "amended": "amend_rest", "traded": "fill",
        "ended": "cancel",
    },
    "deribit": {
        "accepted": "place", "amended": "amend_rest", "traded": "fill",
        "ended": "cancel",
    },
}  # fmt: skip
#: What is looked at again and again is looked at within that.
_STRUCK_S = 20.0
_CUT = {"kind": "disconnect", "how": "rst"}
#: Faults of the connection, of REST, of clocks: what is asked only when a connection
#: is new comes with a break of the one before.
OTHERS: dict[str, tuple[dict[str, Any], ...]] = {
    "cut": (_CUT,),
    "closed": ({"kind": "disconnect", "how": "clean"},),
    "not listening": ({"kind": "refuse", "seconds": 0.7}, _CUT),
    "no upgrade": ({"kind": "upgrade", "count": 2}, _CUT),
    "REST out of order": (
        {"kind": "http", "status": 503, "count": 3, "path": "REST"}, _CUT,
    ),
    "REST a page": (
        {"kind": "http", "status": 200, "html": True, "count": 2, "path": "REST"}, _CUT,
    ),
    "REST stale": (
        {"kind": "asked", "on": "open", "how": "stale", "seconds": 0.4}, _CUT,
    ),
    "clock ahead": ({"kind": "skew", "ms": 4000},),
    "clock behind": ({"kind": "skew", "ms": -4000},),
}  # fmt: skip
#: What only a venue has of these, or has in their place, by broker.
OWN: dict[str, dict[str, tuple[dict[str, Any], ...]]] = {
    "ib": {
        "REST stale": (),
        "IB lost": ({"kind": "connectivity", "seconds": 0.7},),
        "IB lost, forgets": ({"kind": "connectivity", "seconds": 0.7, "lost": True},),
        "starts anew": ({"kind": "reset", "seconds": 0.7},),
        "says nothing": ({"kind": "limbo"}, _CUT),
        "list late": (
            {"kind": "answer", "on": "open", "how": "late", "seconds": 0.6}, _CUT,
        ),
        "list twice": ({"kind": "answer", "on": "open", "how": "twice"}, _CUT),
        "list breaks": ({"kind": "answer", "on": "open", "how": "cut"}, _CUT),
        "list is junk": ({"kind": "answer", "on": "open", "how": "garbage"}, _CUT),
        "executions never": (
            {"kind": "answer", "on": "executions", "how": "never"}, _CUT,
        ),
        "list stale": (
            {"kind": "asked", "on": "open", "how": "stale", "seconds": 0.4}, _CUT,
        ),
    },
}  # fmt: skip
#: Where REST is, by broker; Deribit is asked for all by websockets.
PATHS = {"binance": "/api/v3", "kraken": "/0/private"}


def others(at: At) -> list[tuple[dict[str, Any], ...]]:
    """Return a venue's faults that are no answers and no events."""
    every = {**OTHERS, **OWN.get(at.broker, {})}
    return [
        faults
        for faults in every.values()
        if faults and (at.broker in PATHS or "path" not in faults[0])
    ]


def at_venue(fault: dict[str, Any], at: At) -> dict[str, Any]:
    """Return a fault as it is at a venue."""
    if fault.get("path") == "REST":
        return {**fault, "path": PATHS[at.broker]}
    return fault


@dataclass(frozen=True)
class Case:
    """What goes wrong, and when.

    Attributes:
      step: at which step.
      faults: put in force before it.
      kills: a daemon that is killed while it is under way, empty for none.
      after_s: so long after it began.
    """

    step: str
    faults: tuple[dict[str, Any], ...] = ()
    kills: str = ""
    after_s: float = 0.0

    @property
    def name(self) -> str:
        words = [
            " ".join(str(value) for key, value in fault.items() if key != "seconds")
            for fault in self.faults
        ]
        if self.kills:
            words.append(f"kill {self.kills} {self.after_s * 1e3:.0f} ms")
        return f"{self.step}: {', '.join(words)}"


def cases(at: At = BINANCE) -> Iterator[Case]:
    """Yield all cases of a venue."""
    killed = (f"brokerd.{at.broker}", "emsd")
    # where an order is changed in its place, that is asked for at both changes
    asks = ASKS if at is BINANCE else {**ASKS, "amend_rest": "amend"}
    for step, asked in asks.items():
        for how in REQUESTS:
            yield Case(step, ({"kind": "asked", "on": asked, "how": how},))
    if at is BINANCE:
        yield Case("amend", ({"kind": "asked", "on": "amend", "how": "half"},))
        for how in ("unanswered", "unheard"):
            fault = {"kind": "asked", "on": "place", "how": how}
            yield Case("amend_rest", (fault,))
    for step in STEPS:
        for how in EVENTS:
            for what, last in WHATS[at.broker].items():
                if STEPS.index(step) <= STEPS.index(last):
                    yield Case(step, ({"kind": "told", "what": what, "how": how},))
        for faults in others(at):
            yield Case(step, tuple(at_venue(fault, at) for fault in faults))
        for kills in killed:
            for after_s in (0.0, 0.004, 0.03):
                yield Case(step, kills=kills, after_s=after_s)
    rng = random.Random(7)
    while True:  # two at once, for ever
        step = rng.choice(list(asks))
        yield Case(
            step,
            (
                {"kind": "asked", "on": asks[step], "how": rng.choice(REQUESTS)},
                {
                    "kind": "told",
                    "what": rng.choice(tuple(WHATS[at.broker])),
                    "how": rng.choice(EVENTS),
                },
            ),
            kills=rng.choice(("", "", *killed)),
            after_s=rng.choice((0.0, 0.01, 0.2)),
        )


@dataclass
class Found:
    """What a case came to.

    Attributes:
      wrong: what doesn't agree, empty if all does.
      took_s: how long.
    """

    case: Case
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0


class Runner:
    """Runs cases, one after the other, in one tree."""

    def __init__(self, live: Live, me: Trader) -> None:
        self.live, self.me, self.at = live, me, live.at
        self.oids: list[str] = []
        self.said: list[str] = []

    async def run(self, case: Case) -> Found:
        """Run a case to its end."""
        found, began = Found(case), trio.current_time()
        self.said.clear()
        # what a case buys
        money = {"USD" if self.at.broker == "ib" else "USDT": "50000"}
        await self.live.venue.open_account(
            self.live.name, self.live.key, self.live.secret, **money
        )
        fired = Counter((await self.live.venue.stats())["fired"])
        before = len((await self.live.told())["orders"])
        try:
            with trio.fail_after(60):
                await self._live_through(case)
                await self._until_struck(case, fired)
                await self._settle(found)
            after = len((await self.live.told())["orders"])
            found.wrong += await self._not_struck(case, fired)
            if case.step != "place" and after == before:
                found.wrong.append(f"its order never came to the venue: {self.said}")
        except trio.TooSlowError:
            found.wrong.append("it took over 60 s")
        await self.live.venue.clear()
        found.took_s = trio.current_time() - began
        return found

    async def _until_struck(self, case: Case, before: Counter[str]) -> None:
        """Wait for faults of what is asked for late: it may pause after others."""
        with trio.move_on_after(_STRUCK_S):
            while await self._not_struck(case, before):
                await trio.sleep(0.1)

    async def _not_struck(self, case: Case, before: Counter[str]) -> list[str]:
        """Return which faults didn't strike: such a case shows nothing."""
        now = Counter((await self.live.venue.stats())["fired"])
        kinds = {fault["kind"] for fault in case.faults} - {"skew"}
        if "asked" in kinds and "told" in kinds:
            kinds.discard("told")  # the first may leave nothing for the second
        return [f"{kind} didn't strike" for kind in kinds if now[kind] == before[kind]]

    async def _live_through(self, case: Case) -> None:
        one = order(58_000, "0.5", at=self.at)
        self.oids.append(one.oid)
        for step in STEPS:
            if step == case.step:
                for fault in case.faults:
                    await self.live.venue.fault(**fault)
            async with trio.open_nursery() as tasks:
                if step == case.step and case.kills:
                    tasks.start_soon(self._kill, case.kills, case.after_s)
                await self._do(step, one)
            if not await self._is_alive(one.oid):
                return

    async def _do(self, step: str, one: Order) -> None:
        """Do a step, and wait until something came of it."""
        client = self.me.client
        try:
            with trio.move_on_after(25):
                match step:
                    case "place":
                        await client.send(one)
                        await self._until(one.oid, "open", "error", "closed")
                    case "amend":
                        await client.update(one.oid, price=self.at.price(58_100))
                    case "fill":
                        await self.live.outside("sell", 58_000, "50.2")
                        await self.live.outside("buy", 59_000, 50, rests=True)
                    case "amend_rest":
                        await client.update(
                            one.oid,
                            price=self.at.price(58_050),
                            size=self.at.size("0.4"),
                        )
                    case "cancel":
                        await client.cancel(one.oid)
                        await self._until(one.oid, "canceled", "closed", "error")
                await self._quiet(one.oid)
        except OrderError as err:
            self.said.append(str(err))  # refused, or nobody knows yet
        self._listen()

    async def _until(self, oid: str, *resps: str) -> None:
        with trio.move_on_after(20):
            while not set(self.me.resps(oid)) & set(resps):
                self._listen()
                await trio.sleep(0.02)

    async def _quiet(self, oid: str) -> None:
        """Wait until no request about an order is under way."""
        with trio.move_on_after(15):
            while True:
                self._listen()
                dialog = self.me.dialogs.get(oid)
                if dialog is None or "under way" not in dialog.reason:
                    return
                await trio.sleep(0.02)

    def _listen(self) -> None:
        """Take what was told."""
        while self.me.trades._receive.statistics().current_buffer_used:
            self.me.heard.append(self.me.trades._receive.receive_nowait())

    async def _is_alive(self, oid: str) -> bool:
        await trio.sleep(0.05)
        self._listen()
        return oid in self.me.dialogs

    async def _kill(self, name: str, after_s: float) -> None:
        await trio.sleep(after_s)
        infos = {info.name: info.pid for info in await current_pikerd().infos()}
        if infos.get(name, -1) > 0:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(infos[name], signal.SIGKILL)

    # -- what must hold -----------------------------------------------------------

    async def _settle(self, found: Found) -> None:
        """Cancel what is left, and wait until all agree."""
        wrong: list[str] = []
        with trio.move_on_after(30):
            while True:
                for oid in tuple(self.me.dialogs):
                    try:
                        with trio.move_on_after(5):
                            await self.me.client.cancel(oid)
                    except OrderError:
                        pass
                await trio.sleep(0.1)
                self._listen()
                wrong = await self._disagreements()
                if not wrong:
                    return
        found.wrong += wrong

    async def _disagreements(self) -> list[str]:
        """Return what doesn't agree, one sentence each."""
        told = await self.live.told()
        ledger = read_ledger(self.at.broker, self.at.account)
        theirs = {self.at.tid(t): t for t in told["trades"]}
        clears = [txn for txn in ledger.txns if txn.etype == "clear"]
        ours = {txn.tid: txn for txn in clears}
        wrong = []
        if ours.keys() != theirs.keys():
            wrong.append(f"trades differ: {ours.keys() ^ theirs.keys()}")
        if len(ours) != len(clears):
            wrong.append("a trade is booked twice")
        held = sum(
            Decimal(t["size"]) * (1 if t["side"] == "buy" else -1)
            for t in told["trades"]
        )
        position = ledger.positions().get(self.at.fqme)
        if (position.size if position else 0) != held:
            wrong.append(f"position {position} and venue {held} differ")
        told_position = self.me.positions.get((self.at.account, self.at.fqme))
        if (told_position.size if told_position else 0) != held:
            wrong.append(f"emsd tells a position of {told_position}, it is {held}")
        resting = [one for one in told["orders"] if one["state"] in ("open", "waiting")]
        if resting or self.me.dialogs:
            wrong.append(f"rest: {resting}, {list(self.me.dialogs)}")
        return wrong + self._told_wrong(told, ours)

    def _told_wrong(self, told: dict, ours: dict) -> list[str]:
        wrong = []
        fills = {}
        for msg in self.me.heard:
            if getattr(msg, "resp", "") == "fill" and msg.fill is not None:
                fills.setdefault(msg.fill.tid, []).append(msg)
        for oid in self.oids:
            at_venue = sum(abs(txn.size) for txn in ours.values() if txn.oid == oid)
            heard = sum(
                each[0].fill.size for each in fills.values() if each[0].oid == oid
            )
            if heard != at_venue:
                wrong.append(f"order {oid}: {heard} of {at_venue} was told as filled")
        strangers = [txn.tid for txn in ours.values() if not txn.oid]
        if strangers:
            wrong.append(f"trades of nobody: {strangers}")
        sizes: dict[str, Decimal] = {}
        for one in told["orders"]:
            cl_id = one.get("ref", one["cl_id"])
            sizes[cl_id] = sizes.get(cl_id, Decimal(0)) + 1
        doubled = [cl_id for cl_id, count in sizes.items() if count > 1]
        if doubled:
            wrong.append(f"sent twice: {doubled}")
        return wrong
