"""The connection to a gateway: found, kept, and told of; on the asyncio side.

hosts x ports --the first that lets us in--> up --lost, silent--> waits --> again
                                             up --1100--> cut --1101, 1102--> up

Every change is told to whoever listens. Who asks for something while it isn't up is
told why at once: IB's servers are away for minutes each night, and nobody is to hang.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from piker.brokers._payload import one_line
from piker.brokers._web import Backoff
from piker.errors import VenueUnreachable
from piker.log import get_logger

from ._conf import IbConf, Role
from ._reasons import CLIENT_ID_IN_USE, FARM, LINE, farm_of, farms_told
from ._wrapper import Ib, hush

log = get_logger(__name__)

#: A gateway that was silent for so long is asked whether it is there.
HEARTBEAT_S: Final = 15.0
#: No longer than that without a line for orders.
_ORDERS_S: Final = 4.0
#: A place that takes a connection has so long to let us in, if the deadline is longer.
_KNOCK_S: Final = 5.0


@dataclass(frozen=True)
class LineUp:
    """The line to IB is up.

    Attributes:
      is_new: what was subscribed to is gone, and is to be asked for again.
    """

    is_new: bool


@dataclass(frozen=True)
class LineDown:
    """The line to IB is lost; *reason* says why."""

    reason: str


@dataclass(frozen=True)
class Farm:
    """A part of IB's servers is lost, or back.

    Attributes:
      name: as IB calls it, e.g. ``usfarm``.
      serves: what it has.
      is_up: whether it is there.
    """

    name: str
    serves: Literal["data", "history", "contracts"]
    is_up: bool


LineEvent = LineUp | LineDown | Farm
Listener = Callable[[LineEvent], None]


class IdInUse(VenueUnreachable):
    """Another connection has the client id."""


@dataclass(eq=False)
class Gateway:
    """One connection to a gateway, for good.

    Attributes:
      conf: where to look.
      role: whose ids it takes.
      ib: the library's client; the same object over all connections, so that what is
        hung on its events stays there. What it knows of orders and positions is
        forgotten with each connection.
      place: host and port it is connected to, or was last.
      client_id: the id it has there, 0 before the first.
      state: ``seeking`` a gateway; ``up``; ``down``: waiting to look again; ``cut``:
        the gateway is there, and has lost IB's servers.
      reason: why it isn't up.
      connected: how often it was.
      farms: parts of IB's servers that are lost.
      listeners: told of every change, in order.
    """

    conf: IbConf
    role: Role
    ib: Ib = field(init=False)
    place: tuple[str, int] = ("", 0)
    client_id: int = 0
    state: Literal["seeking", "up", "down", "cut"] = "seeking"
    reason: str = ""
    connected: int = 0
    farms: dict[str, Farm] = field(default_factory=dict)
    listeners: set[Listener] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _accounts: frozenset[str] = frozenset()
    _lost: asyncio.Future[str] | None = None
    _in_use: bool = False
    _cut: str = ""
    _was_up: bool = False

    def __post_init__(self) -> None:
        hush()
        self.ib = Ib(self._hear)
        self.ib.client.MaxRequests = self.conf.messages
        self.ib.client.conn.disconnected += self._on_lost

    async def run(self) -> None:
        """Be connected until cancelled."""
        cap_s = self.conf.reconnect_max_s
        if self.role != "datad":  # orders may rest
            cap_s = min(cap_s, _ORDERS_S)
        backoff = Backoff(first_s=0.25, cap_s=cap_s)
        try:
            while True:
                held_s = 0.0
                self._set("seeking")
                try:
                    await self._seek()
                except VenueUnreachable as err:
                    self._set_down(str(err))
                else:
                    began = time.monotonic()
                    if self._cut:
                        self._set("cut", self._cut)
                    else:
                        self._set_up(is_new=True)
                    self._set_down(await self._hold())
                    held_s = time.monotonic() - began
                await asyncio.sleep(backoff.next_s(held_s))
        finally:
            self._drop()

    async def ready(self) -> None:
        """Wait for a connection that is being made.

        Raises: VenueUnreachable: there is none, and none is being made.
        """
        while self.state == "seeking":
            await self._changed.wait()
        if self.state != "up":
            raise VenueUnreachable(self.reason)
        if not self.ib.client.isReady():  # just now: who holds it isn't there yet
            raise VenueUnreachable("ib's gateway hung up")

    # -- found ------------------------------------------------------------------------

    async def _seek(self) -> None:
        """Connect to the first place that lets us in, the last good one first."""
        places = sorted(self.conf.places(), key=lambda place: place != self.place)
        reasons: dict[str, list[str]] = {}
        for host, port in places:
            try:
                await self._enter(host, port)
            except VenueUnreachable as err:
                reasons.setdefault(str(err), []).append(f"{host}:{port}")
            else:
                return
        told = "; ".join(f"{', '.join(at)}: {why}" for why, at in reasons.items())
        raise VenueUnreachable(f"no gateway of ib lets us in: {told}")

    async def _enter(self, host: str, port: int) -> None:
        """Connect to one place, by the first client id that is free."""
        for client_id in self.conf.client_ids(self.role):
            try:
                await self._connect(host, port, client_id)
            except IdInUse:
                log.warning(
                    "ib's gateway at %s:%d has a client of id %d already",
                    host, port, client_id,
                )  # fmt: skip
                continue
            try:
                await self._check_login()
                if self.conf.market_data_type != 1:  # each begins with live data
                    self.ib.client.reqMarketDataType(self.conf.market_data_type)
            except ConnectionError:
                raise VenueUnreachable("it hung up") from None
            self.place, self.client_id = (host, port), client_id
            log.info("connected to ib at %s:%d as client %d", host, port, client_id)
            return
        ids = self.conf.client_ids(self.role)
        first = f"{self.role}_id of [brokers.ib] in conf.toml"
        if len(ids) == 1:
            raise VenueUnreachable(
                f"the client id {ids[0]} is in use there: end who has it, or set"
                f" {first}"
            )
        raise VenueUnreachable(
            f"the client ids {ids[0]} to {ids[-1]} are all in use there: set {first}"
        )

    async def _check_login(self) -> None:
        """Hang up where a client of orders finds none of the accounts it had."""
        accounts = frozenset(self.ib.client.getAccounts())
        if self.role != "datad" and self._accounts and not accounts & self._accounts:
            self._drop()
            assert self._lost is not None
            # its end is told a moment later, and is not to be the next one's
            await asyncio.wait({self._lost}, timeout=_KNOCK_S)
            raise VenueUnreachable(
                "it is logged in to other accounts than the gateway that orders were"
                " sent to"
            )
        self._accounts = accounts

    async def _connect(self, host: str, port: int, client_id: int) -> None:
        self._lost = asyncio.get_running_loop().create_future()
        self._in_use = self._was_up = False
        self._cut = ""
        self.farms.clear()  # it tells of them anew, maybe together with letting us in
        self.ib.wrapper.clientId = client_id
        limit_s = min(self.conf.deadline_s, _KNOCK_S)
        task = asyncio.create_task(
            self.ib.client.connectAsync(host, port, client_id, limit_s)
        )
        try:
            # the library waits for a gateway that has hung up to its deadline
            await asyncio.wait({task, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
            await asyncio.wait({task})
        if self._in_use:
            raise IdInUse(f"client id {client_id} is in use")
        if task.cancelled():
            raise VenueUnreachable("it hung up")
        failure = task.exception()
        if failure is not None:
            raise VenueUnreachable(self._why(failure)) from None

    def _why(self, failure: BaseException) -> str:
        if isinstance(failure, ConnectionRefusedError):
            return "the connection was refused: is TWS or the Gateway up, its API on?"
        if isinstance(failure, TimeoutError):
            return "it doesn't answer"
        if isinstance(failure, socket.gaierror):
            return "its name can't be looked up"
        return one_line(failure) or type(failure).__name__

    # -- kept -------------------------------------------------------------------------

    async def _hold(self) -> str:
        """Wait until the connection is lost; return why."""
        assert self._lost is not None
        heard = -1
        while True:
            await asyncio.wait({self._lost}, timeout=HEARTBEAT_S)
            if self._lost.done():
                return _hung_up(self._lost.result())
            if self._received() == heard and not await self._is_there():
                self._drop()
                return f"ib's gateway said nothing for {HEARTBEAT_S:g} s and more"
            heard = self._received()

    def _received(self) -> int:
        """Return how many messages came, -1 of a connection that is gone.

        Not bytes: they may come without being a message, once one was damaged.
        """
        client = self.ib.client
        return client.connectionStats().numMsgRecv if client.isReady() else -1

    async def _is_there(self) -> bool:
        heard = self._received()
        asked = asyncio.ensure_future(self.ib.reqCurrentTimeAsync())
        done, _ = await asyncio.wait({asked}, timeout=self.conf.deadline_s)
        asked.cancel()
        # who else asks for the time meanwhile is given the answer in our place
        return bool(done) or self._received() > heard

    def _drop(self) -> None:
        """Close the connection; the library forgets all of it."""
        transport = self.ib.client.conn.transport
        if transport is not None:
            transport.abort()  # who is gone answers no farewell
        self.ib.wrapper.connectionClosed()  # who waits for an answer is told
        self.ib.client.reset()

    def _on_lost(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)
        if self.state in {"up", "cut"}:  # nothing can be sent from now on
            self._set_down(_hung_up(reason))

    # -- told -------------------------------------------------------------------------

    def _hear(self, req_id: int, code: int, text: str) -> None:
        """Take what IB says that is of no line of market data."""
        if code == CLIENT_ID_IN_USE:
            self._in_use = True
        if code in LINE:
            self._on_line(LINE[code], text)
        elif code in FARM:
            serves, is_up = FARM[code]
            if is_up and serves == "contracts":
                self._contracts_back()  # it may be another's turn now
            self._on_farm(Farm(farm_of(text), serves, is_up))
        elif req_id < 0:
            log.info("ib says: %s (code %d)", one_line(text), code)

    def _on_line(self, said: Literal["lost", "back", "kept"], text: str) -> None:
        self._cut = f"ib's gateway has lost ib: {one_line(text)}" * (said == "lost")
        if said == "lost":
            if self.state == "up":
                self._set("cut", self._cut)
                self._tell(LineDown(self.reason))
            return
        self._contracts_back()
        for farm in farms_told(text):
            self._on_farm(Farm(*farm))
        if self.state in {"up", "cut"}:
            self._set_up(is_new=said == "back")

    def lost(self, serves: str) -> str:
        """Return the names of lost servers of a kind, see `Farm`; empty if none are."""
        return ", ".join(f.name for f in self.farms.values() if f.serves == serves)

    def _contracts_back(self) -> None:
        """Take all servers of contracts for being there.

        Of those of data ticks tell whether they are; of these nothing else does.
        """
        for farm in list(self.farms.values()):
            if farm.serves == "contracts":
                self._on_farm(replace(farm, is_up=True))

    def _on_farm(self, farm: Farm) -> None:
        known = self.farms.get(farm.name)
        if farm.is_up == (known is None):
            return  # known already
        if farm.is_up:
            del self.farms[farm.name]
        else:
            self.farms[farm.name] = farm
            log.warning("ib has lost a part of its servers: %s", farm.name)
        self._tell(farm)

    def _set_up(self, *, is_new: bool) -> None:
        is_first, self._was_up = not self._was_up, True
        self.connected += is_first
        self._set("up")
        self._tell(LineUp(is_new or is_first))

    def _set_down(self, reason: str) -> None:
        was_up = self.state == "up"
        if reason != self.reason:
            log.warning("no line to ib: %s", reason)
        self._set("down", reason)
        if was_up:
            self._tell(LineDown(reason))

    def _set(
        self, state: Literal["seeking", "up", "down", "cut"], reason: str = ""
    ) -> None:
        self.state, self.reason = state, reason or self.reason
        if state == "up":
            self.reason = ""
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell(self, event: LineEvent) -> None:
        for listener in tuple(self.listeners):
            listener(event)


def _hung_up(why: str) -> str:
    return f"ib's gateway hung up{': ' if why else ''}{one_line(why)}"
