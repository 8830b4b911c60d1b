"""What IB is asked for and told about orders, on the asyncio side: for `proxy.call`.

Everything raises VenueUnreachable where there is no line, and what is sent NoLine.
"""

from __future__ import annotations

import asyncio
from typing import Final

from ib_async import AccountValue, Contract, ExecutionFilter
from ib_async.order import Order

from piker.brokers._live._venue import NotSent
from piker.errors import VenueUnreachable

from ._client import Client
from ._gateway import LineUp
from ._order_decode import number
from ._order_schemas import ExecTold, FeeTold, Holding, OrderTold, StatusTold
from ._order_wire import Tell, wire_of

#: Fees of executions that are listed come right after them, or are told later.
_FEES_S: Final = 0.5
_LOOK_S: Final = 0.02
_ALL_CLIENTS: Final = False  # completed orders, not those of programs alone


async def listen(client: Client, emit: Tell) -> None:
    """Emit all that is said of orders, and of the line, until cancelled."""
    wire = wire_of(client)
    wire.listeners.add(emit)
    if client.gateway.state == "up":
        emit(LineUp(is_new=True))
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        wire.listeners.discard(emit)


async def open_orders(client: Client) -> list[OrderTold | StatusTold]:
    """Return what is open, of all accounts and clients."""
    async with wire_of(client).listing("open") as asked:
        client.ib.client.reqAllOpenOrders()
        await asked.done
    return list(asked.told)


async def bind_by_hand(client: Client) -> None:
    """Have orders placed in TWS, now and from now on, be ours; only client 0 may."""
    async with wire_of(client).listing("open") as asked:
        client.ib.client.reqAutoOpenOrders(True)
        client.ib.client.reqOpenOrders()
        await asked.done


async def completed_orders(client: Client) -> list[OrderTold]:
    """Return what is over and still told, of all accounts: that of the day."""
    async with wire_of(client).listing("over") as asked:
        client.ib.client.reqCompletedOrders(_ALL_CLIENTS)
        await asked.done
    return list(asked.told)


async def executions(
    client: Client, account: str
) -> tuple[list[ExecTold], dict[str, FeeTold]]:
    """Return an account's executions that are still told, and fees by their ids."""
    async with wire_of(client).listing_execs() as (req_id, asked):
        client.ib.client.reqExecutions(req_id, ExecutionFilter(acctCode=account))
        await asked.done
        for _ in range(int(_FEES_S / _LOOK_S)):
            if all(one.exec_id in asked.fees for one in asked.told):
                break
            await asyncio.sleep(_LOOK_S)
    return list(asked.told), dict(asked.fees)


async def is_read_only(client: Client) -> bool:
    """Tell whether the gateway takes no orders from programs, as far as it says."""
    return wire_of(client).is_read_only


async def positions(client: Client) -> list[Holding]:
    """Return what all accounts hold; from then on changes are told, too."""
    wire = wire_of(client)
    async with wire.turn_of("positions"):
        await client.gateway.ready()
        try:
            told = await client.ib.reqPositionsAsync()
        except ConnectionError:
            raise VenueUnreachable("ib was lost while it told positions") from None
    return [
        Holding(
            account=one.account,
            con_id=one.contract.conId,
            kind=one.contract.secType,
            size=number(one.position),
        )
        for one in told
    ]


async def account_values(client: Client, account: str) -> list[AccountValue]:
    """Return an account's values."""
    ib = client.ib

    def ask(req_id: int) -> None:
        ib.client.reqAccountUpdatesMulti(req_id, account, "", ledgerAndNLV=False)
        asked.append(req_id)

    asked: list[int] = []
    try:
        await client.request(ask, "an account's values")
        return list(ib.wrapper.accountValues.values())
    finally:
        if asked and ib.client.isReady():  # else it goes on telling
            ib.client.cancelAccountUpdatesMulti(asked[0])


async def server_time_ns(client: Client) -> int:
    """Return what time it is at IB, whole seconds as ns since the epoch."""
    await client.gateway.ready()
    try:
        told = await client.ib.reqCurrentTimeAsync()
    except ConnectionError:
        raise VenueUnreachable("ib was lost while it told the time") from None
    return int(told.timestamp()) * 10**9


# -- sending ---------------------------------------------------------------------------


async def next_id(client: Client) -> int:
    """Return the number of an order that is to be placed; NoLine."""
    wire_of(client).check_up()
    return client.ib.client.getReqId()


async def send_order(
    client: Client, order_id: int, contract: Contract, order: Order
) -> None:
    """Send an order, or its new terms; NotSent."""
    wire = wire_of(client)
    await wire.wait_calm()
    wire.check_up()
    try:
        client.ib.client.placeOrder(order_id, contract, order)
    except ConnectionError as err:
        raise NotSent(f"ib: it wasn't sent: {err}") from None


async def send_cancel(client: Client, order_id: int) -> None:
    """Ask for an order's end; NotSent."""
    wire_of(client).check_up()
    try:
        client.ib.client.cancelOrder(order_id, "")
    except ConnectionError as err:
        raise NotSent(f"ib: it wasn't sent: {err}") from None


async def send_cancel_all(client: Client) -> None:
    """Ask for the end of all orders of all accounts; NotSent."""
    wire_of(client).check_up()
    try:
        client.ib.client.reqGlobalCancel()
    except ConnectionError as err:
        raise NotSent(f"ib: it wasn't sent: {err}") from None
