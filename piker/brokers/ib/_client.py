"""What IB is asked for, on the asyncio side of the bridge.

trio --proxy.call(Client.bars, ...)--> Client --paced--> Gateway --> IB
                                       errors of ours for all that IB refuses

    async with open_proxy(
        partial(open_client, conf, "datad"), venue="ib", deadline_s=conf.deadline_s
    ) as proxy:
        (details,) = await proxy.call(Client.details, Contract(conId=265598))

Every method raises VenueUnreachable where there is no line to IB, at once, and what
`error_of` makes of IB's codes. Orders are sent by others, over `Client.ib`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ib_async import (
    BarData,
    Contract,
    ContractDescription,
    ContractDetails,
    HistoricalTickLast,
    OptionChain,
    PriceIncrement,
)
from ib_async.util import dataclassAsTuple, formatIBDatetime
from ib_async.wrapper import RequestError

from piker.errors import MarketGone, RateLimited, VenueUnreachable

from ._answers import Answers
from ._conf import IbConf, Role
from ._gateway import Gateway, LineEvent, LineUp
from ._kept_asks import KeptAsks
from ._line import Line, LineItem
from ._markets import Known, find_by_id, find_by_name
from ._pacing import IDENTICAL_S, Ask, HistoryPace
from ._reasons import ContractsLost, error_of
from ._wrapper import Ib

#: A search of symbols a second, as IB wants it.
SEARCH_EVERY_S: Final = 1.05
#: Trades that one request gives at most, but for all of its last second.
TICKS_MAX: Final = 1000
#: Who asks for the past waits so long for its turn, then hears when there is one.
_PATIENCE_S: Final = 8.0
#: Pauses after IB says that it was too much. The same isn't to be asked for sooner.
_PAUSES_S: Final = (IDENTICAL_S, IDENTICAL_S)
#: A list of contracts may be long: it has so many times as long as other answers.
_PATIENT: Final = 3
#: Of so many messages one may ask for the past: a chain is subscribed to beside it.
_PAST_SHARE: Final = 3
#: Requests for the past at one time; IB takes 50.
_OPEN_MAX: Final = 20


@dataclass(eq=False)
class Client:
    """One process's client of IB.

    Attributes:
      conf: as of the config.
      gateway: its connection; `listeners` there are told of each change.
      kept: requests for the past of whoever was before, and ours for whoever comes.
    """

    conf: IbConf
    gateway: Gateway
    kept: KeptAsks | None = None
    _pace: HistoryPace = field(init=False)
    _open: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_OPEN_MAX)
    )
    _search: asyncio.Lock = field(default_factory=asyncio.Lock)
    _searched_at: float = float("-inf")
    _past_at: float = float("-inf")
    _answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self._pace = HistoryPace(self.conf.small_bars)
        now = time.monotonic()
        for age_s, ask in self.kept.recent() if self.kept else ():
            self._pace.note(ask, now - age_s)
        self._answers = Answers(_PATIENT * self.conf.deadline_s)

    @property
    def ib(self) -> Ib:
        """The library's client, the same for good; see `Gateway.ib`."""
        return self.gateway.ib

    @property
    def client_id(self) -> int:
        """The client id it has at the gateway, 0 before it was connected once."""
        return self.gateway.client_id

    async def ready(self) -> tuple[str, int, int]:
        """Wait for a connection that is being made; return host, port, client id.

        Raises: VenueUnreachable.
        """
        await self.gateway.ready()
        return (*self.gateway.place, self.gateway.client_id)

    async def time_s(self) -> int:
        """Return what time it is at IB, epoch s; raises VenueUnreachable."""
        await self.gateway.ready()
        try:
            async with asyncio.timeout(self.conf.deadline_s):
                told = await self.ib.reqCurrentTimeAsync()
        except (TimeoutError, ConnectionError):
            raise VenueUnreachable("ib doesn't tell what time it is") from None
        return int(told.timestamp())

    async def accounts(self) -> list[str]:
        """Return the numbers of the accounts the gateway is logged in to."""
        await self.gateway.ready()
        return list(self.ib.client.getAccounts())

    async def watch(self, emit: Callable[[LineEvent], None]) -> None:
        """Emit what becomes of the line, until cancelled; first `LineUp` if it is up.

        For `proxy.stream`. `LineUp.is_new` says that the connection is another: what
        the library knew of orders is gone, and is to be asked for.
        """
        if self.gateway.state == "up":
            emit(LineUp(is_new=True))
        self.gateway.listeners.add(emit)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.gateway.listeners.discard(emit)

    async def request(
        self,
        send: Callable[[int], None],
        what: str,
        cancel: Callable[[int], None] | None = None,
    ) -> Any:
        """Ask for something and return the answer, as the library collects it.

        Args:
          send: sends the request of that id.
          what: it is, for errors.
          cancel: takes it back, if who asked is cancelled.

        Raises: VenueError.
        """
        await self.gateway.ready()
        ib = self.ib
        req_id = ib.client.getReqId()
        future = ib.wrapper.startReq(req_id)
        send(req_id)
        try:
            return await future
        except RequestError as err:
            raise error_of(err.code, err.message, what) from None
        except ConnectionError:
            raise VenueUnreachable(
                f"ib was lost while it was asked for {what}"
            ) from None
        except asyncio.CancelledError:
            ib.wrapper.forget(req_id)
            if cancel is not None and ib.client.isReady():
                cancel(req_id)
            raise

    # -- contracts --------------------------------------------------------------------

    async def details(self, contract: Contract) -> list[ContractDetails]:
        """Return what IB lists for *contract*, which may be told in part.

        Asked for once however many want it, and kept for hours. Raises: MarketGone if
        there is none; ContractsLost if the servers that know are lost; VenueError.
        """
        what = f"{contract.secType or 'contract'} {contract.symbol or contract.conId}"

        async def ask() -> list[ContractDetails]:
            try:
                return await self.request(
                    lambda req_id: self.ib.client.reqContractDetails(req_id, contract),
                    what,
                )
            except MarketGone as err:
                lost = self.gateway.lost("contracts")
                if not lost:
                    raise
                # in the night IB says so of any
                raise ContractsLost(
                    f"{err}; but those of its servers that know are lost: {lost}"
                ) from None

        return await self._answers.once(
            ("details", repr(dataclassAsTuple(contract))), ask
        )

    async def market(self, name: str) -> Known:
        """Return the market called *name*, see `find_by_name`; it is kept."""
        return await self._answers.once(
            ("market", name), lambda: find_by_name(self, name)
        )

    async def market_of(self, con_id: int) -> Known:
        """Return the market of that ``conId``, see `find_by_id`; it is kept."""
        return await self._answers.once(
            ("market", con_id), lambda: find_by_id(self, con_id)
        )

    async def rules(self, rule_id: int) -> list[PriceIncrement]:
        """Return a rule of prices: steps, each from a price on."""

        async def ask() -> list[PriceIncrement]:
            await self.gateway.ready()
            key = f"marketRule-{rule_id}"
            future = self.ib.wrapper.startReq(key)
            self.ib.client.reqMarketRule(rule_id)
            try:
                async with asyncio.timeout(self.conf.deadline_s):
                    return await future
            except (TimeoutError, ConnectionError):
                raise VenueUnreachable(
                    f"ib doesn't tell its rule {rule_id} of prices"
                ) from None

        return await self._answers.once(("rule", rule_id), ask)

    async def chains(
        self, underlying: Contract, exchange: str = ""
    ) -> list[OptionChain]:
        """Return what options there are on a contract: exchanges, expiries, strikes.

        Args:
          underlying: with its ``conId``.
          exchange: of a future; empty of a stock or an index.
        """
        contract = underlying
        return await self._answers.once(
            ("chains", contract.conId, exchange),
            lambda: self.request(
                lambda req_id: self.ib.client.reqSecDefOptParams(
                    req_id, contract.symbol, exchange, contract.secType, contract.conId
                ),
                f"options on {contract.symbol}",
            ),
        )

    async def matching(self, pattern: str) -> list[ContractDescription]:
        """Return contracts whose symbol or name begins like *pattern*, at IB's pace."""

        async def ask() -> list[ContractDescription]:
            async with self._search:
                wait_s = self._searched_at + SEARCH_EVERY_S - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                self._searched_at = time.monotonic()
            return await self.request(
                lambda req_id: self.ib.client.reqMatchingSymbols(req_id, pattern),
                f"symbols like {pattern!r}",
            )

        return await self._answers.once(("matching", pattern), ask)

    # -- the past ---------------------------------------------------------------------

    async def bars(
        self, contract: Contract, end_s: int, span: str, size: str, what: str
    ) -> list[BarData]:
        """Return bars that open before *end_s*, ascending.

        Args:
          contract: with its ``conId``.
          end_s: epoch s.
          span: e.g. ``1800 S`` or ``1 D``.
          size: of bars, e.g. ``1 secs`` or ``1 min``.
          what: ``TRADES``, ``MIDPOINT`` and so on.

        Raises: NoData; RateLimited if its turn is too far away; VenueError.
        """
        client = self.ib.client
        end = _stamp(end_s)
        is_small = size.endswith(("sec", "secs"))
        ask = Ask(contract.conId, contract.exchange, what, (end, span, size), is_small)
        return await self._past(
            ask,
            lambda req_id: client.reqHistoricalData(
                req_id, contract, end, span, size, what, False, 2, False, []
            ),
            f"bars of {contract.symbol}",
            client.cancelHistoricalData,
        )

    async def trades(
        self, contract: Contract, start_s: int, most: int = TICKS_MAX
    ) -> list[HistoricalTickLast]:
        """Return trades from *start_s* on, ascending, all of its last second.

        Args:
          contract: with its ``conId``.
          start_s: epoch s.
          most: so many, and what more there are of the last one's second.

        Raises: as `bars`.
        """
        client = self.ib.client
        start = _stamp(start_s)
        # of the kind that bars of trades are, too: IB counts both together
        detail = ("ticks", start, str(most))
        ask = Ask(contract.conId, contract.exchange, "TRADES", detail)
        return await self._past(
            ask,
            lambda req_id: client.reqHistoricalTicks(
                req_id, contract, start, "", most, "TRADES", False, False, []
            ),
            f"trades of {contract.symbol}",
        )

    async def _past(
        self,
        ask: Ask,
        send: Callable[[int], None],
        what: str,
        cancel: Callable[[int], None] | None = None,
    ) -> Any:
        """Ask for the past at IB's pace; once more after a while if it was too much."""
        patience_s = _PATIENCE_S
        for pause_s in _PAUSES_S:
            async with self._slot(ask, what, patience_s):
                try:
                    return await self._asked(send, what, cancel)
                except RateLimited:
                    self._pace.pause(pause_s, time.monotonic())
                    patience_s = pause_s + _PATIENCE_S
        async with self._slot(ask, what, patience_s):
            return await self._asked(send, what, cancel)

    async def _asked(
        self,
        send: Callable[[int], None],
        what: str,
        cancel: Callable[[int], None] | None,
    ) -> Any:
        """Ask for the past of a contract that there is, whatever IB says of it."""
        try:
            return await self.request(send, what, cancel)
        except MarketGone as err:  # told in the night, when its servers are away
            raise VenueUnreachable(str(err)) from None

    @asynccontextmanager
    async def _slot(
        self, ask: Ask, what: str, patience_s: float
    ) -> AsyncIterator[None]:
        """Be one of those that ask at one time, once it is its turn.

        That is looked at again right before it is sent: what waited for others to be
        answered goes together with what waited for its turn meanwhile.
        """
        while True:
            noted_at = await self._turn(ask, what, patience_s)
            async with self._open:
                try:
                    await self._let_others_by()
                    await self.gateway.ready()
                except BaseException:
                    self._pace.unnote(ask, noted_at)
                    raise
                if self._pace.renote(ask, noted_at, time.monotonic()):
                    if self.kept is not None and ask.is_small:
                        self.kept.note(ask)
                    yield
                    return

    async def _let_others_by(self) -> None:
        """Leave most of what may be sent in a second to what isn't of the past."""
        now = time.monotonic()
        at = max(self._past_at, now)
        self._past_at = at + _PAST_SHARE / self.conf.messages
        await asyncio.sleep(at - now)

    async def _turn(self, ask: Ask, what: str, patience_s: float) -> float:
        """Wait until *ask* may be sent; return when it was noted."""
        give_up_at = time.monotonic() + patience_s
        while (wait_s := self._pace.wait_s(ask, now := time.monotonic())) > 0:
            if now + wait_s > give_up_at:
                raise RateLimited(
                    f"ib may be asked for {what} again in {wait_s:.0f} s, by its rules"
                    " of how often"
                )
            await asyncio.sleep(wait_s)
        self._pace.note(ask, now)
        return now

    # -- now --------------------------------------------------------------------------

    async def ticks(
        self, emit: Callable[[LineItem], None], contract: Contract, generic: str
    ) -> None:
        """Emit market data of *contract* until cancelled, for `proxy.stream`.

        Raises: VenueUnreachable if there is no line to begin with; what IB refuses it
        with. A line that is lost later is waited for.
        """
        await Line(self.gateway, contract, generic, emit).run()


def _stamp(time_s: int) -> str:
    return formatIBDatetime(dt.datetime.fromtimestamp(time_s, dt.UTC))


@asynccontextmanager
async def open_client(
    conf: IbConf, role: Role, kept: Path | None = None
) -> AsyncIterator[Client]:
    """Yield a client that is connected, or tries to be, until the block ends.

    Its requests for the past are kept in the file *kept*, and count for the next.

    It doesn't wait for the gateway: what is asked for does, while one is looked for.
    If nobody keeps the connection any more, for a fault of ours, the block ends.
    """
    gateway = Gateway(conf, role)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(gateway.run())
        try:
            yield Client(conf, gateway, KeptAsks(kept) if kept else None)
        finally:
            task.cancel()
