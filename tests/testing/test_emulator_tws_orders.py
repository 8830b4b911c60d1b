"""The emulated TWS, asked by a client that doesn't know it is one: orders."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from ib_async import (
    ExecutionFilter,
    Forex,
    MarketOrder,
    Order,
    Stock,
    StopLimitOrder,
    StopOrder,
)

from tests.testing._tws import (
    ES,
    QUARTER,
    QUIET,
    SHARES,
    contract,
    future,
    limit,
    on_asyncio,
    open_tws,
    tws_process,
    until,
)

pytestmark = pytest.mark.tree


@pytest.fixture(scope="module")
def shared():
    """Yields the port of an emulator for tests that leave it as it was."""
    with tws_process(*SHARES) as port:
        yield port


class Talk:
    """A client, its market and what it is told of its orders."""

    def __init__(self, tws, ib, one):
        self.tws, self.ib, self.one = tws, ib, one

    def place(self, order):
        return self.ib.placeOrder(self.one, order)

    async def placed(self, order, status="Submitted"):
        trade = self.place(order)
        await self.until(trade, status)
        return trade

    async def until(self, trade, *statuses):
        await until(lambda: trade.orderStatus.status in statuses, what=statuses)

    async def cancel(self, trade):
        self.ib.cancelOrder(trade.order)
        await self.until(trade, "Cancelled")


@asynccontextmanager
async def open_talk(client_id=1, *, asked=None, args=(), port=None):
    async with open_tws(*args, port=port) as tws:
        await tws.open_account()
        await tws.quotes()
        ib = await tws.connect(client_id)
        yield Talk(tws, ib, await contract(ib, asked))


def statuses(trade):
    """Return the statuses that a client went through, each once in a row."""
    found = [entry.status for entry in trade.log]
    return [one for at, one in enumerate(found) if at == 0 or found[at - 1] != one]


# -- what becomes of an order -----------------------------------------------------


@on_asyncio
async def test_an_order_lives_through_all_of_it():
    """It is taken, changed, filled in part, changed again and called off."""
    async with open_talk() as talk:
        trade = await talk.placed(limit(size=20, price=173, orderRef="mine"))
        order = trade.order
        assert statuses(trade) == ["PendingSubmit", "PreSubmitted", "Submitted"]
        assert (order.orderRef, trade.orderStatus.remaining) == ("mine", 20)
        assert order.permId > 10**9
        order.lmtPrice, order.totalQuantity = 174.5, 30
        talk.place(order)
        await until(lambda: trade.orderStatus.remaining == 30)
        await talk.tws.outside("sell", 174.5, 12)
        await until(lambda: trade.orderStatus.filled == 12)
        assert (trade.orderStatus.status, trade.orderStatus.remaining) == (
            "Submitted", 18,
        )  # fmt: skip
        await until(lambda: trade.fills[0].commissionReport.commission > 0)
        (fill,) = trade.fills
        assert (fill.execution.side, fill.execution.shares) == ("BOT", 12)
        assert (fill.execution.price, fill.execution.cumQty) == (174.5, 12)
        assert (fill.execution.acctNumber, fill.execution.orderRef) == ("DU7", "mine")
        assert fill.execution.permId == order.permId
        assert fill.commissionReport.commission == 1
        assert fill.commissionReport.currency == "USD"
        await talk.cancel(trade)
        assert statuses(trade)[-2:] == ["PendingCancel", "Cancelled"]
        assert 202 in talk.tws.codes(order.orderId)
        (row,) = (await talk.tws.account())["orders"]
        assert (row["state"], row["filled"], row["ref"]) == ("canceled", "12", "mine")
        assert (await talk.tws.account())["money"]["TSLA"]["free"] == "12"


@pytest.mark.parametrize(
    ("order", "status", "filled"),
    [
        (MarketOrder("BUY", 10, account="DU7"), "Filled", 10),
        (MarketOrder("SELL", 10, account="DU7"), "Filled", 10),
        (limit(price=175), "Filled", 10),
        (limit(size=400, price=175), "Submitted", 300),
        (limit(size=400, price=175, tif="IOC"), "Cancelled", 300),
        (limit(size=400, price=175, tif="FOK"), "Cancelled", 0),
        (limit(size=300, price=175, tif="FOK"), "Filled", 300),
        (limit(price=173, tif="DAY"), "Submitted", 0),
    ],
)
@on_asyncio
async def test_kinds_of_orders(order, status, filled):
    async with open_talk() as talk:
        trade = talk.place(order)
        await talk.until(trade, status)
        await until(lambda: trade.filled() == filled)
        assert trade.orderStatus.filled == filled


@pytest.mark.parametrize(
    ("order", "fills_at"),
    [
        (StopOrder("SELL", 10, 173.5, account="DU7"), 173),
        (StopLimitOrder("SELL", 10, 172.5, 173.5, account="DU7"), 173),
        (StopLimitOrder("SELL", 10, 173.25, 173.5, account="DU7"), None),
    ],
)
@on_asyncio
async def test_a_stop_waits_until_it_is_reached(order, fills_at):
    async with open_talk() as talk:
        trade = await talk.placed(order, "PreSubmitted")
        await talk.tws.outside("buy", 173, 300, rests=True)
        assert trade.orderStatus.status == "PreSubmitted"
        await talk.tws.outside("sell", 173, 1)  # the last price
        await talk.until(trade, "Filled" if fills_at else "Submitted")
        assert statuses(trade)[1:3] == ["PreSubmitted", "Submitted"]
        assert [fill.execution.price for fill in trade.fills] == (
            [fills_at] if fills_at else []
        )
        # one that is reached already begins to count at once
        late = talk.place(StopOrder("SELL", 1, 174, account="DU7"))
        await talk.until(late, "Filled")


@on_asyncio
async def test_what_an_order_would_do(shared):
    async with open_talk(None, port=shared) as talk:
        state = await talk.ib.whatIfOrderAsync(talk.one, limit(size=100, price=174))
        assert (state.status, state.initMarginChange) == ("PreSubmitted", "4350")
        assert float(state.equityWithLoanBefore) >= 100_000
        assert (state.commission, state.commissionCurrency) == (1, "USD")
        assert (await talk.tws.account())["orders"] == []


@pytest.mark.parametrize(
    ("order", "code", "status"),
    [
        (limit(price=174.001), 110, "Cancelled"),
        (limit(size=100_000), 201, "Inactive"),
        (limit(size=0), 434, "ValidationError"),
        (limit(size=1.5), 10243, "Cancelled"),
        (limit(account="DU9"), 321, "ValidationError"),
        (limit(tif="GTD"), 321, "ValidationError"),
        (limit(parentId=3), 321, "ValidationError"),
        (Order(action="BUY", totalQuantity=1, orderType="LMT", account="DU7"), 107,
         "Cancelled"),
        (Order(action="BUY", totalQuantity=1, orderType="MOC", account="DU7"), 321,
         "ValidationError"),
    ],
)  # fmt: skip
@on_asyncio
async def test_orders_that_are_refused(shared, order, code, status):
    async with open_talk(None, port=shared) as talk:
        trade = await talk.placed(order, status)
        assert talk.tws.codes(order.orderId) == [code]
        assert (await talk.tws.account())["orders"] == []
        assert not await talk.ib.reqAllOpenOrdersAsync()
        assert trade.fills == []


@on_asyncio
async def test_ids_of_orders():
    """Each is used once, by each client; the next one is told."""
    async with open_talk() as talk:
        trade = await talk.placed(limit())
        used = trade.order.orderId
        talk.ib.client.placeOrder(used - 1, talk.one, limit())
        await until(lambda: talk.tws.codes(used - 1) == [103])
        talk.ib.client.cancelOrder(used - 1)
        await until(lambda: talk.tws.codes(used - 1) == [103, 10147])
        await talk.cancel(trade)
        talk.ib.client.cancelOrder(used)
        await until(lambda: 10148 in talk.tws.codes(used))
        await talk.tws.control("old?on=1")
        talk.ib.client.cancelOrder(used)
        talk.ib.client.cancelOrder(99_999)
        await until(lambda: talk.tws.codes(99_999) == [135])
        assert 136 in talk.tws.codes(used)
        talk.ib.client.placeOrder(used, talk.one, limit())
        await until(lambda: 103 in talk.tws.codes(used))
        filled = await talk.placed(limit(price=175), "Filled")
        talk.ib.client.placeOrder(filled.order.orderId, talk.one, limit())
        await until(lambda: 104 in talk.tws.codes(filled.order.orderId))
        live = await talk.placed(limit())
        of = live.order.orderId
        talk.ib.client.placeOrder(of, talk.one, StopOrder("BUY", 10, 180))
        talk.ib.client.placeOrder(of, talk.one, limit("SELL", 10, 180))
        await until(lambda: talk.tws.codes(of) == [329, 105])
        talk.ib.disconnect()
        await talk.tws.until_left()
        again = await talk.tws.connect(1)
        assert again.client._reqIdSeq > of
        other = await talk.tws.connect(2)
        assert other.client._reqIdSeq < of
        theirs = other.placeOrder(talk.one, limit())
        await talk.until(theirs, "Submitted")


# -- whose orders -----------------------------------------------------------------


@on_asyncio
async def test_orders_of_others():
    """A client hears of its own; all are told who asks, and can be ended at once."""
    async with open_talk() as talk:
        mine = await talk.placed(limit())
        other = await talk.tws.connect(2)
        assert other.openTrades() == []
        found = await other.reqAllOpenOrdersAsync()
        assert [(t.order.clientId, t.order.permId) for t in found] == [
            (1, mine.order.permId)
        ]
        other.client.cancelOrder(mine.order.orderId)
        await until(lambda: 10147 in talk.tws.codes(mine.order.orderId))
        heard = []
        master = await talk.tws.connect(3)
        await talk.tws.control("master?client_id=3")
        master.orderStatusEvent += heard.append
        await talk.tws.outside("sell", 174, 310)
        await talk.until(mine, "Filled")
        await until(lambda: len(heard) > 0)
        again = await talk.placed(limit(price=170))
        other.reqGlobalCancel()
        await talk.until(again, "Cancelled")


@on_asyncio
async def test_orders_of_the_screen_belong_to_client_0():
    async with open_talk() as talk:
        placed = await talk.tws.control(
            "place",
            {"account": "DU7", "symbol": "TSLA", "side": "buy", "price": "174.5",
             "size": "3"},
        )  # fmt: skip
        assert placed["order_id"] == 0
        assert await talk.ib.reqOpenOrdersAsync() == []
        (seen,) = await talk.ib.reqAllOpenOrdersAsync()
        assert (seen.order.orderId, seen.order.clientId) == (0, 0)
        main = await talk.tws.connect(0)  # binds them
        (bound,) = main.openTrades()
        assert bound.order.orderId < 0
        await talk.tws.outside("sell", 174.5, 1)
        await until(lambda: bound.orderStatus.filled == 1)
        main.client.cancelOrder(bound.order.orderId)
        await talk.until(bound, "Cancelled")
        fills = await talk.ib.reqExecutionsAsync()
        assert [(f.execution.clientId, f.execution.shares) for f in fills] == [(0, 1)]


@on_asyncio
async def test_accounts_have_orders_positions_and_values_of_their_own():
    args = ("--sim", "tsla.nasdaq.sim", f"es.cme.{QUARTER}.sim", *QUIET)
    async with open_talk(args=args) as talk:
        tws, ib = talk.tws, talk.ib
        await tws.open_account("DU8", USD="50000")
        unnamed = talk.place(limit(account=""))
        await talk.until(unnamed, "ValidationError")
        await talk.placed(limit(price=175), "Filled")
        await talk.placed(limit(size=20, price=175, account="DU8"), "Filled")
        await talk.placed(limit("SELL", 4, 174, account="DU8"), "Filled")
        es = await contract(ib, future())
        await tws.quotes(5000, 5001, 50, ES)
        short = ib.placeOrder(es, limit("SELL", 1, 5000, account="DU8"))
        await talk.until(short, "Filled")
        await until(lambda: len(ib.positions()) == 3)
        held = {(p.account, p.contract.symbol): p.position for p in ib.positions()}
        assert held == {("DU7", "TSLA"): 10, ("DU8", "TSLA"): 16, ("DU8", "ES"): -1}
        costs = {p.contract.symbol: p.avgCost for p in ib.positions("DU8")}
        assert costs == {"TSLA": 175, "ES": 250_000}
        fills = {f.execution.execId: f for f in ib.fills()}
        assert len(fills) == 4
        (sold,) = [f for f in ib.fills() if f.execution.shares == 4]
        await until(lambda: sold.commissionReport.realizedPNL != 0)
        assert sold.commissionReport.realizedPNL == 4 * -1 - 1
        await tws.outside("buy", 5001, 1, ES)  # the last price
        other = await tws.connect(5, account="DU8")
        (future_row,) = [p for p in other.portfolio() if p.contract.secType == "FUT"]
        assert (future_row.position, future_row.unrealizedPNL) == (-1, -50)
        values = {v.tag: v.value for v in other.accountValues("DU8")}
        cash = 50_000 - 20 * 175 + 4 * 174 - 1 - 1 - 2.25
        assert float(values["TotalCashValue"]) == cash
        assert float(values["NetLiquidation"]) == cash + 16 * 174 - 50
        assert {p.account for p in other.positions()} == {"DU7", "DU8"}


@on_asyncio
async def test_money_is_borrowed_and_lent():
    args = ("--sim", "eurusd.idealpro.sim", *QUIET)
    async with open_tws(*args) as tws:
        await tws.open_account()
        await tws.quotes("1.0900", "1.0901", 500_000, "EUR.USD")
        ib = await tws.connect()
        euro = await contract(ib, Forex("EURUSD"))
        trade = ib.placeOrder(euro, limit("SELL", 50_000, 1.09))
        await until(lambda: trade.orderStatus.status == "Filled")
        money = (await tws.account())["money"]
        assert float(money["EUR"]["free"]) == -50_000
        assert float(money["USD"]["free"]) == 154_500 - 2
        values = {(v.tag, v.currency): v.value for v in ib.accountValues("DU7")}
        await until(lambda: len(ib.positions()) == 1)
        await ib.reqAccountUpdatesAsync("DU7")
        values = {(v.tag, v.currency): v.value for v in ib.accountValues("DU7")}
        assert values["CashBalance", "EUR"] == "-50000.00"
        assert values["NetLiquidation", "USD"] == "99998.00"


# -- what is known afterwards -----------------------------------------------------


@on_asyncio
async def test_executions_and_completed_orders_are_told_to_who_comes_later():
    async with open_talk() as talk:
        bought = await talk.placed(limit(price=175, orderRef="one"), "Filled")
        sold = await talk.placed(limit("SELL", 3, 174), "Filled")
        live = await talk.placed(limit(price=150))
        over = await talk.placed(limit(price=151))
        await talk.cancel(over)
        talk.ib.disconnect()
        await talk.tws.until_left()
        await talk.tws.outside("sell", 150, 302)
        ib = await talk.tws.connect(1)
        fills = {fill.execution.execId: fill for fill in ib.fills()}
        assert sum(fill.execution.shares for fill in fills.values()) == 10 + 3 + 5
        assert all(fill.commissionReport.commission > 0 for fill in fills.values())
        assert {fill.execution.orderRef for fill in fills.values()} == {"one", ""}
        (open_,) = ib.openTrades()
        assert open_.order.permId == live.order.permId
        assert (open_.orderStatus.filled, open_.orderStatus.remaining) == (5, 5)
        done = {t.order.permId: t for t in await ib.reqCompletedOrdersAsync(False)}
        assert {of: one.orderStatus.status for of, one in done.items()} == {
            bought.order.permId: "Filled", sold.order.permId: "Filled",
            over.order.permId: "Cancelled",
        }  # fmt: skip
        assert done[bought.order.permId].order.filledQuantity == 10

        async def count(**wanted):
            return len(await ib.reqExecutionsAsync(ExecutionFilter(**wanted)))

        assert [await count(side=side) for side in ("BUY", "SELL")] == [2, 1]
        assert [await count(acctCode=name) for name in ("DU7", "DU8")] == [3, 0]
        assert [await count(symbol=name) for name in ("TSLA", "ES")] == [3, 0]
        assert [await count(clientId=of) for of in (1, 2)] == [3, 0]
        assert await count(time="20990101-00:00:00") == 0


@on_asyncio
async def test_the_day_ends():
    async with open_talk() as talk:
        day = await talk.placed(limit(tif="DAY"))
        stays = await talk.placed(limit(tif="GTC"))
        await talk.tws.control("close")
        await talk.until(day, "Cancelled")
        assert stays.orderStatus.status == "Submitted"
        assert await talk.ib.reqCompletedOrdersAsync(False) == []


@on_asyncio
async def test_a_contract_that_nobody_trades_takes_orders_all_the_same():
    async with open_talk() as talk:
        peso = await contract(talk.ib, Stock("TSLA", "MEXI", "MXN"))
        trade = talk.ib.placeOrder(peso, limit(price=3000))
        await talk.until(trade, "Submitted")
        await talk.tws.control(
            "outside",
            {"symbol": "TSLA@MEXI", "side": "sell", "price": "3000", "size": "10"},
        )
        await talk.until(trade, "Filled")
        assert trade.contract.currency == "MXN"
