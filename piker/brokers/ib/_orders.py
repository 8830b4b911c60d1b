"""IB's orders: one account's session at a gateway, which all accounts share.

    place, amend, cancel --> OrderHub --> gateway --states, executions, fees--> tell
    find, lists of orders and executions, positions, cash --asked--^

An order is found again by the text that goes with it, its ``orderRef``: our id of it.
It keeps its number at its client and its number for good when it is changed. IB tells
of orders that are over, and of executions, for the rest of the day, and no longer.

https://interactivebrokers.github.io/tws-api/order_management.html
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

import trio
from msgspec.structs import replace

from piker.brokers._aio import MethodProxy
from piker.brokers._live._backend import LiveBackend
from piker.brokers._live._secrets import Sealed, Secret
from piker.brokers._live._venue import (
    START,
    Cursor,
    NewOrder,
    NotSent,
    OrderGone,
    OrderRejected,
    OrderState,
    Permissions,
    Replaced,
    Unsure,
    VenueEvent,
    VenueTrade,
)
from piker.brokers._web import open_shared
from piker.config import is_for_looks
from piker.errors import (
    AccountNotFound,
    BadFqme,
    BadPayload,
    PikerError,
    SymbolNotFound,
    VenueError,
    VenueRefused,
)
from piker.log import get_logger
from piker.msgs import NS, MktPair

from ._client import Client
from ._conf import IbConf, Role, load_conf
from ._contracts import price_step
from ._link import open_link
from ._markets import Known
from ._order_answers import amended, ended, not_ours, of_execs, placed
from ._order_asks import (
    account_values,
    completed_orders,
    executions,
    is_read_only,
    positions,
    send_cancel_all,
    server_time_ns,
)
from ._order_cash import cash_of, held_of, rates_of
from ._order_decode import WRITTEN, newest_execs, to_order
from ._order_hub import OrderHub, open_hub, states_of
from ._order_reasons import READ_ONLY_CURE
from ._order_rows import Row, rows_of, state_of
from ._order_schemas import ExecTold, Holding
from ._symbols import cache_contract, cache_contract_id

log = get_logger(__name__)

_PAGE: Final = 500
#: Executions of so long before a cursor are listed again: a fee may come late.
_AGAIN_NS: Final = 24 * 3600 * NS
#: A clock that is off by less isn't known to be: IB tells whole seconds.
_SKEW_NS: Final = 2 * NS
#: Contracts that are asked for at once when a session begins.
_WARM_AT_ONCE: Final = 8
_WARM_AGAIN_S: Final = 5.0


class AccountNumber(Sealed):
    """What brokers.toml tells of an account.

    Attributes:
      number: of the account, e.g. ``DU1234567``.
    """

    __slots__ = ("number",)
    number: Secret


@dataclass(eq=False)
class _Clock:
    """How far IB's clock is ahead of this machine's."""

    ahead_ns: int = 0
    is_known: bool = False


class IbSession:
    """One account at IB, see `piker.brokers._live._venue.Session`."""

    amends_in_place: bool = True
    lists_together: bool = True

    def __init__(
        self, account: str, keys: AccountNumber, hub: OrderHub, conf: IbConf
    ) -> None:
        """Be a session; use `open_session`."""
        self.account = account
        self._keys, self._hub, self._conf = keys, hub, conf
        self._clock = _Clock()

    def __repr__(self) -> str:
        return f"<IbSession {self.account}>"

    @property
    def odd_messages(self) -> int:
        """How many messages couldn't be read, of all accounts of the gateway."""
        return self._hub.odd_messages

    @property
    def _proxy(self) -> MethodProxy[Client]:
        return self._hub.proxy

    @property
    def _number(self) -> str:
        return self._keys.number.reveal()

    def now_ns(self) -> int:
        """Return the venue's time."""
        return time.time_ns() + self._clock.ahead_ns

    async def run(self, tell: Callable[[VenueEvent], None]) -> None:
        """Tell what happens, for ever; LineUp and LineDown too."""
        async with self._hub.sit(self._number, tell):
            while not await self._warm():  # noqa: ASYNC110 - the gateway is asked
                await trio.sleep(_WARM_AGAIN_S)
            await trio.sleep_forever()

    async def _warm(self) -> bool:
        """Learn the contracts of what is held and of what is open; tell if it was done.

        So none of them has to be asked for in the moment in which an order is to be
        sent, or an execution to be booked.
        """
        try:
            con_ids = {row.order.con_id for row in await self._open_rows()}
            con_ids |= {one.con_id for one in await self._holdings()}
        except VenueError as err:
            log.info("%s: contracts aren't known before they are needed: %s",
                     self.account, err)  # fmt: skip
            return False
        await self._mkts_of(con_ids)
        return True

    async def _mkts_of(self, con_ids: Iterable[int]) -> dict[int, MktPair]:
        """Return the markets of contracts, those that have no name left out."""
        mkts: dict[int, MktPair] = {}
        limiter = trio.CapacityLimiter(_WARM_AT_ONCE)

        async def learn(con_id: int) -> None:
            async with limiter:
                try:
                    mkts[con_id] = await self.mkt_of(str(con_id))
                except PikerError as err:  # it may have no name here
                    log.info("%s: contract %d: %s", self.account, con_id, err)

        async with trio.open_nursery() as tasks:
            for con_id in con_ids:
                tasks.start_soon(learn, con_id)
        return mkts

    # -- orders -------------------------------------------------------------------

    async def place(self, order: NewOrder) -> OrderState:
        """Place an order; return it as it was right after."""
        if order.post_only:
            raise OrderRejected(
                "ib takes no post-only orders: place it without, or as --dark"
            )
        known = await self._known(order)
        sent = to_order(order, self._number, outside_rth=self._conf.outside_rth)
        order_id = await self._hub.new_id()
        try:
            row = await self._hub.order(order_id, known.contract, sent, placed)
        except Unsure:
            at = (self._hub.client_id, order_id, 0)
            held = self._hub.rows.get(at)
            if held is None or not held.order.perm_id:
                raise
            row = held  # the gateway has it, and IB is silent
        return state_of(row, self.now_ns())

    async def _known(self, order: NewOrder) -> Known:
        """Return what is known of an order's market, learnt now if it wasn't.

        Raises: NotSent; OrderRejected: its prices are no steps of the market's.
        """
        try:
            known = await cache_contract_id(self._proxy, int(order.mkt.bs_mktid))
        except PikerError as err:
            raise NotSent(f"its contract isn't known: {err}") from None
        for price in (order.price, order.trigger):
            step = price_step(known.rules, price or Decimal(0))
            if price is not None and step and price % step:
                raise OrderRejected(
                    f"a price of {price} is no multiple of {step}, which ib wants there"
                )
        return known

    async def amend(self, old: OrderState, order: NewOrder) -> Replaced:
        """Change an order in its place: *order* is the whole of it."""
        row = await self._ours(old)
        if row.order.kind not in WRITTEN:
            raise OrderRejected(
                f"a {row.order.kind} order is changed where it was placed, in TWS: here"
                " it would become another kind of order"
            )
        known = await self._known(order)
        sent = to_order(
            replace(order, cl_id=row.order.ref),
            self._number,
            outside_rth=row.order.outside_rth,
        )
        sent.tif = row.order.tif or sent.tif
        sent.permId = row.order.perm_id
        await self._hub.wait_line()
        answer = partial(amended, order)
        now = await self._hub.order(row.order.order_id, known.contract, sent, answer)
        return Replaced(old=None, new=state_of(now, self.now_ns()))

    async def _ours(self, state: OrderState) -> Row:
        """Return an order that this client can change; OrderGone, OrderRejected."""
        try:
            row = await self._hub.row_of(state.reqid)
        except VenueError as err:
            raise OrderRejected(str(err)) from None
        if row is None:
            raise OrderGone(f"ib has no open order {state.reqid}")
        if row.order.order_id and row.order.client_id == self._hub.client_id:
            return row
        raise OrderRejected(not_ours(row, self._hub.client_id))

    async def cancel(self, order: OrderState) -> OrderState:
        """End an order; return it as it ended."""
        await self._hub.wait_line()
        row = await self._ours(order)
        if not row.is_over:
            row = await self._hub.cancel(row.order.order_id, ended)
        return state_of(row, self.now_ns())

    async def cancel_all(self, bs_mktids: Iterable[str]) -> int:
        """End all that is open, whoever placed it; return how many the venue counts.

        By IB's one call for all, where nothing else is open at the login; else one by
        one, which other clients' orders don't hear.
        """
        del bs_mktids  # all markets are in one list
        await self._need_account()
        rows = [row for row in await self._hub.open_rows() if not row.is_over]
        mine = [row for row in rows if row.order.account == self._number]
        if not mine:
            return 0
        if len(mine) == len(rows):
            await self._proxy.call(send_cancel_all)
            return len(mine)
        able = [row for row in mine if self._may_change(row)]
        for row in able:
            await self._hub.put_down(row.order.order_id)
        if len(able) < len(mine):
            other = next(row for row in mine if not self._may_change(row))
            raise VenueRefused(
                f"{len(mine) - len(able)} orders can't be ended from here: "
                f"{not_ours(other, self._hub.client_id)}"
            )
        return len(able)

    def _may_change(self, row: Row) -> bool:
        told = row.order
        return bool(told.order_id) and told.client_id == self._hub.client_id

    # -- looking ------------------------------------------------------------------

    async def _need_account(self) -> None:
        """Raise VenueRefused if the gateway's login hasn't the account (any more).

        It lists no order of an account that it doesn't know: none is no answer then.
        """
        if why := await self._why_absent():
            raise VenueRefused(why)

    async def _why_absent(self) -> str:
        """Return why the gateway can't know the account, empty if it does."""
        numbers = await self._proxy.call(Client.accounts)
        if self._number in numbers:
            return ""
        others = f"{len(numbers)} other account{'s' * (len(numbers) != 1)}"
        return (
            f"ib's gateway isn't logged in to {self.account}, but to {others}: mend its"
            " number in brokers.toml, or log in to it"
        )

    async def _open_rows(self) -> list[Row]:
        """Return this account's orders that are open; VenueError."""
        await self._need_account()
        rows = await self._hub.open_rows()
        return [
            row for row in rows if row.order.account == self._number and not row.is_over
        ]

    async def open_orders(self) -> list[OrderState]:
        """Return all that are open."""
        return states_of(await self._open_rows(), self._number)

    async def find(
        self, mkt: MktPair, cl_id: str, reqid: str = ""
    ) -> OrderState | None:
        """Return an order by its id, None if the venue never had it, or tells no more.

        Of one that is in no list of orders, and was executed, that is told.
        """
        # in this order: what ends in between is in the second one
        for ask in (self._open_rows, self._over_rows):
            for row in await ask():
                told = row.order
                if (told.ref == cl_id and cl_id) or str(told.perm_id) == reqid:
                    return state_of(row, self.now_ns())
        execs = [
            one
            for one in await self._executions()
            if (one.ref == cl_id and cl_id) or str(one.perm_id) == reqid
        ]
        return of_execs(execs, mkt, self.now_ns()) if execs else None

    async def _over_rows(self) -> list[Row]:
        told = await self._proxy.call(completed_orders)
        mine = [one for one in told if one.account == self._number and one.perm_id]
        return rows_of(mine)

    async def _executions(self) -> list[ExecTold]:
        """Return the account's executions that are still told, the oldest first."""
        told, fees = await self._proxy.call(executions, self._number)
        self._hub.fees.note(fees.values())
        mine = [one for one in told if one.account == self._number]
        return newest_execs(mine)

    async def trades(
        self, mkt: MktPair | None, after: Cursor = START
    ) -> AsyncIterator[list[VenueTrade]]:
        """Yield trades of all markets, the oldest first, a page at a time.

        IB tells those of the day, a gateway of TWS up to a week's.
        """
        del mkt
        since_ns = after.time_ns - _AGAIN_NS
        told = [one for one in await self._executions() if one.time_ns >= since_ns]
        trades = self._hub.fees.trades(told)
        for at in range(0, len(trades), _PAGE):
            yield trades[at : at + _PAGE]

    async def trades_of(self, mkt: MktPair, reqid: str) -> list[VenueTrade]:
        """Return the trades of one order."""
        del mkt
        told = await self._executions()
        mine = (one for one in told if str(one.perm_id) == reqid)
        return self._hub.fees.trades(mine)

    async def newest(self, mkt: MktPair | None) -> Cursor:
        """Return the end of the account's list of trades."""
        del mkt
        trades = self._hub.fees.trades(await self._executions())
        return trades[-1].cursor if trades else START

    async def mkt_of(self, bs_mktid: str) -> MktPair:
        """Return a market by its ``conId``; SymbolNotFound, VenueError."""
        if not bs_mktid.isdigit() or not int(bs_mktid):  # of a combination, it's 0
            raise SymbolNotFound(f"ib has no contract {bs_mktid!r}")
        try:
            return (await cache_contract_id(self._proxy, int(bs_mktid))).mkt
        except (BadFqme, BadPayload, VenueRefused) as err:
            # there is one, and it can't be named or read: asked for again it's the same
            raise SymbolNotFound(str(err)) from None

    async def price_of(self, asset: str, quote: str) -> Decimal:
        """Return what one currency is worth in another, as IB counts the account's."""
        values = await self._proxy.call(account_values, self._number)
        rates = rates_of(values, self._number)
        if not rates.get(asset) or not rates.get(quote):
            raise VenueRefused(f"ib tells no rate of {asset} in {quote}")
        return rates[asset] / rates[quote]

    async def balances(self) -> dict[str, Decimal]:
        """Return cash by currency, coins, and contracts by full name of their market.

        Raises: VenueError.
        """
        await self._need_account()
        values = await self._proxy.call(account_values, self._number)
        holdings = await self._holdings()
        mkts = await self._mkts_of({one.con_id for one in holdings})
        held = held_of(holdings, self._number, mkts)
        return {**cash_of(values, self._number), **held}

    async def _holdings(self) -> list[Holding]:
        told = await self._proxy.call(positions)
        return [one for one in told if one.account == self._number]

    async def permissions(self) -> Permissions:
        """Return whether the gateway lets programs trade the account.

        Raises: AccountNotFound: its login has no such account.
        """
        if why := await self._why_absent():
            raise AccountNotFound(why)
        await self._measure_time()
        try:
            await self._hub.open_rows()
        except VenueRefused as err:
            if not await self._proxy.call(is_read_only):
                raise
            log.warning("%s: %s", self.account, err)
            return Permissions(
                may_trade=False, may_withdraw=False,
                why=f"ib's gateway is read-only: {READ_ONLY_CURE}",
            )  # fmt: skip
        return Permissions(may_trade=True, may_withdraw=False)

    async def _measure_time(self) -> None:
        ahead_ns = await self._proxy.call(server_time_ns) - time.time_ns()
        self._clock.ahead_ns = ahead_ns if abs(ahead_ns) > _SKEW_NS else 0
        self._clock.is_known = True


# -- opened ----------------------------------------------------------------------------


def _role() -> Role:
    """Return which client ids this process has: those of orders, or of looks only."""
    return "ledger" if is_for_looks() else "brokerd"


@asynccontextmanager
async def _open_hub(role: Role) -> AsyncIterator[OrderHub]:
    async with open_link(role) as proxy, open_hub(proxy) as hub:
        yield hub


@asynccontextmanager
async def open_session(account: str, keys: AccountNumber) -> AsyncIterator[IbSession]:
    """Yield an account's session; all of them share one connection.

    Raises: ConfigError.
    """
    conf, role = load_conf(), _role()
    key = ("ib orders", role, tuple(conf.places()))
    async with open_shared(partial(_open_hub, role), key) as hub:
        yield IbSession(account, keys, hub, conf)


async def _get_mkt(fqme: str) -> MktPair:
    """Return a market; BadFqme, SymbolNotFound, VenueError.

    Whether any feed has opened it doesn't matter: its contract is learnt here.
    """
    async with open_link(_role()) as proxy:
        return (await cache_contract(proxy, fqme)).mkt


BACKEND: Final = LiveBackend(open_session, _get_mkt, AccountNumber)
